"""Bars of liquidations on a dense grid, labelled by the first moment at which they are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.errors import UserError, unknown_name
from liqlab.core.schema import BAR_WIDTHS_MS, BARS, LONG, SHORT, TIME, Table
from liqlab.core.time import format_time
from liqlab.panel._coverage import mark_covered, select_intervals
from liqlab.stats import group_sums

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

#: The plan's column names: Bybit's letter for the side of the position that was closed.
_LETTER_OF_SIDE = {LONG: "buy", SHORT: "sell"}
_NEEDED = ("symbol", "known_time", "liquidated_side", "quantity", "notional_usd")


def compute_bars(
    liquidations: pl.DataFrame,
    width: str,
    start_ms: int,
    end_ms: int,
    symbols: Sequence[str] | None = None,
    coverage: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Bars of `width` (`1s`, `5s`, `1m`, `1h`) with the columns of `core.schema.BARS[width]`.

    One row per symbol and right edge t in (start, end], both multiples of the width: the bar at t holds the rows with
    known_time in [t - width, t), so that it is known at t and owes nothing to later rows. An empty bar has zeros and a
    null imbalance. `liq_buy_*` are liquidated longs, `liq_sell_*` liquidated shorts, volume is in base units, and
    liq_imbalance = (sell volume - buy volume) / total volume.

    `covered` says whether the recorder of the symbol's liquidations (`select_intervals`) had delivered within the
    tolerance before t; null without a `coverage` table. `symbols` defaults to those in `liquidations`; one without
    rows gets empty bars. Rows are sorted by symbol and time. The order of the input matters only to rounding.

    Errors: `UserError` for an unknown width or a span that is not aligned to it.
    """
    table = _table(width)
    step = BAR_WIDTHS_MS[width]
    _check_span(start_ms, end_ms, width, step)
    edges = np.arange(start_ms + step, end_ms + 1, step, dtype=np.int64)
    rows = _rows_on_grid(liquidations, start_ms, end_ms, step)
    names = sorted(set(liquidations["symbol"].unique() if symbols is None else symbols))
    by_symbol = rows.partition_by("symbol", as_dict=True)
    frames = [
        _bars_of_symbol(by_symbol.get((name,), rows.clear()), name, edges, _covered(edges, coverage, name), table)
        for name in names
    ]
    return pl.concat(frames) if frames else table.empty()


def _table(width: str) -> Table:
    if width not in BARS:
        raise unknown_name("bar width", width, list(BARS))
    return BARS[width]


def _check_span(start_ms: int, end_ms: int, width: str, step: int) -> None:
    if start_ms % step or end_ms % step:
        raise UserError(
            f"{width} bars need a start and an end on whole multiples of {width}, "
            f"got {start_ms} ({format_time(start_ms)}) and {end_ms} ({format_time(end_ms)})"
        )
    if end_ms < start_ms:
        raise UserError(f"bars cannot end at {format_time(end_ms)}, before they start at {format_time(start_ms)}")


def _rows_on_grid(liquidations: pl.DataFrame, start_ms: int, end_ms: int, step: int) -> pl.DataFrame:
    known = pl.col("known_time").to_physical()
    return (
        liquidations.select(_NEEDED)
        .filter((known >= start_ms) & (known < end_ms))
        .with_columns(bar=(known - start_ms) // step)
    )


def _covered(edges: IntArray, coverage: pl.DataFrame | None, symbol: str) -> npt.NDArray[np.bool_] | None:
    return None if coverage is None else mark_covered(edges, select_intervals(coverage, symbol))


def _bars_of_symbol(
    rows: pl.DataFrame, symbol: str, edges: IntArray, covered: npt.NDArray[np.bool_] | None, table: Table
) -> pl.DataFrame:
    flows: dict[str, IntArray | FloatArray] = {}
    for side, letter in _LETTER_OF_SIDE.items():
        flows.update(_flows_of_side(rows.filter(pl.col("liquidated_side") == side), letter, len(edges)))
    for measure in ("count", "volume", "notional"):
        flows[f"liq_{measure}"] = flows[f"liq_buy_{measure}"] + flows[f"liq_sell_{measure}"]
    frame = pl.DataFrame({"time": edges, **flows}).with_columns(
        symbol=pl.lit(symbol),
        time=pl.col("time").cast(TIME),
        covered=pl.lit(None, dtype=pl.Boolean) if covered is None else pl.Series(covered),
        liq_imbalance=pl.when(pl.col("liq_volume") > 0).then(
            (pl.col("liq_sell_volume") - pl.col("liq_buy_volume")) / pl.col("liq_volume")
        ),
    )
    return frame.select(table.names)


def _flows_of_side(rows: pl.DataFrame, letter: str, n_bars: int) -> dict[str, IntArray | FloatArray]:
    bar = rows["bar"].to_numpy()
    return {
        f"liq_{letter}_count": np.bincount(bar, minlength=n_bars).astype(np.int64),
        f"liq_{letter}_volume": group_sums(bar, rows["quantity"].to_numpy(), n_bars),
        f"liq_{letter}_notional": group_sums(bar, rows["notional_usd"].to_numpy(), n_bars),
    }
