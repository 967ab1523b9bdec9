"""The detector over whole tables: puts the rows in order, folds symbol by symbol, and names the columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.cascades import _kernel as kernel
from liqlab.cascades._events import CONFIRMED, ENDED, EVENT_SCHEMA, GROWN
from liqlab.cascades._presets import CascadePreset
from liqlab.core.schema import CASCADES, LONG, SHORT, TIME
from liqlab.core.time import MS_PER_S

_INTEGERS = {
    "first_known": kernel.FIRST_KNOWN,
    "last_known": kernel.LAST_KNOWN,
    "start": kernel.START,
    "end": kernel.END,
    "confirmed": kernel.CONFIRMED,
    "n_liquidations": kernel.COUNT,
    "n_price_levels": kernel.PRICE_LEVELS,
    "n_at_confirmation": kernel.COUNT_AT_CONFIRMATION,
}
_FLOATS = {
    "volume": kernel.VOLUME,
    "notional_usd": kernel.NOTIONAL,
    "long_volume": kernel.LONG_VOLUME,
    "short_volume": kernel.SHORT_VOLUME,
    "long_notional_usd": kernel.LONG_NOTIONAL,
    "short_notional_usd": kernel.SHORT_NOTIONAL,
    "price_low": kernel.LOW,
    "price_high": kernel.HIGH,
    "notional_at_confirmation_usd": kernel.NOTIONAL_AT_CONFIRMATION,
}

#: The columns of the cascades table that liquidations alone tell, then those that serve to join prices.
DETECTED_SCHEMA: dict[str, pl.DataType] = {
    **dict(list(CASCADES.dtypes.items())[: CASCADES.names.index("notional_at_confirmation_usd") + 1]),
    "first_known": TIME,
    "last_known": TIME,
}


Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class _Columns(NamedTuple):
    """Liquidations in input order, n each."""

    origin: Integers  # the row's place in the table given
    known_ms: Integers
    event_ms: Integers
    is_long: npt.NDArray[np.bool_]
    quantity: Floats
    price: Floats

    def take(self, chosen: Any) -> _Columns:
        """The rows chosen by a slice, a mask or an array of places."""
        return _Columns(*(column[chosen] for column in self))

    def for_kernel(self) -> tuple[Any, Any, Any, Any, Any, Any]:
        """What the kernels take: all but the origin, and the bits of the price."""
        return (
            _read_only(self.known_ms),
            _read_only(self.event_ms),
            _read_only(self.is_long),
            _read_only(self.quantity),
            _read_only(self.price),
            _read_only(self.price.view(np.uint64)),
        )


@dataclass(frozen=True)
class _Run:
    """One symbol's liquidations that take part, and its cascades as rows of the kernel."""

    code: int
    columns: _Columns
    wholes: Integers
    parts: Floats


def detect_cascades(liquidations: pl.DataFrame, preset: CascadePreset) -> pl.DataFrame:
    """The cascades in a table of liquidations, sorted by (confirmed, symbol).

    `liquidations` needs symbol, known_time, event_time, position, liquidated_side, quantity and price, without nulls,
    in any order of rows; rows equal in the first four keep the order given. Notional is price x quantity. Returned are
    the columns of the cascades table that liquidations alone tell, up to `notional_at_confirmation_usd`, then
    `first_known` and `last_known`, the known times of the first and the last liquidation. A cascade that is open where
    the table ends is closed there: its `ended` may lie after the last row.
    """
    symbols, runs = _fold(liquidations, preset)
    rows = _frame_rows(symbols, [(run.code, run.wholes, run.parts) for run in runs], preset)
    duration = (pl.col("end") - pl.col("start")).dt.total_milliseconds() / MS_PER_S
    return rows.with_columns(duration_s=duration).select(list(DETECTED_SCHEMA)).sort("confirmed", "symbol")


def list_cascade_events(liquidations: pl.DataFrame, preset: CascadePreset) -> pl.DataFrame:
    """Every event that a stream detector gives on the same liquidations, symbol by symbol, each in order.

    Takes what `detect_cascades` takes; columns are the fields of `CascadeEvent`.
    """
    symbols, runs = _fold(liquidations, preset)
    rows = [(run.code, *kernel.unfold(*run.columns.for_kernel(), _read_only(run.wholes))) for run in runs]
    # The end repeats the state after the last liquidation, so it is the row whose successor is another cascade.
    is_end = pl.col("cascade_id").ne_missing(pl.col("cascade_id").shift(-1))
    is_first = pl.col("cascade_id").ne_missing(pl.col("cascade_id").shift(1))
    kind = pl.when(is_end).then(pl.lit(ENDED)).when(is_first).then(pl.lit(CONFIRMED)).otherwise(pl.lit(GROWN))
    frame = _frame_rows(symbols, rows, preset).with_columns(type=kind, ended=pl.when(is_end).then("ended"))
    return frame.select(list(EVENT_SCHEMA))


def label_liquidations(liquidations: pl.DataFrame, preset: CascadePreset) -> pl.DataFrame:
    """The table as given with one more column, `cascade_id`: the cascade that a liquidation is part of, null if none.

    Takes what `detect_cascades` takes, and keeps the order of the rows.
    """
    symbols, runs = _fold(liquidations, preset)
    ids = _frame_rows(symbols, [(run.code, run.wholes, run.parts) for run in runs], preset)["cascade_id"]
    member = np.full(liquidations.height, -1, np.int64)
    first_cascade = 0
    for run in runs:
        count = run.wholes[:, kernel.COUNT]
        cascade = np.repeat(np.arange(len(count)), count)
        place = np.arange(len(cascade)) - np.repeat(np.cumsum(count) - count, count)
        member[run.columns.origin[run.wholes[cascade, kernel.FIRST_INDEX] + place]] = first_cascade + cascade
        first_cascade += len(count)
    labels = pl.Series(member).replace(-1, None)
    return liquidations.with_columns(ids.gather(labels).alias("cascade_id"))


