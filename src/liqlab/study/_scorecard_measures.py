"""What is measured for each success criterion, from the tables of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from liqlab.cascades import CascadePreset, get_preset
from liqlab.features import FEATURES, LIQUIDATION_FAMILIES
from liqlab.stats import compute_wilson
from liqlab.study._protocol import ALPHA

LEAST_CASCADES = 50
LEAST_TRADES = 30
LEAST_STRATEGIES = 2
LEAST_IC = 0.05
LEAST_EXPLAINED_FRAC = 0.3
LEAST_ACCURACY = 0.7
LEAST_HIT_RATE = 0.6
LEAST_SHARPE = 1.0
LEAST_EXCELLENT_SHARPE = (1.5, 1.0)
_MAIN_BAR_MIN = 5
_ALL = "ALL"
_DECIDED_REVERSALS = "reversal where a barrier was reached (probability)"
_ALL_REVERSALS = "reversal after first touch (probability)"
_NO_BACKTEST = "needs the backtest"
_NO_ANSWERS = "needs the answer to {question}: the claims were not tested"

#: F1 of each preset in the plan world with its 95 % interval: `benchmarks/detector.py`, table in docs/worlds.md.
DETECTOR_F1: Mapping[str, tuple[float, float, float]] = {"plan": (0.12, 0.05, 0.19), "p95": (0.50, 0.40, 0.60)}


@dataclass(frozen=True)
class StrategyResult:
    """What the backtest says of one strategy: annual Sharpe ratios of daily net returns, and its trades in-sample."""

    sharpe_in_sample: float | None
    sharpe_out_of_sample: float | None
    n_trades: int

    @property
    def is_testable(self) -> bool:
        """Enough trades for its numbers to mean something."""
        return self.n_trades >= LEAST_TRADES


@dataclass(frozen=True)
class ScorecardEvidence:
    """What the criteria look at.

    `ic` is `core.schema.IC`, `ic_comparison` that of the groups of features, `tables` the exploratory tables of the
    questions by name (none where no claim was tested). `strategies` None: there was no backtest.
    """

    n_liquidations: int
    reconciled: bool
    n_cascades: int
    preset: CascadePreset
    ic: pl.DataFrame
    ic_comparison: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    strategies: Mapping[str, StrategyResult] | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured: in words, as a number with its 95 % interval, and whether the criterion is met.

    `met` None: not testable, for the `reason`. `note` is what to mind.
    """

    words: str
    met: bool | None
    value: float | None = None
    interval: tuple[float, float] | None = None
    p_adjusted: float | None = None
    reason: str = ""
    note: str = ""


def measure_parsing(evidence: ScorecardEvidence) -> Measured:
    """C1: nothing lost, something there."""
    kept = f"{evidence.n_liquidations:,} liquidations"
    words = f"{kept}; every record accounted for" if evidence.reconciled else f"{kept}; records do not add up"
    return Measured(words, evidence.reconciled and evidence.n_liquidations > 0, float(evidence.n_liquidations))


def measure_cascades(evidence: ScorecardEvidence) -> Measured:
    """C2: cascades of the run's preset."""
    n = evidence.n_cascades
    return Measured(f"{n:,} cascades, preset `{evidence.preset.name}`", n >= LEAST_CASCADES, float(n))


def measure_imbalance(evidence: ScorecardEvidence) -> Measured:
    """C3: the imbalance's coefficients with a p, and the one with the smallest."""
    rows = _returns(evidence.ic).filter(pl.col("feature").str.starts_with("liq_imbalance") & pl.col("p").is_not_null())
    if rows.is_empty():
        return _untestable("no coefficient of an imbalance could be tested")
    best = rows.sort("p", "feature", "horizon_s").row(0, named=True)
    words = f"{rows.height} coefficients tested; smallest p: {_describe_ic(best)}"
    return Measured(words, True, best["ic"], (best["ci_low"], best["ci_high"]), best["p_adjusted"])


def measure_backtests(evidence: ScorecardEvidence) -> Measured:
    """C4: strategies with enough trades."""
    if evidence.strategies is None:
        return _untestable(_NO_BACKTEST)
    names = [name for name, result in evidence.strategies.items() if result.is_testable]
    words = f"{len(names)} of {len(evidence.strategies)} strategies with at least {LEAST_TRADES} trades"
    return Measured(words, len(names) >= LEAST_STRATEGIES, float(len(names)))


