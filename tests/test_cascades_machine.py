"""The rules of the state machine, one at a time."""

from __future__ import annotations

import numpy as np
import pytest

from liqlab.cascades import (
    PRESETS,
    CascadeConfig,
    CascadeEvent,
    CascadeMachine,
    CascadePreset,
    compute_size_thresholds,
    get_preset,
)
from liqlab.core.errors import ConfigError, UserError

T = 1_770_665_590_000
PAIR = CascadePreset("pair", max_gap_ms=1_000, min_liquidations=2)


def types(events: list[CascadeEvent]) -> list[str]:
    return [event.type for event in events]


def feed(machine: CascadeMachine, *known: int) -> list[CascadeEvent]:
    return [event for at in known for event in machine.update(T + at, T + at - 300, True, 1.0, 100.0)]


def test_a_silence_of_exactly_max_gap_joins() -> None:
    assert types(feed(CascadeMachine("A", PAIR), 0, 1_000, 2_000)) == ["confirmed", "grown"]


def test_a_silence_one_millisecond_longer_splits() -> None:
    machine = CascadeMachine("A", PAIR)
    events = feed(machine, 0, 1_000, 2_001, 2_002)
    assert types(events) == ["confirmed", "ended", "confirmed"]
    assert [event.cascade_id for event in events] == [f"A-{T}", f"A-{T}", f"A-{T + 2_001}"]


def test_silence_is_measured_in_known_time_not_in_event_time() -> None:
    machine = CascadeMachine("A", PAIR)
    machine.update(T, T - 60_000, True, 1.0, 100.0)
    assert types(machine.update(T + 1_000, T + 900, True, 1.0, 100.0)) == ["confirmed"]


def test_it_is_confirmed_by_the_liquidation_that_crosses_the_last_threshold() -> None:
    machine = CascadeMachine("A", CascadePreset("x", max_gap_ms=1_000, min_liquidations=2, min_notional_usd=1_000.0))
    assert machine.update(T, T - 300, True, 4.0, 100.0) == []
    assert machine.update(T + 1, T - 200, True, 5.0, 100.0) == []
    (event,) = machine.update(T + 2, T - 100, False, 1.0, 100.0)
    assert (event.type, event.confirmed, event.ended) == ("confirmed", T + 2, None)
    assert (event.n_at_confirmation, event.notional_at_confirmation_usd) == (3, 1_000.0)


def test_one_large_liquidation_is_no_cascade_where_three_are_asked_for() -> None:
    machine = CascadeMachine("A", get_preset("plan"))
    assert machine.update(T, T, True, 1_000.0, 100_000.0) == []
    assert machine.finish() == []


def test_a_cluster_below_the_thresholds_ends_without_a_word() -> None:
    machine = CascadeMachine("A", PAIR)
    feed(machine, 0)
    assert machine.advance(T + 10_000) == []
    assert types(feed(machine, 20_000, 20_500)) == ["confirmed"]


def test_advance_closes_only_after_more_than_max_gap() -> None:
    machine = CascadeMachine("A", PAIR)
    feed(machine, 0, 500)
    assert machine.advance(T + 1_500) == []
    (event,) = machine.advance(T + 1_501)
    assert (event.type, event.ended) == ("ended", T + 1_501)
    assert machine.advance(T + 9_999) == machine.finish() == []


@pytest.mark.parametrize("notice", ["heartbeat", "late heartbeat", "next liquidation", "end of input"])
def test_the_end_is_the_same_whatever_notices_it(notice: str) -> None:
    machine = CascadeMachine("A", PAIR)
    feed(machine, 0, 500)
    events = {
        "heartbeat": lambda: machine.advance(T + 1_501),
        "late heartbeat": lambda: machine.advance(T + 99_000),
        "next liquidation": lambda: feed(machine, 99_000),
        "end of input": machine.finish,
    }[notice]()
    assert [(event.type, event.ended, event.end) for event in events] == [("ended", T + 1_501, T + 200)]


def test_a_heartbeat_never_goes_back() -> None:
    machine = CascadeMachine("A", PAIR)
    feed(machine, 0, 500)
    machine.advance(T + 1_400)
    machine.advance(T)
    feed(machine, 1_000)
    assert machine.late == 1


def test_a_liquidation_from_before_the_clock_is_taken_at_the_clock_and_counted() -> None:
    machine = CascadeMachine("A", PAIR)
    feed(machine, 0, 800)
    (event,) = feed(machine, 100)
    assert (event.type, event.n_liquidations, machine.late) == ("grown", 3, 1)
    (ended,) = machine.finish()
    assert ended.ended == T + 800 + 1_001


def test_a_liquidation_that_comes_after_its_cascade_was_closed_begins_a_new_cluster() -> None:
    machine = CascadeMachine("A", PAIR)
    feed(machine, 0, 500)
    machine.advance(T + 1_501)
    (event,) = feed(machine, 600, 2_000)
    assert (event.cascade_id, event.n_liquidations, machine.late) == (f"A-{T + 1_501}", 2, 1)


