"""One captured line to records: the definition of what is valid.

Every line form of a capture is decided here, one line at a time. The compiled scanner (`_scanner`) only takes over
lines that it fully recognises, and must then agree with this module.

Forms, in any key order, numbers plain or as strings:

- liquidations: `stream` "liquidation", `result.data` a list of `{T, s, S, v, p}`. `S` is the *position* side whatever
  `exchange` says: `Buy` = a long was liquidated. `p` is the bankruptcy price.
- ticker: `stream` "ticker"; REST snapshots in `result.list`, websocket frames in `result.data` with `result.type`
  "snapshot" or "delta"; a delta holds only what changed.
- long/short ratio: `buyRatio`, `sellRatio`, `timestamp` at the top or in `result.list`.

A line that is not strict JSON is bad as a whole; so is one with a number beyond the range of a double or with half a
surrogate pair.

A reason names the field and what is wrong with it, without the value, so that reasons can be counted.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from liqlab.core.time import EARLIEST_MS, LATEST_MS

LIQUIDATION = "liquidation"
TICKER = "ticker"
RATIO = "long_short_ratio"
OTHER = "other"
UNRECOGNISED = "unrecognised"

#: Exchange of a line that names none.
DEFAULT_EXCHANGE = "bybit"
#: Delivery delay of a feed that recorded no capture time.
ASSUMED_DELAY_MS = 1_000

_STREAMS = {
    "liquidation": LIQUIDATION,
    "liquidations": LIQUIDATION,
    "allLiquidation": LIQUIDATION,
    "ticker": TICKER,
    "tickers": TICKER,
    "account_ratio": RATIO,
    "long_short_ratio": RATIO,
    "longshort_ratio": RATIO,
}
#: Streams that recorders keep in the same tree and that liqlab does not use: counted, not quarantined.
_OTHER_STREAMS = ("trade", "publicTrade", "orderbook", "kline", "candle", "depth", "book")

_SYMBOL = re.compile(r"[A-Z0-9](?:[A-Z0-9_-]|\.(?!\.)){0,39}")
_EXCHANGE = re.compile(r"[A-Za-z0-9_-]{1,30}")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[0-9]{1,20}")

REST, SNAPSHOT, DELTA = "rest", "snapshot", "delta"

#: Ticker fields in the order of `TickerUpdate.values`: name on the wire, whether zero is allowed, whether negative is.
TICKER_FIELDS = (
    ("lastPrice", False, False),
    ("markPrice", False, False),
    ("indexPrice", False, False),
    ("openInterest", True, False),
    ("openInterestValue", True, False),
    ("singleOpenInterest", True, False),
    ("singleOpenInterestValue", True, False),
    ("fundingRate", True, True),
    ("nextFundingTime", True, False),
    ("bid1Price", False, False),
    ("bid1Size", True, False),
    ("ask1Price", False, False),
    ("ask1Size", True, False),
)


class Problem(NamedTuple):
    """Something that cannot be used: why, and its text ("" = the whole line)."""

    reason: str
    text: str = ""


class LiquidationItem(NamedTuple):
    """One valid liquidation of a message, before the message's own times are attached."""

    symbol: str
    event_ms: int
    is_long: bool
    quantity: float
    price: float
    position: int


class TickerUpdate(NamedTuple):
    """One ticker observation; `values` in the order of `TICKER_FIELDS`, NaN where the message has none."""

    symbol: str
    kind: str
    event_ms: int
    sequence: int
    values: tuple[float, ...]
    position: int


class RatioItem(NamedTuple):
    """One long/short ratio row."""

    symbol: str
    event_ms: int
    buy_ratio: float
    sell_ratio: float


