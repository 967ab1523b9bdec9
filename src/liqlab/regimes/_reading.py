"""Reading a table of regimes: the regime at a moment, when it changed, and how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.time import MS_PER_S
from liqlab.regimes._compute import VOLATILE, RegimeResult
from liqlab.regimes._walk import RegimeFit

_METHODS = {"regime": "trailing quantile", "regime_hmm": "hidden Markov model"}
_LEAST_SEPARATION = 1.0
_LEAST_AGREEMENT = 0.9
#: Two states that are drawn afresh at each stretch, equally likely, are left after two.
_LEAST_STAY = 2.5


@dataclass(frozen=True)
class RegimeSummary:
    """How often each regime held and how stable it is; None where nothing was known.

    `volatile_frac` and `volatile_hmm_frac` are shares of the minutes whose regime is known by that method;
    `median_stay_s` is the median time between two transitions, so the first and the last stay, whose length is not
    known, do not count. `agreement_frac` is the share of minutes, among those known to both methods, to which both give
    the same regime; `worst_refit_agreement_frac` the lowest `agreement_with_previous` of all refits in use.
    """

    symbol: str | None
    minutes: int
    known_frac: float | None
    known_hmm_frac: float | None
    volatile_frac: float | None
    volatile_hmm_frac: float | None
    n_transitions: int
    n_transitions_hmm: int
    median_stay_s: float | None
    median_stay_hmm_s: float | None
    agreement_frac: float | None
    n_fits: int
    n_fits_used: int
    worst_refit_agreement_frac: float | None
    notes: tuple[str, ...]


def list_transitions(table: pl.DataFrame, column: str = "regime") -> pl.DataFrame:
    """When the regime changed: symbol, time (the first minute at which the new one is known), from, to.

    `column` is `regime` or `regime_hmm` of a table of regimes, of one or more symbols. Minutes without a regime are
    skipped: a change across them counts at the first minute after. A symbol's first regime is no transition. Sorted by
    symbol, then time.
    """
    known = table.select("symbol", "time", to=column).drop_nulls("to").sort("symbol", "time", maintain_order=True)
    before = pl.col("to").shift(1).over("symbol").alias("from")
    return known.with_columns(before).filter(pl.col("from") != pl.col("to")).select("symbol", "time", "from", "to")


def regime_at(
    table: pl.DataFrame, times_ms: npt.ArrayLike, column: str = "regime", max_age_s: float = 120.0
) -> pl.Series:
    """The regime known at each time: that of the last minute at or before it; null when none or older than `max_age_s`.

    `table` holds the regimes of one symbol (several are a ValueError), `times_ms` of shape (n,) milliseconds UTC in any
    order. The series of n has the name and type of `column`, which may be any column of the table. A minute whose own
    regime is not known gives null; an older one does not stand in for it.
    """
    if table["symbol"].n_unique() > 1:
        raise ValueError(f"one symbol at a time, got {', '.join(table['symbol'].unique().sort())}")
    ordered = table.sort("time", maintain_order=True)
    minutes = ordered["time"].to_physical().to_numpy()
    times = np.asarray(times_ms, dtype=np.int64)
    rows = np.searchsorted(minutes, times, side="right") - 1
    usable = rows >= 0
    usable[usable] = times[usable] - minutes[rows[usable]] <= max_age_s * MS_PER_S
    return ordered[column].gather(pl.Series(np.where(usable, rows, -1)).replace(-1, None))


def summarise_regimes(result: RegimeResult) -> RegimeSummary:
    """Shares, transitions, stays and agreement of the regimes of one symbol, with notes on what to mind."""
    table, fits = result.table, result.fits
    both = table.drop_nulls(["regime", "regime_hmm"])
    agreements = [fit.agreement_with_previous for fit in fits if fit.agreement_with_previous is not None]
    changes = {column: list_transitions(table, column) for column in _METHODS}
    return RegimeSummary(
        symbol=str(table["symbol"][0]) if table.height else None,
        minutes=table.height,
        known_frac=_mean(table["regime"].is_not_null()),
        known_hmm_frac=_mean(table["regime_hmm"].is_not_null()),
        volatile_frac=_mean(table["regime"].drop_nulls() == VOLATILE),
        volatile_hmm_frac=_mean(table["regime_hmm"].drop_nulls() == VOLATILE),
        n_transitions=changes["regime"].height,
        n_transitions_hmm=changes["regime_hmm"].height,
        median_stay_s=_median_stay_s(changes["regime"]),
        median_stay_hmm_s=_median_stay_s(changes["regime_hmm"]),
        agreement_frac=_mean(both["regime"] == both["regime_hmm"]),
        n_fits=len(fits),
        n_fits_used=sum(fit.used for fit in fits),
        worst_refit_agreement_frac=min(agreements, default=None),
        notes=tuple(_notes(result)),
    )


def _mean(truths: pl.Series) -> float | None:
    return None if truths.is_empty() else truths.cast(pl.Float64).mean()  # type: ignore[return-value]


def _median_stay_s(changes: pl.DataFrame) -> float | None:
    stays = np.diff(changes["time"].to_physical().to_numpy())
    return float(np.median(stays)) / MS_PER_S if stays.size else None


def _notes(result: RegimeResult) -> list[str]:
    table = result.table
    notes = [result.reason] if result.reason else []
    volatility = table["volatility_bps"].drop_nulls()
    if volatility.is_empty():
        return [*notes, "no volatility is known: too few prices, or none"]
    if volatility.max() == 0.0:
        notes.append("the price never moves")
    if table["threshold_bps"].is_null().all():
        notes.append("too short for a trailing quantile")
    elif table["regime"].null_count() == table.height:
        notes.append("the trailing quantile and a volatility are never known at the same minute")
    return notes + _absences(table) + _notes_on_fits(result.fits)


def _absences(table: pl.DataFrame) -> list[str]:
    return [
        f"the {missing} regime never occurs ({method})"
        for column, method in _METHODS.items()
        for missing in ("quiet", "volatile")
        if (known := table[column].drop_nulls()).len() and missing not in known
    ]


def _notes_on_fits(fits: tuple[RegimeFit, ...]) -> list[str]:
    used = [fit for fit in fits if fit.used]
    if not used:
        return [f"no hidden Markov model: {fits[-1].note if fits else 'the data end before the first refit'}"]
    notes = []
    refused = [fit for fit in fits[fits.index(used[0]) :] if not fit.used]
    if refused:
        reasons = ", ".join(dict.fromkeys(fit.note for fit in refused))
        notes.append(f"{len(refused)} of {len(fits)} refits refused, the fit before stayed in use: {reasons}")
    separation = float(np.median([fit.separation for fit in used if fit.separation is not None]))
    if separation < _LEAST_SEPARATION:
        notes.append(f"the two states hardly differ: their means lie {separation:.2g} spreads apart")
    stay = float(np.median([fit.shortest_stay for fit in used if fit.shortest_stay is not None]))
    if stay < _LEAST_STAY:
        notes.append(f"the states do not last: one is left after {stay:.2g} stretches, so they are noise, not regimes")
    agreements = [fit.agreement_with_previous for fit in used if fit.agreement_with_previous is not None]
    if agreements and min(agreements) < _LEAST_AGREEMENT:
        notes.append(f"unstable: consecutive fits agree on as little as {min(agreements):.0%} of their stretches")
    return notes
