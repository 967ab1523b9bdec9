"""Stored rows to canonical tables: duplicates, order, open interest, carried deltas."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard
from capture_lines import (
    START_MS,
    dumps,
    frame_line,
    liquidation_item,
    liquidation_line,
    ratio_line,
    rest_line,
    write_capture,
    write_recording,
)
from polars.testing import assert_frame_equal

from liqlab.core import schema
from liqlab.lake import load_liquidations, load_long_short_ratio, load_quarantine, load_ticker
from liqlab.sources import (
    ASSUMED_DELAY_MS,
    Capture,
    TickerCarry,
    canonical_liquidations,
    canonical_ratios,
    mark_duplicates,
    parse_capture,
    store_rows,
)

S = 1_000


def captures_of(folder: Path, files: dict[str, list[str]]) -> list[Capture]:
    return [parse_capture(write_capture(folder / name, lines), name) for name, lines in files.items()]


def marked(folder: Path, table: str, *lines: str) -> pl.DataFrame:
    return mark_duplicates(table, store_rows(captures_of(folder, {"a.jsonl": list(lines)}))[table])


def liquidations(folder: Path, *lines: str) -> pl.DataFrame:
    return canonical_liquidations(marked(folder, "liquidations", *lines))


def ticker(folder: Path, *lines: str) -> pl.DataFrame:
    return TickerCarry().fill(marked(folder, "ticker", *lines))


def milliseconds(frame: pl.DataFrame, column: str) -> list[int | None]:
    return frame[column].to_physical().to_list()


def test_a_message_delivered_again_counts_once_with_its_earliest_known_time(tmp_path: Path) -> None:
    items = [liquidation_item(START_MS, price=price) for price in ("1.5", "2.5")]
    again = json.loads(liquidation_line(items, START_MS + 900, START_MS + 1))
    shuffled = {key: again[key] for key in reversed(again)}
    shuffled["result"]["data"] = [{key: item[key] for key in reversed(item)} for item in items]
    lines = [liquidation_line(items, START_MS + 5_000, START_MS + 1), dumps(shuffled)]
    lines.append(liquidation_line([item | {"v": 0.017} for item in items], START_MS + 7_000, START_MS + 1))
    rows = marked(tmp_path, "liquidations", *lines)
    assert rows["is_duplicate"].to_list() == [False, False, True, True, True, True]
    table = canonical_liquidations(rows)
    assert milliseconds(table, "known_time") == [START_MS + 900] * 2
    assert table["source_line"].to_list() == [2, 2]
    assert table["price"].to_list() == [1.5, 2.5]


def test_two_equal_liquidations_inside_one_message_are_both_kept(tmp_path: Path) -> None:
    line = liquidation_line([liquidation_item(START_MS)] * 2, START_MS + 300, START_MS + 200)
    assert liquidations(tmp_path, line, line)["position"].to_list() == [0, 1]


@pytest.mark.parametrize(
    "other",
    [
        liquidation_line([liquidation_item(START_MS)], START_MS + 300, START_MS + 201),
        liquidation_line([liquidation_item(START_MS, "Buy")], START_MS + 300, START_MS + 200),
        liquidation_line([liquidation_item(START_MS, quantity="0.018")], START_MS + 300, START_MS + 200),
        liquidation_line([liquidation_item(START_MS, price="71182.71")], START_MS + 300, START_MS + 200),
        liquidation_line([liquidation_item(START_MS + 1)], START_MS + 300, START_MS + 200),
        liquidation_line([liquidation_item(START_MS, symbol="ETHUSDT")], START_MS + 300, START_MS + 200),
        liquidation_line([liquidation_item(START_MS)] * 2, START_MS + 300, START_MS + 200),
        liquidation_line([liquidation_item(START_MS)], START_MS + 300),
    ],
)
def test_a_message_that_differs_in_anything_is_another_one(tmp_path: Path, other: str) -> None:
    line = liquidation_line([liquidation_item(START_MS)], START_MS + 300, START_MS + 200)
    assert not marked(tmp_path, "liquidations", line, other)["is_duplicate"].any()


def test_a_bad_record_inside_a_message_does_not_hide_that_the_message_came_again(tmp_path: Path) -> None:
    items = [liquidation_item(START_MS), liquidation_item(START_MS, "Both"), liquidation_item(START_MS)]
    lines = [liquidation_line(items, START_MS + delay, START_MS + 200) for delay in (300, 400)]
    rows = marked(tmp_path, "liquidations", *lines)
    assert rows["position"].to_list() == [0, 2, 0, 2]
    assert rows["is_duplicate"].to_list() == [False, False, True, True]


def test_without_a_capture_time_a_row_is_known_after_the_assumed_delay(tmp_path: Path) -> None:
    table = liquidations(tmp_path, liquidation_line([liquidation_item(START_MS)], None, START_MS + 200))
    assert milliseconds(table, "known_time") == [START_MS + ASSUMED_DELAY_MS]
    rows = marked(tmp_path, "ticker", frame_line(None, START_MS + 7, "snapshot", {"lastPrice": 1}))
    assert milliseconds(rows, "known_time") == [START_MS + 7 + ASSUMED_DELAY_MS]
    rows = mark_duplicates("ticker", rows.drop("is_duplicate").with_columns(known_time=None), 250)
    assert milliseconds(rows.cast({"known_time": schema.TIME}), "known_time") == [START_MS + 257]


def test_a_liquidation_is_what_the_line_says(tmp_path: Path) -> None:
    items = [liquidation_item(START_MS, "Sell"), liquidation_item(START_MS + 1, "Buy", "2", "3")]
    table = schema.check_frame(
        liquidations(tmp_path, liquidation_line(items, START_MS + 300, START_MS + 200)), schema.LIQUIDATIONS
    )
    assert table["liquidated_side"].to_list() == ["short", "long"]
    assert table["notional_usd"].to_list() == [0.017 * 71182.70, 6.0]
    assert milliseconds(table, "push_time") == [START_MS + 200] * 2
    assert table["exchange"].to_list() == ["bybit"] * 2


def test_polls_of_equal_content_are_all_kept_and_a_poll_recorded_twice_is_not(tmp_path: Path) -> None:
    polls = [rest_line(START_MS + i * 5 * S, {"lastPrice": "1.5"}) for i in range(3)]
    rows = marked(tmp_path, "ticker", *polls, polls[1])
    assert rows["is_duplicate"].to_list() == [False, False, True, False]


def test_a_frame_delivered_again_is_dropped_and_equal_news_later_is_not(tmp_path: Path) -> None:
    frame = frame_line(START_MS + 100, START_MS, "delta", {"bid1Price": "5"}, cs=7)
    again = frame_line(START_MS + 900, START_MS, "delta", {"bid1Price": "5"}, cs=7)
    later = [
        frame_line(START_MS + 300, START_MS + 200, "delta", {"bid1Price": "5"}, cs=7),
        frame_line(START_MS + 300, START_MS, "delta", {"bid1Price": "5"}, cs=8),
        frame_line(START_MS + 300, START_MS, "snapshot", {"bid1Price": "5"}, cs=7),
        frame_line(START_MS + 300, START_MS, "delta", {"ask1Price": "5"}, cs=7),
    ]
    rows = marked(tmp_path, "ticker", again, frame, *later)
    assert rows["is_duplicate"].to_list() == [False] * 5 + [True]
    assert milliseconds(rows, "known_time")[0] == START_MS + 100


def test_open_interest_is_counted_once_per_contract(tmp_path: Path) -> None:
    both, single = {"openInterest": "10", "openInterestValue": "700"}, {"singleOpenInterest": "4"}
    table = ticker(
        tmp_path,
        rest_line(START_MS, both),
        rest_line(START_MS + S, both | single),
        rest_line(START_MS + 2 * S, both | single | {"singleOpenInterestValue": "300"}),
        rest_line(START_MS + 3 * S, both, exchange="binance"),
        rest_line(START_MS + 4 * S, {"lastPrice": "1"}),
    )
    assert table["open_interest"].to_list() == [5.0, 4.0, 4.0, 10.0, None]
    assert table["open_interest_value"].to_list() == [350.0, 350.0, 300.0, 700.0, None]
    basis = ["halved", "single", "single", "as published", None]
    assert table["open_interest_basis"].to_list() == basis


def test_long_short_rows_hold_their_quotient_and_repeat_only_once(tmp_path: Path) -> None:
    lines = [ratio_line(START_MS), ratio_line(START_MS), ratio_line(START_MS + 1, "1", "0")]
    rows = marked(tmp_path, "long_short_ratio", *lines)
    assert rows["is_duplicate"].to_list() == [False, True, False]
    table = schema.check_frame(canonical_ratios(rows), schema.LONG_SHORT_RATIO)
    assert table["ratio"].to_list() == [0.5123 / 0.4877, None]


# Carrying what deltas say.

WIRE = {
    "lastPrice": "last_price",
    "markPrice": "mark_price",
    "indexPrice": "index_price",
    "fundingRate": "funding_rate",
    "bid1Price": "bid_price",
    "bid1Size": "bid_size",
    "ask1Price": "ask_price",
    "ask1Size": "ask_size",
}


def carried(messages: list[tuple[int, str, dict[str, str]]]) -> list[dict[str, float]]:
    """The state after each message, in order of known time, with a plain dictionary."""
    states: list[dict[str, float]] = []
    state: dict[str, float] = {}
    last = -math.inf
    for known, kind, fields in sorted(messages, key=lambda message: message[0]):
        if kind != "delta" or known - last > 60 * S:
            state = {}
        state = state | {WIRE[name]: float(value) for name, value in fields.items()}
        states.append(state)
        last = known
    return states


@pytest.mark.parametrize("seed", range(6))
def test_deltas_are_carried_as_a_dictionary_would(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    known, messages, lines = START_MS, [], []
    for _ in range(400):
        known += generator.choice((1, 50, 100, 5 * S, 59 * S, 60 * S, 60 * S + 1, 200 * S))
        kind = generator.choices(("delta", "snapshot", "rest"), (20, 1, 1))[0]
        names = generator.sample(list(WIRE), generator.randrange(kind != "delta", 4))
        fields = {name: f"{generator.uniform(1, 9):.3f}" for name in names}
        messages.append((known, kind, fields))
        line = rest_line(known, fields) if kind == "rest" else frame_line(known, known - 40, kind, fields)
        lines.append(line)
    generator.shuffle(lines)
    table = schema.check_frame(ticker(tmp_path, *lines), schema.TICKER)
    expected = carried(messages)
    assert table.height == len(expected)
    found = table.select(list(WIRE.values())).to_dicts()
    assert [{name: value for name, value in row.items() if value is not None} for row in found] == expected


def test_carrying_day_by_day_equals_carrying_at_once(tmp_path: Path) -> None:
    lines = [frame_line(START_MS, START_MS, "snapshot", {"lastPrice": "5", "fundingRate": "0.1"})]
    lines += [frame_line(START_MS + i * S, START_MS + i * S, "delta", {"bid1Price": str(i)}) for i in range(1, 50)]
    rows = marked(tmp_path, "ticker", *lines)
    carry = TickerCarry()
    parts = [carry.fill(rows[start : start + 7]) for start in range(0, 50, 7)]
    assert_frame_equal(pl.concat(parts), TickerCarry().fill(rows))
    assert pl.concat(parts)["last_price"].to_list() == [5.0] * 50


def test_a_snapshot_forgets_what_it_does_not_say(tmp_path: Path) -> None:
    table = ticker(
        tmp_path,
        frame_line(START_MS, START_MS, "snapshot", {"lastPrice": "5", "nextFundingTime": START_MS}),
        frame_line(START_MS + S, START_MS + S, "snapshot", {"markPrice": "6"}),
        frame_line(START_MS + 2 * S, START_MS + 2 * S, "delta", {"nextFundingTime": str(START_MS + S)}),
    )
    assert table["last_price"].to_list() == [5.0, None, None]
    assert table["mark_price"].to_list() == [None, 6.0, 6.0]
    assert milliseconds(table, "next_funding_time") == [START_MS, None, START_MS + S]


# Order.


@pytest.mark.parametrize("moments", [1, 4, 20, 2_000])
def test_rows_are_ordered_by_known_time_then_event_time_then_place_in_the_message(tmp_path: Path, moments: int) -> None:
    generator = random.Random(9)
    lines = []
    for _ in range(300):
        known = START_MS + generator.randrange(moments)
        items = [
            liquidation_item(known - generator.randrange(5), price=f"{generator.uniform(1, 9):.9f}") for _ in range(3)
        ]
        lines.append(liquidation_line(items, known, known))
    captures = captures_of(tmp_path, {f"{name}.jsonl": lines[i::3] for i, name in enumerate("cab")})
    rows = mark_duplicates("liquidations", store_rows(captures)["liquidations"])
    order = ["known_time", "event_time", "position", "source_file", "source_line"]
    found = rows.select(order).rows()
    assert found == sorted(found)
    assert len(set(found)) == 900


def test_a_clock_that_jumps_back_changes_the_order_and_loses_nothing(tmp_path: Path) -> None:
    times = [START_MS + offset for offset in (0, 1_000, 2_000, -500_000, -499_000, 3_000)]
    lines = [liquidation_line([liquidation_item(known - 300)], known, known - 100) for known in times]
    table = liquidations(tmp_path, *lines)
    assert milliseconds(table, "known_time") == sorted(times)


@pytest.mark.parametrize("seed", range(3))
def test_the_tables_do_not_depend_on_the_order_of_the_files(tmp_path: Path, seed: int) -> None:
    write_recording(tmp_path, 3, seed=seed)
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.jsonl.gz"))
    captures = [parse_capture(tmp_path / name, name.as_posix()) for name in names]
    expected = store_rows(captures)
    generator = random.Random(seed)
    for _ in range(3):
        generator.shuffle(captures)
        shuffled = store_rows(captures)
        for table, rows in expected.items():
            assert_frame_equal(mark_duplicates(table, shuffled[table]), mark_duplicates(table, rows))
    assert mark_duplicates("liquidations", expected["liquidations"])["is_duplicate"].sum() > 5


def test_marking_twice_changes_nothing(tmp_path: Path) -> None:
    write_recording(tmp_path, 2)
    captures = [parse_capture(path, path.name) for path in sorted(tmp_path.rglob("*.jsonl.gz"))]
    for table, rows in store_rows(captures).items():
        once = mark_duplicates(table, rows)
        assert_frame_equal(mark_duplicates(table, once.drop("is_duplicate")), once)


def test_captures_without_rows_give_empty_tables_with_their_columns(tmp_path: Path) -> None:
    captures = captures_of(tmp_path, {"a.jsonl": ["{"]})
    stored = store_rows(captures)
    frames = {
        schema.LIQUIDATIONS: canonical_liquidations(mark_duplicates("liquidations", stored["liquidations"])),
        schema.TICKER: TickerCarry().fill(mark_duplicates("ticker", stored["ticker"])),
        schema.LONG_SHORT_RATIO: canonical_ratios(mark_duplicates("long_short_ratio", stored["long_short_ratio"])),
    }
    for table, frame in frames.items():
        assert schema.check_frame(frame, table).height == 0


# Recordings.


def linear_ticker_frames(shared_data: Path) -> list[dict[str, Any]]:
    path = shared_data / "bybit-raw-2026-08-09" / "BYBIT.jsonl.zst"
    with path.open("rb") as stream:
        records = [json.loads(line) for line in zstandard.ZstdDecompressor().stream_reader(stream).read().splitlines()]
    frames = [
        {"capture": round(record["ts"] * S), "frame": json.loads(record["data"])}
        for record in records
        if record.get("conn") == "BYBIT.ws.2" and '"topic":"tickers.' in record.get("data", "")
    ]
    assert Counter(frame["frame"]["type"] for frame in frames) == {"delta": 754, "snapshot": 4}
    return frames


def test_every_real_ticker_frame_is_read_and_carried(tmp_path: Path, shared_data: Path) -> None:
    frames = linear_ticker_frames(shared_data)
    lines = [
        dumps({"ts": f["capture"], "stream": "ticker", "symbol": f["frame"]["data"]["symbol"], "result": f["frame"]})
        for f in frames
    ]
    write_capture(tmp_path / "ticker.jsonl.gz", lines)
    table = load_ticker(tmp_path)
    assert (table.height, load_quarantine(tmp_path).height) == (758, 0)
    for symbol in table["symbol"].unique():
        state: dict[str, str] = {}
        mine = (f for f in frames if f["frame"]["data"]["symbol"] == symbol)
        for row, sent in zip(table.filter(symbol=symbol).iter_rows(named=True), mine, strict=True):
            state = (state if sent["frame"]["type"] == "delta" else {}) | sent["frame"]["data"]
            assert {name: row[name] for name in WIRE.values()} == {
                column: float(state[name]) for name, column in WIRE.items()
            }
            assert row["open_interest"] == float(state["singleOpenInterest"])
            assert row["open_interest"] == pytest.approx(float(state["openInterest"]) / 2, rel=1e-2)
            assert row["open_interest_basis"] == "single"
            assert row["next_funding_time"].timestamp() * S == float(state["nextFundingTime"])
            assert row["event_time"].timestamp() == pytest.approx(sent["frame"]["ts"] / S, abs=1e-6)


def test_the_real_squeeze_reconciles(shared_data: Path) -> None:
    folder = shared_data / "okx-2026-03-04"
    table = load_liquidations(folder)
    expected = {"BTCUSDT": 1_611, "ETHUSDT": 1_632, "SOLUSDT": 1_052, "DOGEUSDT": 1_422}
    assert dict(table["symbol"].value_counts().iter_rows()) == expected
    assert load_ticker(folder).height == 2_304
    assert load_quarantine(folder).height == 0
    assert load_long_short_ratio(folder).height == 0
    minute = table.filter(pl.col("event_time").dt.truncate("1m") == pl.datetime(2026, 3, 5, 10, 26, time_zone="UTC"))
    assert dict(minute["liquidated_side"].value_counts().iter_rows())["short"] == 316


def test_in_the_real_squeeze_known_times_never_run_backwards(shared_data: Path) -> None:
    known = load_liquidations(shared_data / "okx-2026-03-04")["known_time"].to_list()
    assert all(a <= b for a, b in itertools.pairwise(known))