def test_an_event_tells_both_sides_apart() -> None:
    machine = CascadeMachine("A", PAIR)
    machine.update(T, T - 300, True, 3.0, 100.0)
    (event,) = machine.update(T + 1, T - 200, False, 1.0, 110.0)
    assert (event.long_volume, event.short_volume, event.volume) == (3.0, 1.0, 4.0)
    assert (event.long_notional_usd, event.short_notional_usd, event.notional_usd) == (300.0, 110.0, 410.0)
    assert (event.dominant_side, event.imbalance, event.vwap) == ("long", -0.5, 102.5)
    assert (event.price_low, event.price_high, event.n_price_levels) == (100.0, 110.0, 2)
    assert (event.start, event.end) == (T - 300, T - 200)


def test_a_late_push_moves_the_start_back_and_never_makes_a_negative_duration() -> None:
    machine = CascadeMachine("A", PAIR)
    machine.update(T, T - 100, True, 3.0, 100.0)
    (event,) = machine.update(T + 1, T - 900, True, 1.0, 100.0)
    assert (event.start, event.end) == (T - 900, T - 100)


def test_sides_of_equal_notional_count_as_long() -> None:
    machine = CascadeMachine("A", PAIR)
    machine.update(T, T, False, 1.0, 100.0)
    assert machine.update(T, T, True, 1.0, 100.0)[0].dominant_side == "long"


def test_price_levels_are_distinct_prices() -> None:
    machine = CascadeMachine("A", PAIR)
    events = [machine.update(T + i, T + i, True, 1.0, price) for i, price in enumerate([10.0, 11.0, 10.0, 9.0, 11.0])]
    assert [batch[0].n_price_levels for batch in events[1:]] == [2, 2, 3, 3]


BY_SIZE = CascadePreset(
    "size", max_gap_ms=1_000, min_liquidations=2, size_quantile=0.5, size_window=4, size_min_history=2,
    size_fallback_usd=50.0,
)  # fmt: skip


def test_small_liquidations_neither_join_nor_keep_a_cluster_alive() -> None:
    machine = CascadeMachine("A", BY_SIZE)
    machine.update(T, T, True, 1.0, 100.0)
    machine.update(T + 900, T + 900, True, 1.0, 1.0)
    assert machine.update(T + 1_800, T + 1_800, True, 1.0, 200.0) == []
    (event,) = machine.update(T + 1_900, T + 1_900, True, 1.0, 300.0)
    assert (event.cascade_id, event.n_liquidations, event.notional_usd) == (f"A-{T + 1_800}", 2, 500.0)


def test_the_fallback_is_in_force_until_there_is_enough_history() -> None:
    sizes = np.array([10.0, 60.0, 20.0, 100.0, 40.0, 80.0])
    thresholds = compute_size_thresholds(sizes, BY_SIZE)
    assert thresholds.tolist() == [50.0, 50.0, 35.0, 20.0, 40.0, 50.0]


def test_a_threshold_is_the_quantile_of_the_liquidations_before_it() -> None:
    preset = get_preset("p95")
    assert preset.size_quantile is not None
    sizes = np.random.default_rng(3).lognormal(6.0, 2.0, 4_500).round(1)
    thresholds = compute_size_thresholds(sizes, preset)
    assert (thresholds[: preset.size_min_history] == preset.size_fallback_usd).all()
    for i in range(preset.size_min_history, len(sizes), 7):
        window = sizes[max(0, i - preset.size_window) : i]
        assert thresholds[i] == np.quantile(window, preset.size_quantile), i


def test_a_liquidation_does_not_move_its_own_threshold() -> None:
    sizes = np.random.default_rng(5).lognormal(6.0, 2.0, 300)
    changed = sizes.copy()
    changed[250] *= 1e6
    before, after = (compute_size_thresholds(values, get_preset("p95")) for values in (sizes, changed))
    assert (before[:251] == after[:251]).all()
    assert (before[251:] != after[251:]).any()


def test_presets_are_those_of_the_plan() -> None:
    plan, p95 = PRESETS
    assert (plan.name, plan.max_gap_ms, plan.min_liquidations, plan.min_notional_usd) == ("plan", 5_000, 3, 100_000.0)
    assert (p95.name, p95.max_gap_ms, p95.min_liquidations, p95.min_notional_usd) == ("p95", 60_000, 2, 0.0)
    assert plan.size_quantile is None
    assert (p95.size_quantile, p95.size_window, p95.size_min_history) == (0.95, 2_000, 200)


def test_an_unknown_preset_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="unknown preset 'plna'; available: p95, plan"):
        get_preset("plna")
    with pytest.raises(UserError, match="plna"):
        CascadeConfig("plna")


def test_a_config_overrides_what_it_names_and_nothing_else() -> None:
    preset = CascadeConfig("p95", max_gap_s=1.5, min_notional_usd=2e6).resolve()
    assert (preset.max_gap_ms, preset.min_liquidations, preset.min_notional_usd) == (1_500, 2, 2e6)
    assert preset.size_quantile == 0.95
    assert preset.name == "p95, max_gap_s=1.5, min_notional_usd=2e+06"
    assert CascadeConfig().resolve() == get_preset("plan")


@pytest.mark.parametrize(
    "values", [{"max_gap_s": -1.0}, {"min_liquidations": 0}, {"min_notional_usd": -5.0}, {"price_max_age_s": -1.0}]
)
def test_values_out_of_range_are_refused_by_name(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(values))):
        CascadeConfig(**values)  # type: ignore[arg-type]


def test_a_history_longer_than_the_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="size_min_history"):
        CascadePreset("x", size_quantile=0.9, size_window=10, size_min_history=11)
