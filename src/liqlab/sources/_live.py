"""One captured line for live use: what `_wire` says of it, faster for the ordinary ones.

Ordinary lines are decoded straight into the few fields that matter. Whatever is unusual in any way goes to `_wire`,
which defines what is valid; both give the same for every line.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from liqlab.core.records import Liquidation
from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import EARLIEST_MS, LATEST_MS
from liqlab.sources._wire import (
    ASSUMED_DELAY_MS,
    DEFAULT_EXCHANGE,
    LIQUIDATION,
    Problem,
    decode_message,
    is_symbol,
)


class ParsedLine(NamedTuple):
    """What one line holds, for live use: its stream, its liquidations and what is wrong with it."""

    stream: str
    liquidations: tuple[Liquidation, ...]
    problems: tuple[Problem, ...]


class _Item(msgspec.Struct, forbid_unknown_fields=True):
    T: int
    s: str
    S: Literal["Buy", "Sell"]
    v: str
    p: str


class _Result(msgspec.Struct, forbid_unknown_fields=True):
    ts: int
    data: list[_Item]
    topic: str = ""
    type: str = ""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    ts: int
    stream: Literal["liquidation"]
    result: _Result
    exchange: Literal["bybit"] = "bybit"
    source: str = ""
    symbol: str = ""


class _UnusualError(Exception):
    """A line for `_wire`."""


_decode_ordinary = msgspec.json.Decoder(_Line).decode


def parse_line(line: bytes, assumed_delay_ms: int = ASSUMED_DELAY_MS) -> ParsedLine:
    """Liquidations of one captured line, ready for the detector.

    A blank line gives stream "" and nothing. A line without a capture time is taken as known `assumed_delay_ms` after
    each event. Never raises for bad input: what is wrong stands in `problems`.

    >>> line = b'{"ts":1770665589949,"stream":"liquidation","symbol":"BTCUSDT","result":{"ts":1770665589887,' \\
    ...        b'"data":[{"T":1770665589426,"s":"BTCUSDT","S":"Sell","v":"0.017","p":"71182.70"}]}}'
    >>> parse_line(line).liquidations[0].liquidated_side
    'short'
    """
    try:
        return _parse_ordinary(line)
    except (msgspec.DecodeError, _UnusualError):
        return _parse_any(line, assumed_delay_ms)


def _parse_ordinary(line: bytes) -> ParsedLine:
    """An ordinary liquidation line; raises for any other, be it valid or not."""
    if not line.isascii():
        raise _UnusualError
    decoded = _decode_ordinary(line)
    capture_ms, push_ms = decoded.ts, decoded.result.ts
    if not (EARLIEST_MS <= capture_ms < LATEST_MS and EARLIEST_MS <= push_ms < LATEST_MS):
        raise _UnusualError
    rows = []
    for position, item in enumerate(decoded.result.data):
        quantity, price = _positive(item.v), _positive(item.p)
        if not (EARLIEST_MS <= item.T < LATEST_MS and is_symbol(item.s)):
            raise _UnusualError
        side = LONG if item.S == "Buy" else SHORT
        rows.append(Liquidation(item.s, DEFAULT_EXCHANGE, item.T, push_ms, capture_ms, side, quantity, price, position))
    return ParsedLine(LIQUIDATION, tuple(rows), ())


def _positive(text: str) -> float:
    """The value of a plain decimal above zero."""
    whole, point, decimals = text.partition(".")
    if not whole.isdigit() or (point and not decimals.isdigit()):
        raise _UnusualError
    value = float(text)
    if not 0 < value < 1e300:
        raise _UnusualError
    return value


def _parse_any(line: bytes, assumed_delay_ms: int) -> ParsedLine:
    message = decode_message(line)
    capture_ms = message.capture_ms
    liquidations = tuple(
        Liquidation(
            item.symbol,
            message.exchange,
            item.event_ms,
            message.push_ms,
            item.event_ms + assumed_delay_ms if capture_ms is None else capture_ms,
            LONG if item.is_long else SHORT,
            item.quantity,
            item.price,
            item.position,
        )
        for item in message.liquidations
    )
    return ParsedLine(message.stream, liquidations, tuple(message.problems))
