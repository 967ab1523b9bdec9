"""What a recorder would have written: market arrays in, capture lines and hourly files out.

Nothing here knows how the market came about; any arrays of forced orders and ticker states will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.files import replacing
from liqlab.core.time import MS_PER_HOUR, format_time
from liqlab.worlds._delivery import Delivered
from liqlab.worlds._dials import SymbolDials
from liqlab.worlds._noise import Floats, Integers
from liqlab.worlds._ticker import TickerArrays

#: No frame takes longer than the next one takes to come, so that a recorder's files hold whole hours of frames.
_LONGEST_FRAME_DELAY_MS = 99
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True)
class CaptureLines:
    """Lines in the order in which the recorder had them; `rows` counts the table rows that each one holds."""

    known_ms: Integers
    rows: Integers
    text: list[str]

    def take(self, lines: NDArray[np.bool_] | Integers) -> CaptureLines:
        """The lines of a mask or in the order of an index."""
        index = np.flatnonzero(lines) if lines.dtype == np.bool_ else lines
        return CaptureLines(self.known_ms[index], self.rows[index], [self.text[i] for i in index.tolist()])


def render_liquidations(symbol: str, dials: SymbolDials, delivered: Delivered) -> CaptureLines:
    """One line per push, in order."""
    pushes, first, count = np.unique(delivered.push_ms, return_index=True, return_counts=True)
    known_ms = delivered.known_ms[first]
    entries = _render_entries(symbol, dials, delivered)
    head = f'"exchange":"bybit","source":"ws","stream":"liquidation","symbol":"{symbol}"'
    text = [
        f'{{"ts":{known},{head},"result":{{"ts":{push},"data":[{",".join(entries[start : start + number])}]}}}}'
        for known, push, start, number in zip(
            known_ms.tolist(), pushes.tolist(), first.tolist(), count.tolist(), strict=True
        )
    ]
    return CaptureLines(known_ms, count, text)


def _render_entries(symbol: str, dials: SymbolDials, delivered: Delivered) -> list[str]:
    orders = delivered.liquidations
    columns = zip(
        orders.event_ms.tolist(),
        ["Buy" if is_long else "Sell" for is_long in orders.is_long.tolist()],
        _decimal(orders.quantity, dials.quantity_decimals),
        _decimal(orders.price, dials.price_decimals),
        strict=True,
    )
    return [
        f'{{"T":{time},"s":"{symbol}","S":"{side}","v":"{size}","p":"{price}"}}' for time, side, size, price in columns
    ]


def render_rest_ticker(symbol: str, dials: SymbolDials, ticker: TickerArrays, known_ms: Integers) -> CaptureLines:
    """One line per state: the REST answer that the recorder had at `known_ms`."""
    head = f'"source":"rest","stream":"ticker","symbol":"{symbol}"'
    text = [
        f'{{"ts":{known},{head},"result":{{"list":[{{"symbol":"{symbol}",{state}}}]}}}}'
        for known, state in zip(known_ms.tolist(), _render_states(dials, ticker), strict=True)
    ]
    return CaptureLines(known_ms, np.ones(len(text), dtype=np.int64), text)


def draw_frame_times(ticker: TickerArrays, generator: np.random.Generator) -> Integers:
    """When a recorder has the frame of each state: 10 to 99 ms after it."""
    return np.asarray(ticker.time_ms + generator.integers(10, _LONGEST_FRAME_DELAY_MS + 1, len(ticker.time_ms)))


def render_websocket_ticker(
    symbol: str,
    dials: SymbolDials,
    ticker: TickerArrays,
    before: TickerArrays,
    known_ms: Integers,
    is_snapshot: NDArray[np.bool_],
) -> CaptureLines:
    """One frame per state that differs from the one before it, a delta of what changed or, where said, a snapshot.

    `before` holds the state before each of `ticker`; where a snapshot is due it is not looked at.
    """
    content = _render_changes(dials, ticker, before)
    for row in np.flatnonzero(is_snapshot).tolist():
        content[row] = _render_snapshot(dials, ticker.take(slice(row, row + 1)))
    head = f'"stream":"ticker","symbol":"{symbol}","result":{{"topic":"tickers.{symbol}"'
    columns = zip(known_ms.tolist(), ticker.time_ms.tolist(), is_snapshot.tolist(), content, strict=True)
    text = [
        f'{{"ts":{known},{head},"type":"{"snapshot" if whole else "delta"}","ts":{time},'
        f'"data":{{"symbol":"{symbol}"{changes}}}}}}}'
        for known, time, whole, changes in columns
        if changes
    ]
    sent = np.array([bool(changes) for changes in content], dtype=np.bool_)
    return CaptureLines(known_ms[sent], np.ones(len(text), dtype=np.int64), text)


def _render_states(dials: SymbolDials, ticker: TickerArrays) -> Iterator[str]:
    """The fields of a REST answer, symbol apart."""
    fields = _render_fields(dials, ticker)
    columns = zip(
        *(fields[name] for name in ("lastPrice", "markPrice", "indexPrice", "openInterest", "openInterestValue")),
        fields["fundingRate"],
        ticker.next_funding_ms.tolist(),
        *(fields[name] for name in ("bid1Price", "ask1Price", "bid1Size", "ask1Size", "volume24h", "turnover24h")),
        strict=True,
    )
    for last, mark, index, interest, value, rate, funding, bid, ask, bid_size, ask_size, volume, turnover in columns:
        yield (
            f'"lastPrice":"{last}","markPrice":"{mark}","indexPrice":"{index}","openInterest":"{interest}",'
            f'"openInterestValue":"{value}","fundingRate":"{rate}","nextFundingTime":"{funding}",'
            f'"fundingIntervalHour":"8","bid1Price":"{bid}","ask1Price":"{ask}","bid1Size":"{bid_size}",'
            f'"ask1Size":"{ask_size}","volume24h":"{volume}","turnover24h":"{turnover}"'
        )


def _render_snapshot(dials: SymbolDials, ticker: TickerArrays) -> str:
    fields = _render_fields(dials, ticker)
    single = ",".join(f'"{name}":"{fields[name][0]}"' for name in ("singleOpenInterest", "singleOpenInterestValue"))
    return f",{next(_render_states(dials, ticker))},{single}"


#: Fields that a frame carries together when one of their causes has changed.
_FRAME_PARTS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("last_price",), ("lastPrice",)),
    (("mark_price",), ("markPrice",)),
    (("index_price",), ("indexPrice",)),
    (("open_interest",), ("openInterest", "singleOpenInterest")),
    (("open_interest_value",), ("openInterestValue", "singleOpenInterestValue")),
    (("funding_rate",), ("fundingRate",)),
    (("next_funding_ms",), ("nextFundingTime",)),
    (("volume_24h", "turnover_24h"), ("turnover24h", "volume24h")),
    (("bid_price", "bid_size"), ("bid1Price", "bid1Size")),
    (("ask_price", "ask_size"), ("ask1Price", "ask1Size")),
)


def _render_changes(dials: SymbolDials, ticker: TickerArrays, before: TickerArrays) -> list[str]:
    """For each state the fields that differ from `before`, each led by a comma; "" when none does."""
    content = [""] * len(ticker.time_ms)
    for causes, names in _FRAME_PARTS:
        changed = np.zeros(len(content), dtype=np.bool_)
        for cause in causes:
            changed |= getattr(ticker, cause) != getattr(before, cause)
        rows = np.flatnonzero(changed)
        fields = _render_fields(dials, ticker, rows, names)
        for row, *values in zip(rows.tolist(), *(fields[name] for name in names), strict=True):
            content[row] += "".join(f',"{name}":"{value}"' for name, value in zip(names, values, strict=True))
    return content


def _render_fields(
    dials: SymbolDials,
    ticker: TickerArrays,
    rows: Integers | slice = slice(None),
    names: tuple[str, ...] | None = None,
) -> dict[str, list[str]]:
    """The named fields (default all) of the states `rows` as text; `openInterest` double-sided, as Bybit has it."""
    price, quantity = dials.price_decimals, dials.quantity_decimals
    sources: dict[str, tuple[Callable[[], Floats], int]] = {
        "lastPrice": (lambda: ticker.last_price[rows], price),
        "markPrice": (lambda: ticker.mark_price[rows], price),
        "indexPrice": (lambda: ticker.index_price[rows], price),
        "openInterest": (lambda: 2.0 * ticker.open_interest[rows], quantity),
        "openInterestValue": (lambda: 2.0 * ticker.open_interest_value[rows], 2),
        "singleOpenInterest": (lambda: ticker.open_interest[rows], quantity),
        "singleOpenInterestValue": (lambda: ticker.open_interest_value[rows], 2),
        "fundingRate": (lambda: ticker.funding_rate[rows], 8),
        "nextFundingTime": (lambda: ticker.next_funding_ms[rows].astype(np.float64), 0),
        "bid1Price": (lambda: ticker.bid_price[rows], price),
        "bid1Size": (lambda: ticker.bid_size[rows], quantity),
        "ask1Price": (lambda: ticker.ask_price[rows], price),
        "ask1Size": (lambda: ticker.ask_size[rows], quantity),
        "volume24h": (lambda: ticker.volume_24h[rows], 4),
        "turnover24h": (lambda: ticker.turnover_24h[rows], 4),
    }
    chosen = sources if names is None else {name: sources[name] for name in names}
    return {name: _decimal(values(), decimals) for name, (values, decimals) in chosen.items()}


def _decimal(values: Floats, decimals: int) -> list[str]:
    return list(map(f"%.{decimals}f".__mod__, values.tolist()))


def render_long_short_ratio(symbol: str, time_ms: Integers, long_share: Floats) -> CaptureLines:
    """One line per hour: the share of accounts that are long and short, as the exchange's history gives it."""
    buy = np.round(long_share, 4)
    columns = zip(_decimal(buy, 4), _decimal(1.0 - buy, 4), time_ms.tolist(), strict=True)
    text = [
        f'{{"symbol":"{symbol}","buyRatio":"{up}","sellRatio":"{down}","timestamp":"{time}","stream":"account_ratio"}}'
        for up, down, time in columns
    ]
    return CaptureLines(time_ms, np.ones(len(text), dtype=np.int64), text)


