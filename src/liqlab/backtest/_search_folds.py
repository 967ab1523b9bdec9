"""Time cut into stretches: each fold's parameters are chosen on all stretches before its own, and traded on its own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._prices import PricePath
from liqlab.core.errors import ConfigError
from liqlab.core.time import MS_PER_DAY

Integers = npt.NDArray[np.int64]

#: The stretch on which only training happens.
FIRST_TRAINING = -1


@dataclass(frozen=True)
class Stretch:
    """Decisions in [start_ms, end_ms). Stretch k >= 0 is the test of fold k and training of all later folds."""

    number: int
    start_ms: int
    end_ms: int

    def holds(self, times_ms: Integers) -> npt.NDArray[np.bool_]:
        """Which of the times (n,) lie in it."""
        return (times_ms >= self.start_ms) & (times_ms < self.end_ms)

    @property
    def days(self) -> range:
        """The UTC days (since 1970) that it touches."""
        return range(self.start_ms // MS_PER_DAY, (self.end_ms - 1) // MS_PER_DAY + 1)


def cut_stretches(start_ms: int, end_ms: int, train_days: int, test_days: int) -> tuple[Stretch, ...]:
    """The stretches of decisions in [start_ms, end_ms], in order; the borders are midnights UTC.

    The first is of training alone and ends with the first midnight that is `train_days` or more after the start; from
    there on every `test_days` a new one begins. Data that end within it have this one alone.
    """
    first = -(-(start_ms + train_days * MS_PER_DAY) // MS_PER_DAY) * MS_PER_DAY
    # Nothing decided at the midnight with which the data end can trade: it begins no stretch and no day.
    end = end_ms if end_ms % MS_PER_DAY == 0 and end_ms > start_ms else end_ms + 1
    borders = [start_ms, *range(first, end, test_days * MS_PER_DAY), end]
    pairs = itertools.pairwise(borders)
    return tuple(Stretch(number, start, end) for number, (start, end) in enumerate(pairs, FIRST_TRAINING))


def reach_of(
    orders: Orders, paths: Mapping[str, PricePath], execution: ExecutionConfig, longest_timeout_ms: int | None
) -> Integers:
    """How long after its decision each order's trade may last, (n,), with any exit of the space.

    Delay, life of a limit, wait for the entry's price, the longest timeout (of the space, None for the order's own),
    wait for the exit's price. `ConfigError` when an order has no timeout: nothing bounds its trade.
    """
    timeout_ms = orders.timeout_ms if longest_timeout_ms is None else np.full(len(orders), longest_timeout_ms)
    is_limit = ~np.isnan(orders.limit_price)
    life_ms = np.where(is_limit, orders.limit_life_ms, 0)
    if np.any(timeout_ms >= NEVER) or np.any(life_ms >= NEVER):
        raise ConfigError(
            "a search needs orders that end: give each a timeout (or the space an axis timeout_min) and each limit a "
            "life, so that trades which reach over the end of a fold can be left out"
        )
    waits = np.array([paths[name].tolerance_ms if name in paths else 0 for name in orders.symbols], dtype=np.int64)
    return np.asarray(execution.latency.delay_ms + life_ms + timeout_ms + 2 * waits[orders.codes], dtype=np.int64)


def purge(orders: Orders, reach_ms: Integers, stretch: Stretch) -> Orders:
    """The orders decided in the stretch whose trade is over by its end, whatever happens."""
    return orders.select(stretch.holds(orders.decision_ms) & (orders.decision_ms + reach_ms < stretch.end_ms))


def count_purged(orders: Orders, reach_ms: Integers, stretch: Stretch) -> int:
    """How many orders of the stretch `purge` leaves out."""
    return int(np.count_nonzero(stretch.holds(orders.decision_ms))) - len(purge(orders, reach_ms, stretch))


def cut_paths(paths: Mapping[str, PricePath], stretch: Stretch) -> dict[str, PricePath]:
    """The prices of the stretch alone: what comes after its end cannot be seen, whatever an order asks for."""
    return {name: _cut(path, stretch) for name, path in paths.items()}


def _cut(path: PricePath, stretch: Stretch) -> PricePath:
    rows = slice(*np.searchsorted(path.known_ms, (stretch.start_ms, stretch.end_ms)).tolist())
    funding = slice(*np.searchsorted(path.funding_ms, (stretch.start_ms, stretch.end_ms)).tolist())
    return replace(
        path,
        known_ms=path.known_ms[rows],
        price=path.price[rows],
        low=path.low[rows],
        high=path.high[rows],
        bid=path.bid[rows],
        ask=path.ask[rows],
        funding_ms=path.funding_ms[funding],
        funding_rate=path.funding_rate[funding],
    )


def join_orders(parts: Sequence[Orders], symbols: Sequence[str]) -> Orders:
    """Orders of the same symbols from several decisions, in order of time."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return Orders.empty(symbols)
    if len({part.symbols for part in parts}) > 1:
        raise ConfigError("a strategy must name the same symbols whatever its parameters")
    names = [name for name in vars(parts[0]) if name != "symbols"]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Orders.gather(parts[0].symbols, **columns)
