"""What a strategy may look at: one market's liquidations, cascades, bars and prices, by the time each was known.

Everything below the prices follows from the liquidations, so a market that ends earlier (`truncate`) or whose prices
were replaced (`with_paths`) is made again by the same rules, never cut out of something that had seen the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.backtest._prices import PricePath, read_price_path
from liqlab.cascades import CascadePreset, detect_cascades, get_preset, label_liquidations, list_cascade_events
from liqlab.core.errors import UserError, unknown_name
from liqlab.core.schema import BAR_WIDTHS_MS, LIQUIDATIONS, LONG, check_frame
from liqlab.core.time import format_time
from liqlab.lake import Recording
from liqlab.panel import (
    Intervals,
    LevelLiquidations,
    PriceGrid,
    PriceSeries,
    Scope,
    ZoneConfig,
    ZoneMaps,
    compute_bars,
    map_zones,
    mark_covered,
    read_known_liquidations,
)
from liqlab.sources import sort_rows

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

_BAR = "5s"
BAR_MS = BAR_WIDTHS_MS[_BAR]
#: Zone maps that a symbol keeps, the newest configurations: a search asks for the same zones with many exits.
_KEPT_MAPS = 4


@dataclass(frozen=True)
class Bars:
    """One symbol's dense 5-second grid: arrays of shape (n,).

    The bar at `times_ms` (right edge) holds the liquidations known in the 5 s before it, so that it is known there.
    `buy` are liquidated longs, `sell` liquidated shorts; volume in base units. `covered` says whether the recorder had
    been heard of lately: "no liquidation" means something only there.
    """

    times_ms: Integers
    buy_usd: Floats
    sell_usd: Floats
    buy_volume: Floats
    sell_volume: Floats
    count: Integers
    covered: Booleans


@dataclass(frozen=True)
class CascadeSteps:
    """A symbol's cascades as they stood after each moment at which one was confirmed or grew: arrays of shape (n,).

    In order of time; a cascade's steps follow one another, at most one for each known time. `cascade` counts the
    cascades from 0 and `first_known_ms` is the known time of the cascade's first liquidation. Running sums in USD.
    """

    cascade: Integers
    known_ms: Integers
    first_known_ms: Integers
    notional_usd: Floats
    long_usd: Floats
    short_usd: Floats

    @property
    def is_long_dominated(self) -> Booleans:
        """Where liquidated longs weigh at least as much as liquidated shorts, as in `dominant_side`."""
        dominated: Booleans = self.long_usd >= self.short_usd
        return dominated


@dataclass(frozen=True)
class SymbolInputs:
    """One symbol of a market. `liquidations` is a `core.schema.LIQUIDATIONS` in order of known time; `covered` (m, 2)
    are the intervals in which the recorder listened. What follows from these is computed when first asked for."""

    symbol: str
    liquidations: pl.DataFrame
    path: PricePath
    start_ms: int
    end_ms: int
    covered: Integers
    preset: CascadePreset
    _zones: dict[ZoneConfig, ZoneMaps] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def known_ms(self) -> Integers:
        """Known time of each liquidation, (n,), ascending."""
        return self.liquidations["known_time"].to_physical().to_numpy()

    @cached_property
    def is_long(self) -> Booleans:
        """Which liquidations closed a long, (n,)."""
        return (self.liquidations["liquidated_side"] == LONG).to_numpy()

    @cached_property
    def notional_usd(self) -> Floats:
        """Notional of each liquidation, (n,)."""
        return self.liquidations["notional_usd"].to_numpy()

    @cached_property
    def cascades(self) -> pl.DataFrame:
        """The frame of `detect_cascades`."""
        return detect_cascades(self.liquidations, self.preset)

    @cached_property
    def events(self) -> pl.DataFrame:
        """The frame of `list_cascade_events`."""
        return list_cascade_events(self.liquidations, self.preset)

    @cached_property
    def steps(self) -> CascadeSteps:
        """The cascades, step by step."""
        return _list_steps(self)

    @cached_property
    def bars(self) -> Bars:
        """The 5-second grid over the span, its last edge at or before the end."""
        return _make_bars(self)

    def price_at(self, times_ms: npt.ArrayLike) -> Floats:
        """The last price known at or before each time; NaN when none, or older than the path's tolerance."""
        return PriceSeries(self.path.known_ms, self.path.price).last_known(times_ms, self.path.tolerance_ms)

    def find_zones(self, config: ZoneConfig) -> ZoneMaps:
        """The maps of `panel.map_zones` known by the end of the span, that of its last moment included."""
        maps = self._zones.get(config)
        if maps is None:
            placed = LevelLiquidations.gather(self.liquidations, PriceGrid.of(self.symbol, config))
            maps = map_zones(placed, self.start_ms, self.end_ms + 1, config)
            for stale in list(self._zones)[: 1 - _KEPT_MAPS]:
                self._zones.pop(stale, None)
            self._zones[config] = maps
        return maps


