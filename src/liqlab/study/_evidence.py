"""What the questions look at: each symbol's 5 s grid, its ticker, its liquidations and its cascades.

Built day by day from the same panel as everything else, be it of a lake or of a simulated market.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import BAR_WIDTHS_MS
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_S
from liqlab.panel import INTERVALS_PER_TOLERANCE, PanelDay, PriceSeries, Scope
from liqlab.regimes import VOLATILE, regime_at

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

STEP_MS = BAR_WIDTHS_MS["5s"]
STEPS_PER_MINUTE = 60_000 // STEP_MS
_LEAST_TOLERANCE_MS = 15 * MS_PER_S
_BPS = 1e4

#: Columns of the dataset that the grid keeps.
_GRID = (
    "liq_buy_count",
    "liq_sell_count",
    "liq_buy_volume",
    "liq_sell_volume",
    "liq_buy_notional",
    "liq_sell_notional",
    "open_interest",
    "funding_rate",
    "bid_price",
    "ask_price",
    "bid_size",
    "ask_size",
    "ratio",
)


@dataclass(frozen=True)
class SymbolEvidence:
    """One symbol. Arrays of the grid have shape (n,): one value per right edge of a 5 s bar, NaN where there is none.

    `times_ms` are the edges, consecutive. `price` is the ticker price (mark, else last) known at each; `grid` holds
    further columns of the dataset by name (bars hold what was known in the 5 s before, the rest was known at the edge),
    and `threshold_bps`, the volatility of an hour above which the regime is volatile.
    `regime` is 1 where the time is known to be volatile, 0 where quiet, -1 where unknown. `prices` are the ticker
    prices as they came, at most one a second. `liquidations` and `cascades` are tables of `core.schema`, in order.
    """

    symbol: str
    times_ms: Integers
    covered: Booleans
    price: Floats
    grid: Mapping[str, Floats]
    regime: npt.NDArray[np.int8]
    prices: PriceSeries
    liquidations: pl.DataFrame
    cascades: pl.DataFrame
    ticker_interval_ms: int | None

    @property
    def ticker_interval_s(self) -> float:
        """Typical seconds between two prices; infinity without a ticker."""
        return float("inf") if self.ticker_interval_ms is None else self.ticker_interval_ms / MS_PER_S

    @property
    def tolerance_ms(self) -> int:
        """How late a first price may come: three typical intervals, at least 15 s."""
        return max(_LEAST_TOLERANCE_MS, INTERVALS_PER_TOLERANCE * (self.ticker_interval_ms or 0))

    def rows_at(self, moments_ms: npt.ArrayLike) -> Integers:
        """The row of the grid known at each moment: the last edge at or before it; -1 before the first."""
        moments = np.asarray(moments_ms, dtype=np.int64)
        if not len(self.times_ms):
            return np.full(moments.shape, -1, np.int64)
        rows: Integers = np.clip((moments - self.times_ms[0]) // STEP_MS, -1, len(self.times_ms) - 1)
        return rows

    def forward_return_bps(self, moments_ms: npt.ArrayLike, horizon_ms: int) -> Floats:
        """1e4 (b / a - 1): a the first price observed at or after each moment, b the first a horizon after the moment.

        NaN where either does not come within the tolerance, or where both are the same observation.
        """
        moments = np.asarray(moments_ms, dtype=np.int64)
        first = np.searchsorted(self.prices.known_ms, moments, side="left")
        last = np.searchsorted(self.prices.known_ms, moments + horizon_ms, side="left")
        begin = self.prices.first_from(moments, self.tolerance_ms)
        end = self.prices.first_from(moments + horizon_ms, self.tolerance_ms)
        found: Floats = np.where(first == last, np.nan, _BPS * (end / begin - 1.0))
        return found

    def trailing_return_bps(self, seconds: int) -> Floats:
        """1e4 (price / price `seconds` before - 1) on the grid, from what was known at either."""
        steps = seconds * MS_PER_S // STEP_MS
        found = np.full(len(self.price), np.nan)
        if steps < len(self.price):
            found[steps:] = _BPS * (self.price[steps:] / self.price[:-steps] - 1.0)
        return found

    @cached_property
    def volatility_bps(self) -> Floats:
        """Trailing realised volatility of an hour on the grid: root of the mean squared 1 min return times 60, bps.

        NaN where less than 80 % of the hour's returns are known.
        """
        squares = (self.trailing_return_bps(60)) ** 2
        present = ~np.isnan(squares)
        window = MS_PER_HOUR // STEP_MS
        total = _trailing_sum(np.where(present, squares, 0.0), window)
        count = _trailing_sum(present.astype(np.float64), window)
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Floats = np.where(count >= 0.8 * window, np.sqrt(60.0 * total / count), np.nan)
        return found


@dataclass(frozen=True)
class Evidence:
    """All symbols on one grid, over the span [start_ms, end_ms)."""

    symbols: Mapping[str, SymbolEvidence]
    start_ms: int
    end_ms: int

    @property
    def covered_days(self) -> float:
        """Days of the span in which at least one symbol's recorder listened."""
        if not self.symbols:
            return 0.0
        covered = np.any([symbol.covered for symbol in self.symbols.values()], axis=0)
        return float(covered.sum()) * STEP_MS / MS_PER_DAY

    @property
    def slowest_interval_s(self) -> float:
        """The typical ticker interval of the symbol with the slowest ticker; infinity where one has none."""
        return max((symbol.ticker_interval_s for symbol in self.symbols.values()), default=float("inf"))

    def choose_timely(self, longest_s: float | None) -> tuple[tuple[str, ...], float, str]:
        """Symbols whose ticker comes at least every `longest_s`, the slowest interval of these, and who is left out.

        Where none does it is the quickest interval of all, which is still too long. Seconds; the last is in words.
        """
        intervals = {name: symbol.ticker_interval_s for name, symbol in self.symbols.items()}
        timely = tuple(name for name, interval in intervals.items() if longest_s is None or interval <= longest_s)
        if not timely:
            return (), min(intervals.values(), default=float("inf")), ""
        slow = [name for name in intervals if name not in timely]
        note = f"Without {', '.join(slow)}: prices too rare." if slow else ""
        return timely, max(intervals[name] for name in timely), note


