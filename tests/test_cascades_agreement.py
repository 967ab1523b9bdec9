"""Batch, stream and a slow obvious detector give the same events, on every prefix, however the input is cut up."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from liqlab.cascades import (
    PRESETS,
    CascadeEvent,
    CascadePreset,
    StreamDetector,
    detect_cascades,
    frame_events,
    label_liquidations,
    list_cascade_events,
)
from liqlab.core.records import Liquidation
from liqlab.core.schema import LIQUIDATIONS, TIME
from liqlab.core.time import parse_time
from liqlab.sources import parse_line, read_lines

T = 1_770_665_590_000

#: Thresholds that small examples reach, of both kinds, and the edges of what is allowed.
SMALL = (
    CascadePreset("counts", max_gap_ms=1_000, min_liquidations=3, min_notional_usd=700.0),
    CascadePreset("sizes", max_gap_ms=1_000, min_liquidations=2, size_quantile=0.6, size_window=4, size_min_history=2,
                  size_fallback_usd=150.0),
    CascadePreset("all", max_gap_ms=0, min_liquidations=1),
)  # fmt: skip


def make_frame(rows: Sequence[Liquidation]) -> pl.DataFrame:
    """Rows as a table of liquidations, in the order given."""
    frame = pl.DataFrame(
        {
            "symbol": [row.symbol for row in rows],
            "exchange": [row.exchange for row in rows],
            "event_time": [row.event_ms for row in rows],
            "push_time": [row.push_ms for row in rows],
            "known_time": [row.known_ms for row in rows],
            "liquidated_side": [row.liquidated_side for row in rows],
            "quantity": [row.quantity for row in rows],
            "price": [row.price for row in rows],
            "notional_usd": [row.price * row.quantity for row in rows],
            "source_file": "x.jsonl",
            "source_line": list(range(len(rows))),
            "position": [row.position for row in rows],
        },
        schema_overrides={name: pl.Int64() for name in ("event_time", "push_time", "known_time", "source_line")},
    )
    return frame.cast(LIQUIDATIONS.dtypes).select(LIQUIDATIONS.names)  # type: ignore[arg-type]


# --- the oracle: lists and slices, every number recomputed from scratch ---


def oracle_takes_part(sizes: list[float], preset: CascadePreset) -> list[bool]:
    if preset.size_quantile is None:
        return [True] * len(sizes)
    answer = []
    for i, size in enumerate(sizes):
        before = sizes[max(0, i - preset.size_window) : i]
        enough = len(before) >= preset.size_min_history
        answer.append(bool(size >= (np.quantile(before, preset.size_quantile) if enough else preset.size_fallback_usd)))
    return answer


def oracle_clusters(rows: list[Liquidation], preset: CascadePreset) -> list[list[Liquidation]]:
    rows = sorted(rows, key=lambda row: (row.known_ms, row.event_ms, row.position))
    takes_part = oracle_takes_part([row.price * row.quantity for row in rows], preset)
    clusters: list[list[Liquidation]] = []
    for row in itertools.compress(rows, takes_part):
        if clusters and row.known_ms - clusters[-1][-1].known_ms <= preset.max_gap_ms:
            clusters[-1].append(row)
        else:
            clusters.append([row])
    return clusters


def add_up(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total


def oracle_state(rows: list[Liquidation], n_at_confirmation: int) -> dict[str, Any]:
    longs = [row for row in rows if row.liquidated_side == "long"]
    shorts = [row for row in rows if row.liquidated_side == "short"]
    volume, notional = add_up([row.quantity for row in rows]), add_up([row.price * row.quantity for row in rows])
    long_volume, short_volume = (add_up([row.quantity for row in side]) for side in (longs, shorts))
    long_usd, short_usd = (add_up([row.price * row.quantity for row in side]) for side in (longs, shorts))
    prices = [row.price for row in rows]
    return {
        "cascade_id": f"{rows[0].symbol}-{rows[0].known_ms}",
        "symbol": rows[0].symbol,
        "start": min(row.event_ms for row in rows),
        "end": max(row.event_ms for row in rows),
        "confirmed": rows[n_at_confirmation - 1].known_ms,
        "n_liquidations": len(rows),
        "volume": volume,
        "notional_usd": notional,
        "long_volume": long_volume,
        "short_volume": short_volume,
        "long_notional_usd": long_usd,
        "short_notional_usd": short_usd,
        "dominant_side": "short" if short_usd > long_usd else "long",
        "imbalance": (short_volume - long_volume) / volume,
        "price_low": min(prices),
        "price_high": max(prices),
        "n_price_levels": len(set(prices)),
        "vwap": notional / volume,
        "n_at_confirmation": n_at_confirmation,
        "notional_at_confirmation_usd": add_up([row.price * row.quantity for row in rows[:n_at_confirmation]]),
    }


def oracle_events(rows: Sequence[Liquidation], preset: CascadePreset) -> dict[str, list[CascadeEvent]]:
    answer: dict[str, list[CascadeEvent]] = {}
    for symbol in sorted({row.symbol for row in rows}):
        events = answer.setdefault(symbol, [])
        for cluster in oracle_clusters([row for row in rows if row.symbol == symbol], preset):
            confirming = 0
            for n in range(1, len(cluster) + 1):
                usd = add_up([row.price * row.quantity for row in cluster[:n]])
                is_first = not confirming and n >= preset.min_liquidations and usd >= preset.min_notional_usd
                confirming = n if is_first else confirming
                if confirming:
                    kind = "confirmed" if is_first else "grown"
                    events.append(CascadeEvent(type=kind, ended=None, **oracle_state(cluster[:n], confirming)))
            if confirming:
                ended = cluster[-1].known_ms + preset.max_gap_ms + 1
                events.append(CascadeEvent(type="ended", ended=ended, **oracle_state(cluster, confirming)))
    return answer


# --- input: messages in order of known time, cut up and interrupted in any way ---


@dataclass(frozen=True)
class Step:
    """What a driver is given: a message, a heartbeat, or the news that the input has paused."""

    message: tuple[Liquidation, ...] = ()
    now_ms: int | None = None
    symbol: str | None = None
    pause: bool = False


@st.composite
def captures(draw: st.DrawFn) -> list[tuple[Liquidation, ...]]:
    """Messages of two symbols by known time, with ties everywhere; each has a push time of its own."""
    known, messages = T, []
    for push in range(draw(st.integers(1, 12))):
        known += draw(st.sampled_from([0, 0, 1, 400, 1_000, 1_001, 5_000]))
        symbol = draw(st.sampled_from(["AUSDT", "BUSDT"]))
        rows = []
        for position in range(draw(st.integers(1, 3))):
            event = known - draw(st.sampled_from([100, 100, 200, 700]))
            side, price = draw(st.sampled_from(["long", "short"])), draw(st.sampled_from([99.7, 100.1, 100.3]))
            quantity = draw(st.sampled_from([0.1, 0.7, 1.3, 3.3, 9.1]))
            rows.append(Liquidation(symbol, "bybit", event, T + push, known, side, quantity, price, position))
        messages.append(tuple(rows))
    return messages


def interrupt(draw: st.DrawFn, messages: list[tuple[Liquidation, ...]]) -> list[Step]:
    """Messages with repeats, heartbeats that are true, and pauses that split no tie."""
    steps: list[Step] = []
    for i, message in enumerate(messages):
        steps.append(Step(message))
        next_ms = messages[i + 1][0].known_ms if i + 1 < len(messages) else message[0].known_ms + 9_000
        for kind in draw(st.lists(st.sampled_from(["repeat", "beat", "beat one", "pause"]), max_size=3)):
            if kind == "repeat":
                again = messages[draw(st.integers(0, i))]
                steps.append(Step(tuple(row._replace(known_ms=message[0].known_ms) for row in again)))
            elif kind == "pause" and next_ms > message[0].known_ms:
                steps.append(Step(pause=True))
            elif kind.startswith("beat"):
                now = draw(st.integers(message[0].known_ms, next_ms))
                steps.append(Step(now_ms=now, symbol=message[0].symbol if kind == "beat one" else None))
    return steps


def apply(detector: StreamDetector, step: Step) -> list[CascadeEvent]:
    if step.pause:
        return detector.flush()
    if step.now_ms is not None:
        return detector.advance(step.now_ms, step.symbol)
    return detector.feed(step.message)


def by_symbol(events: list[CascadeEvent]) -> dict[str, list[CascadeEvent]]:
    return {
        symbol: [event for event in events if event.symbol == symbol]
        for symbol in sorted({event.symbol for event in events})
    }


def nonempty(events: dict[str, list[CascadeEvent]]) -> dict[str, list[CascadeEvent]]:
    return {symbol: found for symbol, found in events.items() if found}


def assert_batch_equals(rows: Sequence[Liquidation], preset: CascadePreset, events: list[CascadeEvent]) -> None:
    batch = list_cascade_events(make_frame(rows), preset)
    stream = frame_events([event for found in by_symbol(events).values() for event in found])
    assert_frame_equal(batch, stream, check_exact=True)


@settings(max_examples=60)
@given(data=st.data(), preset=st.sampled_from(SMALL))
def test_batch_and_stream_and_oracle_agree_on_every_prefix(data: st.DataObject, preset: CascadePreset) -> None:
    steps = interrupt(data.draw, data.draw(captures()))
    detector = StreamDetector(preset)
    fed: list[Liquidation] = []
    events: list[CascadeEvent] = []
    for step in steps:
        taken = detector.liquidations
        events += apply(detector, step)
        if detector.liquidations > taken:
            fed += step.message
        complete = events + copy.deepcopy(detector).finish()
        assert by_symbol(complete) == nonempty(oracle_events(fed, preset))
        assert_batch_equals(fed, preset, complete)
    assert detector.late == 0


@settings(max_examples=60)
@given(data=st.data(), preset=st.sampled_from(SMALL))
def test_events_do_not_depend_on_chunks_heartbeats_or_repeats(data: st.DataObject, preset: CascadePreset) -> None:
    messages = data.draw(captures())
    plain, disturbed = StreamDetector(preset), StreamDetector(preset)
    expected = [event for message in messages for event in plain.feed(message)] + plain.finish()
    rows = [row for message in messages for row in message]
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=4).map(sorted))
    pieces = [rows[a:b] for a, b in itertools.pairwise([0, *cuts, len(rows)])]
    found = [event for piece in pieces for event in disturbed.feed(piece)] + disturbed.finish()
    assert by_symbol(found) == by_symbol(expected)
    again = StreamDetector(preset)
    steps = interrupt(data.draw, messages)
    found = [event for step in steps for event in apply(again, step)] + again.finish()
    assert by_symbol(found) == by_symbol(expected)


@settings(max_examples=40)
@given(messages=captures(), preset=st.sampled_from(SMALL))
def test_events_told_by_a_moment_stay_when_the_future_arrives(
    messages: list[tuple[Liquidation, ...]], preset: CascadePreset
) -> None:
    rows = [row for message in messages for row in message]
    full = list_cascade_events(make_frame(rows), preset)
    for now in sorted({row.known_ms for row in rows}):
        early = list_cascade_events(make_frame([row for row in rows if row.known_ms <= now]), preset)
        for (symbol,), told in early.group_by("symbol"):
            told = told.filter(pl.col("ended").dt.epoch("ms").fill_null(0) <= now)
            assert_frame_equal(told, full.filter(pl.col("symbol") == symbol).head(told.height), check_exact=True)


@settings(max_examples=40)
@given(messages=captures(), preset=st.sampled_from(SMALL), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_in_a_table_does_not_matter(
    messages: list[tuple[Liquidation, ...]], preset: CascadePreset, seed: int
) -> None:
    frame = make_frame([row for message in messages for row in message])
    frame = frame.unique(["symbol", "known_time", "event_time", "position"], keep="first", maintain_order=True)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    for function in (detect_cascades, list_cascade_events):
        assert_frame_equal(function(shuffled, preset), function(frame, preset), check_exact=True)
    labels = label_liquidations(frame, preset)
    keys = ["symbol", "known_time", "event_time", "position"]
    assert_frame_equal(label_liquidations(shuffled, preset).sort(keys), labels.sort(keys))


@settings(max_examples=40)
@given(messages=captures(), preset=st.sampled_from(SMALL))
def test_the_table_holds_each_cascade_as_it_ended(
    messages: list[tuple[Liquidation, ...]], preset: CascadePreset
) -> None:
    frame = make_frame([row for message in messages for row in message])
    table = detect_cascades(frame, preset)
    ended = list_cascade_events(frame, preset).filter(pl.col("type") == "ended").drop("type")
    assert_frame_equal(table.select(ended.columns), ended.sort("confirmed", "symbol"), check_exact=True)
    assert table["cascade_id"].n_unique() == table.height
    lengths_ms = (table["end"] - table["start"]).dt.total_milliseconds()
    assert table["duration_s"].to_list() == pytest.approx([length / 1_000 for length in lengths_ms])


@settings(max_examples=40)
@given(messages=captures(), preset=st.sampled_from(SMALL))
def test_labels_say_which_liquidations_a_cascade_is_made_of(
    messages: list[tuple[Liquidation, ...]], preset: CascadePreset
) -> None:
    rows = [row for message in messages for row in message]
    labelled = label_liquidations(make_frame(rows), preset)
    table = detect_cascades(make_frame(rows), preset)
    assert_frame_equal(labelled.drop("cascade_id"), make_frame(rows))
    members = {f"{c[0].symbol}-{c[0].known_ms}": c for s in ("AUSDT", "BUSDT")
               for c in oracle_clusters([row for row in rows if row.symbol == s], preset)}  # fmt: skip
    for cascade_id, n in table.select("cascade_id", "n_liquidations").iter_rows():
        own = labelled.filter(pl.col("cascade_id") == cascade_id)
        assert own.height == n
        assert sorted(zip(own["quantity"], own["price"], strict=True)) == sorted(
            (row.quantity, row.price) for row in members[cascade_id]
        )
    assert labelled["cascade_id"].is_not_null().sum() == table["n_liquidations"].sum()


def make_market(n: int, seed: int) -> list[Liquidation]:
    """Clustered liquidations of three symbols in order of known time, with ties in time and repeated prices."""
    random = np.random.default_rng(seed)
    known = T + np.cumsum(np.where(random.random(n) < 0.3, random.exponential(9_000, n), random.exponential(80, n)))
    symbols = random.choice(["BTCUSDT", "ETHUSDT", "XRPUSDT"], n, p=[0.6, 0.3, 0.1])
    quantity = random.lognormal(0.0, 2.0, n).round(3) + 0.001
    price = (60_000 * np.exp(np.cumsum(random.normal(0, 2e-4, n)))).round(0)
    side = np.where(random.random(n) < 0.55, "long", "short")
    return [
        Liquidation(
            str(symbols[i]), "bybit", int(known[i]) - 300 - i % 7, i, int(known[i]), str(side[i]),
            float(quantity[i]), float(price[i]), 0,
        )
        for i in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_batch_and_stream_agree_bit_for_bit_where_the_size_window_overflows(preset: CascadePreset) -> None:
    rows = make_market(12_000, seed=11)
    detector = StreamDetector(preset)
    events = [event for row in rows for event in detector.feed((row,))] + detector.finish()
    assert len(events) > 500
    assert_batch_equals(rows, preset, events)
    assert by_symbol(events) == oracle_events(rows, preset)


def test_on_recorded_data_batch_and_stream_agree_and_the_squeeze_of_march_is_one_of_shorts(shared_data: Path) -> None:
    rows: list[Liquidation] = []
    detector = StreamDetector(PRESETS[0])
    events: list[CascadeEvent] = []
    for path in sorted((shared_data / "okx-2026-03-04").glob("*USDT/liquidation_*")):
        for _, line in read_lines(path):
            message = parse_line(line).liquidations
            rows += message
            events += detector.feed(message)
    events += detector.finish()
    assert (len(rows), detector.late, detector.duplicates) == (5_717, 0, 0)
    assert_batch_equals(rows, PRESETS[0], events)
    squeeze = parse_time("2026-03-05T10:26")
    sides = {
        event.symbol: event.dominant_side
        for event in events
        if event.type == "ended" and event.start < squeeze + 60_000 and event.end >= squeeze
    }
    assert set(sides.values()) == {"short"}
    assert set(sides) == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize("step", [1.0, 0.1, 1e-8])
def test_a_cascade_of_many_prices_counts_each_once(step: float) -> None:
    n = 100_000
    prices = 100.0 + step * (np.arange(n + 5) % 60_000)
    known = pl.Series(np.append(T + np.arange(n), T + 200_000 + np.arange(5))).cast(TIME)
    frame = pl.DataFrame({"symbol": ["A"] * len(known), "known_time": known, "event_time": known, "price": prices})
    frame = frame.with_columns(quantity=pl.lit(1.0), position=pl.lit(0), liquidated_side=pl.lit("long"))
    table = detect_cascades(frame, CascadePreset("x", max_gap_ms=1_000, min_liquidations=2))
    assert table["n_price_levels"].to_list() == [np.unique(prices[:n]).size, 5]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_an_empty_table_has_no_cascades(preset: CascadePreset) -> None:
    empty = LIQUIDATIONS.empty()
    assert detect_cascades(empty, preset).height == 0
    assert list_cascade_events(empty, preset).height == 0
    assert label_liquidations(empty, preset).schema["cascade_id"] == pl.String()
    assert frame_events([]).schema == list_cascade_events(empty, preset).schema