@dataclass(frozen=True)
class MarketInputs:
    """A market between `start_ms` and `end_ms`, both included, by symbol in the order given."""

    symbols: Mapping[str, SymbolInputs]
    start_ms: int
    end_ms: int

    @classmethod
    def gather(
        cls,
        liquidations: pl.DataFrame,
        paths: Mapping[str, PricePath],
        start_ms: int,
        end_ms: int,
        preset: CascadePreset | None = None,
    ) -> MarketInputs:
        """A market from a table of liquidations and price paths; a symbol is in it when `paths` holds it.

        Liquidations known outside the span, and those of other symbols, are left out. The recorder counts as listening
        where the path says so. Errors: `UserError` for a span that ends before it starts, `TypeError` for a frame that
        is no table of liquidations.
        """
        if end_ms < start_ms:
            raise UserError(
                f"a market cannot end at {format_time(end_ms)}, before it starts at {format_time(start_ms)}"
            )
        rows = _known_between(check_frame(liquidations, LIQUIDATIONS), start_ms, end_ms)
        by_symbol = rows.partition_by("symbol", as_dict=True)
        symbols = {
            name: SymbolInputs(
                name,
                sort_rows(by_symbol.get((name,), rows.clear())),
                path,
                start_ms,
                end_ms,
                path.covered,
                preset or get_preset("plan"),
            )
            for name, path in paths.items()
        }
        return cls(symbols, start_ms, end_ms)

    @property
    def paths(self) -> dict[str, PricePath]:
        """The price path of each symbol: what `run_engine` takes."""
        return {name: inputs.path for name, inputs in self.symbols.items()}

    def select(self, *names: str) -> MarketInputs:
        """The market with these symbols alone; `UserError` lists what there is when one is unknown."""
        for name in names:
            if name not in self.symbols:
                raise unknown_name("symbol", name, list(self.symbols))
        return replace(self, symbols={name: self.symbols[name] for name in names})

    def truncate(self, cut_ms: int) -> MarketInputs:
        """The market as it was known at `cut_ms`: later rows and prices gone, cascades detected again without them."""
        end_ms = max(min(self.end_ms, cut_ms), self.start_ms)
        symbols = {
            name: replace(
                inputs,
                liquidations=_known_between(inputs.liquidations, self.start_ms, cut_ms),
                path=_truncate_path(inputs.path, cut_ms),
                end_ms=end_ms,
                covered=_clip(inputs.covered, cut_ms),
                _zones={},
            )
            for name, inputs in self.symbols.items()
        }
        return MarketInputs(symbols, self.start_ms, end_ms)

    def with_paths(self, paths: Mapping[str, PricePath]) -> MarketInputs:
        """The market on other prices, its liquidations kept in time, side and notional; symbols not in `paths` stay.

        Each liquidation's own price is moved with the market (times the new path's last known price over the old
        one's, at its known time; before the first price, that one), its quantity by the inverse: the cascades are the
        same, and zones lie where the new prices are. `UserError` lists the symbols when one is unknown.
        """
        for name in paths:
            if name not in self.symbols:
                raise unknown_name("symbol", name, list(self.symbols))
        symbols = {
            name: _move_to(inputs, paths[name]) if name in paths else inputs for name, inputs in self.symbols.items()
        }
        return replace(self, symbols=symbols)


def read_inputs(
    lake: Recording, scope: Scope, preset: CascadePreset | None = None, assumed_delay_s: float | None = None
) -> MarketInputs:
    """The inputs of a scope of a lake (or of tables in memory), symbol by symbol; prices day by day.

    `preset` defaults to `plan`. With `assumed_delay_s` liquidations count as known that long after their event.
    """
    symbols = {}
    for name in scope.symbols:
        path = read_price_path(lake, name, scope)
        rows = read_known_liquidations(lake, name, scope, assumed_delay_s)
        symbols[name] = SymbolInputs(
            name,
            _known_between(rows, scope.start_ms, scope.end_ms),
            path,
            scope.start_ms,
            scope.end_ms,
            path.covered,
            preset or get_preset("plan"),
        )
    return MarketInputs(symbols, scope.start_ms, scope.end_ms)


