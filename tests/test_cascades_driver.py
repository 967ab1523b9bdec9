"""The stream detector: repeated deliveries, ties in time, late rows."""

from __future__ import annotations

import pytest

from liqlab.cascades import CascadePreset, StreamDetector
from liqlab.core.records import Liquidation

T = 1_770_665_590_000
PAIR = CascadePreset("pair", max_gap_ms=1_000, min_liquidations=2)


def row(
    known: int,
    event: int | None = None,
    symbol: str = "A",
    push: int | None = None,
    position: int = 0,
    price: float = 100.0,
) -> Liquidation:
    event = known - 300 if event is None else event
    push = known - 50 if push is None else push
    return Liquidation(symbol, "bybit", T + event, T + push, T + known, "long", 1.0, price, position)


def test_a_message_delivered_again_counts_once_whatever_its_known_time() -> None:
    detector = StreamDetector(PAIR)
    message = (row(0, position=0), row(0, position=1))
    detector.feed(message)
    detector.feed(tuple(item._replace(known_ms=item.known_ms + 700) for item in message))
    (confirmed, ended) = detector.finish()
    assert (confirmed.n_liquidations, ended.ended) == (2, T + 1_001)
    assert (detector.liquidations, detector.duplicates) == (2, 2)


def test_two_equal_liquidations_in_one_message_both_count() -> None:
    detector = StreamDetector(PAIR)
    detector.feed((row(0, position=0), row(0, position=1)))
    assert detector.finish()[0].n_liquidations == 2


@pytest.mark.parametrize("change", [{"push_ms": T + 1}, {"price": 101.0}, {"symbol": "B"}, {"event_ms": T + 2}])
def test_a_message_that_differs_is_no_repeat(change: dict[str, int]) -> None:
    detector = StreamDetector(PAIR)
    detector.feed((row(0),))
    detector.feed((row(0)._replace(**change),))
    assert (detector.liquidations, detector.duplicates) == (2, 0)


def test_repeats_are_remembered_for_ten_minutes_of_known_time_and_not_for_ever() -> None:
    detector = StreamDetector(PAIR)
    early, first = row(0), row(599_000)
    for message in (early, first, row(600_001), row(1_199_000)):
        detector.feed((message,))
    detector.feed((first._replace(known_ms=T + 1_199_000),))
    assert detector.duplicates == 1
    for known in (2_000_000, 3_000_000):
        detector.feed((row(known),))
    detector.feed((early._replace(known_ms=T + 3_000_000),))
    assert (detector.duplicates, detector.liquidations) == (1, 7)


def test_a_flood_of_messages_does_not_fill_the_memory() -> None:
    detector = StreamDetector(PAIR)
    rows = [row(i // 100, push=i) for i in range(25_000)]
    for message in rows:
        detector.feed((message,))
    detector.feed((rows[-9_000],))
    detector.feed((rows[0],))
    assert (detector.duplicates, detector.liquidations) == (1, 25_001)


def test_rows_that_share_a_known_time_are_taken_by_event_time_and_position() -> None:
    detector = StreamDetector(PAIR)
    detector.feed((row(0, event=-100, position=0, price=3.0), row(0, event=-100, position=1, price=4.0)))
    assert detector.feed((row(0, event=-200, push=-40, price=2.0),)) == []
    confirmed, *_ = detector.finish()
    assert (confirmed.start, confirmed.end, confirmed.price_low, confirmed.price_high) == (T - 200, T - 100, 2.0, 3.0)


@pytest.mark.parametrize("release", ["later row", "heartbeat", "flush"])
def test_held_rows_are_delivered_by(release: str) -> None:
    detector = StreamDetector(PAIR)
    assert detector.feed((row(0, position=0), row(0, position=1))) == []
    events = {
        "later row": lambda: detector.feed((row(5),)),
        "heartbeat": lambda: detector.advance(T + 1),
        "flush": detector.flush,
    }[release]()
    assert [event.type for event in events] == ["confirmed"]


def test_a_heartbeat_at_the_known_time_of_held_rows_keeps_waiting_for_ties() -> None:
    detector = StreamDetector(PAIR)
    detector.feed((row(0, event=-100, price=3.0), row(0, event=-100, position=1, price=4.0)))
    assert detector.advance(T) == []
    detector.feed((row(0, event=-200, push=-40, price=2.0),))
    assert detector.advance(T + 1)[0].start == T - 200


def test_a_late_row_is_counted_and_taken_at_the_clock() -> None:
    detector = StreamDetector(PAIR)
    detector.feed((row(900),))
    detector.feed((row(100),))
    assert (detector.late, detector.liquidations) == (1, 2)
    assert detector.finish()[0].ended == T + 900 + 1_001


def test_symbols_do_not_disturb_each_other() -> None:
    detector = StreamDetector(PAIR)
    for known, symbol in ((0, "A"), (100, "B"), (900, "A"), (1_000, "B")):
        detector.feed((row(known, symbol=symbol),))
    assert {event.cascade_id for event in detector.finish()} == {f"A-{T}", f"B-{T + 100}"}


def test_a_heartbeat_for_one_symbol_leaves_the_others_open() -> None:
    detector = StreamDetector(PAIR)
    for known, symbol in ((0, "A"), (0, "B"), (10, "A"), (10, "B")):
        detector.feed((row(known, symbol=symbol),))
    detector.flush()
    assert [event.symbol for event in detector.advance(T + 9_999, "A")] == ["A"]
    assert detector.advance(T + 9_999, "C") == []
    assert [event.symbol for event in detector.finish()] == ["B"]


def test_other_symbols_are_ignored_when_some_are_named() -> None:
    detector = StreamDetector(PAIR, symbols=["A"])
    detector.feed((row(0, symbol="B"), row(0, symbol="A"), row(0, symbol="B", position=1)))
    assert (detector.liquidations, detector.finish()) == (1, [])
