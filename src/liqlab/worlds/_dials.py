"""The dials of a simulated market: every mechanism by name, with its unit in the name; 0 turns it off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from liqlab.core.config import bounded, check_bounds


@dataclass(frozen=True)
class _Checked:
    def __post_init__(self) -> None:
        """Check the ranges."""
        check_bounds(self)


@dataclass(frozen=True)
class PriceDials(_Checked):
    """The price path that nobody's liquidation moves. `volatility_scale` multiplies that of every symbol.

    Volatility: its log is a sum of four stationary autoregressions with half-lives from `slow` to `fast`, equal shares
    of variance, total standard deviation `volatility_log_sd`, the share `common_volatility_frac` of its variance common
    to all symbols. Season: `daily_season` is the exponent of the profile of the day, `weekend_calm_frac` what Saturday
    and Sunday lack. Jumps excite further jumps, `jump_excitation_frac` each on average, after `jump_excitation_min`;
    `jump_down_frac` of them point down; their size is normal with `jump_sd_minutes` times the minute's standard
    deviation, and they take `jump_duration_s` on average. The shock is one exogenous move of `shock_return_frac` from
    `shock_start_h` hours after the first midnight on.
    """

    volatility_scale: float = bounded(1.0, 0.0, 100.0)
    common_volatility_frac: float = bounded(0.6, 0.0, 1.0)
    volatility_log_sd: float = bounded(0.55, 0.0, 2.0)
    volatility_slow_half_life_min: float = bounded(2_880.0, 1.0, 1e6)
    volatility_fast_half_life_min: float = bounded(8.0, 0.1, 1e6)
    daily_season: float = bounded(1.0, 0.0, 3.0)
    weekend_calm_frac: float = bounded(0.25, 0.0, 0.95)
    jumps_per_day: float = bounded(3.0, 0.0, 1e4)
    jump_excitation_frac: float = bounded(0.4, 0.0, 0.9)
    jump_excitation_min: float = bounded(20.0, 0.1, 1e4)
    jump_sd_minutes: float = bounded(3.0, 0.0, 100.0)
    jump_down_frac: float = bounded(0.5, 0.0, 1.0)
    jump_duration_s: float = bounded(4.0, 0.0, 3_600.0)
    shock_return_frac: float = bounded(0.0, -0.9, 5.0)
    shock_start_h: float = bounded(0.0, 0.0, 1e5)
    shock_duration_min: float = bounded(40.0, 0.1, 1e4)


@dataclass(frozen=True)
class TraderDials(_Checked):
    """Who holds positions: arrival, direction, leverage, how long they stay and how they are forced out.

    `positions_scale` multiplies every symbol's arrivals, `size_scale` the size of its positions. Traders arrive in
    groups that share direction, leverage and margin, within `group_spread_s`. `trend_tilt` > 0: more join the move of
    the last quarter of an hour than fade it; `move_response` is how much more arrive per standard deviation of it.

    Leverage is log-normal around `leverage_median` between 1 and `leverage_max`. The distance to liquidation is 1 /
    leverage - maintenance margin, times a log-normal factor (`margin_log_sd` by group, `follower_log_sd` within a
    group): what each has added to its margin or lost of it. A position leaves after an exponential time, or is
    liquidated when the mark price crosses its level, after a latency, large ones in several orders. `levered_frac` is
    the share of positions with a level at all; `random_exit_frac` of those that leave are liquidated then: forced
    orders without a cause. A forced order's counterparty closes a position with probability
    `counterparty_closing_frac`; else it opens one, without leverage, and keeps it for `opener_holding_mean_h` on
    average.
    """

    positions_scale: float = bounded(1.0, 0.0, 1e3)
    size_scale: float = bounded(1.0, 1e-3, 1e4)
    levered_frac: float = bounded(1.0, 0.0, 1.0)
    random_exit_frac: float = bounded(0.0, 0.0, 1.0)
    leverage_median: float = bounded(40.0, 1.0, 500.0)
    leverage_log_sd: float = bounded(0.8, 0.0, 3.0)
    leverage_max: float = bounded(100.0, 1.0, 500.0)
    margin_log_sd: float = bounded(0.5, 0.0, 3.0)
    follower_log_sd: float = bounded(0.05, 0.0, 3.0)
    holding_mean_h: float = bounded(12.0, 0.01, 200.0)
    daily_season: float = bounded(1.0, 0.0, 3.0)
    group_spread_s: float = bounded(10.0, 0.0, 3_600.0)
    trend_tilt: float = bounded(0.2, -1.0, 1.0)
    move_response: float = bounded(0.5, 0.0, 10.0)
    latency_median_ms: float = bounded(60.0, 1.0, 5_000.0)
    latency_log_sd: float = bounded(0.7, 0.0, 2.0)
    partial_gap_mean_ms: float = bounded(120.0, 1.0, 1_000.0)
    counterparty_closing_frac: float = bounded(0.6, 0.0, 1.0)
    opener_holding_mean_h: float = bounded(3.0, 0.01, 200.0)


@dataclass(frozen=True)
class BookDials(_Checked):
    """What a forced order does to the price. `depth_scale` multiplies every symbol's depth.

    A forced order of notional N moves the log price at once by `impact_bps` (N / depth)^`impact_exponent` with its
    pressure; `transient_frac` of that decays with `transient_half_life_s`, the rest stays. `follow_frac` of the move
    comes once more, spread over `follow_half_life_s`: others trade after it. Depth follows the day with exponent
    `depth_season`, loses `weekend_thin_frac` on Saturday and Sunday, and falls with volatility to the power
    `depth_volatility_exponent`. `volatility_feedback` raises the size of the exogenous moves by that share per depth's
    worth of forced notional, decaying with `feedback_half_life_s`.
    """

    depth_scale: float = bounded(1.0, 1e-3, 1e4)
    impact_bps: float = bounded(2.0, 0.0, 1e3)
    impact_exponent: float = bounded(0.5, 0.1, 1.0)
    transient_frac: float = bounded(0.6, 0.0, 1.0)
    transient_half_life_s: float = bounded(20.0, 0.05, 1e5)
    follow_frac: float = bounded(0.0, 0.0, 10.0)
    follow_half_life_s: float = bounded(20.0, 0.05, 1e5)
    depth_season: float = bounded(0.5, 0.0, 3.0)
    weekend_thin_frac: float = bounded(0.2, 0.0, 0.95)
    depth_volatility_exponent: float = bounded(0.5, 0.0, 3.0)
    depth_noise_log_sd: float = bounded(0.2, 0.0, 2.0)
    volatility_feedback: float = bounded(0.0, 0.0, 100.0)
    feedback_half_life_s: float = bounded(300.0, 0.1, 1e5)
    spread_bps: float = bounded(0.0, 0.0, 100.0)
    mark_half_life_s: float = bounded(0.3, 0.0, 600.0)


@dataclass(frozen=True)
class SpillDials(_Checked):
    """What reaches beyond the moment and the asset.

    `contagion_frac` of a source's immediate move, in units of each symbol's volatility, reaches the others as a
    permanent move after `contagion_lag_s` (uniform between half and one and a half times it). `attraction_bps_per_min`
    is the drift towards the side with more liquidation notional within `attraction_range_bps`, at full one-sidedness. A
    liquidation counts as triggered when, without the impact of the liquidations of the last `attribution_window_s`, the
    price would not have reached its level within the next `attribution_horizon_s`.
    """

    contagion_frac: float = bounded(0.0, 0.0, 10.0)
    contagion_lag_s: float = bounded(10.0, 2.5, 60.0)
    attraction_bps_per_min: float = bounded(0.0, 0.0, 1e3)
    attraction_range_bps: float = bounded(100.0, 1.0, 1_000.0)
    attribution_window_s: float = bounded(60.0, 0.1, 3_600.0)
    attribution_horizon_s: float = bounded(5.0, 0.0, 3_600.0)


@dataclass(frozen=True)
class FundingDials(_Checked):
    """Perpetual against index: a slow basis, and the funding rate that follows from the premium, clamped, every 8 h."""

    basis_sd_bps: float = bounded(2.0, 0.0, 1e3)
    basis_half_life_min: float = bounded(300.0, 1.0, 1e5)
    interest_frac: float = bounded(0.0001, 0.0, 0.01)
    clamp_frac: float = bounded(0.0005, 0.0, 0.1)
    cap_frac: float = bounded(0.01, 0.0, 0.1)


@dataclass(frozen=True)
class RecorderDials(_Checked):
    """From the exchange to the recorder's disk.

    A push of liquidations takes between `delivery_shortest_ms` and `delivery_longest_ms` to arrive; a REST answer 20 to
    150 ms. The rest is dirt, added only when asked for: reconnects, pushes that arrive after the next one, and a gap
    of 2 to `gap_longest_min` a day.
    """

    delivery_shortest_ms: float = bounded(1.0, 0.0, 450.0)
    delivery_longest_ms: float = bounded(111.0, 0.0, 450.0)
    reconnects_per_day: int = bounded(3, 0, 1_000)
    late_pushes_per_day: int = bounded(3, 0, 10_000)
    gap_longest_min: float = bounded(8.0, 0.0, 600.0)


@dataclass(frozen=True)
class SymbolDials(_Checked):
    """One symbol's scale: how it is quoted, how it moves, who trades it and how deep its book is.

    `size_median_usd` and `size_log_sd` are those of positions; one of k^2 times `partial_order_usd` is liquidated in
    k + 1 orders. `group_followers` is how many arrive with a trader on average. `depth_usd` is the notional that moves
    the price by the book's `impact_bps`. `holders` and `open_interest` are accounts and contracts that never come or
    go: the rest follows from positions.
    """

    start_price: float = bounded(12.5, 1e-8, 1e8)
    price_tick: float = bounded(0.001, 1e-8, 1e3)
    price_decimals: int = bounded(3, 0, 8)
    quantity_decimals: int = bounded(1, 0, 8)
    annual_volatility_frac: float = bounded(0.9, 0.0, 10.0)
    common_correlation: float = bounded(0.7, 0.0, 1.0)
    positions_per_day: float = bounded(3_000.0, 0.0, 1e6)
    group_followers: float = bounded(1.0, 0.0, 1e3)
    long_frac: float = bounded(0.56, 0.0, 1.0)
    size_median_usd: float = bounded(350.0, 1e-3, 1e7)
    size_log_sd: float = bounded(2.1, 0.0, 4.0)
    partial_order_usd: float = bounded(50_000.0, 1.0, 1e9)
    maintenance_margin_frac: float = bounded(0.01, 0.0, 0.2)
    depth_usd: float = bounded(300_000.0, 1.0, 1e10)
    touch_size_usd: float = bounded(20_000.0, 0.0, 1e9)
    contagion_out_frac: float = bounded(0.0, 0.0, 10.0)
    contagion_in_frac: float = bounded(1.0, 0.0, 10.0)
    open_interest: float = bounded(4e6, 0.0, 1e15)
    holders: float = bounded(20_000.0, 0.0, 1e9)
    holders_long_frac: float = bounded(0.58, 0.0, 1.0)
    volume_24h: float = bounded(1e7, 0.0, 1e15)

    @property
    def quantity_step(self) -> float:
        """The smallest quantity, in base units."""
        return float(10.0**-self.quantity_decimals)


@dataclass(frozen=True)
class World:
    """All dials of one market. `symbols` holds the scale of the symbols that have their own."""

    name: str = "plan"
    description: str = ""
    price: PriceDials = field(default_factory=PriceDials)
    traders: TraderDials = field(default_factory=TraderDials)
    book: BookDials = field(default_factory=BookDials)
    spill: SpillDials = field(default_factory=SpillDials)
    funding: FundingDials = field(default_factory=FundingDials)
    recorder: RecorderDials = field(default_factory=RecorderDials)
    symbols: dict[str, SymbolDials] = field(default_factory=dict)

    def dials_of(self, symbol: str) -> SymbolDials:
        """The scale of `symbol` in this world; generic for one that the world does not name."""
        own = self.symbols.get(symbol) or SymbolDials()
        return replace(
            own,
            annual_volatility_frac=own.annual_volatility_frac * self.price.volatility_scale,
            positions_per_day=own.positions_per_day * self.traders.positions_scale,
            size_median_usd=own.size_median_usd * self.traders.size_scale,
            depth_usd=own.depth_usd * self.book.depth_scale,
        )
