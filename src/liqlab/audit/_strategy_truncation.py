"""Decisions up to a cut must not change when what came later is taken away, or is something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.audit._lookahead_compare import Cut, describe_time
from liqlab.backtest import NEVER, MarketInputs, Orders, PricePath, Strategy, SymbolInputs, decide_orders
from liqlab.core.errors import UserError
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.schema import LONG, SHORT

Integers = npt.NDArray[np.int64]

_EXIT_COLUMNS = ("exit_signal_ms", "exit_signal")
_VALUE_COLUMNS = (
    "side",
    "limit_price",
    "limit_life_ms",
    "target_frac",
    "target_share",
    "stop_frac",
    "stop_price",
    "trail_frac",
    "timeout_ms",
    *_EXIT_COLUMNS,
    "weight",
)
_ROW = "(order)"


@dataclass(frozen=True)
class ChangedDecision:
    """An order decided at or before a cut that depends on what came after it.

    `after` says what was done to the later data; `column` is `(order)` when the order is there only once. `full` is the
    value on all data, `at_cut` that on the changed ones.
    """

    cut: Cut
    after: str
    symbol: str
    decision_ms: int
    column: str
    full: str
    at_cut: str

    def describe(self) -> str:
        """One line."""
        return (
            f"{self.symbol}, decided at {describe_time(self.decision_ms)}: {self.column} is {self.full}, but "
            f"{self.at_cut} with everything after {describe_time(self.cut.time_ms)} {self.after}"
        )


@dataclass(frozen=True)
class FailedDecision:
    """A cut at which the strategy fails, though it decides on all data; `after` as in `ChangedDecision`."""

    cut: Cut
    after: str
    message: str

    def describe(self) -> str:
        """One line."""
        return f"with everything after {describe_time(self.cut.time_ms)} {self.after} it fails: {self.message}"


@dataclass(frozen=True)
class TruncationCheck:
    """The cuts made, orders compared (over all cuts, each time removed and replaced), and the first change of each."""

    cuts: tuple[Cut, ...]
    n_orders: int
    n_compared: int
    changed: tuple[ChangedDecision | FailedDecision, ...]

    @property
    def passed(self) -> bool:
        """Whether no decision changed."""
        return not self.changed


#: What is done to the data after a cut.
AFTER: dict[str, Callable[[MarketInputs, int], MarketInputs]] = {
    "removed": lambda inputs, cut_ms: inputs.truncate(cut_ms),
    "replaced": lambda inputs, cut_ms: replace_after(inputs, cut_ms),
}


def check_n_cuts(n_cuts: int) -> None:
    """`UserError` for no cut at all."""
    if n_cuts < 1:
        raise UserError(f"the audit needs at least one cut, got {n_cuts}")


def check_truncation(
    strategy: Strategy,
    inputs: MarketInputs,
    parameters: Any = None,
    n_cuts: int = 12,
    seed: int = 0,
    progress: Progress = SILENT,
) -> TruncationCheck:
    """Decide on all data, then at each cut with the later data removed and with them replaced, and compare.

    Orders with `decision_ms` at or before the cut must be the same in every column, bit for bit; an exit signal after
    the cut is not known there and counts as none. Half of the cuts lie on moments of decision, a quarter on moments of
    exit signals, the rest anywhere. `UserError` for no cuts, and what the strategy raises on all data; one that it
    raises only at a cut is a finding.
    """
    check_n_cuts(n_cuts)
    full = decide_orders(strategy, inputs, parameters)
    cuts = _choose_cuts(full, inputs, n_cuts, np.random.default_rng(seed))
    changed: list[ChangedDecision | FailedDecision] = []
    n_compared = 0
    with stage(progress, f"{strategy.name}: decisions at each cut", len(cuts)):
        for cut in cuts:
            for after, change in AFTER.items():
                n_compared += int((full.decision_ms <= cut.time_ms).sum())
                found = _decide_at(strategy, change(inputs, cut.time_ms), parameters, full, cut, after)
                changed += [] if found is None else [found]
            progress.advance()
    return TruncationCheck(cuts, len(full), n_compared, tuple(changed))


def _decide_at(
    strategy: Strategy, inputs: MarketInputs, parameters: Any, full: Orders, cut: Cut, after: str
) -> ChangedDecision | FailedDecision | None:
    try:
        at_cut = decide_orders(strategy, inputs, parameters)
    except UserError as error:
        return FailedDecision(cut, after, str(error))
    return compare_orders(full, at_cut, cut, after)


def replace_after(inputs: MarketInputs, cut_ms: int) -> MarketInputs:
    """Another future: prices known after the cut mirrored at the last one before it, liquidated sides swapped.

    A price p becomes c^2 / p with c the last price at the cut. Times, sizes and everything at or before the cut stay.
    """
    symbols = {name: _replace_one(one, cut_ms) for name, one in inputs.symbols.items()}
    return replace(inputs, symbols=symbols)


def _replace_one(inputs: SymbolInputs, cut_ms: int) -> SymbolInputs:
    later = pl.col("known_time").to_physical() > cut_ms
    swapped = pl.when(pl.col("liquidated_side") == LONG).then(pl.lit(SHORT)).otherwise(pl.lit(LONG))
    side = pl.when(later).then(swapped).otherwise(pl.col("liquidated_side"))
    liquidations = inputs.liquidations.with_columns(side.alias("liquidated_side"))
    # A new instance: what the old one had worked out from the old future must not be taken over.
    return replace(inputs, liquidations=liquidations, path=_mirror(inputs.path, cut_ms), _zones={})


def _mirror(path: PricePath, cut_ms: int) -> PricePath:
    n = int(np.searchsorted(path.known_ms, cut_ms, side="right"))
    if not 0 < n < len(path.price):
        return path
    squared = float(path.price[n - 1]) ** 2
    sources = {"price": "price", "low": "high", "high": "low", "bid": "ask", "ask": "bid"}
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(path, name)[:n], squared / getattr(path, source)[n:]])
        for name, source in sources.items()
    }
    return replace(path, **columns)


def _choose_cuts(orders: Orders, inputs: MarketInputs, n_cuts: int, generator: np.random.Generator) -> tuple[Cut, ...]:
    signals = orders.exit_signal_ms[orders.exit_signal_ms < inputs.end_ms]
    kinds = {
        "on a decision": (np.unique(orders.decision_ms[orders.decision_ms < inputs.end_ms]), -(-n_cuts // 2)),
        "on an exit signal": (np.unique(signals), n_cuts // 4),
    }
    cuts: dict[int, Cut] = {}
    for kind, (times, n) in kinds.items():
        for time_ms in generator.permutation(times)[:n].tolist():
            cuts.setdefault(time_ms, Cut(time_ms, kind))
    for _ in range(10 * n_cuts):
        if len(cuts) >= n_cuts:
            break
        time_ms = int(generator.integers(inputs.start_ms, max(inputs.end_ms, inputs.start_ms + 1)))
        cuts.setdefault(time_ms, Cut(time_ms, "anywhere"))
    return tuple(cuts[time_ms] for time_ms in sorted(cuts))


def compare_orders(full: Orders, at_cut: Orders, cut: Cut, after: str) -> ChangedDecision | None:
    """The first order decided by the cut, by time, that is not the same in both, bit for bit; None when all are."""
    ours, theirs = _known_by(full, cut.time_ms), _known_by(at_cut, cut.time_ms)
    keys, other_keys = (list(zip(_names(one), one.decision_ms.tolist(), strict=True)) for one in (ours, theirs))
    n_same = next(
        (row for row, (key, other) in enumerate(zip(keys, other_keys, strict=False)) if key != other),
        min(len(keys), len(other_keys)),
    )
    for row in range(n_same):
        for column in _VALUE_COLUMNS:
            value, other = getattr(ours, column)[row], getattr(theirs, column)[row]
            if not (value == other or (value != value and other != other)):
                return ChangedDecision(cut, after, *keys[row], column, _describe(value), _describe(other))
    if n_same == len(keys) == len(other_keys):
        return None
    rest, other_rest = keys[n_same:], other_keys[n_same:]
    in_full = bool(rest) and (not other_rest or rest[0][1] <= other_rest[0][1])
    symbol, decision_ms = rest[0] if in_full else other_rest[0]
    values = ("there", "gone") if in_full else ("not there", "there")
    return ChangedDecision(cut, after, symbol, decision_ms, _ROW, *values)


def _known_by(orders: Orders, cut_ms: int) -> Orders:
    """The orders decided by the cut, without exit signals from after it."""
    known = orders.select(orders.decision_ms <= cut_ms)
    later = known.exit_signal_ms > cut_ms
    return replace(
        known,
        exit_signal_ms=np.where(later, NEVER, known.exit_signal_ms),
        exit_signal=np.where(later, 0, known.exit_signal),
    )


def _names(orders: Orders) -> list[str]:
    return [orders.symbols[code] for code in orders.codes.tolist()]


def _describe(value: Any) -> str:
    if isinstance(value, np.integer):
        return "never" if value >= NEVER else f"{int(value):,}"
    return "none" if value != value else repr(float(value))