def measure_ic(evidence: ScorecardEvidence) -> Measured:
    """C5: the largest coefficient without its sign, and how many are beyond the threshold and survive."""
    own = [feature.name for feature in FEATURES if feature.family in LIQUIDATION_FAMILIES]
    rows = _returns(evidence.ic).filter(pl.col("feature").is_in(own) & pl.col("p").is_not_null())
    if rows.is_empty():
        return _untestable("no coefficient of a liquidation feature could be tested")
    best = rows.sort(pl.col("ic").abs(), "feature", "horizon_s", descending=[True, False, False]).row(0, named=True)
    beyond = rows.filter(pl.col("ic").abs() > LEAST_IC)
    surviving = int((beyond["p_adjusted"] < ALPHA).sum())
    words = (
        f"largest {_describe_ic(best)}; {beyond.height} of {rows.height} coefficients are beyond {LEAST_IC:g}, "
        f"{surviving} of them survive the correction"
    )
    ends = (best["ci_low"], best["ci_high"]) if best["ic"] >= 0.0 else (-best["ci_high"], -best["ci_low"])
    return Measured(words, beyond.height > 0, abs(best["ic"]), ends, best["p_adjusted"])


def measure_sharpe(evidence: ScorecardEvidence) -> Measured:
    """C6: the best in-sample Sharpe ratio."""
    found = {name: one.sharpe_in_sample for name, one in _testable(evidence) if one.sharpe_in_sample is not None}
    if not found:
        return _untestable(_say_no_strategy(evidence))
    best = max(found, key=lambda name: found[name])
    return Measured(f"best: {found[best]:.2f}, `{best}`, of {len(found)}", found[best] > LEAST_SHARPE, found[best])


def measure_detector(evidence: ScorecardEvidence) -> Measured:
    """C7: what was measured in the plan world for this preset; a recording holds no truth."""
    preset, name = evidence.preset, evidence.preset.name
    if name not in DETECTOR_F1 or get_preset(name) != preset:
        return _untestable(f"preset `{name}` was never scored: `liqlab score` does, on a simulated market")
    f1, low, high = DETECTOR_F1[name]
    others = ", ".join(f"{values[0]:.2f} with `{other}`" for other, values in DETECTOR_F1.items() if other != name)
    return Measured(
        f"F1 {f1:.2f} with preset `{name}` in the simulated plan world ({others})",
        f1 > LEAST_ACCURACY,
        f1,
        (low, high),
        note=(
            "Not a number of this data: a recording does not hold which liquidation caused which. What F1 to expect by "
            "branching ratio is in docs/worlds.md."
        ),
    )


def measure_explained(evidence: ScorecardEvidence) -> Measured:
    """C8: R2 over all symbols and regimes."""
    table = evidence.tables.get("oi_explained")
    if table is None:
        return _untestable(_NO_ANSWERS.format(question="question 3"))
    main = (pl.col("symbol") == _ALL) & (pl.col("bar_min") == _MAIN_BAR_MIN) & (pl.col("lag_s") == 0)
    rows = {row["regime"]: row for row in table.filter(main & pl.col("r2").is_not_null()).iter_rows(named=True)}
    if "all" not in rows:
        return _untestable("no symbol with open interest and prices often enough")
    row = rows["all"]
    by_regime = ", ".join(f"{name} {100 * rows[name]['r2']:.1f} %" for name in ("quiet", "volatile") if name in rows)
    words = f"{100 * row['r2']:.1f} % of the variance, bars of {_MAIN_BAR_MIN} min" + (
        f" ({by_regime})" if by_regime else ""
    )
    return Measured(words, row["r2"] > LEAST_EXPLAINED_FRAC, row["r2"], _ends(row["r2_low"], row["r2_high"]))


def measure_families(evidence: ScorecardEvidence) -> Measured:
    """C9: liquidation features less those of OI and funding, all return horizons together."""
    table = evidence.ic_comparison
    rows = table.filter((pl.col("target") == "return") & pl.col("horizon_s").is_null() & pl.col("p").is_not_null())
    if rows.is_empty():
        noted = table.filter(pl.col("target") == "return")["note"].drop_nulls().to_list()
        return _untestable(next(filter(None, noted), "the two groups could not be compared"))
    row = rows.row(0, named=True)
    words = f"{row['liquidation_ic']:+.4f} against {row['other_ic']:+.4f}, {row['days']} days"
    ends = _ends(row["ci_low"], row["ci_high"])
    beats = ends is not None and ends[0] > 0.0
    return Measured(words, beats, row["difference"], ends, row["p_adjusted"])


