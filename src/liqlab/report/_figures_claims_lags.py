"""Who comes first: cross-correlations over the lag, with bands that hold for autocorrelated series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from liqlab.report._figures_claims_data import BAND_COLOUR, OTHER_COLOUR, OWN_COLOUR, floats, number, survives
from liqlab.report._ic_reading import name_horizon
from liqlab.report._style import INK, MAX_SYMBOLS, MUTED, message_figure, new_figure, say, styled

_TITLE = "Who comes first"
_EMPTY = "no two series long enough to be compared over a lag"
_ROW_INCHES = 1.5
_SHORT_ROW_INCHES = 0.6
#: Lags that reach farther are written in minutes.
_LONGEST_S = 240.0
_OPEN_INTEREST = "liquidated quantity, OI change"
_PRICE = "return, signed liquidated notional"
_SUBTITLE = (
    "cross-correlation over the lag; the band holds all lags in 95 % of independent, equally autocorrelated series. "
    "A common factor leaves it too"
)


class _Row(NamedTuple):
    """One row of panels: what is compared, what is missing if nothing is, and its lags and peaks by symbol."""

    title: str
    missing: str
    lags: pl.DataFrame
    peaks: pl.DataFrame


@styled
def plot_lead_lag(lags: pl.DataFrame, peaks: pl.DataFrame, leads: pl.DataFrame, correlations: pl.DataFrame) -> Figure:
    """A row for each pair of series, a column for each symbol: correlation over the lag, with its bands and peak.

    `lags` and `peaks` are the tables `oi_lead_lag` and `oi_lead_lag_peaks` (liquidations against open interest, price
    against liquidations), `leads` and `correlations` are `contagion_leads` and `contagion_correlations` (BTC against
    the others, at each bar width). Grey is the 95 % band of all lags together, dotted Bartlett's for one lag, the mark
    is the peak with its 95 % interval, filled where its adjusted p is below 0.05. At most six symbols. A row without
    data says so; without any the whole figure does.
    """
    rows = list(_list_rows(lags, peaks, leads, correlations))
    symbols = _list_symbols(rows)
    if not symbols:
        return message_figure(_TITLE, _EMPTY)
    heights = [_ROW_INCHES if row.lags.height else _SHORT_ROW_INCHES for row in rows]
    figure = new_figure(_TITLE, _SUBTITLE, sum(heights), _list_legend(), row_space=0.04)
    grid = figure.add_gridspec(len(rows), len(symbols), height_ratios=heights)
    for place, row in enumerate(rows):
        if row.lags.is_empty():
            say(figure.add_subplot(grid[place, :]), f"{row.title}: {row.missing}")
            continue
        panels = [figure.add_subplot(grid[place, column]) for column in range(len(symbols))]
        _draw_row(panels, row, symbols)
    return figure


def list_pairs(lags: pl.DataFrame, leads: pl.DataFrame) -> list[str]:
    """What the figure compares, in words."""
    names = {_OPEN_INTEREST: "liquidations and open interest", _PRICE: "price and liquidations"}
    found = [words for pair, words in names.items() if (lags["pair"] == pair).any()]
    return [*found, "BTC and the other symbols"] if leads.height else found


def _list_rows(
    lags: pl.DataFrame, peaks: pl.DataFrame, leads: pl.DataFrame, correlations: pl.DataFrame
) -> Iterator[_Row]:
    for pair, title, missing in (
        (
            _OPEN_INTEREST,
            "Liquidated quantity and change of open interest, minute by minute: right of 0 liquidations come first",
            "no symbol with both",
        ),
        (
            _PRICE,
            "Return and signed liquidated notional, from ticker to ticker: right of 0 the price comes first",
            "no ticker fine enough",
        ),
    ):
        is_pair = pl.col("pair") == pair
        yield _Row(title, missing, lags.filter(is_pair), peaks.filter(is_pair))
    title = "Liquidations of BTC and of each other symbol"
    if leads.is_empty():
        yield _Row(title, "needs BTC and another symbol with liquidations", lags.clear(), peaks.clear())
    for width_s in leads["width_s"].unique().sort():
        own = leads.filter(pl.col("width_s") == width_s)
        words = f"{title}, bars of {name_horizon(int(width_s))}: right of 0 BTC comes first"
        yield _Row(words, "", own.rename({"second": "symbol"}), _orient_peaks(own, correlations, width_s))


def _orient_peaks(leads: pl.DataFrame, correlations: pl.DataFrame, width_s: float) -> pl.DataFrame:
    """Peaks of the leader with each symbol; a pair that is listed the other way round is turned."""
    leader = leads["first"][0]
    own = correlations.filter(pl.col("width_s") == width_s)
    columns = {"correlation": pl.col("peak_correlation"), "p_adjusted": pl.col("p_adjusted")}
    lag, low, high = (pl.col(f"peak_{name}_s") for name in ("lag", "low", "high"))
    ahead = own.filter(pl.col("first") == leader).select(
        symbol="second", peak_lag_s=lag, peak_low_s=low, peak_high_s=high, **columns
    )
    behind = own.filter(pl.col("second") == leader).select(
        symbol="first", peak_lag_s=-lag, peak_low_s=-high, peak_high_s=-low, **columns
    )
    return pl.concat([ahead, behind])


def _list_symbols(rows: Sequence[_Row]) -> list[str]:
    """The symbols of any row in the order in which they come, the leader of the others first."""
    leaders = [name for row in rows if "first" in row.lags.columns for name in row.lags["first"]]
    names = [name for row in rows for name in row.lags["symbol"]]
    return list(dict.fromkeys([*leaders, *names]))[:MAX_SYMBOLS]


def _list_legend() -> list[Any]:
    peak: dict[str, Any] = {"color": OWN_COLOUR, "marker": "o", "ms": 4.5, "lw": 1.2}
    return [
        Line2D([], [], color=INK, lw=1.2, label="correlation"),
        Patch(color=BAND_COLOUR, alpha=0.5, lw=0, label="95 % band, all lags together"),
        Line2D([], [], color=OTHER_COLOUR, lw=0.8, ls=":", label="for one lag alone"),
        Line2D([], [], label="peak, 95 % interval of its lag; adjusted p < 0.05", **peak),
        Line2D([], [], mfc="white", label="not", **peak),
    ]


def _draw_row(panels: Sequence[Any], row: _Row, symbols: Sequence[str]) -> None:
    reach = _find_reach(row.lags.filter(pl.col("symbol").is_in(symbols)))
    place = {"xy": (0, 1), "xycoords": "axes fraction", "xytext": (0, 17), "textcoords": "offset points"}
    panels[0].annotate(row.title, **place, size=8.5, weight="bold", annotation_clip=False).set_in_layout(False)
    named = False
    for axes, symbol in zip(panels, symbols, strict=True):
        own = row.lags.filter(pl.col("symbol") == symbol).sort("lag_s")
        axes.set_title(f"\n{symbol}", loc="left", color=MUTED)
        if own.is_empty():
            is_leader = "first" in row.lags.columns and symbol == row.lags["first"][0]
            say(axes, "the one that\nmay lead" if is_leader else "not available")
            continue
        _draw_panel(axes, own, row.peaks.filter(pl.col("symbol") == symbol))
        axes.set_ylim(*reach)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylabel("" if named else "correlation")
        axes.tick_params(axis="y", labelleft=not named)
        named = True


def _find_reach(lags: pl.DataFrame) -> tuple[float, float]:
    """One scale for a row: every correlation and every band in it, zero too."""
    band = np.nan_to_num(floats(lags, "band"))
    values = np.concatenate([floats(lags, "correlation"), band, -band])
    low, high = float(np.nanmin(values, initial=0.0)), float(np.nanmax(values, initial=0.0))
    room = 0.1 * (high - low) or 0.1
    return low - room, high + room


def _draw_panel(axes: Any, own: pl.DataFrame, peaks: pl.DataFrame) -> None:
    lags_s, correlation = floats(own, "lag_s"), floats(own, "correlation")
    unit_s, unit = (60.0, "min") if lags_s.max() > _LONGEST_S else (1.0, "s")
    x = lags_s / unit_s
    band, pointwise = floats(own, "band"), floats(own, "pointwise_band")
    axes.fill_between(x, -band, band, color=BAND_COLOUR, alpha=0.5, lw=0, label="band")
    for sign in (-1.0, 1.0):
        axes.plot(x, sign * pointwise, color=OTHER_COLOUR, lw=0.8, ls=":", label="pointwise")
    axes.axhline(0.0, color=INK, lw=0.6)
    axes.axvline(0.0, color=MUTED, lw=0.8, ls=":")
    axes.plot(x, correlation, color=INK, lw=1.2, marker=".", ms=3, label="correlation")
    for row in peaks.iter_rows(named=True):
        ends = [number(row[name]) / unit_s for name in ("peak_low_s", "peak_high_s")]
        height, fill = number(row["correlation"]), OWN_COLOUR if survives(row["p_adjusted"]) else "white"
        axes.plot(ends, [height, height], color=OWN_COLOUR, lw=1.4, label="peak interval")
        axes.plot(number(row["peak_lag_s"]) / unit_s, height, "o", ms=4.5, color=OWN_COLOUR, mfc=fill, label="peak")
    axes.set_xlim(x.min(), x.max())
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 3, 5, 6, 10)))
    axes.set_xlabel(f"lag ({unit})")
