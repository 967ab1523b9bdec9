"""Question 3: shares explained, spikes before cascades, who comes first; and what bad input leaves of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evidence_of import evidence_of

from liqlab.core.schema import TIME, check_frame
from liqlab.core.time import MS_PER_HOUR
from liqlab.study._evidence import Evidence, SymbolEvidence
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._protocol import Finding, decide
from liqlab.study._q3_open_interest import answer_q3
from liqlab.study._q3_open_interest_bars import QUIET, VOLATILE, Bars, fit_shared_variance, make_bars, to_share
from liqlab.study._q3_open_interest_lag import measure_lag
from liqlab.study._q3_open_interest_spikes import OI_EVENT_STUDY, spike_series
from liqlab.study._q3_open_interest_tables import (
    LEAD_LAG,
    LEAD_LAG_PEAKS,
    OI_DECOMPOSITION,
    OI_EXPLAINED,
    OI_IC,
)
from liqlab.worlds import DEFAULT_START_MS

SYMBOLS = ("BTCUSDT", "SOLUSDT")
CONFIG = QuestionConfig(n_resamples=999)
TABLES = {
    "oi_explained": OI_EXPLAINED,
    "oi_decomposition": OI_DECOMPOSITION,
    "oi_lead_lag": LEAD_LAG,
    "oi_lead_lag_peaks": LEAD_LAG_PEAKS,
    "oi_event_study": OI_EVENT_STUDY,
    "oi_ic": OI_IC,
}
Frames = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of("planted-strong", 2, days=3.0, symbols=SYMBOLS)


@pytest.fixture(scope="module")
def answer(evidence: Evidence) -> Answer:
    return answer_q3(evidence, CONFIG)


def _findings(answer: Answer) -> dict[str, Finding]:
    return {finding.id: finding for finding in answer.findings}


def test_every_hypothesis_has_a_finding_with_numbers(answer: Answer) -> None:
    assert list(_findings(answer)) == ["Q3.1", "Q3.2", "Q3.3", "Q3.4"]
    for finding in answer.findings:
        assert not finding.shortfall
        assert finding.effect is not None
        assert finding.ci_low is not None
        assert finding.ci_high is not None
        assert finding.ci_low <= finding.effect <= finding.ci_high


def test_tables_are_as_declared(answer: Answer) -> None:
    assert set(answer.tables) == set(TABLES)
    for name, table in TABLES.items():
        assert check_frame(answer.tables[name], table).columns == table.names
        assert answer.tables[name].height


def test_the_same_evidence_gives_the_same_answer(evidence: Evidence, answer: Answer) -> None:
    again = answer_q3(evidence, CONFIG)
    assert again.findings == answer.findings
    for name, table in answer.tables.items():
        assert again.tables[name].equals(table)


def test_the_share_explained_is_the_squared_correlation_within_symbols(evidence: Evidence) -> None:
    bars = make_bars(evidence, ["SOLUSDT"], 5)
    fit = fit_shared_variance(bars, np.ones(len(bars.code), dtype=bool), kept_frac=1.0)
    known = bars.is_known
    x, y = bars.liquidated[known], bars.change[known]
    assert fit.r2 == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)
    assert fit.slope == pytest.approx(np.polyfit(x, y, 1)[0])
    assert abs(fit.of_correlation.mean()) < 1e-12


def test_what_is_above_its_symbols_quantile_counts_as_that_quantile(evidence: Evidence) -> None:
    bars = make_bars(evidence, list(SYMBOLS), 5)
    everywhere = np.ones(len(bars.code), dtype=bool)
    cut = {name: values.copy() for name, values in (("change", bars.change), ("liquidated", bars.liquidated))}
    for code in range(len(SYMBOLS)):
        own = (bars.code == code) & bars.is_known
        for values in cut.values():
            limit = np.quantile(np.abs(values[own]), 0.99)
            values[own] = np.clip(values[own], -limit, limit)
    by_hand = fit_shared_variance(replace(bars, **cut), everywhere, kept_frac=1.0)
    found = fit_shared_variance(bars, everywhere)
    assert found.r2 == pytest.approx(by_hand.r2)
    assert found.r2 != pytest.approx(fit_shared_variance(bars, everywhere, kept_frac=1.0).r2, rel=0.01)


def test_influence_is_what_leaving_a_bar_out_changes(evidence: Evidence) -> None:
    bars = make_bars(evidence, ["SOLUSDT"], 60)
    known = bars.is_known
    whole = fit_shared_variance(bars, known, kept_frac=1.0)
    for place in range(0, int(known.sum()), 7):
        without = known.copy()
        without[np.flatnonzero(known)[place]] = False
        change = whole.correlation - fit_shared_variance(bars, without, kept_frac=1.0).correlation
        assert change == pytest.approx(whole.of_correlation[place] / whole.n, rel=0.25, abs=2e-4)


def test_bars_are_what_a_slow_sum_gives(evidence: Evidence) -> None:
    symbol = evidence.symbols["SOLUSDT"]
    bars = make_bars(evidence, ["SOLUSDT"], 15)
    known = symbol.liquidations["known_time"].to_physical().to_numpy()
    quantity = symbol.liquidations["quantity"].to_numpy()
    for place in range(1, len(bars.code), 17):
        end = bars.time_ms[place]
        inside = (known >= end - 15 * 60_000) & (known < end)
        before, after = (symbol.grid["open_interest"][symbol.rows_at([at])[0]] for at in (end - 15 * 60_000, end))
        assert bars.open_interest[place] == before
        assert bars.change[place] == pytest.approx(after / before - 1.0, nan_ok=True)
        assert bars.liquidated[place] == pytest.approx(quantity[inside].sum() / before, nan_ok=True)


def _made_up_bars(random: np.random.Generator, closing: float, noise: float) -> Bars:
    n = 3_000
    liquidated = np.exp(random.normal(0.0, 1.0, n)) * (random.random(n) < 0.3)
    change = -closing * liquidated + random.normal(0.0, noise, n)
    times = DEFAULT_START_MS + 300_000 * np.arange(1, n + 1)
    regime = np.full(n, VOLATILE, np.int8)
    return Bars(np.zeros(n, np.int64), times, np.ones(n), change, liquidated, regime, 300_000)


def test_where_every_counterparty_closes_the_slope_is_minus_one() -> None:
    bars = _made_up_bars(np.random.default_rng(0), 1.0, 0.3)
    fit = fit_shared_variance(bars, np.ones(3_000, dtype=bool))
    assert fit.describe_slope(-1.0).p > 0.01
    assert fit.describe_slope(0.0).p < 1e-6
    assert fit.describe_slope(-1.0).ci_low < -1.0 < fit.describe_slope(-1.0).ci_high


def test_the_interval_of_a_share_holds_it_in_most_samples() -> None:
    truth = np.mean([_share(_made_up_bars(np.random.default_rng(1_000 + seed), 0.9, 1.0)) for seed in range(200)])
    inside = 0
    for seed in range(60):
        bars = _made_up_bars(np.random.default_rng(seed), 0.9, 1.0)
        found = fit_shared_variance(bars, np.ones(3_000, dtype=bool)).infer(CONFIG, 0.5)
        low, high = to_share(found.ci_low, found.ci_high)
        inside += low <= truth <= high
    assert inside >= 50


def _share(bars: Bars) -> float:
    return fit_shared_variance(bars, np.ones(len(bars.code), dtype=bool)).r2


def _shift_liquidations(evidence: Evidence, shift_ms: int) -> Evidence:
    """Liquidations of which each happened `shift_ms` after the largest moves of the price, on their side."""
    found = {}
    for name, symbol in evidence.symbols.items():
        moves = np.diff(np.log(symbol.prices.price), prepend=np.log(symbol.prices.price[0]))
        large = np.sort(np.argsort(-np.abs(moves), kind="stable")[:400])
        rows = symbol.liquidations.head(400).with_columns(
            event_time=pl.Series(symbol.prices.known_ms[large] - 2_500 + shift_ms).cast(TIME),
            liquidated_side=pl.Series(np.where(moves[large] > 0.0, "short", "long")),
            notional_usd=pl.lit(1e5),
        )
        found[name] = replace(symbol, liquidations=rows)
    return replace(evidence, symbols=found)


@pytest.mark.parametrize("shift_s", [-20, -10, 0, 10, 20])
def test_the_lag_that_was_made_is_found(evidence: Evidence, shift_s: int) -> None:
    lag = measure_lag(_shift_liquidations(evidence, 1_000 * shift_s), SYMBOLS)
    assert lag.vertex_s == pytest.approx(shift_s, abs=1.5)
    assert lag.has_peak(CONFIG)


def test_liquidations_follow_the_price_where_past_prices_cause_them() -> None:
    found = _findings(answer_q3(evidence_of("null", 2, days=3.0, symbols=SYMBOLS), CONFIG))
    assert decide(find_hypothesis("Q3.4"), found["Q3.4"], found["Q3.4"].p or 0.0) == "supported"
    assert decide(find_hypothesis("Q3.2"), found["Q3.2"], found["Q3.2"].p or 0.0) == "supported"
    assert decide(find_hypothesis("Q3.1"), found["Q3.1"], 1.0) == "rejected"


def test_a_spike_is_what_a_slow_quantile_says(evidence: Evidence) -> None:
    symbol = evidence.symbols["BTCUSDT"]
    spikes, level = spike_series(symbol), symbol.grid["open_interest"]
    change = np.full(len(level), np.nan)
    change[180:] = level[180:] / level[:-180] - 1.0
    checked = 0
    for row in range(18_000, len(level), 1_501):
        minutes = change[11 : row // 12 * 12 : 12][-4_320:]
        minutes = minutes[np.isfinite(minutes)]
        if len(minutes) >= 1_440 and np.isfinite(change[row]):
            assert spikes[row] == (change[row] > np.quantile(minutes, 0.95))
            checked += 1
    assert checked > 10
    assert 0.01 < np.nanmean(spikes) < 0.15


def test_a_spike_does_not_change_when_the_future_arrives(evidence: Evidence) -> None:
    symbol = evidence.symbols["BTCUSDT"]
    whole = spike_series(symbol)
    for row in (20_000, 31_111, 40_007):
        past = replace(symbol, grid={"open_interest": symbol.grid["open_interest"][: row + 1]})
        np.testing.assert_array_equal(spike_series(past), whole[: row + 1])


def _without_open_interest(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.with_columns(open_interest=pl.lit(None, pl.Float64)), ratio


def _without_ticker(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.clear(), ratio


def _without_ratio(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker, ratio.clear()


def _few_events(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations.head(12), ticker, ratio


def _longs_only(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations.with_columns(liquidated_side=pl.lit("long")), ticker, ratio


def _gap(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    first, last = (DEFAULT_START_MS + hours * MS_PER_HOUR for hours in (20, 27))
    outside = ~pl.col("known_time").to_physical().is_between(first, last)
    return liquidations.filter(outside), ticker.filter(outside), ratio


def _constant_open_interest(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.with_columns(open_interest=pl.lit(1e6)), ratio


def _answer(change: Callable[..., Frames], symbols: tuple[str, ...] = SYMBOLS) -> dict[str, Finding]:
    answer = answer_q3(evidence_of("planted-strong", 2, days=2.0, symbols=symbols, change=change), CONFIG)
    for name, table in TABLES.items():
        check_frame(answer.tables[name], table)
    return _findings(answer)


def test_without_open_interest_the_lag_is_still_answered() -> None:
    found = _answer(_without_open_interest)
    assert all("needs open interest" in found[name].shortfall for name in ("Q3.1", "Q3.2", "Q3.3"))
    assert not found["Q3.4"].shortfall
    assert found["Q3.4"].effect is not None


def test_without_a_ticker_nothing_can_be_tested() -> None:
    assert all("no ticker" in finding.shortfall for finding in _answer(_without_ticker).values())


def test_twelve_liquidations_are_too_few() -> None:
    found = _answer(_few_events)
    assert "liquidations, found" in found["Q3.4"].shortfall
    assert "cascades, found" in found["Q3.3"].shortfall


@pytest.mark.parametrize("change", [_without_ratio, _longs_only, _gap, _constant_open_interest])
def test_spoilt_input_leaves_the_rest_answered(change: Callable[..., Frames]) -> None:
    found = _answer(change)
    assert found["Q3.4"].effect is not None
    assert not found["Q3.4"].shortfall


def test_constant_open_interest_decides_nothing() -> None:
    found = _answer(_constant_open_interest)["Q3.2"]
    assert found.effect is None
    assert decide(find_hypothesis("Q3.2"), found, 1.0) in ("inconclusive", "not testable")


def test_one_symbol_alone_is_enough() -> None:
    found = _answer(lambda *frames: frames, ("SOLUSDT",))
    assert not found["Q3.1"].shortfall
    assert not found["Q3.4"].shortfall


def test_one_regime_only_leaves_the_other_untested(evidence: Evidence) -> None:
    def calm(symbol: SymbolEvidence) -> SymbolEvidence:
        return replace(symbol, regime=np.full(len(symbol.regime), QUIET, np.int8))

    symbols = {name: calm(symbol) for name, symbol in evidence.symbols.items()}
    found = _findings(answer_q3(replace(evidence, symbols=symbols), CONFIG))
    assert "in the volatile regime, found 0" in found["Q3.1"].shortfall
    assert not found["Q3.2"].shortfall
