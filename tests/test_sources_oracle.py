"""The compiled reader against a slow, obvious parser, line by line, on everything a recording may hold."""

from __future__ import annotations

import json
import math
import random
import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from capture_lines import START_MS, compress, frame_line, liquidation_item, liquidation_line, ratio_line, rest_line
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from liqlab.sources import Capture, parse_capture, parse_line, store_rows

CENTURY_START_MS, CENTURY_END_MS = 1_262_304_000_000, 4_102_444_800_000

LIQUIDATION_STREAMS = ("liquidation", "liquidations", "allLiquidation")
TICKER_STREAMS = ("ticker", "tickers")
RATIO_STREAMS = ("account_ratio", "long_short_ratio", "longshort_ratio")
UNUSED_STREAMS = ("trade", "publicTrade", "orderbook", "kline", "candle", "depth", "book")
PRICES = ("lastPrice", "markPrice", "indexPrice", "bid1Price", "ask1Price")
AMOUNTS = (
    "openInterest",
    "openInterestValue",
    "singleOpenInterest",
    "singleOpenInterestValue",
    "bid1Size",
    "ask1Size",
)


class BadRecord(Exception):
    """The record goes to quarantine."""


@dataclass
class Line:
    """What the obvious parser finds in one line; floats as hexadecimal text, so that every bit counts."""

    liquidations: list[tuple[Any, ...]] = field(default_factory=list)
    tickers: list[tuple[Any, ...]] = field(default_factory=list)
    ratios: list[tuple[Any, ...]] = field(default_factory=list)
    bad: int = 0


def refuse(text: str) -> float:
    raise ValueError(text)


def finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else refuse(text)


