"""Captures to stored rows, and stored rows to the canonical tables.

Stored rows hold what each file says, one row per record, bad ones left out. The canonical tables are what everything
downstream reads: duplicates removed, deltas carried, ordered. Both steps depend on the set of rows alone, never on the
order in which files came.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numba import njit
from numpy.typing import NDArray

from liqlab.core import schema
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_MINUTE
from liqlab.sources._capture import KIND_CODES, Capture, Columnar
from liqlab.sources._order import compute_order, sort_rows
from liqlab.sources._scanner import NO_TIME
from liqlab.sources._wire import ASSUMED_DELAY_MS, DEFAULT_EXCHANGE, DELTA, TICKER_FIELDS

#: After this long without a message of a symbol, what its earlier deltas said is no longer carried.
CARRY_LIMIT_MS = MS_PER_MINUTE

_FIELD = {name: place for place, (name, _, _) in enumerate(TICKER_FIELDS)}
_VALUE_COLUMNS = (
    "last_price",
    "mark_price",
    "index_price",
    "open_interest",
    "open_interest_value",
    "open_interest_code",
    "funding_rate",
    "next_funding_ms",
    "bid_price",
    "bid_size",
    "ask_price",
    "ask_size",
)
_OPEN_INTEREST_BASIS = {1.0: "single", 2.0: "halved", 3.0: "as published"}

#: Stored rows: what one file says, with the key under which a repeated delivery is recognised.
STORED = {
    "liquidations": pl.Schema(
        {
            "symbol": pl.String(),
            "exchange": pl.String(),
            "event_time": TIME,
            "push_time": TIME,
            "known_time": TIME,
            "liquidated_side": pl.String(),
            "quantity": pl.Float64(),
            "price": pl.Float64(),
            "source_file": pl.String(),
            "source_line": pl.Int64(),
            "position": pl.Int64(),
            "message_key": pl.UInt64(),
        }
    ),
    "ticker": pl.Schema(
        {
            "symbol": pl.String(),
            "exchange": pl.String(),
            "event_time": TIME,
            "known_time": TIME,
            "is_delta": pl.Boolean(),
            **dict.fromkeys(_VALUE_COLUMNS, pl.Float64()),
            "source_file": pl.String(),
            "source_line": pl.Int64(),
            "position": pl.Int64(),
            "message_key": pl.UInt64(),
        }
    ),
    "long_short_ratio": pl.Schema(
        {
            "symbol": pl.String(),
            "exchange": pl.String(),
            "event_time": TIME,
            "known_time": TIME,
            "buy_ratio": pl.Float64(),
            "sell_ratio": pl.Float64(),
            "source_file": pl.String(),
            "source_line": pl.Int64(),
        }
    ),
}
#: Columns that make two stored rows the same delivery.
_IDENTITY = {
    "liquidations": ("symbol", "event_time", "message_key"),
    "ticker": ("symbol", "event_time", "message_key"),
    "long_short_ratio": ("symbol", "exchange", "event_time", "buy_ratio", "sell_ratio"),
}


def store_rows(captures: Sequence[Capture], *, ordered: bool = False) -> dict[str, pl.DataFrame]:
    """Stored rows of some captures: table name to frame with the columns of `STORED`.

    They come file by file, or, when `ordered`, in canonical order, which costs less here than later.
    """
    makers = {"liquidations": _stored_liquidations, "ticker": _stored_ticker, "long_short_ratio": _stored_ratios}
    gathered = {"liquidations": "liquidations", "ticker": "tickers", "long_short_ratio": "ratios"}
    frames = {}
    for table, make in makers.items():
        parts = [capture for capture in captures if len(getattr(capture, gathered[table])["line"])]
        if parts:
            columns, names = _concatenate(parts, gathered[table])
            if ordered:
                columns = _sorted(columns, names)
            frames[table] = pl.DataFrame(make(columns, names), schema=STORED[table])
        else:
            frames[table] = pl.DataFrame(schema=STORED[table])
    return frames


def quarantine_rows(captures: Sequence[Capture]) -> pl.DataFrame:
    """The quarantine table of some captures."""
    rows = [(c.source_file, q.line, q.stream, q.reason, q.text) for c in captures for q in c.quarantine]
    return pl.DataFrame(rows, schema=schema.QUARANTINE.dtypes, orient="row")


def mark_duplicates(table: str, rows: pl.DataFrame, assumed_delay_ms: int = ASSUMED_DELAY_MS) -> pl.DataFrame:
    """Stored rows in canonical order with `known_time` filled and a Boolean column `is_duplicate`.

    Of equal deliveries the one known first is kept. Rows without a capture time count as known `assumed_delay_ms` after
    their event.
    """
    assumed = pl.col("event_time") + pl.duration(milliseconds=assumed_delay_ms)
    filled = rows.with_columns(pl.col("known_time").fill_null(assumed.cast(TIME)))
    filled = sort_rows(filled)
    return filled.with_columns(is_duplicate=_repeats(table, filled))


def _repeats(table: str, rows: pl.DataFrame) -> pl.Series:
    """Whether an equal row came before, looking closely only where the message key repeats."""
    identity = _IDENTITY[table]
    if "message_key" not in identity:
        return ~rows.select(pl.struct(identity).is_first_distinct()).to_series()
    result = np.zeros(rows.height, np.bool_)
    if rows["message_key"].n_unique() < rows.height:
        repeated = rows["message_key"].is_duplicated()
        close = rows.filter(repeated).select(~pl.struct(identity).is_first_distinct()).to_series()
        result[repeated.to_numpy()] = close.to_numpy()
    return pl.Series(result)


def canonical_liquidations(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `liquidations` from marked rows: duplicates dropped, order kept."""
    return rows.filter(~pl.col("is_duplicate")).select(
        "symbol",
        "exchange",
        "event_time",
        "push_time",
        "known_time",
        "liquidated_side",
        "quantity",
        "price",
        (pl.col("price") * pl.col("quantity")).alias("notional_usd"),
        "source_file",
        "source_line",
        "position",
    )


