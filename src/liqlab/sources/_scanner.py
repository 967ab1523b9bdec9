"""The compiled reader of the common line forms.

`scan` walks a block of lines once and writes columns. It takes a line only when it recognises every byte of it as one
of the forms of `_wire` with valid values; any other line (escapes, exponents, unknown nesting, odd numbers, bad values)
it leaves alone and lists for `_wire`, which decides. So it can be fast without being a second definition of validity.

All arrays are one-dimensional unless said otherwise. Times are milliseconds; `NO_TIME` stands for an absent one.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from liqlab.core.time import EARLIEST_MS, LATEST_MS
from liqlab.sources._wire import TICKER_FIELDS

NO_TIME = np.int64(-1)

_FNV_OFFSET = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


def _hash(text: str) -> np.uint64:
    """64-bit FNV-1a, the hash of keys and of the few fixed words."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return np.uint64(value)


_TS, _STREAM, _SYMBOL, _EXCHANGE, _RESULT = (_hash(key) for key in ("ts", "stream", "symbol", "exchange", "result"))
_DATA, _LIST, _TYPE, _CS, _TOPIC = (_hash(key) for key in ("data", "list", "type", "cs", "topic"))
_T, _S_SYMBOL, _S_SIDE, _V, _P = (_hash(key) for key in ("T", "s", "S", "v", "p"))
_BUY, _SELL, _LIQUIDATION, _TICKER = (_hash(word) for word in ("Buy", "Sell", "liquidation", "ticker"))
_SNAPSHOT, _DELTA = _hash("snapshot"), _hash("delta")
_FIELD_HASHES = np.array([_hash(name) for name, _, _ in TICKER_FIELDS], np.uint64)
_ZERO_ALLOWED = np.array([zero for _, zero, _ in TICKER_FIELDS])
_N_FIELDS = len(TICKER_FIELDS)
_FUNDING_TIME = next(i for i, (name, _, _) in enumerate(TICKER_FIELDS) if name == "nextFundingTime")
_POWERS = 10.0 ** np.arange(23)

#: Slots of the line state shared by the parsing functions.
_CAPTURE, _PUSH, _STREAM_CODE, _SYMBOL_ID, _EXCHANGE_ID, _SHAPE, _KIND, _SEQUENCE, _ITEMS, _SEEN = range(10)
_N_STATE = 10
#: Codes of a stream, of a shape and of a ticker's kind.
CODE_LIQUIDATION, CODE_TICKER = 1, 2
KIND_REST, KIND_SNAPSHOT, KIND_DELTA = 1, 2, 3

#: Names per block; a line with one more goes to the slow parser.
MAX_NAMES = 256
#: Fewest bytes that a valid liquidation or ticker record can take, newline of its line included.
_LIQUIDATION_BYTES = 36
_TICKER_BYTES = 48


class Columns(NamedTuple):
    """Room for what one block can give; the first index counts records, names or slow lines."""

    liq_line: NDArray[np.int64]
    liq_position: NDArray[np.int32]
    liq_time: NDArray[np.int64]  # capture, push, event
    liq_long: NDArray[np.bool_]
    liq_value: NDArray[np.float64]  # quantity, price
    liq_name: NDArray[np.int32]  # symbol, exchange
    tick_line: NDArray[np.int64]
    tick_time: NDArray[np.int64]  # capture, push, sequence
    tick_kind: NDArray[np.int8]
    tick_value: NDArray[np.float64]  # in the order of TICKER_FIELDS
    tick_name: NDArray[np.int32]
    name_start: NDArray[np.int64]
    name_length: NDArray[np.int64]
    slow: NDArray[np.int64]  # line, start, end
    counts: NDArray[np.int64]  # liquidations, tickers, names, slow lines, lines


class _Scratch(threading.local):
    """Room that the blocks of a thread share: fresh pages would cost more than the scan itself."""

    n_bytes = 0
    columns: Columns


_scratch = _Scratch()