def whole_text(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; half a surrogate pair anywhere in it, also under a key that comes again, is not text."""
    json.dumps(pairs, ensure_ascii=False).encode()
    return dict(pairs)


def obvious(text: bytes) -> Line:
    """One line, read with the standard library as DESIGN says."""
    found = Line()
    if not text.strip(b" \t\r\n"):
        return found
    try:
        strict = {"parse_constant": refuse, "parse_float": finite, "object_pairs_hook": whole_text}
        envelope = json.loads(text.decode(), **strict)
    except (ValueError, RecursionError):
        found.bad = 1
        return found
    try:
        if not isinstance(envelope, dict):
            raise BadRecord
        read_envelope(envelope, found)
    except BadRecord:
        found.bad += 1
    return found


def read_envelope(envelope: dict[str, Any], found: Line) -> None:
    kind = kind_of(envelope)
    if kind == "unused":
        return
    capture = optional_time(envelope.get("ts"))
    exchange = exchange_of(envelope.get("exchange"))
    result = envelope.get("result")
    if kind == "ratio":
        rows = result["list"] if isinstance(result, dict) and isinstance(result.get("list"), list) else [envelope]
        read_each(rows, found, lambda row, _: found.ratios.append(ratio(row, envelope, exchange, capture)))
        return
    if not isinstance(result, dict):
        raise BadRecord
    push = optional_time(result.get("ts"))
    if kind == "liquidation":
        if not isinstance(result.get("data"), list):
            raise BadRecord
        tail = (exchange, push, capture)
        read_each(result["data"], found, lambda row, i: found.liquidations.append(liquidation(row, envelope, i) + tail))
    else:
        read_tickers(result, envelope, exchange, push, capture, found)


def read_tickers(
    result: dict[str, Any], envelope: dict[str, Any], exchange: str, push: int | None, capture: int | None, found: Line
) -> None:
    if isinstance(result.get("list"), list):
        rows, delta = result["list"], False
    elif isinstance(result.get("data"), dict) and result.get("type") in ("snapshot", "delta"):
        rows, delta = [result["data"]], result["type"] == "delta"
    else:
        raise BadRecord
    event = capture if push is None else push
    if event is None:
        raise BadRecord
    head = (exchange, event, capture, delta)
    read_each(rows, found, lambda row, i: found.tickers.append((i, *head, *ticker(row, envelope, exchange, delta))))


def read_each(rows: list[Any], found: Line, read: Callable[[Any, int], None]) -> None:
    for position, row in enumerate(rows):
        try:
            if not isinstance(row, dict):
                raise BadRecord
            read(row, position)
        except BadRecord:
            found.bad += 1


def kind_of(envelope: dict[str, Any]) -> str:
    stream = envelope.get("stream")
    if stream not in (None, ""):
        if not isinstance(stream, str):
            raise BadRecord
        for kind, names in (
            ("liquidation", LIQUIDATION_STREAMS),
            ("ticker", TICKER_STREAMS),
            ("ratio", RATIO_STREAMS),
        ):
            if stream in names:
                return kind
        if stream.startswith(UNUSED_STREAMS):
            return "unused"
        raise BadRecord
    return kind_by_shape(envelope)


def kind_by_shape(envelope: dict[str, Any]) -> str:
    result = envelope.get("result")
    if "buyRatio" in envelope:
        return "ratio"
    if isinstance(result, dict):
        topic = result.get("topic")
        head = topic.split(".")[0] if isinstance(topic, str) else ""
        named = [("liquidation", LIQUIDATION_STREAMS), ("ticker", TICKER_STREAMS), ("ratio", RATIO_STREAMS)]
        for kind, names in named:
            if head in names:
                return kind
        data, rows = result.get("data"), result.get("list")
        if isinstance(data, list) and data and isinstance(data[0], dict) and "T" in data[0]:
            return "liquidation"
        first = rows[0] if isinstance(rows, list) and rows else data
        if isinstance(first, dict) and ("lastPrice" in first or "markPrice" in first):
            return "ticker"
    raise BadRecord


def liquidation(row: dict[str, Any], envelope: dict[str, Any], position: int) -> tuple[Any, ...]:
    if row.get("S") not in ("Buy", "Sell"):
        raise BadRecord
    quantity, price = number(row.get("v")), number(row.get("p"))
    if quantity <= 0 or price <= 0:
        raise BadRecord
    side = "long" if row["S"] == "Buy" else "short"
    symbol = symbol_of(row.get("s", envelope.get("symbol")))
    return position, symbol, time(row.get("T")), side, quantity.hex(), price.hex()


def ticker(row: dict[str, Any], envelope: dict[str, Any], exchange: str, delta: bool) -> tuple[Any, ...]:
    value = {name: optional_number(row.get(name)) for name in (*PRICES, *AMOUNTS, "fundingRate")}
    if any(value[name] is not None and value[name] <= 0 for name in PRICES):  # type: ignore[operator]
        raise BadRecord
    if any(value[name] is not None and value[name] < 0 for name in AMOUNTS):  # type: ignore[operator]
        raise BadRecord
    funding = row.get("nextFundingTime")
    next_funding = None if funding in (0, "0") else optional_time(funding)
    if not delta and next_funding is None and all(found is None for found in value.values()):
        raise BadRecord
    interest, basis, interest_value = open_interest(value, exchange)
    columns = (
        *(value[name] for name in ("lastPrice", "markPrice", "indexPrice")),
        interest,
        interest_value,
        value["fundingRate"],
        *(value[name] for name in ("bid1Price", "bid1Size", "ask1Price", "ask1Size")),
    )
    texts = [None if column is None else column.hex() for column in columns]
    return (symbol_of(row.get("symbol", envelope.get("symbol"))), basis, next_funding, *texts)


def open_interest(value: dict[str, float | None], exchange: str) -> tuple[float | None, float | None, float | None]:
    """(open interest, code of its basis, its value): one side of each contract."""
    share = 0.5 if exchange == "bybit" else 1.0
    both, both_value = value["openInterest"], value["openInterestValue"]
    interest, basis = value["singleOpenInterest"], 1.0
    if interest is None and both is not None:
        interest, basis = both * share, 2.0 if exchange == "bybit" else 3.0
    interest_value = value["singleOpenInterestValue"]
    if interest_value is None and both_value is not None:
        interest_value = both_value * share
    return interest, None if interest is None else basis, interest_value


def ratio(row: dict[str, Any], envelope: dict[str, Any], exchange: str, capture: int | None) -> tuple[Any, ...]:
    buy, sell = number(row.get("buyRatio")), number(row.get("sellRatio"))
    if not (0 <= buy <= 1 and 0 <= sell <= 1):
        raise BadRecord
    symbol = symbol_of(row.get("symbol", envelope.get("symbol")))
    return symbol, exchange, time(row.get("timestamp")), capture, buy.hex(), sell.hex()


def symbol_of(value: Any) -> str:
    allowed = string.ascii_uppercase + string.digits
    if not isinstance(value, str) or not 1 <= len(value) <= 40 or value[0] not in allowed or ".." in value:
        raise BadRecord
    if any(letter not in allowed + "_-." for letter in value):
        raise BadRecord
    return value


def exchange_of(value: Any) -> str:
    if value in (None, ""):
        return "bybit"
    if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{1,30}", value):
        raise BadRecord
    return value.lower()


def optional_time(value: Any) -> int | None:
    return None if value in (None, "") else time(value)


def time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadRecord
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,20}", value):
        raise BadRecord
    if isinstance(value, float) and value != math.floor(value):
        raise BadRecord
    if not CENTURY_START_MS <= int(value) < CENTURY_END_MS:
        raise BadRecord
    return int(value)


def optional_number(value: Any) -> float | None:
    return None if value in (None, "") else number(value)


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise BadRecord
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", value):
        raise BadRecord
    try:
        result = float(value)
    except OverflowError:
        raise BadRecord from None
    if not math.isfinite(result):
        raise BadRecord
    return result


# What the fast reader found, in the same words.


def hexes(values: list[float | None]) -> list[str | None]:
    return [None if value is None else value.hex() for value in values]


def found_by_line(capture: Capture) -> dict[int, Line]:
    lines: dict[int, Line] = {}
    tables = store_rows([capture])
    for row in physical(tables["liquidations"]):
        lines.setdefault(row["source_line"], Line()).liquidations.append(
            (
                *(row[name] for name in ("position", "symbol", "event_time", "liquidated_side")),
                *hexes([row["quantity"], row["price"]]),
                *(row[name] for name in ("exchange", "push_time", "known_time")),
            )
        )
    for row in physical(tables["ticker"]):
        names = ("last_price", "mark_price", "index_price", "open_interest", "open_interest_value", "funding_rate")
        more = ("bid_price", "bid_size", "ask_price", "ask_size")
        lines.setdefault(row["source_line"], Line()).tickers.append(
            (
                *(row[name] for name in ("position", "exchange", "event_time", "known_time", "is_delta", "symbol")),
                *(row[name] for name in ("open_interest_code", "next_funding_ms")),
                *hexes([row[name] for name in (*names, *more)]),
            )
        )
    for row in physical(tables["long_short_ratio"]):
        lines.setdefault(row["source_line"], Line()).ratios.append(
            (
                *(row[name] for name in ("symbol", "exchange", "event_time", "known_time")),
                *hexes([row["buy_ratio"], row["sell_ratio"]]),
            )
        )
    for number_of_line, count in Counter(row.line for row in capture.quarantine).items():
        lines.setdefault(number_of_line, Line()).bad = count
    return lines


def physical(frame: Any) -> list[dict[str, Any]]:
    return frame.with_columns(frame.select(name).to_series().to_physical() for name in frame.columns).to_dicts()  # type: ignore[no-any-return]


def check_agreement(data: bytes, path: Path) -> Counter[str]:
    """Compare both readers on the whole content of a file; how many records of each kind there were."""
    path.write_bytes(compress(data, path.name))
    capture = parse_capture(path, path.name)
    texts = data.split(b"\n")
    if not texts[-1]:
        texts.pop()
    fast = found_by_line(capture)
    seen: Counter[str] = Counter()
    for line, text in enumerate(texts, 1):
        slow = obvious(text)
        assert fast.pop(line, Line()) == slow, text
        live = parse_line(text)
        assert len(live.problems) == slow.bad, text
        assert [(item.symbol, item.event_ms) for item in live.liquidations] == [item[1:3] for item in slow.liquidations]
        records = Counter(
            liquidations=len(slow.liquidations), tickers=len(slow.tickers), ratios=len(slow.ratios), bad=slow.bad
        )
        seen += records
    assert not fast
    assert capture.lines == len(texts)
    assert capture.read.total() == seen.total()
    return seen


# The corpus.


class Raw(str):
    """Text that goes into the JSON as it is."""


def spell(value: Any, generator: random.Random, mess: float) -> str:
    """JSON text with keys shuffled, random whitespace, escapes and repeated keys, each with a chance of `mess`."""

    def chance() -> bool:
        return generator.random() < mess

    def space() -> str:
        return generator.choice(("", " ", "\t", "\r", "  ")) if chance() else ""

    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, str):
        return (
            "".join(f"\\u{ord(c):04x}" for c in value).join('""') if mess * generator.random() > 0.2 else f'"{value}"'
        )
    if isinstance(value, list):
        return "[" + ",".join(space() + spell(item, generator, mess) + space() for item in value) + "]"
    if isinstance(value, dict):
        items = list(value.items())
        if generator.random() < 3 * mess:
            generator.shuffle(items)
        if items and chance():
            items.append((generator.choice(items)[0], generator.choice(items)[1]))
        pairs = (
            f"{space()}{spell(key, generator, mess)}{space()}:{space()}{spell(item, generator, mess)}{space()}"
            for key, item in items
        )
        return "{" + ",".join(pairs) + "}"
    return json.dumps(value)


ODD = [
    Raw(text)
    for text in (
        *("null", "true", "false", '""', "[]", "{}", "[[1]]", '"x"', "NaN", "Infinity", "-Infinity", '"NaN"', '"inf"'),
        *("0", "-0", "0.0", '"0"', '"-0.0"', "-1", '"-1.5"', '" 1"', '"1 "', '"1,5"', "1.", ".5", '".5"', '"1."'),
        *("01", '"01"', '"0x10"', "1_0", '"1_0"', "+1", '"+1"', '"١٢"', "1e5", '"1e5"', "1E-3", '"1.5E+3"', "1e400"),
        *('"1e400"', "1e-400", '"1e-400"', "9" * 25, f'"{"9" * 25}"', "9" * 400, f'"{"9" * 400}"', "9" * 5_000),
        *("0.1000000000000000055511151231257827", '"0.3000000000000000444"', "9007199254740993", '"9007199254740993"'),
        *('"123456789012345678"', '"1234567890123456789"', "0.00000000000000000001", '"0.000000000000000001"', '"e5"'),
        *("tru", "nulll", "'1'", '"1\\u0030"', '"\\ud800"', '"\x7f"', '"é"', "--1", "1.5.5", '"1.5.5"', "1e", '"1e"'),
    )
]
SYMBOLS = ["../../etc", "..", "A..B", "BTC/USDT", "btcusdt", "A" * 40, "A" * 41, "1000PEPEUSDT", "BTC-USDT", "_A", ".A"]
SYMBOLS += ["BTC_USDT", "BTC USDT", "A.B", "A" * 30, "A" * 31, "", "BTC\\u0041"]
SIDES: list[Any] = ["Buy", "Sell", "Buy", "Sell", "buy", "SELL", "Both", "", 1, None, ["Buy"], Raw('"B\\u0075y"')]
EXCHANGES: list[Any] = ["bybit", "okx", "Binance", "BYBIT", "", None, 7, "by bit", "a" * 30, "a" * 31, "x_1-2", "é"]


def odd_time(generator: random.Random) -> Any:
    time_ms = START_MS + generator.randrange(10**7)
    edges = [CENTURY_START_MS, CENTURY_START_MS - 1, CENTURY_END_MS - 1, CENTURY_END_MS]
    plain = [time_ms // 1_000, time_ms * 1_000, time_ms * 10**6, -time_ms, str(time_ms), f" {time_ms}", f"0{time_ms}"]
    forms = [Raw(f"{time_ms}.0"), Raw(f"{time_ms}.5"), Raw(f"{time_ms / 1e12!r}e12"), f"{time_ms}.0", *edges]
    return generator.choice([*plain, *forms, *ODD])


def decimal(generator: random.Random) -> Any:
    text = f"{generator.uniform(0.001, 90_000):.{generator.randrange(0, 16)}f}"
    return text if generator.random() < 0.7 else Raw(text)


def moment(generator: random.Random) -> Any:
    time_ms = START_MS + generator.randrange(10**7)
    return time_ms if generator.random() < 0.8 else str(time_ms)


def item(generator: random.Random, odd: float) -> Any:
    if generator.random() < odd / 4:
        return generator.choice([None, 5, "x", [], {}])
    fields: dict[str, Any] = {"T": moment(generator), "s": "BTCUSDT", "S": generator.choice(("Buy", "Sell"))}
    fields |= {"v": decimal(generator), "p": decimal(generator)}
    return disturb(fields, generator, odd, {"T": odd_time, "s": odd_symbol, "S": lambda g: g.choice(SIDES)})


def odd_symbol(generator: random.Random) -> Any:
    return generator.choice([*SYMBOLS, None, 5, *ODD[:6]])


def disturb(
    fields: dict[str, Any], generator: random.Random, odd: float, makers: dict[str, Callable[[random.Random], Any]]
) -> dict[str, Any]:
    """Some fields replaced by odd values, some left out, an unknown one added."""
    for name in list(fields):
        if generator.random() < odd / 3:
            fields[name] = makers.get(name, lambda g: g.choice(ODD))(generator)
        if generator.random() < odd / 12:
            del fields[name]
    if generator.random() < odd / 3:
        extra = [1, -2, "text", None, True, {"a": [1, {"b": 2}]}, [[]], Raw("1e3"), *generator.sample(ODD, 2)]
        fields["extra"] = generator.choice(extra)
    return fields


def ticker_row(generator: random.Random, odd: float, count: int) -> dict[str, Any]:
    names = generator.sample([*PRICES, *AMOUNTS, "fundingRate", "nextFundingTime", "volume24h", "tickDirection"], count)
    fields: dict[str, Any] = {"symbol": "BTCUSDT"} | {name: decimal(generator) for name in names}
    if "nextFundingTime" in fields:
        fields["nextFundingTime"] = generator.choice([moment(generator), str(START_MS), 0, "0", ""])
    if "fundingRate" in fields:
        fields["fundingRate"] = generator.choice(["0.0001", "-0.000125", Raw("-0.0002"), Raw("0.0001"), "-0"])
    if "tickDirection" in fields:
        fields["tickDirection"] = "ZeroPlusTick"
    return disturb(fields, generator, odd, {"symbol": odd_symbol, "nextFundingTime": odd_time})


def message(generator: random.Random, odd: float) -> dict[str, Any]:
    form = generator.choice(("liquidation", "liquidation", "rest", "frame", "ratio", "ratio list", "unused"))
    line: dict[str, Any] = {"ts": moment(generator), "exchange": "bybit", "source": "ws", "symbol": "BTCUSDT"}
    result: Any = {"ts": moment(generator)}
    if form == "liquidation":
        line["stream"] = generator.choice(("liquidation", "liquidation", *LIQUIDATION_STREAMS))
        result["data"] = [item(generator, odd) for _ in range(generator.choice((0, 1, 1, 1, 2, 3, 5)))]
        result["topic"] = "allLiquidation.BTCUSDT"
    elif form == "rest":
        line["stream"] = generator.choice(TICKER_STREAMS)
        result["list"] = [
            ticker_row(generator, odd, generator.randrange(9)) for _ in range(generator.choice((1, 1, 2)))
        ]
    elif form == "frame":
        line["stream"] = "ticker"
        result["type"] = generator.choice(("snapshot", "delta", "delta"))
        result["topic"], result["cs"] = "tickers.BTCUSDT", generator.choice((5, 10**17, 2**63, "7", -1))
        result["data"] = ticker_row(generator, odd, generator.randrange(5))
    elif form == "unused":
        line["stream"] = generator.choice(("trades", "orderbook.50", "kline_1m", "unheard", "", 5, None))
    if form.startswith("ratio"):
        row = {"symbol": "BTCUSDT", "buyRatio": "0.51", "sellRatio": Raw("0.49"), "timestamp": str(START_MS)}
        row = disturb(row, generator, odd, {"symbol": odd_symbol, "timestamp": odd_time})
        line = (line | row if form == "ratio" else line) | {"stream": generator.choice(RATIO_STREAMS)}
        result = {"list": [row, generator.choice([row, 5])]}
    if form != "ratio":
        line["result"] = disturb(result, generator, odd / 2, {"ts": odd_time})
    makers = {"ts": odd_time, "symbol": odd_symbol, "exchange": lambda g: g.choice(EXCHANGES)}
    return disturb(line, generator, odd / 2, makers)


def corpus(seed: int, lines: int, odd: float, mess: float) -> bytes:
    generator = random.Random(seed)
    texts = [spell(message(generator, odd), generator, mess) for _ in range(lines)]
    ends = [generator.choice(("\n", "\r\n", "\n\n", "\n \t\n")) if generator.random() < mess else "\n" for _ in texts]
    return "".join(text + end for text, end in zip(texts, ends, strict=True)).encode("utf-8", "surrogatepass")


def damaged(data: bytes, seed: int, share: float) -> bytes:
    """A share of all bytes replaced, removed or doubled."""
    generator = random.Random(seed)
    damaged = bytearray(data)
    for _ in range(int(len(data) * share)):
        place = generator.randrange(len(damaged))
        act = generator.randrange(4)
        if act == 0:
            damaged[place] ^= 1 << generator.randrange(8)
        elif act == 1:
            damaged[place] = generator.choice(b'{}[]",:0-.eE\\ \n\r\t\x00\xff')
        elif act == 2:
            del damaged[place : place + generator.choice((1, 1, 1, 40))]
        else:
            damaged[place:place] = damaged[place : place + generator.randrange(1, 4)]
    return bytes(damaged)


@pytest.mark.parametrize(
    ("seed", "lines", "odd", "mess"),
    [(1, 6_000, 0.0, 0.0), (2, 6_000, 0.3, 0.0), (3, 6_000, 0.3, 0.1), (4, 4_000, 0.6, 0.2)],
)
def test_fast_and_obvious_reader_agree_on_every_line(
    tmp_path: Path, seed: int, lines: int, odd: float, mess: float
) -> None:
    seen = check_agreement(corpus(seed, lines, odd, mess), tmp_path / "data.jsonl.gz")
    assert min(seen["liquidations"], seen["tickers"], seen["ratios"], seen["bad"]) > lines / 50


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_fast_and_obvious_reader_agree_on_damaged_bytes(tmp_path: Path, seed: int) -> None:
    data = damaged(corpus(seed, 3_000, 0.02, 0.0), seed, 0.003)
    seen = check_agreement(data, tmp_path / "data.jsonl")
    assert seen["bad"] > 300
    assert seen["liquidations"] > 300


def test_fast_and_obvious_reader_agree_on_a_line_cut_at_every_byte(tmp_path: Path) -> None:
    whole = [line.encode() for line in clean_lines(random.Random(5), 2)]
    cuts = [line[:end] for line in whole for end in range(len(line) + 1)]
    check_agreement(b"\n".join(cuts) + b"\n", tmp_path / "data.jsonl")


def test_fast_and_obvious_reader_agree_on_every_odd_value_in_every_field(tmp_path: Path) -> None:
    lines = []
    for odd in [*ODD, Raw('"Buy"'), Raw('"BTCUSDT"'), Raw(str(START_MS)), Raw(f'"{START_MS}"')]:
        for name in ("T", "s", "S", "v", "p", "extra"):
            items = [
                liquidation_item(START_MS),
                liquidation_item(START_MS) | {name: Raw(odd)},
                liquidation_item(START_MS),
            ]
            result = {"ts": START_MS, "data": items}
            lines.append({"ts": START_MS, "stream": "liquidation", "symbol": "ETHUSDT", "result": result})
        for name in (*PRICES, *AMOUNTS, "fundingRate", "nextFundingTime", "symbol", "extra"):
            row = {"lastPrice": "1", name: Raw(odd)}
            lines.append({"ts": START_MS, "stream": "ticker", "symbol": "ETHUSDT", "result": {"list": [row]}})
        for name in ("buyRatio", "sellRatio", "timestamp", "symbol"):
            lines.append(json.loads(ratio_line(START_MS)) | {name: Raw(odd)})
        for name in ("ts", "exchange", "symbol", "stream", "source"):
            lines.append(json.loads(rest_line(START_MS, {"lastPrice": 1})) | {name: Raw(odd)})
        for name in ("ts", "cs", "type", "topic", "data", "list"):
            line = json.loads(frame_line(START_MS, START_MS, "delta", {"lastPrice": 1}))
            lines.append(line | {"result": line["result"] | {name: Raw(odd)}})
    generator = random.Random(0)
    data = "".join(spell(line, generator, 0.0) + "\n" for line in lines)
    seen = check_agreement(data.encode(), tmp_path / "data.jsonl")
    assert seen["bad"] > 1_000


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=60), max_size=12), st.integers(0, 2**32))
def test_fast_and_obvious_reader_agree_on_arbitrary_bytes(
    tmp_path_factory: pytest.TempPathFactory, junk: list[bytes], seed: int
) -> None:
    generator = random.Random(seed)
    lines = corpus(seed, 6, 0.3, 0.1).split(b"\n")
    for text in junk:
        lines.insert(generator.randrange(len(lines)), text)
    data = b"\n".join(lines) + b"\n"
    assume(not data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")))  # that would be a damaged compressed file
    check_agreement(data, tmp_path_factory.getbasetemp() / "arbitrary.jsonl")


def clean_lines(generator: random.Random, count: int) -> list[str]:
    """Lines as recorders write them, in turn a liquidation, a REST poll, a snapshot and a delta."""
    lines = []
    for i in range(count):
        now = START_MS + 1_000 * i
        items = [liquidation_item(now - 40 - k, quantity=f"{generator.random() + 1:.3f}") for k in range(1 + i % 3)]
        state = {"lastPrice": "71182.70", "fundingRate": "-0.0001", "nextFundingTime": str(START_MS), "bid1Size": "0"}
        lines += [
            liquidation_line(items, now, now - 20),
            rest_line(now, state | {"volume24h": "12.5", "tickDirection": "ZeroPlusTick"}, exchange="bybit"),
            frame_line(now, now - 5, "snapshot", state, cs=i),
            frame_line(now, now - 4, "delta", {"markPrice": "71182.7"}, cs=i + 1),
        ]
    return lines


def test_the_compiled_reader_takes_every_ordinary_line_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_line(text: bytes) -> None:
        raise AssertionError(f"left to the slow parser: {text!r}")

    lines = clean_lines(random.Random(1), 500)
    generator = random.Random(2)
    shuffled = [spell(json.loads(line), generator, 0.0) for line in lines]
    spaced = [json.dumps(json.loads(line)) for line in lines]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join([*lines, *shuffled, *spaced]) + "\n")
    monkeypatch.setattr("liqlab.sources._capture.decode_message", refuse_line)
    capture = parse_capture(path, "data.jsonl")
    assert capture.read == {"liquidation": 3 * 999, "ticker": 3 * 1_500}
    assert not capture.quarantine