def canonical_ratios(rows: pl.DataFrame) -> pl.DataFrame:
    """The table `long_short_ratio` from marked rows: duplicates dropped, order kept."""
    ratio = pl.when(pl.col("sell_ratio") > 0).then(pl.col("buy_ratio") / pl.col("sell_ratio"))
    return rows.filter(~pl.col("is_duplicate")).with_columns(ratio=ratio).select(schema.LONG_SHORT_RATIO.names)


class TickerCarry:
    """What the deltas of one symbol have said so far; feed its days in order of time.

    A REST poll or a snapshot replaces everything. After `CARRY_LIMIT_MS` without a message nothing is carried on: a
    value from before a gap must not look fresh after it.
    """

    def __init__(self) -> None:
        self._values = np.full(len(_VALUE_COLUMNS), np.nan)
        self._known_ms = np.int64(0)

    def fill(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The table `ticker` from marked rows of one symbol, duplicates dropped, deltas carried, order kept."""
        rows = rows.filter(~pl.col("is_duplicate"))
        values = rows.select(_VALUE_COLUMNS).to_numpy().astype(np.float64)
        known = rows["known_time"].to_physical().to_numpy()
        self._known_ms = _carry(values, rows["is_delta"].to_numpy(), known, self._values, self._known_ms)
        carried = {name: values[:, i] for i, name in enumerate(_VALUE_COLUMNS)}
        frame = rows.with_columns(pl.Series(name, column, nan_to_null=True) for name, column in carried.items())
        basis = pl.col("open_interest_code").replace_strict(_OPEN_INTEREST_BASIS, default=None, return_dtype=pl.String)
        return frame.with_columns(
            open_interest_basis=basis,
            next_funding_time=pl.col("next_funding_ms").cast(pl.Int64).cast(TIME),
        ).select(schema.TICKER.names)


@njit(cache=True, nogil=True)
def _carry(values, is_delta, known, state, last_known):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        fresh = not is_delta[i] or known[i] - last_known > CARRY_LIMIT_MS
        for j in range(values.shape[1]):
            if np.isnan(values[i, j]) and not fresh:
                values[i, j] = state[j]
            state[j] = values[i, j]
        last_known = known[i]
    return last_known


def _concatenate(captures: Sequence[Capture], kind: str) -> tuple[Columnar, list[str]]:
    """Columns of all captures with names numbered over all, and `file` numbering the captures' own file names."""
    names: dict[str, int] = {}
    parts: list[Columnar] = []
    for capture in captures:
        columns = dict(getattr(capture, kind))
        numbers = np.array([names.setdefault(name, len(names)) for name in capture.names], np.int32)
        file = names.setdefault(capture.source_file, len(names))
        columns["symbol"], columns["exchange"] = numbers[columns["symbol"]], numbers[columns["exchange"]]
        columns["file"] = np.full(len(columns["line"]), file, np.int32)
        parts.append(columns)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, list(names)


def _sorted(columns: Columnar, names: list[str]) -> Columnar:
    """The columns in canonical order: here they are numbers still, which are quicker to move than texts."""
    capture, n = columns["capture"], len(columns["capture"])
    push = columns.get("push", capture)
    event = columns["event"] if "event" in columns else np.where(push == NO_TIME, capture, push)
    known = np.where(capture == NO_TIME, event + ASSUMED_DELAY_MS, capture)
    position = columns["position"].astype(np.int64) if "position" in columns else np.zeros(n, np.int64)
    ranks = np.argsort(np.argsort(np.array(names)))
    order = compute_order(known, event, position, ranks[columns["file"]], columns["line"])
    if (np.diff(order) == 1).all():
        return columns
    return {name: column[order] for name, column in columns.items()}


def _stored_liquidations(columns: Columnar, names: list[str]) -> dict[str, Any]:
    sides = pl.Series([schema.SHORT, schema.LONG])
    return {
        "symbol": _names(columns["symbol"], names),
        "exchange": _names(columns["exchange"], names),
        "event_time": _times(columns["event"]),
        "push_time": _times(columns["push"]),
        "known_time": _times(columns["capture"]),
        "liquidated_side": sides.gather(columns["long"].astype(np.uint32)),
        "quantity": columns["quantity"],
        "price": columns["price"],
        "source_file": _names(columns["file"], names),
        "source_line": columns["line"],
        "position": columns["position"].astype(np.int64),
        "message_key": columns["key"],
    }


def _stored_ticker(columns: Columnar, names: list[str]) -> dict[str, Any]:
    bybit = columns["exchange"] == (names.index(DEFAULT_EXCHANGE) if DEFAULT_EXCHANGE in names else -1)
    event = np.where(columns["push"] == NO_TIME, columns["capture"], columns["push"])
    values = _stored_values(columns["values"], bybit)
    return {
        "symbol": _names(columns["symbol"], names),
        "exchange": _names(columns["exchange"], names),
        "event_time": _times(event),
        "known_time": _times(columns["capture"]),
        "is_delta": columns["kind"] == KIND_CODES[DELTA],
        **{name: pl.Series(column, nan_to_null=True) for name, column in values.items()},
        "source_file": _names(columns["file"], names),
        "source_line": columns["line"],
        "position": columns["position"].astype(np.int64),
        "message_key": columns["key"],
    }


def _stored_values(values: NDArray[np.float64], bybit: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Ticker columns from wire fields, open interest counted once per contract.

    Bybit's `openInterest` counts both sides; `singleOpenInterest` one. Other exchanges are taken as they publish it.
    """

    by_field = np.ascontiguousarray(values.T)  # one pass over the rows instead of one for each field

    def field(name: str) -> NDArray[np.float64]:
        column: NDArray[np.float64] = by_field[_FIELD[name]]
        return column

    share = np.where(bybit, 0.5, 1.0)
    single, single_value = field("singleOpenInterest"), field("singleOpenInterestValue")
    has_single = ~np.isnan(single)
    code = np.where(has_single, 1.0, np.where(bybit, 2.0, 3.0))
    open_interest = np.where(has_single, single, field("openInterest") * share)
    value = np.where(np.isnan(single_value), field("openInterestValue") * share, single_value)
    columns = (
        field("lastPrice"),
        field("markPrice"),
        field("indexPrice"),
        open_interest,
        value,
        np.where(np.isnan(open_interest), np.nan, code),
        field("fundingRate"),
        field("nextFundingTime"),
        field("bid1Price"),
        field("bid1Size"),
        field("ask1Price"),
        field("ask1Size"),
    )
    return dict(zip(_VALUE_COLUMNS, columns, strict=True))


def _stored_ratios(columns: Columnar, names: list[str]) -> dict[str, Any]:
    return {
        "symbol": _names(columns["symbol"], names),
        "exchange": _names(columns["exchange"], names),
        "event_time": _times(columns["event"]),
        "known_time": _times(columns["capture"]),
        "buy_ratio": columns["buy_ratio"],
        "sell_ratio": columns["sell_ratio"],
        "source_file": _names(columns["file"], names),
        "source_line": columns["line"],
    }


def _names(numbers: NDArray[np.int32], names: list[str]) -> pl.Series:
    return pl.Series(names, dtype=pl.String).gather(numbers.astype(np.uint32))


def _times(milliseconds: NDArray[np.int64]) -> pl.Series:
    times = pl.Series(milliseconds)
    if (milliseconds == NO_TIME).any():
        times = times.set(pl.Series(milliseconds == NO_TIME), None)
    return times.cast(TIME)
