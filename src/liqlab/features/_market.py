"""What a feature may need beyond its own row: cascades as they were known, and the other symbols' liquidations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.cascades import CascadePreset, detect_cascades, label_liquidations
from liqlab.features._config import STEP_MS
from liqlab.panel import Intervals, Scope, mark_covered, select_intervals
from liqlab.stats import group_sums

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: How the symbol that may lead the others begins.
LEAD_PREFIX = "BTC"
_INPUT_ORDER = ("known_time", "event_time", "position")


@dataclass(frozen=True)
class Flow:
    """One symbol's liquidations in order of known time, three arrays of shape (n,), and when its recorder listened."""

    known_ms: Integers
    quantity: Floats
    notional_usd: Floats
    intervals: Intervals

    @classmethod
    def from_liquidations(cls, liquidations: pl.DataFrame, intervals: Intervals) -> Flow:
        """From rows of one symbol in any order."""
        rows = liquidations.select("known_time", "quantity", "notional_usd")
        if not rows["known_time"].is_sorted():
            rows = rows.sort("known_time", maintain_order=True)
        known_ms = rows["known_time"].to_physical().to_numpy()
        return cls(known_ms, rows["quantity"].to_numpy(), rows["notional_usd"].to_numpy(), intervals)

    def volume_at(self, times_ms: Integers) -> Floats:
        """Base units liquidated in the bar that ends at each grid time (consecutive, (n,)); NaN where not covered."""
        return self._sums_at(times_ms, self.quantity)

    def notional_at(self, times_ms: Integers) -> Floats:
        """USD liquidated in the bar that ends at each grid time; NaN where not covered."""
        return self._sums_at(times_ms, self.notional_usd)

    def _sums_at(self, times_ms: Integers, values: Floats) -> Floats:
        start_ms = times_ms[0] - STEP_MS
        rows = slice(*np.searchsorted(self.known_ms, [start_ms, times_ms[-1]]).tolist())
        sums = group_sums((self.known_ms[rows] - start_ms) // STEP_MS, values[rows], len(times_ms))
        return np.where(mark_covered(times_ms, self.intervals), sums, np.nan)


@dataclass(frozen=True)
class CascadeStates:
    """Each liquidation that took part in a cascade, in input order: when it was known and how the cascade then stood.

    `volume` is the cascade's so far (base units), `is_confirmed` whether it had crossed every threshold by then.
    """

    known_ms: Integers
    volume: Floats
    is_confirmed: npt.NDArray[np.bool_]
    max_gap_ms: int

    @classmethod
    def from_liquidations(cls, liquidations: pl.DataFrame, preset: CascadePreset) -> CascadeStates:
        """From rows of one symbol in any order."""
        ordered = liquidations.sort(_INPUT_ORDER, maintain_order=True)
        confirmed = detect_cascades(ordered, preset).select("cascade_id", "n_at_confirmation")
        members = label_liquidations(ordered, preset).filter(pl.col("cascade_id").is_not_null())
        members = members.select(
            "cascade_id",
            "known_time",
            volume=pl.col("quantity").cum_sum().over("cascade_id"),
            number=pl.int_range(1, pl.len() + 1).over("cascade_id"),
        ).join(confirmed, on="cascade_id", how="left", maintain_order="left")
        return cls(
            members["known_time"].to_physical().to_numpy(),
            members["volume"].to_numpy(),
            (members["number"] >= members["n_at_confirmation"]).to_numpy(),
            preset.max_gap_ms,
        )

    def volume_at(self, times_ms: Integers) -> Floats:
        """Volume so far of the cascade that goes on at each time, from what was known before it; 0.0 without one.

        A cascade goes on while the silence since its last liquidation known before t is at most `max_gap`.
        """
        volume = np.zeros(len(times_ms))
        last = np.searchsorted(self.known_ms, times_ms, side="left") - 1
        rows = np.flatnonzero(last >= 0)
        member = last[rows]
        goes_on = self.is_confirmed[member] & (times_ms[rows] - self.known_ms[member] <= self.max_gap_ms)
        volume[rows[goes_on]] = self.volume[member[goes_on]]
        return volume


@dataclass(frozen=True)
class Market:
    """One symbol's cascades and the liquidations around it; `lead` is BTC's flow (its own for BTC), None without."""

    cascades: CascadeStates
    others: tuple[Flow, ...]
    lead: Flow | None

    @classmethod
    def from_liquidations(
        cls, symbol: str, liquidations_by_symbol: Mapping[str, pl.DataFrame], scope: Scope, preset: CascadePreset
    ) -> Market:
        """From the liquidations of every symbol of the scope; others come in alphabetical order."""
        flows = {
            name: Flow.from_liquidations(liquidations_by_symbol[name], select_intervals(scope.coverage, name))
            for name in sorted(liquidations_by_symbol)
        }
        leaders = [name for name in flows if name.startswith(LEAD_PREFIX)]
        return cls(
            CascadeStates.from_liquidations(liquidations_by_symbol[symbol], preset),
            tuple(flow for name, flow in flows.items() if name != symbol),
            flows[leaders[0]] if leaders else None,
        )