def hour_file(prefix: str, hour_mark: str, hour: int) -> str:
    """The name of the file of one hour (counted from 1970): `<prefix>_2026-02-09_<hour_mark>19.jsonl.gz`."""
    moment = format_time(hour * MS_PER_HOUR)
    return f"{prefix}_{moment[:10]}_{hour_mark}{moment[11:13]}.jsonl.gz"


def ratio_file(symbol: str, time_ms: Integers) -> str:
    """The long/short ratio file of a symbol, for the hours of its rows; relative to the folder of captures."""
    start, end = (format_time(int(time))[:10] for time in (time_ms[0], time_ms[-1]))
    return f"{symbol}/longshort_ratio_{start}_to_{end}.jsonl.gz"


def write_hours(folder: Path, prefix: str, hour_mark: str, lines: CaptureLines) -> list[int]:
    """Write one file per hour in which a line became known, none for a silent hour; the size in bytes of each.

    Names are those of `hour_file`. The content depends on nothing but the lines.
    """
    hours = lines.known_ms // MS_PER_HOUR
    sizes = []
    for hour in np.unique(hours).tolist():
        first, last = np.searchsorted(hours, [hour, hour + 1]).tolist()
        name = hour_file(prefix, hour_mark, hour)
        sizes.append(write_lines(folder / name, lines.text[first:last]))
    return sizes


def write_lines(path: Path, text: list[str]) -> int:
    """Write lines, compressed without time or name so that equal lines give equal bytes; the size in bytes."""
    # Latin-1 lets a corrupt line hold any byte; everything else is ASCII.
    data = igzip.compress(("\n".join(text) + "\n").encode("latin-1"), _COMPRESSION_LEVEL, mtime=0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    except OSError as error:
        raise EnvironmentFailure(
            f"cannot write {path}: {error.strerror}; make room or choose another folder"
        ) from error
    return len(data)