def scan_block(block: bytes, first_line: int) -> Columns:
    """Scan `block` (whole lines, each with its newline), whose first line has number `first_line`.

    The arrays are used again by the next call in the same thread: take copies of what is to stay.
    """
    if _scratch.n_bytes < len(block):
        _scratch.n_bytes, _scratch.columns = len(block), _make_columns(len(block))
    _scan(np.frombuffer(block, np.uint8), first_line, _scratch.columns)
    return _scratch.columns


def _make_columns(n_bytes: int) -> Columns:
    liquidations, tickers = n_bytes // _LIQUIDATION_BYTES + 2, n_bytes // _TICKER_BYTES + 2
    return Columns(
        liq_line=np.empty(liquidations, np.int64),
        liq_position=np.empty(liquidations, np.int32),
        liq_time=np.empty((liquidations, 3), np.int64),
        liq_long=np.empty(liquidations, np.bool_),
        liq_value=np.empty((liquidations, 2)),
        liq_name=np.empty((liquidations, 2), np.int32),
        tick_line=np.empty(tickers, np.int64),
        tick_time=np.empty((tickers, 3), np.int64),
        tick_kind=np.empty(tickers, np.int8),
        tick_value=np.empty((tickers, _N_FIELDS)),
        tick_name=np.empty((tickers, 2), np.int32),
        name_start=np.empty(MAX_NAMES, np.int64),
        name_length=np.empty(MAX_NAMES, np.int64),
        slow=np.empty((n_bytes // 2 + 2, 3), np.int64),
        counts=np.zeros(5, np.int64),
    )


def _compiled(function: Any) -> Any:
    """Forced inlining makes the walk over a line one function, which halves its time."""
    return njit(cache=True, nogil=True, forceinline=True, error_model="numpy")(function)


@_compiled
def _byte(buffer, at):  # type: ignore[no-untyped-def]
    """`buffer[at]` for `at` >= 0: an unsigned index spares the question whether it counts from the end."""
    return buffer[np.uint64(at)]


@_compiled
def _space(buffer, at):  # type: ignore[no-untyped-def]
    while _byte(buffer, at) == 32 or _byte(buffer, at) == 9 or _byte(buffer, at) == 13:
        at += 1
    return at


@_compiled
def _text(buffer, at):  # type: ignore[no-untyped-def]
    """(end, hash) of the text that starts after its opening quote; end -1 when it is not plain ASCII."""
    value = _FNV_OFFSET
    while True:
        byte = _byte(buffer, at)
        if byte == 34:
            return at, value
        if byte == 92 or byte < 32 or byte >= 127:
            return -1, value
        value = (value ^ np.uint64(byte)) * _FNV_PRIME
        at += 1


@_compiled
def _key(buffer, at):  # type: ignore[no-untyped-def]
    """(place of the value, hash) of the key at `at`; place -1 when there is none."""
    if _byte(buffer, at) != 34:
        return -1, np.uint64(0)
    end, value = _text(buffer, at + 1)
    if end < 0:
        return -1, value
    at = _space(buffer, end + 1)
    if _byte(buffer, at) != 58:
        return -1, value
    return _space(buffer, at + 1), value


@_compiled
def _decimal(buffer, at):  # type: ignore[no-untyped-def]
    """(end, value) of an unsigned decimal that converts without rounding error; end -1 otherwise.

    A mantissa below 2^53 divided by a power of ten up to 10^22 is correctly rounded (Clinger 1990).
    """
    quoted = _byte(buffer, at) == 34
    if quoted:
        at += 1
    start = at
    mantissa = np.int64(0)
    while 48 <= _byte(buffer, at) <= 57:
        mantissa = mantissa * 10 + np.int64(_byte(buffer, at) - 48)
        at += 1
        if at - start > 18:
            return -1, 0.0
    digits = at - start
    if digits == 0 or (digits > 1 and _byte(buffer, start) == 48):
        return -1, 0.0
    decimals = 0
    if _byte(buffer, at) == 46:
        at += 1
        first = at
        while 48 <= _byte(buffer, at) <= 57:
            mantissa = mantissa * 10 + np.int64(_byte(buffer, at) - 48)
            at += 1
            if digits + at - first > 18:
                return -1, 0.0
        decimals = at - first
        if decimals == 0:
            return -1, 0.0
    if quoted:
        if _byte(buffer, at) != 34:
            return -1, 0.0
        at += 1
    if mantissa >= 9007199254740992:
        return -1, 0.0
    return at, np.float64(mantissa) / _POWERS[decimals]


@_compiled
def _signed(buffer, at):  # type: ignore[no-untyped-def]
    """Like `_decimal`, for a number in quotes that may be negative."""
    if _byte(buffer, at) == 34 and _byte(buffer, at + 1) == 45 and 48 <= _byte(buffer, at + 2) <= 57:
        end, value = _decimal(buffer, at + 2)
        if end < 0 or _byte(buffer, end) != 34:
            return -1, 0.0
        return end + 1, -value
    return _decimal(buffer, at)


@_compiled
def _integer(buffer, at):  # type: ignore[no-untyped-def]
    """(end, value) of an unsigned integer of at most 18 digits, plain or in quotes; end -1 otherwise."""
    quoted = _byte(buffer, at) == 34
    if quoted:
        at += 1
    start = at
    value = np.int64(0)
    while 48 <= _byte(buffer, at) <= 57 and at - start <= 18:
        value = value * 10 + np.int64(_byte(buffer, at) - 48)
        at += 1
    digits = at - start
    if digits == 0 or digits > 18 or (digits > 1 and _byte(buffer, start) == 48):
        return -1, value
    if quoted:
        if _byte(buffer, at) != 34:
            return -1, value
        at += 1
    elif _byte(buffer, at) == 46 or _byte(buffer, at) == 69 or _byte(buffer, at) == 101:
        return -1, value
    return at, value


@_compiled
def _time(buffer, at):  # type: ignore[no-untyped-def]
    """Like `_integer`, for a time in milliseconds of this century."""
    end, value = _integer(buffer, at)
    if end >= 0 and EARLIEST_MS <= value < LATEST_MS:
        return end, value
    return -1, value


@_compiled
def _skip(buffer, at):  # type: ignore[no-untyped-def]
    """End of a plain text, an unsigned number, true, false or null; -1 for anything else."""
    byte = _byte(buffer, at)
    if byte == 34:
        end, _ = _text(buffer, at + 1)
        return end + 1 if end >= 0 else -1
    if 48 <= byte <= 57:
        end, _ = _decimal(buffer, at)
        return end
    if byte == 110 and _byte(buffer, at + 1) == 117 and _byte(buffer, at + 2) == 108 and _byte(buffer, at + 3) == 108:
        return at + 4
    if byte == 116 and _byte(buffer, at + 1) == 114 and _byte(buffer, at + 2) == 117 and _byte(buffer, at + 3) == 101:
        return at + 4
    if (
        byte == 102
        and _byte(buffer, at + 1) == 97
        and _byte(buffer, at + 2) == 108
        and _byte(buffer, at + 3) == 115
        and _byte(buffer, at + 4) == 101
    ):
        return at + 5
    return -1


@_compiled
def _name(buffer, at, upper, columns):  # type: ignore[no-untyped-def]
    """(end, number) of a symbol (`upper`) or exchange in quotes; end -1 when it is not plain or there is no room."""
    if _byte(buffer, at) != 34:
        return -1, -1
    start = at + 1
    at = start
    while _byte(buffer, at) != 34:
        byte = _byte(buffer, at)
        letter = 65 <= byte <= 90 if upper else 97 <= byte <= 122
        if not letter and not 48 <= byte <= 57:
            return -1, -1
        at += 1
    length = at - start
    if length == 0 or length > 30:
        return -1, -1
    for number in range(columns.counts[2]):
        if columns.name_length[number] == length:
            same = True
            other = columns.name_start[number]
            for i in range(length):
                if _byte(buffer, other + i) != _byte(buffer, start + i):
                    same = False
                    break
            if same:
                return at + 1, number
    number = columns.counts[2]
    if number == MAX_NAMES:
        return -1, -1
    columns.name_start[number] = start
    columns.name_length[number] = length
    columns.counts[2] += 1
    return at + 1, number


@_compiled
def _next(buffer, at, close):  # type: ignore[no-untyped-def]
    """After a value: (place of the next key or item, False), (place after the closing byte, True), or (-1, True)."""
    at = _space(buffer, at)
    if _byte(buffer, at) == 44:
        return _space(buffer, at + 1), False
    if _byte(buffer, at) == close:
        return at + 1, True
    return -1, True


@_compiled
def _once(seen, bit):  # type: ignore[no-untyped-def]
    """`seen` with `bit` set, or -1 when it was set: a key that comes twice is for the slow parser."""
    return np.int64(-1) if seen & bit else seen | bit


@_compiled
def _liquidation(buffer, at, row, columns):  # type: ignore[no-untyped-def]
    """End of the liquidation object at `at`, written to `row`; -1 when it is not plain and valid."""
    if _byte(buffer, at) != 123:
        return -1
    at = _space(buffer, at + 1)
    seen = np.int64(0)
    columns.liq_name[row, 0] = -1
    while True:
        at, key = _key(buffer, at)
        if at < 0:
            return -1
        if key == _T:
            seen = _once(seen, 1)
            at, columns.liq_time[row, 2] = _time(buffer, at)
        elif key == _S_SIDE:
            seen = _once(seen, 2)
            if _byte(buffer, at) != 34:
                return -1
            end, word = _text(buffer, at + 1)
            if end < 0 or (word != _BUY and word != _SELL):
                return -1
            columns.liq_long[row] = word == _BUY
            at = end + 1
        elif key == _V:
            seen = _once(seen, 4)
            at, columns.liq_value[row, 0] = _decimal(buffer, at)
            if not columns.liq_value[row, 0] > 0:
                return -1
        elif key == _P:
            seen = _once(seen, 8)
            at, columns.liq_value[row, 1] = _decimal(buffer, at)
            if not columns.liq_value[row, 1] > 0:
                return -1
        elif key == _S_SYMBOL:
            seen = _once(seen, 16)
            at, number = _name(buffer, at, True, columns)
            columns.liq_name[row, 0] = number
        else:
            at = _skip(buffer, at)
        if at < 0 or seen < 0:
            return -1
        at, closed = _next(buffer, at, 125)
        if at < 0:
            return -1
        if closed:
            return at if seen & 15 == 15 else -1


@_compiled
def _ticker(buffer, at, row, columns):  # type: ignore[no-untyped-def]
    """End of the ticker object at `at`, written to `row`; -1 when it is not plain and valid."""
    if _byte(buffer, at) != 123:
        return -1
    at = _space(buffer, at + 1)
    seen = np.int64(0)
    columns.tick_name[row, 0] = -1
    columns.tick_value[row, :] = np.nan
    while True:
        at, key = _key(buffer, at)
        if at < 0:
            return -1
        if key == _SYMBOL:
            seen = _once(seen, 1 << 40)
            at, number = _name(buffer, at, True, columns)
            columns.tick_name[row, 0] = number
        else:
            column = -1
            for i in range(_N_FIELDS):
                if _FIELD_HASHES[i] == key:
                    column = i
                    break
            if column < 0:
                at = _skip(buffer, at)
            else:
                seen = _once(seen, 1 << column)
                if column == _FUNDING_TIME:
                    at, time = _time(buffer, at)
                    columns.tick_value[row, column] = time
                elif column == _FUNDING_TIME - 1:
                    at, columns.tick_value[row, column] = _signed(buffer, at)
                else:
                    at, columns.tick_value[row, column] = _decimal(buffer, at)
                    if columns.tick_value[row, column] == 0 and not _ZERO_ALLOWED[column]:
                        return -1
        if at < 0 or seen < 0:
            return -1
        at, closed = _next(buffer, at, 125)
        if at < 0:
            return -1
        if closed:
            return at


@_compiled
def _result(buffer, at, state, liq_row, tick_row, columns):  # type: ignore[no-untyped-def]
    """End of the `result` object at `at`; -1 when it is not one of the known shapes."""
    if _byte(buffer, at) != 123:
        return -1
    at = _space(buffer, at + 1)
    seen = np.int64(0)
    while True:
        at, key = _key(buffer, at)
        if at < 0:
            return -1
        if key == _TS:
            seen = _once(seen, 1)
            at, state[_PUSH] = _time(buffer, at)
        elif key == _DATA:
            seen = _once(seen, 2)
            if _byte(buffer, at) == 91:
                state[_SHAPE] = CODE_LIQUIDATION
                at = _space(buffer, at + 1)
                closed = False
                while not closed:
                    at = _liquidation(buffer, at, liq_row + state[_ITEMS], columns)
                    if at < 0:
                        return -1
                    state[_ITEMS] += 1
                    at, closed = _next(buffer, at, 93)
                    if at < 0:
                        return -1
            else:
                state[_SHAPE] = CODE_TICKER
                at = _ticker(buffer, at, tick_row, columns)
        elif key == _LIST:
            seen = _once(seen, 2)
            if _byte(buffer, at) != 91:
                return -1
            state[_SHAPE] = CODE_TICKER
            state[_KIND] = KIND_REST
            at = _ticker(buffer, _space(buffer, at + 1), tick_row, columns)
            if at < 0:
                return -1
            at, closed = _next(buffer, at, 93)
            if not closed:
                return -1
        elif key == _TYPE:
            seen = _once(seen, 4)
            if _byte(buffer, at) != 34:
                return -1
            end, word = _text(buffer, at + 1)
            if end < 0:
                return -1
            at = end + 1
            if state[_KIND] == 0 and word in (_SNAPSHOT, _DELTA):
                state[_KIND] = KIND_SNAPSHOT if word == _SNAPSHOT else KIND_DELTA
        elif key == _CS:
            seen = _once(seen, 8)
            if _byte(buffer, at) == 34:
                return -1
            at, state[_SEQUENCE] = _integer(buffer, at)
        elif key == _TOPIC:
            seen = _once(seen, 16)
            at = _skip(buffer, at)
        else:
            at = _skip(buffer, at)
        if at < 0 or seen < 0:
            return -1
        at, closed = _next(buffer, at, 125)
        if at < 0:
            return -1
        if closed:
            return at


@_compiled
def _line(buffer, at, state, liq_row, tick_row, columns):  # type: ignore[no-untyped-def]
    """Place of the newline of the line at `at`, its records written; -1 when the slow parser must decide."""
    state[:] = 0
    state[_CAPTURE] = NO_TIME
    state[_PUSH] = NO_TIME
    state[_SEQUENCE] = -1
    state[_SYMBOL_ID] = -1
    state[_EXCHANGE_ID] = -1
    if _byte(buffer, at) != 123:
        return -1
    at = _space(buffer, at + 1)
    while True:
        at, key = _key(buffer, at)
        if at < 0:
            return -1
        if key == _TS:
            state[_SEEN] = _once(state[_SEEN], 1)
            at, state[_CAPTURE] = _time(buffer, at)
        elif key == _STREAM:
            state[_SEEN] = _once(state[_SEEN], 2)
            if _byte(buffer, at) != 34:
                return -1
            end, word = _text(buffer, at + 1)
            if end < 0:
                return -1
            at = end + 1
            if word == _LIQUIDATION:
                state[_STREAM_CODE] = CODE_LIQUIDATION
            elif word == _TICKER:
                state[_STREAM_CODE] = CODE_TICKER
            else:
                return -1
        elif key == _SYMBOL:
            state[_SEEN] = _once(state[_SEEN], 4)
            at, number = _name(buffer, at, True, columns)
            state[_SYMBOL_ID] = number
        elif key == _EXCHANGE:
            state[_SEEN] = _once(state[_SEEN], 8)
            at, number = _name(buffer, at, False, columns)
            state[_EXCHANGE_ID] = number
        elif key == _RESULT:
            state[_SEEN] = _once(state[_SEEN], 16)
            at = _result(buffer, at, state, liq_row, tick_row, columns)
        else:
            at = _skip(buffer, at)
        if at < 0 or state[_SEEN] < 0:
            return -1
        at, closed = _next(buffer, at, 125)
        if at < 0:
            return -1
        if closed:
            break
    at = _space(buffer, at)
    if _byte(buffer, at) != 10 or state[_SHAPE] == 0 or state[_SHAPE] != state[_STREAM_CODE]:
        return -1
    return at


@_compiled
def _finish_liquidations(line, state, row, columns):  # type: ignore[no-untyped-def]
    """Write what the envelope says to the message's rows; False when one has no symbol."""
    for i in range(state[_ITEMS]):
        columns.liq_line[row + i] = line
        columns.liq_position[row + i] = i
        columns.liq_time[row + i, 0] = state[_CAPTURE]
        columns.liq_time[row + i, 1] = state[_PUSH]
        if columns.liq_name[row + i, 0] < 0:
            columns.liq_name[row + i, 0] = state[_SYMBOL_ID]
        if columns.liq_name[row + i, 0] < 0:
            return False
        columns.liq_name[row + i, 1] = state[_EXCHANGE_ID]
    return True


@_compiled
def _finish_ticker(line, state, row, columns):  # type: ignore[no-untyped-def]
    """Write what the envelope says to the ticker's row; False when the slow parser must decide."""
    if columns.tick_name[row, 0] < 0:
        columns.tick_name[row, 0] = state[_SYMBOL_ID]
    if columns.tick_name[row, 0] < 0 or state[_KIND] == 0 or (state[_CAPTURE] == NO_TIME and state[_PUSH] == NO_TIME):
        return False
    if state[_KIND] != KIND_DELTA:
        known = False
        for i in range(_N_FIELDS):
            known |= not np.isnan(columns.tick_value[row, i])
        if not known:
            return False
    columns.tick_line[row] = line
    columns.tick_time[row, 0] = state[_CAPTURE]
    columns.tick_time[row, 1] = state[_PUSH]
    columns.tick_time[row, 2] = state[_SEQUENCE]
    columns.tick_kind[row] = state[_KIND]
    columns.tick_name[row, 1] = state[_EXCHANGE_ID]
    return True


@_compiled
def _scan(buffer, first_line, columns):  # type: ignore[no-untyped-def]
    """Fill `columns` from `buffer`, whole lines of uint8 that end in a newline."""
    columns.counts[:] = 0
    state = np.empty(_N_STATE, np.int64)
    size = len(buffer)
    start = 0
    line = first_line
    while start < size:
        at = _space(buffer, start)
        if _byte(buffer, at) != 10:
            liq_row, tick_row, names = columns.counts[0], columns.counts[1], columns.counts[2]
            end = _line(buffer, at, state, liq_row, tick_row, columns)
            taken = end >= 0
            if taken and state[_SHAPE] == CODE_LIQUIDATION:
                taken = _finish_liquidations(line, state, liq_row, columns)
                columns.counts[0] += state[_ITEMS] if taken else 0
            elif taken:
                taken = _finish_ticker(line, state, tick_row, columns)
                columns.counts[1] += 1 if taken else 0
            if taken:
                at = end
            else:
                columns.counts[2] = names
                while _byte(buffer, at) != 10:
                    at += 1
                columns.slow[columns.counts[3], 0] = line
                columns.slow[columns.counts[3], 1] = start
                columns.slow[columns.counts[3], 2] = at
                columns.counts[3] += 1
        start = at + 1
        line += 1
    columns.counts[4] = line - first_line