@dataclass(slots=True)
class Message:
    """What one line holds. `n_read` counts its records, the bad ones included."""

    stream: str = ""
    exchange: str = DEFAULT_EXCHANGE
    capture_ms: int | None = None
    push_ms: int | None = None
    liquidations: list[LiquidationItem] = field(default_factory=list)
    tickers: list[TickerUpdate] = field(default_factory=list)
    ratios: list[RatioItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    n_read: int = 0


class _BadValueError(ValueError):
    """A field that cannot be used; the text is the reason."""


_decode = msgspec.json.Decoder().decode


def decode_message(line: bytes) -> Message:
    """Everything one captured line holds; bad input stands in `problems`, nothing is raised."""
    message = Message()
    if not line.strip(b" \t\r\n"):
        return message
    message.stream = UNRECOGNISED
    try:
        envelope = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _reject(message, "not JSON")
    if not isinstance(envelope, dict):
        return _reject(message, "not a JSON object")
    try:
        message.stream = _stream_of(envelope)
        _fill(message, envelope)
    except _BadValueError as error:
        return _reject(message, str(error))
    return message


def _reject(message: Message, reason: str) -> Message:
    message.problems.append(Problem(reason))
    message.n_read += 1
    return message


def _stream_of(envelope: Mapping[str, Any]) -> str:
    named = envelope.get("stream")
    if isinstance(named, str) and named:
        if named in _STREAMS:
            return _STREAMS[named]
        if named.startswith(_OTHER_STREAMS):
            return OTHER
        raise _BadValueError("stream is unknown")
    if named is not None and named != "":
        raise _BadValueError("stream is not text")
    return _guess_stream(envelope)


def _guess_stream(envelope: Mapping[str, Any]) -> str:
    """The stream of a line that does not name it: its topic tells, or the shape of its result."""
    if "buyRatio" in envelope:
        return RATIO
    result = envelope.get("result")
    if isinstance(result, dict):
        topic = result.get("topic")
        head = topic.split(".")[0] if isinstance(topic, str) else ""
        if head in _STREAMS:
            return _STREAMS[head]
        data = result.get("data")
        if isinstance(data, list) and data and isinstance(data[0], dict) and "T" in data[0]:
            return LIQUIDATION
        rows = result.get("list")
        first = rows[0] if isinstance(rows, list) and rows else data
        if isinstance(first, dict) and ("lastPrice" in first or "markPrice" in first):
            return TICKER
    raise _BadValueError("the line does not say which stream it is")


def _fill(message: Message, envelope: Mapping[str, Any]) -> None:
    if message.stream == OTHER:
        return
    message.capture_ms = _optional_time(envelope, "ts", "ts")
    message.exchange = _exchange_of(envelope)
    if message.stream == RATIO:
        _fill_ratios(message, envelope)
        return
    result = envelope.get("result")
    if not isinstance(result, dict):
        raise _BadValueError("result is missing" if result is None else "result is not an object")
    message.push_ms = _optional_time(result, "ts", "result.ts")
    if message.stream == LIQUIDATION:
        _fill_liquidations(message, result, envelope.get("symbol"))
    else:
        _fill_tickers(message, result, envelope.get("symbol"))


def _exchange_of(envelope: Mapping[str, Any]) -> str:
    exchange = envelope.get("exchange")
    if exchange is None or exchange == "":
        return DEFAULT_EXCHANGE
    if not isinstance(exchange, str) or not _EXCHANGE.fullmatch(exchange):
        raise _BadValueError("exchange is not a name")
    return exchange.lower()


def _fill_liquidations(message: Message, result: Mapping[str, Any], symbol: Any) -> None:
    data = result.get("data")
    if not isinstance(data, list):
        raise _BadValueError("result.data is missing" if data is None else "result.data is not a list")
    for position, item in enumerate(data):
        message.n_read += 1
        try:
            message.liquidations.append(_liquidation(item, symbol, position))
        except _BadValueError as error:
            message.problems.append(Problem(str(error), _text_of(item)))


def _liquidation(item: Any, symbol: Any, position: int) -> LiquidationItem:
    if not isinstance(item, dict):
        raise _BadValueError("the liquidation is not an object")
    event_ms = _time(item.get("T"), "T")
    side = item.get("S")
    if side != "Buy" and side != "Sell":
        raise _BadValueError("S is missing" if side is None else "S is neither Buy nor Sell")
    return LiquidationItem(
        _check_symbol(item.get("s", symbol)),
        event_ms,
        side == "Buy",
        _positive(item.get("v"), "v"),
        _positive(item.get("p"), "p"),
        position,
    )


def _fill_tickers(message: Message, result: Mapping[str, Any], symbol: Any) -> None:
    rows, data = result.get("list"), result.get("data")
    if isinstance(rows, list):
        kind = REST
    elif isinstance(data, dict):
        rows, kind = [data], _kind_of(result)
    else:
        raise _BadValueError("the ticker has neither result.list nor result.data")
    event_ms = message.push_ms if message.push_ms is not None else message.capture_ms
    if event_ms is None:
        raise _BadValueError("the ticker has neither ts nor result.ts")
    sequence = result.get("cs")
    number = sequence if type(sequence) is int and 0 <= sequence < 2**63 else -1
    for position, row in enumerate(rows):
        message.n_read += 1
        try:
            name, values = _ticker(row, symbol, kind)
            message.tickers.append(TickerUpdate(name, kind, event_ms, number, values, position))
        except _BadValueError as error:
            message.problems.append(Problem(str(error), _text_of(row)))


def _kind_of(result: Mapping[str, Any]) -> str:
    kind = result.get("type")
    if kind not in (SNAPSHOT, DELTA):
        raise _BadValueError("result.type is neither snapshot nor delta")
    return str(kind)


def _ticker(row: Any, symbol: Any, kind: str) -> tuple[str, tuple[float, ...]]:
    if not isinstance(row, dict):
        raise _BadValueError("the ticker is not an object")
    name = _check_symbol(row.get("symbol", symbol))
    values = tuple(
        _ticker_value(row.get(key), key, zero_allowed, negative_allowed)
        for key, zero_allowed, negative_allowed in TICKER_FIELDS
    )
    if kind != DELTA and all(math.isnan(value) for value in values):
        raise _BadValueError("the ticker has no known field")
    return name, values


def _ticker_value(value: Any, key: str, zero_allowed: bool, negative_allowed: bool) -> float:
    if value is None or value == "":
        return math.nan
    if key == "nextFundingTime":
        return math.nan if value in (0, "0") else float(_time(value, key))
    number = _number(value, key)
    if number < 0 and not negative_allowed:
        raise _BadValueError(f"{key} is negative")
    if number == 0 and not zero_allowed:
        raise _BadValueError(f"{key} is zero")
    return number


def _fill_ratios(message: Message, envelope: Mapping[str, Any]) -> None:
    for row in _ratio_rows(envelope):
        message.n_read += 1
        try:
            message.ratios.append(_ratio(row, envelope.get("symbol")))
        except _BadValueError as error:
            message.problems.append(Problem(str(error), _text_of(row)))


def _ratio_rows(envelope: Mapping[str, Any]) -> Iterator[Any]:
    result = envelope.get("result")
    if isinstance(result, dict) and isinstance(result.get("list"), list):
        yield from result["list"]
    else:
        yield envelope


def _ratio(row: Any, symbol: Any) -> RatioItem:
    if not isinstance(row, dict):
        raise _BadValueError("the ratio is not an object")
    buy, sell = (_number(row.get(key), key) for key in ("buyRatio", "sellRatio"))
    for key, share in (("buyRatio", buy), ("sellRatio", sell)):
        if not 0 <= share <= 1:
            raise _BadValueError(f"{key} is outside 0 to 1")
    return RatioItem(_check_symbol(row.get("symbol", symbol)), _time(row.get("timestamp"), "timestamp"), buy, sell)


@lru_cache(maxsize=4_096)
def is_symbol(text: str) -> bool:
    """Whether `text` can be the name of an instrument."""
    return _SYMBOL.fullmatch(text) is not None


def _check_symbol(symbol: Any) -> str:
    if symbol is None or symbol == "":
        raise _BadValueError("symbol is missing")
    if not isinstance(symbol, str):
        raise _BadValueError("symbol is not text")
    if not is_symbol(symbol):
        raise _BadValueError("symbol has characters that are not allowed")
    return symbol


def _optional_time(values: Mapping[str, Any], key: str, name: str) -> int | None:
    value = values.get(key)
    return None if value is None or value == "" else _time(value, name)


def _time(value: Any, name: str) -> int:
    if value is None:
        raise _BadValueError(f"{name} is missing")
    whole = type(value) is int or (type(value) is float and value.is_integer())
    if not whole and not (isinstance(value, str) and _INTEGER.fullmatch(value)):
        raise _BadValueError(f"{name} is not a time in milliseconds")
    time = int(value)
    if EARLIEST_MS <= time < LATEST_MS:
        return time
    for unit, milliseconds in (
        ("seconds", time * 1_000),
        ("microseconds", time // 1_000),
        ("nanoseconds", time // 10**6),
    ):
        if EARLIEST_MS <= milliseconds < LATEST_MS:
            raise _BadValueError(f"{name} is in {unit}, not milliseconds")
    raise _BadValueError(f"{name} is not a time of this century")


def _positive(value: Any, name: str) -> float:
    number = _number(value, name)
    if number <= 0:
        raise _BadValueError(f"{name} is {'zero' if number == 0 else 'negative'}")
    return number


def _number(value: Any, name: str) -> float:
    if value is None or value == "":
        raise _BadValueError(f"{name} is missing")
    if type(value) is int or type(value) is float or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        raise _BadValueError(f"{name} is not finite")
    raise _BadValueError(f"{name} is not a number")


def _text_of(item: Any) -> str:
    return json.dumps(item, ensure_ascii=False)