class EvidenceBuilder:
    """Gathers the evidence of each symbol from its days; `finish` when all are in."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._parts: dict[str, list[dict[str, Floats]]] = {}
        self._prices: dict[str, list[pl.DataFrame]] = {}

    def add(self, day: PanelDay) -> None:
        """Take one symbol's day; days of a symbol in order."""
        dataset = day.dataset
        price = dataset.select(pl.coalesce("mark_price", "last_price").fill_null(float("nan"))).to_series()
        part = {name: dataset[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in _GRID}
        part["price"] = price.to_numpy()
        part["covered"] = dataset["covered"].fill_null(value=False).cast(pl.Float64).to_numpy()
        self._parts.setdefault(day.symbol, []).append(part)
        ticks = day.ticker.select("known_time", "mark_price", "last_price")
        second = pl.col("known_time").to_physical() // MS_PER_S
        self._prices.setdefault(day.symbol, []).append(ticks.filter(second != second.shift(fill_value=-1)))

    def finish(
        self,
        liquidations: Mapping[str, pl.DataFrame],
        cascades: pl.DataFrame,
        regimes: Mapping[str, pl.DataFrame],
    ) -> Evidence:
        """The evidence; `cascades` is the table of all symbols, `regimes` the table of each."""
        scope = self._scope
        times: Integers = np.arange(scope.start_ms + STEP_MS, scope.end_ms + 1, STEP_MS, dtype=np.int64)
        found = {}
        for symbol in scope.symbols:
            parts = self._parts[symbol]
            columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            regime = regime_at(regimes[symbol], times)
            code = (regime == VOLATILE).cast(pl.Int8).fill_null(-1).to_numpy()
            threshold = regime_at(regimes[symbol], times, "threshold_bps").fill_null(float("nan"))
            columns["threshold_bps"] = threshold.to_numpy()
            found[symbol] = SymbolEvidence(
                symbol=symbol,
                times_ms=times,
                covered=columns.pop("covered") > 0.0,
                price=columns.pop("price"),
                grid=columns,
                regime=code,
                prices=PriceSeries.from_ticker(pl.concat(self._prices[symbol])),
                liquidations=liquidations[symbol],
                cascades=cascades.filter(pl.col("symbol") == symbol),
                ticker_interval_ms=scope.ticker_interval_ms.get(symbol),
            )
        return Evidence(found, scope.start_ms, scope.end_ms)


def _trailing_sum(values: Floats, window: int) -> Floats:
    """Sums over `window` rows that end at each row, shorter at the start; compensated by blocks in `stats`."""
    from liqlab.stats import rolling_sum

    total: Floats = rolling_sum(values, window)
    return total
