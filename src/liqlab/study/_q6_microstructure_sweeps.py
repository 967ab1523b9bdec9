"""Question 6: sweeps, liquidations of one side at ever further prices within moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from liqlab.core.schema import LONG, SHORT, TIME
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S
from liqlab.study._evidence import Booleans, Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._placebo import MatchedMoments, Moments, Outcomes, Periods, cascade_periods
from liqlab.study._q6_microstructure_tables import SWEEPS

LEAST_LEVELS = 4
_WINDOW_MS = 2 * MS_PER_S
#: A sweep counts as an event if its symbol had none for so long, like the moments it is compared with.
SILENCE_MS = 10 * MS_PER_MINUTE
_BPS = 1e4


@dataclass(frozen=True)
class Sweeps:
    """Sweeps of one symbol, in order of time, arrays of shape (n,).

    `known_ms` is when the fourth price was known, `is_event` whether none was known in the 10 min before. `first` and
    `last` are the rows of the run of liquidations that it is part of (known only later: for description).
    """

    known_ms: Integers
    pressure: Floats
    is_event: Booleans
    first: Integers
    last: Integers


def find_sweeps(symbol: SymbolEvidence) -> Sweeps:
    """Sweeps in the liquidations of a symbol, in the order in which they became known.

    A run holds consecutive liquidations of one side whose prices never go back against the pressure (longs: never
    higher than the one before), none more than 2 s of event time after the one before. In it a sweep is known at the
    first liquidation that is at the fourth distinct price within 2 s. A run is one sweep.

    Only the first sweep in 10 min is an event: where prices go on, more sweeps follow, so that to count them all would
    weigh moves that go on by how long they did, and a mean over them is off in any one sample.
    """
    rows = symbol.liquidations
    known, event = (rows[name].to_physical().to_numpy() for name in ("known_time", "event_time"))
    price, is_long = rows["price"].to_numpy(), (rows["liquidated_side"] == LONG).to_numpy()
    if not len(known):
        none = np.empty(0, dtype=np.int64)
        return Sweeps(none, np.empty(0), none > 0, none, none)
    pressure = np.where(is_long, -1.0, 1.0)
    onward = pressure[1:] * np.diff(price)
    joins = (is_long[1:] == is_long[:-1]) & (onward >= 0.0) & (np.abs(np.diff(event)) <= _WINDOW_MS)
    run = np.concatenate([[0], np.cumsum(~joins)])
    # Levels count up inside a run, and by one more from run to run, so that equal counts mean equal run and price.
    level = np.concatenate([[0], np.cumsum(~joins | (onward > 0.0))])
    swept = np.flatnonzero(_count_recent(run, level, event) >= LEAST_LEVELS)
    firsts = swept[np.concatenate([[True], np.diff(run[swept]) > 0])] if swept.size else swept
    return Sweeps(
        known[firsts],
        pressure[firsts],
        np.diff(known[firsts], prepend=np.int64(known[0] - 2 * SILENCE_MS)) > SILENCE_MS,
        np.searchsorted(run, run[firsts], side="left"),
        np.searchsorted(run, run[firsts], side="right") - 1,
    )


def list_sweeps(evidence: Evidence) -> tuple[Moments, dict[str, Sweeps]]:
    """Those sweeps that are events, when they were known, and all of them by symbol."""
    found = {name: find_sweeps(symbol) for name, symbol in evidence.symbols.items()}
    events = {name: (one.known_ms[one.is_event], one.pressure[one.is_event]) for name, one in found.items()}
    return Moments.gather(events), found


def sweep_periods(evidence: Evidence, sweeps: dict[str, Sweeps]) -> Periods:
    """When a sweep or a cascade was known to be under way."""
    return {
        name: tuple(np.concatenate([times, sweeps[name].known_ms]) for times in pair)  # type: ignore[misc]
        for name, pair in cascade_periods(evidence).items()
    }


def describe_sweeps(
    evidence: Evidence, sweeps: dict[str, Sweeps], matched: MatchedMoments, outcomes: Outcomes
) -> pl.DataFrame:
    """Table `q6_sweeps`, in order of symbol and time; `outcomes` are those over 60 s."""
    frames = [SWEEPS.empty()]
    for code, (name, own) in enumerate(sweeps.items()):
        mine = matched.moments.codes == code
        returns, excess = np.full(len(own.known_ms), np.nan), np.full(len(own.known_ms), np.nan)
        returns[own.is_event], excess[own.is_event] = outcomes.own[mine], outcomes.excess[mine]
        frames.append(_describe_symbol(evidence.symbols[name], own, returns, excess))
    return pl.concat(frames)


def _describe_symbol(symbol: SymbolEvidence, sweeps: Sweeps, returns: Floats, excess: Floats) -> pl.DataFrame:
    rows, first, last = symbol.liquidations, sweeps.first, sweeps.last
    notional = np.concatenate([[0.0], np.cumsum(rows["notional_usd"].to_numpy())])
    price, event = rows["price"].to_numpy(), rows["event_time"].to_physical().to_numpy()
    changes = np.concatenate([[0], np.cumsum(np.diff(price) != 0.0)]) if len(price) else np.zeros(1, np.int64)
    return pl.DataFrame(
        {
            "symbol": [symbol.symbol] * len(first),
            "known_time": pl.Series(sweeps.known_ms, dtype=pl.Int64).cast(TIME),
            "liquidated_side": [LONG if one < 0.0 else SHORT for one in sweeps.pressure],
            "n_liquidations": (last - first + 1).astype(np.int64),
            "n_price_levels": (changes[last] - changes[first] + 1).astype(np.int64),
            "notional_usd": notional[last + 1] - notional[first],
            "range_bps": _BPS * np.abs(price[last] / price[first] - 1.0),
            "duration_s": (event[last] - event[first]) / MS_PER_S,
            "return_60s_bps": returns,
            "excess_60s_bps": excess,
        },
        schema=SWEEPS.dtypes,
    ).fill_nan(None)


def _count_recent(run: Integers, level: Integers, event_ms: Integers) -> Integers:
    """Distinct prices of the own run within 2 s up to each row, in the order given."""
    start_of_run = np.searchsorted(run, run, side="left")
    # Event times may step back by a little inside a run; a row is recent if any before it in the run still is.
    shift = run * (np.int64(event_ms.max() - event_ms.min()) + 2 * _WINDOW_MS)
    clock = np.maximum.accumulate(event_ms - event_ms.min() + shift)
    first = np.maximum(np.searchsorted(clock, clock - _WINDOW_MS, side="left"), start_of_run)
    return level - level[first] + 1