def measure_sharpe_out_of_sample(evidence: ScorecardEvidence) -> Measured:
    """C10: strategies above both thresholds."""
    found = dict(_testable(evidence))
    if not found:
        return _untestable(_say_no_strategy(evidence))
    first, second = LEAST_EXCELLENT_SHARPE
    good = [
        name
        for name, one in found.items()
        if (one.sharpe_in_sample or 0.0) > first and (one.sharpe_out_of_sample or 0.0) > second
    ]
    named = f": {', '.join(f'`{name}`' for name in good)}" if good else ""
    words = f"{len(good)} of {len(found)} strategies above both{named}"
    return Measured(words, len(good) >= LEAST_STRATEGIES, float(len(good)))


def measure_contagion(evidence: ScorecardEvidence) -> Measured:
    """C11: conditional responses between BTC and the others, corrected over their table."""
    table = evidence.tables.get("contagion_responses")
    if table is None:
        return _untestable(_NO_ANSWERS.format(question="question 7"))
    rows = table.filter(pl.col("p_adjusted").is_not_null() & pl.col("p_adjusted").is_not_nan())
    if rows.is_empty():
        return _untestable("no pair of symbols with enough liquidations and quick prices")
    found = rows.filter((pl.col("p_adjusted") < ALPHA) & (pl.col("increase") > 0.0))
    best = (rows if found.is_empty() else found).sort("p", "cause", "effect").row(0, named=True)
    words = (
        f"{found.height} of {rows.height} ordered pairs respond; strongest sign: {best['cause']} to {best['effect']} "
        f"{100 * best['increase']:+.2f} percentage points of probability"
    )
    ends = _ends(best["ci_low"], best["ci_high"])
    return Measured(words, found.height > 0, best["increase"], ends, best["p_adjusted"])


def measure_zones(evidence: ScorecardEvidence) -> Measured:
    """C12: reversals at zones beside matched levels."""
    table = evidence.tables.get("zone_scores")
    if table is None:
        return _untestable(_NO_ANSWERS.format(question="question 4"))
    rows = {row["measure"]: row for row in table.filter(pl.col("group") == "all").iter_rows(named=True)}
    row = rows.get(_DECIDED_REVERSALS)
    if row is None or row["zones"] is None:
        return _untestable("no zone was touched")
    rate, n = row["zones"], row["n_zones"]
    _, low, high = compute_wilson(round(rate * n), n)
    words = f"{100 * rate:.1f} % of {n:,} touches; at matched levels {_percent(row['other_levels'])}"
    whole = rows.get(_ALL_REVERSALS)
    if whole is not None and whole["zones"] is not None:
        words += f" (of all touches, decided or not: {_percent(whole['zones'])} and {_percent(whole['other_levels'])})"
    return Measured(
        words,
        rate > LEAST_HIT_RATE,
        rate,
        _ends(low, high),
        note="Interval (Wilson) as if touches were independent; that of the difference is in question 4.",
    )


def _returns(ic: pl.DataFrame) -> pl.DataFrame:
    """Coefficients with forward returns at all times: of all symbols together, or of the only symbol there is."""
    rows = ic.filter((pl.col("target") == "return") & (pl.col("regime") == "all") & pl.col("ic").is_not_null())
    names = rows["symbol"].unique().sort().to_list()
    return rows.filter(pl.col("symbol") == (_ALL if _ALL in names or not names else names[0]))


def _describe_ic(row: Mapping[str, object]) -> str:
    horizon = row["horizon_s"]
    assert isinstance(horizon, int)
    length = f"{horizon} s" if horizon < 60 else f"{horizon // 60} min" if horizon < 3_600 else f"{horizon // 3_600} h"
    return f"IC {row['ic']:+.3f}, `{row['feature']}` over {length}"


def _testable(evidence: ScorecardEvidence) -> Iterator[tuple[str, StrategyResult]]:
    return ((name, one) for name, one in (evidence.strategies or {}).items() if one.is_testable)


def _say_no_strategy(evidence: ScorecardEvidence) -> str:
    return _NO_BACKTEST if evidence.strategies is None else f"no strategy has {LEAST_TRADES} trades"


def _untestable(reason: str) -> Measured:
    return Measured("", None, reason=reason)


def _ends(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (low, high)


def _percent(frac: float | None) -> str:
    return "unknown" if frac is None else f"{100 * frac:.1f} %"