def compute_size_thresholds(notional_usd: npt.NDArray[np.float64], preset: CascadePreset) -> npt.NDArray[np.float64]:
    """The notional from which each liquidation of one symbol takes part, told from those strictly before it.

    `notional_usd` has shape (n,), in input order; so has the answer, in USD. Without a `size_quantile` it is 0.
    """
    if preset.size_quantile is None:
        return np.zeros(len(notional_usd))
    thresholds: npt.NDArray[np.float64] = kernel.compute_thresholds(
        _read_only(notional_usd),
        float(preset.size_quantile),
        preset.size_window,
        preset.size_min_history,
        float(preset.size_fallback_usd),
    )
    return thresholds


def _fold(liquidations: pl.DataFrame, preset: CascadePreset) -> tuple[pl.Series, list[_Run]]:
    """Symbols in alphabetical order, and the run of each."""
    symbols, code, columns = _order(liquidations)
    edges = np.searchsorted(code, np.arange(len(symbols) + 1))
    runs = [_fold_symbol(i, columns.take(slice(edges[i], edges[i + 1])), preset) for i in range(len(symbols))]
    return symbols, runs


def _fold_symbol(code: int, columns: _Columns, preset: CascadePreset) -> _Run:
    if preset.size_quantile is not None:
        notional_usd = columns.price * columns.quantity
        columns = columns.take(notional_usd >= compute_size_thresholds(notional_usd, preset))
    wholes, parts = kernel.fold(
        *columns.for_kernel(), preset.max_gap_ms, preset.min_liquidations, float(preset.min_notional_usd)
    )
    return _Run(code, columns, wholes, parts)


def _order(liquidations: pl.DataFrame) -> tuple[pl.Series, Integers, _Columns]:
    """Symbols in alphabetical order; for each row, in input order, the place of its symbol there, and its columns.

    Sorting everything is the last resort: tables come sorted by symbol, or by known time over all symbols.
    """
    symbols, code = _encode(liquidations["symbol"])
    position = liquidations["position"].to_numpy()
    columns = _Columns(
        np.arange(liquidations.height),
        liquidations["known_time"].to_physical().to_numpy(),
        liquidations["event_time"].to_physical().to_numpy(),
        (liquidations["liquidated_side"] == LONG).to_numpy(),
        liquidations["quantity"].to_numpy(),
        liquidations["price"].to_numpy(),
    )
    if _is_sorted(code, columns, position):
        return symbols, code, columns
    by_symbol = np.argsort(code, kind="stable")
    if not _is_sorted(code[by_symbol], columns.take(by_symbol), position[by_symbol]):
        by_symbol = np.lexsort((position, columns.event_ms, columns.known_ms, code))
    return symbols, code[by_symbol], columns.take(by_symbol)


def _encode(symbol: pl.Series) -> tuple[pl.Series, Integers]:
    """The distinct symbols in alphabetical order, and the place of each row's symbol among them."""
    blocks = symbol.rle().struct.unnest()
    symbols = blocks["value"].unique().sort()
    code = blocks["value"].cast(pl.Enum(symbols)).to_physical().cast(pl.Int64).to_numpy()
    return symbols, np.repeat(code, blocks["len"].to_numpy())


def _is_sorted(code: Integers, columns: _Columns, position: Integers) -> bool:
    keys = (_read_only(code), _read_only(columns.known_ms), _read_only(columns.event_ms), _read_only(position))
    return kernel.is_sorted(*keys)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as the kernels take it: one kind, so that they are compiled once."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


def _frame_rows(symbols: pl.Series, rows: list[tuple[int, Any, Any]], preset: CascadePreset) -> pl.DataFrame:
    """Kernel rows of several symbols as a frame, in the order given; all of `DETECTED_SCHEMA` but duration_s."""
    code = np.repeat([code for code, _, _ in rows], [len(wholes) for _, wholes, _ in rows])
    wholes = np.concatenate([np.empty((0, kernel.N_COLUMNS), np.int64), *(wholes for _, wholes, _ in rows)])
    parts = np.concatenate([np.empty((0, kernel.N_COLUMNS), np.float64), *(parts for _, _, parts in rows)])
    frame = pl.DataFrame(
        {
            "symbol": symbols.gather(code.astype(np.int64)),
            **{name: wholes[:, column] for name, column in _INTEGERS.items()},
            **{name: parts[:, column] for name, column in _FLOATS.items()},
        }
    )
    by_longs = pl.col("long_notional_usd") >= pl.col("short_notional_usd")
    return frame.with_columns(
        cascade_id=pl.format("{}-{}", "symbol", "first_known"),
        ended=pl.col("last_known") + (preset.max_gap_ms + 1),
        dominant_side=pl.when(by_longs).then(pl.lit(LONG)).otherwise(pl.lit(SHORT)),
        imbalance=(pl.col("short_volume") - pl.col("long_volume")) / pl.col("volume"),
        vwap=pl.col("notional_usd") / pl.col("volume"),
    ).cast({name: dtype for name, dtype in DETECTED_SCHEMA.items() if name != "duration_s"})
