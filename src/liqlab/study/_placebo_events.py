"""Moments at which something became known of cascades, and what was known of them then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import LONG
from liqlab.study._evidence import Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._placebo import Moments

#: What a forced sale, of a liquidated long, does to the price.
_DOWN, _UP = -1.0, 1.0


@dataclass(frozen=True)
class CascadeMoments:
    """Events with, for each, what was known by then: notional so far, and the row of its cascade in the symbol's table.

    Of the cascade's symbol all liquidations known from its first one to the moment count. Pressure is that of the side
    with the larger notional so far, the long side on a tie: never that of the whole cascade, known only at its end.
    """

    moments: Moments
    notional_usd: Floats
    rows: Integers

    def column(self, evidence: Evidence, name: str) -> npt.NDArray[Any]:
        """A column of the table of cascades, (n,)."""
        values = [evidence.symbols[symbol].cascades[name] for symbol in self.moments.symbols]
        parts = [own.gather(self.rows[self.moments.codes == code].astype(np.uint32)) for code, own in enumerate(values)]
        return pl.concat(parts).to_numpy() if parts else np.empty(0)


def list_confirmations(evidence: Evidence, symbols: Sequence[str] | None = None) -> CascadeMoments:
    """Every cascade when it was confirmed."""
    return _gather(evidence, symbols, "confirmed")


def list_ends(evidence: Evidence, symbols: Sequence[str] | None = None) -> CascadeMoments:
    """Every cascade when its end was known."""
    return _gather(evidence, symbols, "ended")


def list_crossings(evidence: Evidence, least_usd: float, symbols: Sequence[str] | None = None) -> CascadeMoments:
    """Every cascade that reached `least_usd`, when it was confirmed and known to have done so."""
    names = list(evidence.symbols) if symbols is None else list(symbols)
    times, notional, rows = {}, [], []
    for name in names:
        symbol = evidence.symbols[name]
        flow = _Flow.of(symbol)
        reached = flow.reaches(least_usd, _milliseconds(symbol, "ended"))
        own = np.flatnonzero(reached >= 0)
        at = np.maximum(reached[own], _milliseconds(symbol, "confirmed")[own])
        long_usd, short_usd = flow.known_at(own, at)
        side = np.where(long_usd >= short_usd, _DOWN, _UP)
        times[name] = (at, side)
        notional.append(long_usd + short_usd)
        rows.append(own)
    return _stack(times, notional, rows)


def find_first_known(cascades: pl.DataFrame) -> Integers:
    """When the first liquidation of each cascade was known: the last part of its id."""
    last = cascades["cascade_id"].str.split("-").list.last()
    return last.cast(pl.Int64).to_numpy()


@dataclass(frozen=True)
class _Flow:
    """Liquidations of a symbol in order of known time, with running sums that begin with 0; cascades' first rows."""

    known_ms: Integers
    long_usd: Floats
    short_usd: Floats
    first: Integers

    @classmethod
    def of(cls, symbol: SymbolEvidence) -> _Flow:
        known = symbol.liquidations["known_time"].to_physical().to_numpy()
        notional = symbol.liquidations["notional_usd"].to_numpy()
        is_long = (symbol.liquidations["liquidated_side"] == LONG).to_numpy()
        first = np.searchsorted(known, find_first_known(symbol.cascades), side="left")
        return cls(known, _running(np.where(is_long, notional, 0.0)), _running(np.where(is_long, 0.0, notional)), first)

    def known_at(self, cascades: Integers, times_ms: Integers) -> tuple[Floats, Floats]:
        """Notional of longs and shorts from a cascade's first liquidation to those known at the time."""
        last = np.searchsorted(self.known_ms, times_ms, side="right")
        first = self.first[cascades]
        return self.long_usd[last] - self.long_usd[first], self.short_usd[last] - self.short_usd[first]

    def reaches(self, least_usd: float, ended_ms: Integers) -> Integers:
        """When the notional of each cascade was known to be so much; -1 where it never was before its end."""
        total = self.long_usd + self.short_usd
        place = np.searchsorted(total, total[self.first] + least_usd, side="left")
        inside = place <= len(self.known_ms)
        when = np.full(len(self.first), -1, dtype=np.int64)
        when[inside] = self.known_ms[place[inside] - 1]
        when[when >= ended_ms] = -1
        return when


def _gather(evidence: Evidence, symbols: Sequence[str] | None, moment: str) -> CascadeMoments:
    names = list(evidence.symbols) if symbols is None else list(symbols)
    times, notional, rows = {}, [], []
    for name in names:
        symbol = evidence.symbols[name]
        own, at = np.arange(symbol.cascades.height), _milliseconds(symbol, moment)
        # Known before the end, that is: what comes at that very moment begins another cluster.
        long_usd, short_usd = _Flow.of(symbol).known_at(own, at - (moment == "ended"))
        times[name] = (at, np.where(long_usd >= short_usd, _DOWN, _UP))
        notional.append(long_usd + short_usd)
        rows.append(own)
    return _stack(times, notional, rows)


def _stack(times: dict[str, tuple[Integers, Floats]], notional: list[Floats], rows: list[Integers]) -> CascadeMoments:
    return CascadeMoments(
        Moments.gather(times),
        np.concatenate([np.empty(0), *notional]),
        np.concatenate([np.empty(0, np.int64), *rows]),
    )


def _milliseconds(symbol: SymbolEvidence, column: str) -> Integers:
    return symbol.cascades[column].to_physical().to_numpy()


def _running(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])
