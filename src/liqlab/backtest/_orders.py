"""Decisions of a strategy as arrays: what to trade, at what price, and every way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liqlab.core.errors import ConfigError

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: A moment or a span that never comes.
NEVER = 2**62

BUY, SELL = 1.0, -1.0
#: Codes of `Orders.exit_signal`: the condition ended, or it got worse.
SIGNAL_NORMAL, SIGNAL_STOP = 0, 1

_INTEGERS = ("codes", "decision_ms", "limit_life_ms", "timeout_ms", "exit_signal_ms", "exit_signal")


@dataclass(frozen=True)
class Orders:
    """Decisions in order of `decision_ms`, then symbol; arrays of shape (n,). Make them with `Orders.gather`.

    Everything used for a decision was known at or before `decision_ms`. `codes` number `symbols`. Distances are
    fractions of the observed entry price, NaN for none.

    `side`: +1 buy, -1 sell short. `limit_price`: NaN for a market order; unfilled, a limit is cancelled
    `limit_life_ms` after it became active. `target_frac`: a resting limit order for `target_share` of the position.
    `stop_frac`, `stop_price` (absolute): the nearer holds. `trail_frac`: distance from the best price since entry.
    `timeout_ms`: closed at market that long after the fill. `exit_signal_ms`: when the strategy's own exit condition
    became known (NEVER: not), and whether it ended (`exit_signal` 0) or got worse (1). `weight`: multiple of the
    configured notional.
    """

    symbols: tuple[str, ...]
    codes: Integers
    decision_ms: Integers
    side: Floats
    limit_price: Floats
    limit_life_ms: Integers
    target_frac: Floats
    target_share: Floats
    stop_frac: Floats
    stop_price: Floats
    trail_frac: Floats
    timeout_ms: Integers
    exit_signal_ms: Integers
    exit_signal: Integers
    weight: Floats

    @classmethod
    def gather(
        cls,
        symbols: Sequence[str],
        codes: npt.ArrayLike,
        decision_ms: npt.ArrayLike,
        side: npt.ArrayLike,
        *,
        limit_price: npt.ArrayLike = np.nan,
        limit_life_ms: npt.ArrayLike = NEVER,
        target_frac: npt.ArrayLike = np.nan,
        target_share: npt.ArrayLike = 1.0,
        stop_frac: npt.ArrayLike = np.nan,
        stop_price: npt.ArrayLike = np.nan,
        trail_frac: npt.ArrayLike = np.nan,
        timeout_ms: npt.ArrayLike = NEVER,
        exit_signal_ms: npt.ArrayLike = NEVER,
        exit_signal: npt.ArrayLike = SIGNAL_NORMAL,
        weight: npt.ArrayLike = 1.0,
    ) -> Orders:
        """Orders sorted by decision time, code and the order given (stable); a single value serves all orders.

        `ConfigError` when arrays differ in length or a value lies outside its range: it names both.
        """
        given: dict[str, Any] = {
            "codes": codes,
            "decision_ms": decision_ms,
            "side": side,
            "limit_price": limit_price,
            "limit_life_ms": limit_life_ms,
            "target_frac": target_frac,
            "target_share": target_share,
            "stop_frac": stop_frac,
            "stop_price": stop_price,
            "trail_frac": trail_frac,
            "timeout_ms": timeout_ms,
            "exit_signal_ms": exit_signal_ms,
            "exit_signal": exit_signal,
            "weight": weight,
        }
        n = np.asarray(decision_ms).size
        columns = {name: _column(name, values, n) for name, values in given.items()}
        order = np.lexsort((columns["codes"], columns["decision_ms"]))
        orders = cls(tuple(symbols), **{name: values[order] for name, values in columns.items()})
        orders.check()
        return orders

    @classmethod
    def empty(cls, symbols: Sequence[str] = ()) -> Orders:
        """No orders."""
        return cls.gather(symbols, [], [], [])

    def __len__(self) -> int:
        return self.decision_ms.size

    def select(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.integer[Any]] | slice) -> Orders:
        """The orders of a mask, of ascending row numbers or of a slice."""
        return replace(self, **{field: getattr(self, field)[chosen] for field in _COLUMNS})

    def with_values(self, **values: npt.ArrayLike) -> Orders:
        """These orders with other values in the columns named, each one value or an array of shape (n,).

        Sorted anew; raises what `gather` raises.
        """
        unknown = sorted(set(values) - set(_COLUMNS))
        if unknown:
            raise ConfigError(f"orders have no column {unknown[0]!r}; columns: {', '.join(_COLUMNS)}")
        return Orders.gather(self.symbols, **{**{name: getattr(self, name) for name in _COLUMNS}, **values})

    def check(self) -> None:
        """`ConfigError` when a column has another length than the rest, or a value out of range."""
        for name in _COLUMNS:
            if getattr(self, name).shape != self.decision_ms.shape:
                raise ConfigError(_unlike(name, getattr(self, name).size, self.decision_ms.size))
        for name, (low, high, may_be_nan) in _RANGES.items():
            _check_range(f"Orders.{name}", getattr(self, name), low, high, may_be_nan)
        _check_range("Orders.codes", self.codes, 0, len(self.symbols) - 1, False)
        if np.any(np.abs(self.side) != 1.0):
            bad = self.side[np.abs(self.side) != 1.0][0]
            raise ConfigError(f"Orders.side must be +1 or -1, got {bad:g}")
        if np.any(np.diff(self.decision_ms) < 0):
            raise ConfigError("Orders.decision_ms must ascend; make orders with Orders.gather, which sorts")


_COLUMNS = tuple(field.name for field in fields(Orders) if field.name != "symbols")

#: Lowest and highest value of each column, and whether NaN (none) is allowed.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "decision_ms": (0, NEVER, False),
    "limit_price": (1e-12, 1e12, True),
    "limit_life_ms": (0, NEVER, False),
    "target_frac": (1e-9, 0.99, True),
    "target_share": (1e-6, 1.0, False),
    "stop_frac": (1e-9, 0.99, True),
    "stop_price": (1e-12, 1e12, True),
    "trail_frac": (1e-9, 0.99, True),
    "timeout_ms": (1, NEVER, False),
    "exit_signal_ms": (0, NEVER, False),
    "exit_signal": (0, 1, False),
    "weight": (0.0, 1e6, False),
}


def check_exits(where: str, name: str, values: npt.NDArray[Any]) -> None:
    """`ConfigError` when the values of the column `name` of orders are out of range; `where` says whose they are."""
    _check_range(f"{where}.{name}", values, *_RANGES[name])


def _column(name: str, values: npt.ArrayLike, n: int) -> npt.NDArray[Any]:
    dtype = np.int64 if name in _INTEGERS else np.float64
    array = np.asarray(values, dtype=dtype)
    if array.ndim == 0:
        return np.full(n, array, dtype=dtype)
    if array.shape != (n,):
        raise ConfigError(_unlike(name, array.size, n))
    return array


def _unlike(name: str, found: int, n: int) -> str:
    return f"Orders.{name} has {found:,} values for {n:,} orders; give one value per order, or a single one for all"


def _check_range(name: str, values: npt.NDArray[Any], low: float, high: float, may_be_nan: bool) -> None:
    missing = np.isnan(values)
    bad = ~((values >= low) & (values <= high)) & ~(missing & may_be_nan)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        alternative = " or be NaN (none)" if may_be_nan else ""
        raise ConfigError(
            f"Orders.{name} must lie in [{low:g}, {high:g}]{alternative}, got {values[row]:g} in row {row}"
        )
