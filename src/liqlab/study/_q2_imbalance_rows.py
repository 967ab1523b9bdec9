"""Every minute of every symbol, as question 2 looks at it: what was known then of imbalance, price and regime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import rolling_sum
from liqlab.study._evidence import STEPS_PER_MINUTE, Booleans, Evidence, Floats, Integers, SymbolEvidence

#: Beyond it an imbalance is extreme, as the plan says.
EXTREME = 0.5
#: Below it there is no imbalance to speak of.
SLIGHT = 0.1
_TRAILING_S = (60, 300, 900)
_PRODUCT_S = 300


@dataclass(frozen=True)
class Windows:
    """Sums over a trailing window at each minute (n,): liquidated base units, shorts less longs and in total."""

    balance: Floats
    total: Floats

    @property
    def imbalance(self) -> Floats:
        """(sell - buy) / total: negative after liquidated longs; 0 in a window without liquidations, NaN if unknown."""
        nothing = np.where(np.isnan(self.total), np.nan, 0.0)
        return np.divide(self.balance, self.total, out=nothing, where=self.total > 0.0)

    @property
    def fade(self) -> Floats:
        """+1 after extreme long liquidations, -1 after extreme short ones, else 0: against the pressure."""
        return -np.sign(self.imbalance) * self._marks(np.abs(self.imbalance) > EXTREME)

    @property
    def lean(self) -> Floats:
        """The sign of a moderate imbalance, else 0: with the pressure."""
        size = np.abs(self.imbalance)
        return np.sign(self.imbalance) * self._marks((size >= SLIGHT) & (size <= EXTREME))

    @property
    def long(self) -> Floats:
        """1 after extreme long liquidations, else 0."""
        return self._marks(self.imbalance < -EXTREME)

    @property
    def short(self) -> Floats:
        """1 after extreme short liquidations, else 0."""
        return self._marks(self.imbalance > EXTREME)

    def _marks(self, where: Booleans) -> Floats:
        """1 and 0; NaN where the imbalance is not known."""
        return np.where(np.isnan(self.total), np.nan, where.astype(np.float64))


@dataclass(frozen=True)
class MinuteRows:
    """Covered minutes, one symbol after the other; every array has shape (n,) and holds what was known at the minute.

    `codes` counts the `symbols`. `volatility_bps` is that of the last hour. `turned_volatile` and `turned_quiet` say
    that the regime did so within the last hour; `n_turns` counts the transitions from quiet to volatile. `trailing` are
    returns in bps by length in seconds: those that the ticker resolves.
    """

    symbols: tuple[str, ...]
    codes: Integers
    times_ms: Integers
    volatility_bps: Floats
    regime: Integers
    turned_volatile: Booleans
    turned_quiet: Booleans
    n_turns: int
    trailing: dict[int, Floats]
    evidence: tuple[SymbolEvidence, ...]
    grid_rows: tuple[Integers, ...]
    _windows: dict[int, Windows] = field(default_factory=dict, repr=False)
    _forward: dict[int, Floats] = field(default_factory=dict, repr=False)

    def window(self, minutes: int) -> Windows:
        """Liquidations of the last `minutes`; NaN where the recorder did not listen all that time."""
        if minutes not in self._windows:
            parts = [_sum_sides(one, rows, minutes) for one, rows in zip(self.evidence, self.grid_rows, strict=True)]
            balance, total = (np.concatenate([np.empty(0), *(part[i] for part in parts)]) for i in (0, 1))
            self._windows[minutes] = Windows(balance, total)
        return self._windows[minutes]

    def forward_bps(self, minutes: int) -> Floats:
        """Return from the first price observed at or after each minute, over so many minutes."""
        if minutes not in self._forward:
            horizon_ms = minutes * MS_PER_MINUTE
            self._forward[minutes] = self.gather(
                lambda one, rows: one.forward_return_bps(one.times_ms[rows], horizon_ms)
            )
        return self._forward[minutes]

    def gather(self, of: Callable[[SymbolEvidence, Integers], Floats]) -> Floats:
        """What `of` makes of each symbol and its rows of the grid, one symbol after the other."""
        return np.concatenate(
            [np.empty(0), *(of(one, rows) for one, rows in zip(self.evidence, self.grid_rows, strict=True))]
        )

    @property
    def controls(self) -> Floats:
        """What a regression on later returns is given, (n, k): a constant for each symbol, then price alone."""
        constants = (self.codes[:, None] == np.arange(len(self.symbols))).astype(np.float64)
        product = self.trailing.get(_PRODUCT_S)
        columns = [*self.trailing.values(), self.volatility_bps]
        columns += [] if product is None else [self.volatility_bps * product]
        return np.column_stack([constants, *columns])


def list_minutes(evidence: Evidence, symbols: Sequence[str]) -> MinuteRows:
    """The covered minutes of these symbols; trailing returns are those that the slowest of their tickers resolves."""
    own = tuple(evidence.symbols[name] for name in symbols)
    slowest_s = max((one.ticker_interval_s for one in own), default=0.0)
    rows = tuple(np.flatnonzero((one.times_ms % MS_PER_MINUTE == 0) & one.covered) for one in own)
    turns = [find_turns(one) for one in own]

    def stack(parts: Sequence[Floats] | Sequence[Integers]) -> Floats:
        return np.concatenate([np.empty(0), *parts])

    pairs = list(zip(own, rows, strict=True))
    return MinuteRows(
        symbols=tuple(symbols),
        codes=np.repeat(np.arange(len(own)), [len(part) for part in rows]),
        times_ms=stack([one.times_ms[part] for one, part in pairs]).astype(np.int64),
        volatility_bps=stack([one.volatility_bps[part] for one, part in pairs]),
        regime=stack([one.regime[part].astype(np.int64) for one, part in pairs]).astype(np.int64),
        turned_volatile=stack([_within_hour(one, part, turn[0]) for (one, part), turn in _zip(pairs, turns)]) > 0.0,
        turned_quiet=stack([_within_hour(one, part, turn[1]) for (one, part), turn in _zip(pairs, turns)]) > 0.0,
        n_turns=sum(len(volatile) for volatile, _ in turns),
        trailing={
            seconds: stack([one.trailing_return_bps(seconds)[part] for one, part in pairs])
            for seconds in _TRAILING_S
            if seconds >= slowest_s
        },
        evidence=own,
        grid_rows=rows,
    )


def find_turns(symbol: SymbolEvidence) -> tuple[Integers, Integers]:
    """Rows of the grid at which the regime became volatile, and quiet; time without a regime is skipped."""
    known = np.flatnonzero(symbol.regime >= 0)
    change = np.diff(symbol.regime[known])
    return known[1:][change > 0], known[1:][change < 0]


def _zip(
    pairs: list[tuple[SymbolEvidence, Integers]], turns: list[tuple[Integers, Integers]]
) -> list[tuple[tuple[SymbolEvidence, Integers], tuple[Integers, Integers]]]:
    return list(zip(pairs, turns, strict=True))


def _within_hour(symbol: SymbolEvidence, rows: Integers, turns: Integers) -> Floats:
    """1 where one of the turns lies in the last hour, the present minute included."""
    if not turns.size:
        return np.zeros(rows.size)
    times = symbol.times_ms[rows]
    last = np.searchsorted(turns, rows, side="right") - 1
    age_ms = times - symbol.times_ms[turns[np.maximum(last, 0)]]
    return ((last >= 0) & (age_ms < MS_PER_HOUR)).astype(np.float64)


def _sum_sides(symbol: SymbolEvidence, rows: Integers, minutes: int) -> tuple[Floats, Floats]:
    steps = minutes * STEPS_PER_MINUTE
    listened = rolling_sum(symbol.covered.astype(np.float64), steps)[rows] >= steps
    buy, sell = (
        rolling_sum(np.nan_to_num(symbol.grid[name]), steps)[rows] for name in ("liq_buy_volume", "liq_sell_volume")
    )
    return np.where(listened, sell - buy, np.nan), np.where(listened, sell + buy, np.nan)