def _known_between(liquidations: pl.DataFrame, start_ms: int, end_ms: int) -> pl.DataFrame:
    known = pl.col("known_time").to_physical()
    return liquidations.filter(known.is_between(start_ms, end_ms))


def _truncate_path(path: PricePath, cut_ms: int) -> PricePath:
    """The observations and the funding known at the cut; the typical interval stays, as it was known by then."""
    n = int(np.searchsorted(path.known_ms, cut_ms, side="right"))
    n_funding = int(np.searchsorted(path.funding_ms, cut_ms, side="right"))
    return replace(
        path,
        known_ms=path.known_ms[:n],
        price=path.price[:n],
        low=path.low[:n],
        high=path.high[:n],
        bid=path.bid[:n],
        ask=path.ask[:n],
        funding_ms=path.funding_ms[:n_funding],
        funding_rate=path.funding_rate[:n_funding],
        covered=_clip(path.covered, cut_ms),
    )


def _clip(covered: Integers, cut_ms: int) -> Integers:
    """The intervals (m, 2) up to the cut."""
    kept = covered[covered[:, 0] <= cut_ms]
    return np.minimum(kept, cut_ms)


def _move_to(inputs: SymbolInputs, path: PricePath) -> SymbolInputs:
    old, new = (_price_around(one, inputs.known_ms) for one in (inputs.path, path))
    ratio = pl.Series(np.where(np.isfinite(new / old), new / old, 1.0))
    moved = inputs.liquidations.with_columns(price=pl.col("price") * ratio, quantity=pl.col("quantity") / ratio)
    return replace(inputs, liquidations=moved, path=path, _zones={})


def _price_around(path: PricePath, times_ms: Integers) -> Floats:
    """The last price known at each time, however old; before the first, that one; NaN without any."""
    if not len(path.price):
        return np.full(len(times_ms), np.nan)
    rows = np.searchsorted(path.known_ms, times_ms, side="right") - 1
    return np.asarray(path.price[np.maximum(rows, 0)], dtype=np.float64)


def _make_bars(inputs: SymbolInputs) -> Bars:
    start_ms, end_ms = (time_ms // BAR_MS * BAR_MS for time_ms in (inputs.start_ms, inputs.end_ms))
    frame = compute_bars(inputs.liquidations, _BAR, start_ms, end_ms, [inputs.symbol])
    times = frame["time"].to_physical().to_numpy()
    return Bars(
        times,
        buy_usd=frame["liq_buy_notional"].to_numpy(),
        sell_usd=frame["liq_sell_notional"].to_numpy(),
        buy_volume=frame["liq_buy_volume"].to_numpy(),
        sell_volume=frame["liq_sell_volume"].to_numpy(),
        count=frame["liq_count"].to_numpy(),
        covered=mark_covered(times, Intervals(inputs.covered[:, 0], inputs.covered[:, 1])),
    )


def _list_steps(inputs: SymbolInputs) -> CascadeSteps:
    """The detector's events, each with the known time of the liquidation that caused it."""
    label = label_liquidations(inputs.liquidations, inputs.preset)["cascade_id"]
    member = np.flatnonzero(label.is_not_null().to_numpy())
    first_of = np.flatnonzero(_is_new(label.gather(member)))
    events = inputs.events
    cascade = np.cumsum(_is_new(events["cascade_id"])) - 1
    known_ms = inputs.known_ms[member[first_of[cascade] + events["n_liquidations"].to_numpy() - 1]]
    # Of the events of one moment the last holds all that was known then; the end of a cascade repeats its last state.
    is_last = np.ones(events.height, dtype=np.bool_)
    is_last[:-1] = (np.diff(cascade) != 0) | (np.diff(known_ms) != 0)
    rows = np.flatnonzero(is_last)
    sums = (events[name].to_numpy()[rows] for name in ("notional_usd", "long_notional_usd", "short_notional_usd"))
    return CascadeSteps(cascade[rows], known_ms[rows], inputs.known_ms[member[first_of]][cascade[rows]], *sums)


def _is_new(labels: pl.Series) -> Booleans:
    """Where a label differs from the one before it."""
    return labels.ne_missing(labels.shift(1)).to_numpy()
