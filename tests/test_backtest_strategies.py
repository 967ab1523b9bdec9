"""Strategies: what every one of the catalogue must keep to, slow versions beside the fast, each one's rules by hand."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategy_market import (
    START_MS,
    known_by,
    list_columns,
    make_market,
    random_market,
    splice,
    write_rows,
)

from liqlab.backtest._cascade_fade import CascadeFade, CascadeFadeParameters
from liqlab.backtest._imbalance_reversal import ImbalanceReversal, ImbalanceReversalParameters
from liqlab.backtest._inputs import MarketInputs, SymbolInputs
from liqlab.backtest._orders import NEVER, Orders
from liqlab.backtest._strategy import STRATEGIES, Strategy, check_orders, decide_orders, get_strategy
from liqlab.backtest._volatility_breakout import VolatilityBreakout, VolatilityBreakoutParameters
from liqlab.backtest._zone_bounce import ZoneBounce, ZoneBounceParameters
from liqlab.core.errors import ConfigError, UserError
from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE

#: Parameters with which each strategy decides often on half a day, and every branch of its rules is taken.
LIVELY: dict[str, Any] = {
    "cascade_fade": CascadeFadeParameters(
        threshold_usd=3e5, target_move_frac=0.5, trailing_quantile=0.5, trailing_least=5, trailing_window=10
    ),
    "imbalance_reversal": ImbalanceReversalParameters(
        window_min=10.0, min_liquidations=3, min_usd=1e4, worse_share=0.75, worse_growth=1.2
    ),
    "zone_bounce": ZoneBounceParameters(
        window_h=6.0, history_h=1.0, refresh_min=30, least_liquidations=5, approach_bps=5.0, is_limit=True
    ),
    "volatility_breakout": VolatilityBreakoutParameters(
        threshold_sigma=2.0, baseline_min=30.0, min_events=3, trail_frac=0.004
    ),
}


def _variants(strategy: Strategy) -> list[Any]:
    lively = LIVELY.get(strategy.name)
    return [strategy.default, strategy.scaled, *([] if lively is None else [lively])]


CASES = [
    pytest.param(strategy, parameters, id=f"{strategy.name}-{variant}")
    for strategy in STRATEGIES
    for variant, parameters in zip(("default", "scaled", "lively"), _variants(strategy), strict=False)
]
each_case = pytest.mark.parametrize(("strategy", "parameters"), CASES)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)


@pytest.fixture(scope="module")
def market() -> MarketInputs:
    return random_market(1)


def _liveliest(strategy: Strategy) -> Any:
    return _variants(strategy)[-1]


# The contract


@each_strategy
def test_the_lively_parameters_decide_often_on_both_sides_in_both_symbols(
    strategy: Strategy, market: MarketInputs
) -> None:
    orders = decide_orders(strategy, market, _liveliest(strategy))
    assert len(orders) >= 20
    assert set(orders.side.tolist()) == {1.0, -1.0}
    assert set(orders.codes.tolist()) == {0, 1}


@each_case
def test_orders_are_sorted_and_lie_in_the_span(strategy: Strategy, parameters: Any, market: MarketInputs) -> None:
    orders = decide_orders(strategy, market, parameters)
    keys = list(zip(orders.decision_ms.tolist(), orders.codes.tolist(), strict=True))
    assert keys == sorted(keys)
    assert all(market.start_ms <= moment <= market.end_ms for moment, _ in keys)
    assert np.all(orders.exit_signal_ms > orders.decision_ms)


@each_case
def test_the_same_market_gives_the_same_orders(strategy: Strategy, parameters: Any, market: MarketInputs) -> None:
    first = list_columns(decide_orders(strategy, market, parameters))
    assert list_columns(decide_orders(strategy, market, parameters)) == first
    assert list_columns(decide_orders(strategy, random_market(1), parameters)) == first


def _list_cuts(orders: Orders, market: MarketInputs) -> list[int]:
    """Cuts at, just before and just after decisions and exit signals, and some anywhere."""
    moments = np.concatenate([orders.decision_ms, orders.exit_signal_ms[orders.exit_signal_ms != NEVER]])
    chosen = moments[:: max(1, len(moments) // 8)].tolist()
    anywhere = np.linspace(market.start_ms, market.end_ms, 7).astype(np.int64).tolist()
    return sorted({cut for moment in chosen for cut in (moment - 1, moment, moment + 1)} | set(anywhere))


@each_case
def test_what_is_decided_by_a_cut_does_not_change_when_later_data_is_removed(
    strategy: Strategy, parameters: Any, market: MarketInputs
) -> None:
    orders = decide_orders(strategy, market, parameters)
    for cut_ms in _list_cuts(orders, market):
        found = decide_orders(strategy, market.truncate(cut_ms), parameters)
        assert list_columns(found) == list_columns(known_by(orders, cut_ms)), cut_ms


@each_case
def test_what_is_decided_by_a_cut_does_not_change_when_later_data_is_replaced(
    strategy: Strategy, parameters: Any, market: MarketInputs
) -> None:
    orders, other = decide_orders(strategy, market, parameters), random_market(2)
    for cut_ms in _list_cuts(orders, market)[::3]:
        found = decide_orders(strategy, splice(market, other, cut_ms), parameters)
        assert list_columns(known_by(found, cut_ms)) == list_columns(known_by(orders, cut_ms)), cut_ms


@settings(max_examples=12)
@given(seed=st.integers(0, 50), share=st.floats(0.0, 1.0), which=st.integers(0, len(STRATEGIES) - 1))
def test_no_strategy_looks_ahead_on_any_market(seed: int, share: float, which: int) -> None:
    strategy, market = STRATEGIES[which], random_market(seed, 4.0, gap=(1.5, 2.0))
    cut_ms = market.start_ms + round(share * (market.end_ms - market.start_ms))
    orders = decide_orders(strategy, market, _liveliest(strategy))
    found = decide_orders(strategy, market.truncate(cut_ms), _liveliest(strategy))
    assert list_columns(found) == list_columns(known_by(orders, cut_ms))


class _Oracle:
    """Decides at every burst by what the price does next: the contract must catch it."""

    name, description, Parameters = "oracle", "looks ahead", CascadeFadeParameters
    default = scaled = CascadeFadeParameters(threshold_usd=3e5)

    def decide(self, inputs: MarketInputs, parameters: CascadeFadeParameters) -> Orders:
        orders = CascadeFade().decide(inputs, parameters)
        later = inputs.symbols["BTCUSDT"].price_at(orders.decision_ms + 60_000)
        now = inputs.symbols["BTCUSDT"].price_at(orders.decision_ms)
        return orders.with_values(side=np.where(later > now, 1.0, -1.0))


def test_a_strategy_that_looks_ahead_is_caught(market: MarketInputs) -> None:
    alone = market.select("BTCUSDT")
    with pytest.raises(AssertionError):
        test_what_is_decided_by_a_cut_does_not_change_when_later_data_is_removed(_Oracle(), _Oracle.default, alone)


@each_case
def test_a_symbol_alone_gives_its_orders_of_the_whole_market(
    strategy: Strategy, parameters: Any, market: MarketInputs
) -> None:
    orders = decide_orders(strategy, market, parameters)
    for code, name in enumerate(market.symbols):
        alone = decide_orders(strategy, market.select(name), parameters)
        assert list_columns(alone) | {"codes": []} == list_columns(orders.select(orders.codes == code)) | {"codes": []}


@each_case
def test_without_liquidations_there_is_nothing_to_trade(strategy: Strategy, parameters: Any) -> None:
    assert len(decide_orders(strategy, random_market(1, 6.0, has_liquidations=False), parameters)) == 0


@each_case
def test_without_prices_nothing_fails_and_rules_on_prices_decide_nothing(strategy: Strategy, parameters: Any) -> None:
    orders = decide_orders(strategy, random_market(1, 6.0, has_prices=False), parameters)
    assert strategy.name in {"cascade_fade", "imbalance_reversal"} or len(orders) == 0


@each_case
def test_a_market_of_one_moment_gives_no_orders(strategy: Strategy, parameters: Any) -> None:
    market = random_market(1, 1.0)
    assert len(decide_orders(strategy, market.truncate(market.start_ms), parameters)) == 0


@pytest.mark.parametrize(("side", "sign"), [(LONG, 1.0), (SHORT, -1.0)])
@pytest.mark.parametrize("name", ["cascade_fade", "imbalance_reversal"])
def test_liquidated_longs_are_faded_by_buying_and_shorts_by_selling(name: str, side: str, sign: float) -> None:
    strategy = get_strategy(name)
    orders = decide_orders(strategy, random_market(3, 6.0, side=side), _liveliest(strategy))
    assert len(orders) > 0
    assert set(orders.side.tolist()) == {sign}


@each_strategy
def test_nothing_is_decided_while_the_recorder_is_off(strategy: Strategy) -> None:
    market = random_market(4, 8.0, gap=(3.0, 5.0))
    orders = decide_orders(strategy, market, _liveliest(strategy))
    hours = (orders.decision_ms - START_MS) / MS_PER_HOUR
    assert len(orders) > 0
    assert not np.any((hours > 3.0) & (hours < 5.0))


@each_strategy
def test_a_parameter_out_of_range_is_named_with_its_range_and_value(strategy: Strategy) -> None:
    bounds = [field for field in dataclasses.fields(strategy.Parameters) if "low" in field.metadata]
    assert len(bounds) >= 5
    for field in bounds:
        low, high = field.metadata["low"], field.metadata["high"]
        for value in (low - 1, high + 1):
            with pytest.raises(ConfigError) as raised:
                strategy.Parameters(**{field.name: value})
            message = str(raised.value)
            assert f"{strategy.Parameters.__name__}.{field.name}" in message
            assert f"[{low:g}, {high:g}]" in message
            assert repr(value) in message


@each_strategy
def test_parameters_of_another_strategy_are_refused(strategy: Strategy, market: MarketInputs) -> None:
    with pytest.raises(ConfigError, match=strategy.Parameters.__name__):
        decide_orders(strategy, market, object())


@each_case
def test_deciding_is_cheap(strategy: Strategy, parameters: Any, market: MarketInputs) -> None:
    decide_orders(strategy, market, parameters)
    spent = []
    for _ in range(3):
        start = time.process_time()
        decide_orders(strategy, market, parameters)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.1


def test_an_unknown_strategy_lists_what_there_is() -> None:
    with pytest.raises(UserError, match="cascade_fade, imbalance_reversal, volatility_breakout, zone_bounce"):
        get_strategy("cascade")


def test_names_are_unique_and_descriptions_one_line() -> None:
    assert len({strategy.name for strategy in STRATEGIES}) == len(STRATEGIES) == 4
    for strategy in STRATEGIES:
        assert get_strategy(strategy.name) is strategy
        assert strategy.description
        assert "\n" not in strategy.description


def test_orders_that_a_strategy_cannot_have_decided_are_refused(market: MarketInputs) -> None:
    good = market.start_ms + 1
    with pytest.raises(UserError, match="returned a list"):
        check_orders([], market, "mine")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"unknown symbol 'LTCUSDT'; the market has BTCUSDT, ETHUSDT"):
        check_orders(Orders.gather(["LTCUSDT"], [0], [good], [1.0]), market, "mine")
    with pytest.raises(UserError, match=r"order 1 .* outside the market's span"):
        check_orders(Orders.gather(["BTCUSDT"], [0, 0], [good, market.end_ms + 1], [1.0, 1.0]), market, "mine")
    with pytest.raises(UserError, match="exit signal of order 0 lies before its decision"):
        check_orders(Orders.gather(["BTCUSDT"], [0], [good], [1.0], exit_signal_ms=good - 1), market, "mine")


# Slow versions


def _slow_cascade_fade(inputs: SymbolInputs, p: CascadeFadeParameters) -> list[tuple[Any, ...]]:
    """Liquidation by liquidation, with nothing but a list of what is in the cluster; the rules of preset `plan`."""
    rows = inputs.liquidations.select("known_time", "liquidated_side", "quantity", "price", "notional_usd")
    rows = rows.with_columns(rows["known_time"].to_physical()).rows()
    decided, cluster, is_traded = [], [], False
    for i, (now, *_) in enumerate(rows):
        if cluster and now - cluster[-1][0] > 5_000:
            cluster, is_traded = [], False
        cluster.append(rows[i])
        if i + 1 < len(rows) and rows[i + 1][0] == now:
            continue
        total = {side: sum(q * x for _, s, q, x, _ in cluster if s == side) for side in (LONG, SHORT)}
        held = total[LONG] + total[SHORT]
        if is_traded or len(cluster) < 3 or held < max(100_000.0, p.threshold_usd):
            continue
        is_traded = True
        side = LONG if total[LONG] >= total[SHORT] else SHORT
        further, signal = 0.0, NEVER
        for known, other, _, _, usd in rows[i + 1 :]:
            further += usd if other == side else 0.0
            if further > p.stop_share * held:
                signal = known
                break
        holding_ms = p.timeout_min * MS_PER_MINUTE + MS_PER_HOUR
        signal = signal if signal <= now + holding_ms else NEVER
        decided.append((now, 1.0 if side == LONG else -1.0, signal, int(signal != NEVER)))
    return decided


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("threshold_usd", [3e5, 1e6])
def test_the_fast_cascade_fade_decides_what_the_slow_one_does(seed: int, threshold_usd: float) -> None:
    market = random_market(seed, 10.0)
    p = CascadeFadeParameters(threshold_usd=threshold_usd, stop_share=0.2)
    compared = 0
    for name, inputs in market.symbols.items():
        orders = CascadeFade().decide(market.select(name), p)
        columns = (orders.decision_ms, orders.side, orders.exit_signal_ms, orders.exit_signal)
        found = list(zip(*(column.tolist() for column in columns), strict=True))
        assert found == _slow_cascade_fade(inputs, p)
        compared += len(found)
    assert compared > 5


def _slow_imbalance(inputs: SymbolInputs, p: ImbalanceReversalParameters) -> list[tuple[Any, ...]]:
    """Bar by bar, each window added up again from the liquidations in its covered bars."""
    rows = inputs.liquidations.select("known_time", "liquidated_side", "quantity", "notional_usd")
    rows = rows.with_columns(rows["known_time"].to_physical()).rows()
    times, covered = inputs.bars.times_ms.tolist(), inputs.bars.covered.tolist()
    n = round(p.window_min * 12)
    in_bar: list[list[tuple[Any, ...]]] = [[] for _ in times]
    for row in rows:
        place = (row[0] - inputs.start_ms) // 5_000
        if place < len(times) and covered[place]:
            in_bar[place].append(row)

    def look(i: int) -> tuple[bool, str | None, float | None, float, float]:
        """Ready, the extreme side, the share of longs, notional, |imbalance| of the window that ends with bar i."""
        window = range(max(0, i - n + 1), i + 1)
        held = [row for place in window for row in in_bar[place]]
        heard = sum(covered[place] for place in window)
        ready = covered[i] and heard >= 0.8 * n
        longs = sum(row[2] for row in held if row[1] == LONG)
        total = sum(row[2] for row in held)
        usd = sum(row[3] for row in held)
        if not held:
            return ready, None, None, 0.0, 0.0 if heard else 1.0
        share = longs / total
        enough = len(held) >= p.min_liquidations and usd >= p.min_usd
        extreme = LONG if share > p.threshold_frac else SHORT if 1 - share > p.threshold_frac else None
        return ready, extreme if enough else None, share, usd, abs(2 * share - 1)

    seen = [look(i) for i in range(len(times))]
    decided = []
    for i in range(1, len(times)):
        ready, side, _, usd, _ = seen[i]
        if not (side and ready and seen[i - 1][0] and seen[i - 1][1] != side):
            continue
        signal, code = NEVER, 0
        for j in range(i + 1, len(times)):
            _, _, share, later_usd, imbalance = seen[j]
            own = None if share is None else share if side == LONG else 1 - share
            worse = own is not None and own >= p.worse_share and later_usd >= p.worse_growth * usd
            if worse or (covered[j] and imbalance < p.exit_imbalance):
                signal, code = times[j], int(worse)
                break
        if signal > times[i] + p.timeout_min * MS_PER_MINUTE + MS_PER_HOUR:
            signal, code = NEVER, 0
        decided.append((times[i], 1.0 if side == LONG else -1.0, signal, code))
    return decided


@pytest.mark.parametrize("seed", range(3))
def test_the_fast_imbalance_reversal_decides_what_the_slow_one_does(seed: int) -> None:
    market = random_market(seed, 6.0, gap=(2.0, 2.4))
    p = LIVELY["imbalance_reversal"]
    compared = 0
    for name, inputs in market.symbols.items():
        orders = ImbalanceReversal().decide(market.select(name), p)
        columns = (orders.decision_ms, orders.side, orders.exit_signal_ms, orders.exit_signal)
        found = list(zip(*(column.tolist() for column in columns), strict=True))
        assert found == _slow_imbalance(inputs, p)
        compared += len(found)
    assert compared > 10


# Each one's rules by hand

_SECONDS = np.arange(1, 6 * 3_600, 5, dtype=np.float64)


def _flat(level: float = 70_000.0) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.full(len(_SECONDS), level)


def test_a_cascade_is_traded_once_when_it_reaches_the_threshold() -> None:
    rows = write_rows((100, LONG, 2e6), (102, LONG, 2e6), (104, LONG, 0.9e6), (106, LONG, 0.2e6), (108, LONG, 3e6))
    orders = CascadeFade().decide(make_market(rows, _SECONDS, _flat(), 6.0), CascadeFade.default)
    assert orders.decision_ms.tolist() == [START_MS + 106_000]
    assert orders.side.tolist() == [1.0]
    assert orders.timeout_ms.tolist() == [15 * MS_PER_MINUTE]
    assert orders.target_frac.tolist() == [CascadeFade.default.target_frac]
    # 3 of the further millions are over half of the 5.1 held at the decision.
    assert orders.exit_signal_ms.tolist() == [START_MS + 108_000]
    assert orders.exit_signal.tolist() == [1]


def test_liquidations_of_the_other_side_and_much_later_ones_do_not_stop_a_fade() -> None:
    first = [(100, LONG, 2e6), (102, LONG, 2e6), (104, LONG, 2e6)]
    rows = write_rows(*first, (150, SHORT, 9e6), (5 * 3_600, LONG, 9e6))
    orders = CascadeFade().decide(make_market(rows, _SECONDS, _flat(), 6.0), CascadeFade.default)
    assert orders.exit_signal_ms.tolist() == [NEVER]
    assert orders.exit_signal.tolist() == [0]


def test_a_cascade_is_judged_by_all_that_was_known_in_its_millisecond() -> None:
    rows = write_rows((100, LONG, 3e6), (102, LONG, 1.5e6), (104, LONG, 0.6e6), (104, SHORT, 6e6))
    orders = CascadeFade().decide(make_market(rows, _SECONDS, _flat(), 6.0), CascadeFade.default)
    assert orders.decision_ms.tolist() == [START_MS + 104_000]
    assert orders.side.tolist() == [-1.0]


def test_a_cascade_without_enough_dominance_is_left_alone() -> None:
    rows = write_rows((100, LONG, 3e6), (102, SHORT, 2.5e6), (104, LONG, 1e6))
    market = make_market(rows, _SECONDS, _flat(), 6.0)
    assert len(CascadeFade().decide(market, CascadeFade.default)) == 1
    assert len(CascadeFade().decide(market, CascadeFadeParameters(dominance_frac=0.7))) == 0


def test_the_target_can_be_a_share_of_the_way_back() -> None:
    prices = np.where(_SECONDS < 100, 70_000.0, 69_300.0)
    rows = write_rows((100.5, LONG, 2e6), (102, LONG, 2e6), (104, LONG, 2e6))
    orders = CascadeFade().decide(make_market(rows, _SECONDS, prices, 6.0), CascadeFadeParameters(target_move_frac=0.5))
    assert orders.target_frac.tolist() == pytest.approx([0.5 * (70_000 / 69_300 - 1)])
    against = CascadeFade().decide(
        make_market(rows, _SECONDS, prices[::-1] + 0.0, 6.0), CascadeFadeParameters(target_move_frac=0.5)
    )
    assert against.target_frac.tolist() == [CascadeFade.default.target_frac]


def test_the_trailing_threshold_is_the_quantile_of_the_cascades_before() -> None:
    sizes = [0.3e6, 0.6e6, 0.9e6, 0.8e6, 0.5e6, 3e6]
    rows = write_rows(
        *((100 * k + step, LONG, size / 3) for k, size in enumerate(sizes, 1) for step in (0.0, 1.0, 2.0))
    )
    p = CascadeFadeParameters(threshold_usd=1e9, trailing_quantile=0.5, trailing_least=3, trailing_window=3)
    orders = CascadeFade().decide(make_market(rows, _SECONDS, _flat(), 6.0), p)
    # Medians of the three before the 4th, 5th and 6th: 0.6, 0.8 and 0.8 million.
    assert ((orders.decision_ms - START_MS) // 100_000).tolist() == [4, 6]


def test_a_one_sided_window_is_traded_at_the_crossing_and_left_when_normal() -> None:
    even = [(60.0 * k + shift, side, 20_000.0) for k in range(60) for shift, side in ((0.0, LONG), (7.0, SHORT))]
    burst = [(3_660.0 + k, LONG, 50_000.0) for k in range(30)]
    rows = write_rows(*even, *burst, (3_700.0, SHORT, 1_000_000.0))
    orders = ImbalanceReversal().decide(make_market(rows, _SECONDS, _flat(), 6.0), ImbalanceReversal.default)
    assert orders.side.tolist()[:1] == [1.0]
    decided_s = (orders.decision_ms[0] - START_MS) / 1_000
    assert 3_660 < decided_s <= 3_690
    assert decided_s % 5 == 0
    assert (orders.exit_signal_ms[0], orders.exit_signal[0]) == (START_MS + 3_705_000, 0)


def test_a_window_that_grows_more_one_sided_stops_the_reversal() -> None:
    burst = [(3_600.0 + 10 * k, SHORT, 60_000.0) for k in range(40)]
    orders = ImbalanceReversal().decide(
        make_market(write_rows(*burst), _SECONDS, _flat(), 6.0), ImbalanceReversal.default
    )
    assert orders.side.tolist() == [-1.0]
    assert orders.exit_signal.tolist() == [1]
    # Ten liquidations were needed for the decision, twenty hold twice their notional.
    assert orders.decision_ms.tolist() == [START_MS + 3_695_000]
    assert orders.exit_signal_ms.tolist() == [START_MS + 3_795_000]


def _zone_market(prices: np.ndarray[Any, np.dtype[np.float64]]) -> MarketInputs:
    """One zone, [70,000, 70,100), from the first hour on."""
    rows = write_rows(*((30.0 * k, LONG, 10_000.0) for k in range(1, 110)), price=70_050.0)
    return make_market(rows, _SECONDS, prices, 6.0)


_ZONE = ZoneBounceParameters(window_h=48.0, history_h=1.0, least_liquidations=20, approach_bps=20.0)


def _ramp(*points: tuple[float, float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.interp(_SECONDS, *zip(*points, strict=True))


@pytest.mark.parametrize(("start", "side", "stop"), [(71_000.0, 1.0, 69_930.0), (69_000.0, -1.0, 70_170.1)])
def test_a_zone_is_bought_from_above_and_sold_from_below(start: float, side: float, stop: float) -> None:
    market = _zone_market(_ramp((0, start), (4_000, start), (5_000, 70_050.0), (9e9, 70_050.0)))
    orders = ZoneBounce().decide(market, _ZONE)
    assert orders.side.tolist() == [side]
    assert orders.stop_price.tolist() == pytest.approx([stop])
    assert orders.target_frac.tolist() == [0.005]
    price = market.symbols["BTCUSDT"].price_at(orders.decision_ms)[0]
    before = market.symbols["BTCUSDT"].price_at(orders.decision_ms - 5_000)[0]
    assert 70_000.0 <= price < 70_100.0
    assert not 70_000.0 <= before < 70_100.0


def test_a_zone_that_the_price_did_not_come_from_afar_is_left_alone() -> None:
    near = _zone_market(_ramp((0, 70_150.0), (5_000, 70_150.0), (6_000, 70_050.0), (9e9, 70_050.0)))
    assert len(ZoneBounce().decide(near, _ZONE)) == 0
    inside = _zone_market(_flat(70_050.0))
    assert len(ZoneBounce().decide(inside, _ZONE)) == 0


def test_a_jump_through_a_zone_is_no_arrival_from_the_side_it_came_from() -> None:
    through = np.where(_SECONDS < 5_000, 71_000.0, np.where(_SECONDS < 6_000, 69_990.0, 70_050.0))
    assert len(ZoneBounce().decide(_zone_market(through), _ZONE)) == 0


def test_a_limit_entry_rests_at_the_price_of_the_decision() -> None:
    market = _zone_market(_ramp((0, 71_000.0), (4_000, 71_000.0), (5_000, 70_050.0), (9e9, 70_050.0)))
    p = dataclasses.replace(_ZONE, is_limit=True, limit_life_min=3.0)
    orders = ZoneBounce().decide(market, p)
    assert orders.limit_price.tolist() == market.symbols["BTCUSDT"].price_at(orders.decision_ms).tolist()
    assert orders.limit_life_ms.tolist() == [180_000]


_USUAL = [(60.0 * k + 20 * (k % 3), LONG, 1_000.0) for k in range(1, 120)]
_BURST = [(7_500.0 + k, LONG, 1_000.0) for k in range(20)]


@pytest.mark.parametrize(("after", "side"), [(70_100.0, 1.0), (69_900.0, -1.0)])
def test_a_burst_is_followed_in_the_direction_of_the_price(after: float, side: float) -> None:
    prices = _ramp((0, 70_000.0), (7_480, 70_000.0), (7_540, after), (9e9, after))
    orders = VolatilityBreakout().decide(
        make_market(write_rows(*_USUAL, *_BURST), _SECONDS, prices, 6.0), VolatilityBreakout.default
    )
    assert orders.side.tolist() == [side]
    assert 7_500 < (orders.decision_ms[0] - START_MS) / 1_000 <= 7_520
    assert 7_520 < (orders.exit_signal_ms[0] - START_MS) / 1_000 <= 7_585
    assert orders.exit_signal.tolist() == [0]


def test_a_burst_at_a_standing_or_unknown_price_is_not_traded() -> None:
    rows = write_rows(*_USUAL, *_BURST)
    standing = make_market(rows, _SECONDS, _flat(), 6.0)
    assert len(VolatilityBreakout().decide(standing, VolatilityBreakout.default)) == 0
    seen = (_SECONDS < 7_400) | (_SECONDS > 7_600)
    rising = _ramp((0, 70_000.0), (9e4, 80_000.0))
    unknown = make_market(rows, _SECONDS[seen], rising[seen], 6.0)
    assert len(VolatilityBreakout().decide(unknown, VolatilityBreakout.default)) == 0


def test_a_rate_that_never_varied_before_is_no_measure() -> None:
    rising = _ramp((0, 70_000.0), (9e4, 80_000.0))
    alone = make_market(write_rows(*_BURST), _SECONDS, rising, 6.0)
    assert len(VolatilityBreakout().decide(alone, VolatilityBreakout.default)) == 0
