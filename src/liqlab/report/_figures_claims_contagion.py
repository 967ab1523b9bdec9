"""Contagion matrix: which symbol's liquidations add to which other's, and how often they merely come together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import polars as pl
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from liqlab.report._figures_claims_data import floats, number, survives
from liqlab.report._figures_data import Floats
from liqlab.report._ic_reading import LEVEL
from liqlab.report._style import INK, MAX_SYMBOLS, MUTED, heat_colours, message_figure, new_figure, say, styled

_TITLE = "Contagion"
_EMPTY = "no two symbols with prices and liquidations, so nothing that could spread from one to another"
_HATCH_COLOUR = "#cfcfcf"
_DIVERGING = "PRGn"
_CELL_INCHES = 0.48
#: Cells of more symbols are narrower than the numbers in them.
_FEW = 5
#: More letters than this do not fit below a panel in one line.
_MOST_LETTERS = 44
_OWN_COLOUR = "#ececec"
_SUBTITLE = "rows: whose liquidations may come first; columns: who may follow. Verdicts rest on the first panel alone"
_MISSING = "not measured (the response is asked of BTC and each other symbol)"
_ALL = "all"
#: Small numbers are written in hundredths.
_PERCENT = 0.01


class _Matrix(NamedTuple):
    """One panel: values and texts of shape (symbols, symbols), NaN and empty where there is none, and what survives.

    `reach` is how far the colours go on either side of zero; None for what has no sign.
    """

    title: str
    label: str
    values: Floats
    texts: list[list[str]]
    framed: Any
    reach: float | None


@styled
def plot_contagion(responses: pl.DataFrame, granger: pl.DataFrame, hawkes: pl.DataFrame, lifts: pl.DataFrame) -> Figure:
    """Four heat maps of the same symbols, cause by effect.

    The frames are the tables `contagion_responses`, `contagion_granger`, `contagion_hawkes` and `contagion_lifts`. The
    conditional response (in percentage points, with its 95 % interval), on which the verdicts rest, the sum of
    conditional Granger coefficients, the kernel of a Hawkes process, and the descriptive lift, which is above 1
    wherever assets follow one market and is titled as description. Frames mark an adjusted p below 0.05; a Hawkes
    kernel has none, there they mark an interval clear of zero. A cell without a value is hatched. At most six symbols.
    Without any value in any panel the figure says so.
    """
    symbols = _list_symbols((responses, granger, hawkes, lifts))
    matrices = [
        _read_responses(responses, symbols),
        _read_granger(granger, symbols),
        _read_hawkes(hawkes, symbols),
        _read_lifts(lifts, symbols),
    ]
    if not any(np.isfinite(matrix.values).any() for matrix in matrices):
        return message_figure(_TITLE, _EMPTY)
    height = 1.1 + _CELL_INCHES * len(symbols)
    figure = new_figure(_TITLE, _SUBTITLE, 2 * height, _list_legend(), row_space=0.05)
    panels = figure.subplots(2, 2).ravel()
    for axes, matrix in zip(panels, matrices, strict=True):
        _draw(figure, axes, matrix, symbols)
    return figure


def choose_window(lifts: pl.DataFrame) -> float | None:
    """The window, in seconds, of the lifts that are drawn: the shortest; None without lifts."""
    known = lifts.filter(pl.col("lift").is_not_null())
    return None if known.is_empty() else float(known["window_s"].min())  # type: ignore[arg-type]


def _list_symbols(tables: Sequence[pl.DataFrame]) -> list[str]:
    names = [
        name for table in tables for column in ("cause", "effect") for name in table[column].unique(maintain_order=True)
    ]
    return list(dict.fromkeys(names))[:MAX_SYMBOLS]


def _fill(
    rows: pl.DataFrame, symbols: Sequence[str], value: str, ends: tuple[str, str], unit: float = 1.0
) -> tuple[Floats, list[list[str]]]:
    values = np.full((len(symbols), len(symbols)), np.nan)
    texts = [[""] * len(symbols) for _ in symbols]
    for cause, effect, *found in rows.select("cause", "effect", value, *ends).iter_rows():
        estimate, low, high = (number(value) / unit for value in found)
        if cause not in symbols or effect not in symbols or not np.isfinite(estimate):
            continue
        row, column = symbols.index(cause), symbols.index(effect)
        values[row, column] = estimate
        interval = f"\n[{_write(low)}, {_write(high)}]" if np.isfinite(low + high) else ""
        texts[row][column] = f"{_write(estimate)}{interval}"
    return values, texts


def _write(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _mark(rows: pl.DataFrame, symbols: Sequence[str], is_marked: Any) -> Any:
    framed = np.zeros((len(symbols), len(symbols)), dtype=bool)
    for row in rows.iter_rows(named=True):
        if row["cause"] in symbols and row["effect"] in symbols:
            framed[symbols.index(row["cause"]), symbols.index(row["effect"])] = is_marked(row)
    return framed


def _read_responses(responses: pl.DataFrame, symbols: Sequence[str]) -> _Matrix:
    values, texts = _fill(responses, symbols, "increase", ("ci_low", "ci_high"), _PERCENT)
    framed = _mark(responses, symbols, lambda row: survives(row["p_adjusted"]))
    label = "more liquidations 5 to 30 s later (percentage points)"
    return _Matrix("Conditional response: what decides", label, values, texts, framed, _find_reach(responses))


def _read_granger(granger: pl.DataFrame, symbols: Sequence[str]) -> _Matrix:
    own = granger.filter(pl.col("lag_rule") == "criterion")
    widths = own["bar_s"].unique().sort()
    narrow = own.filter(pl.col("bar_s") == widths[0]) if len(widths) else own
    values, texts = _fill(narrow, symbols, "coefficient_sum", ("ci_low", "ci_high"), _PERCENT)
    framed = _mark(narrow, symbols, lambda row: survives(row["p_adjusted"]))
    bars = f", bars of {widths[0]:g} s" if len(widths) else ""
    label = f"100 x sum of the coefficients of its lags{bars}"
    return _Matrix("Conditional Granger: exploratory", label, values, texts, framed, _find_reach(narrow))


def _find_reach(rows: pl.DataFrame) -> float:
    """The farthest end of any interval: what may be nothing stays pale."""
    ends = 100.0 * np.abs(np.concatenate([floats(rows, "ci_low"), floats(rows, "ci_high")]))
    return float(np.nanmax(ends, initial=0.0)) or 1.0


def _read_hawkes(hawkes: pl.DataFrame, symbols: Sequence[str]) -> _Matrix:
    values, texts = _fill(hawkes, symbols, "children", ("ci_low", "ci_high"), _PERCENT)
    framed = _mark(hawkes, symbols, lambda row: number(row["ci_low"]) > 0.0)
    return _Matrix(
        "Hawkes kernel: exploratory",
        "direct children of 100 events (grey: of its own kind)",
        values,
        texts,
        framed,
        None,
    )


def _read_lifts(lifts: pl.DataFrame, symbols: Sequence[str]) -> _Matrix:
    window_s = choose_window(lifts)
    own = lifts.filter((pl.col("regime") == _ALL) & (pl.col("window_s") == window_s)) if window_s else lifts.clear()
    values, texts = _fill(own, symbols, "lift", ("lift_low", "lift_high"))
    within = f" within {window_s:g} s" if window_s else ""
    label = f"probability after the cause{within} / at any time"
    framed = np.zeros(values.shape, dtype=bool)
    return _Matrix("Lift: description, no sign of contagion", label, values, texts, framed, None)


def _list_legend() -> list[Any]:
    return [
        Patch(facecolor="white", edgecolor=INK, lw=1.1, label=f"adjusted p < {LEVEL:g} (kernel: interval above 0)"),
        Patch(
            facecolor="white",
            edgecolor=_HATCH_COLOUR,
            hatch="////",
            label=_MISSING,
        ),
    ]


def _draw(figure: Figure, axes: Any, matrix: _Matrix, symbols: Sequence[str]) -> None:
    axes.set_title(matrix.title, loc="left", weight="bold")
    between = np.where(np.eye(len(symbols), dtype=bool), np.nan, matrix.values)
    known = between[np.isfinite(between)]
    if not known.size:
        say(axes, "not measured for any pair")
        return
    norm, colours = _choose_colours(known, matrix.reach)
    edges = np.arange(len(symbols) + 1)
    style = {"norm": norm, "cmap": colours, "edgecolors": "white", "lw": 0.6}
    image = axes.pcolormesh(edges, edges, np.ma.masked_invalid(between), **style)
    axes.set_ylim(len(symbols), 0)
    places = np.arange(len(symbols)) + 0.5
    axes.set_xticks(places, [_break(symbol, symbols) for symbol in symbols], size=7)
    axes.set_yticks(places, symbols, size=7)
    axes.set_xlabel("who may follow")
    axes.set_ylabel("who may come first")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row, column in np.ndindex(matrix.values.shape):
        _draw_cell(axes, matrix, (row, column), norm, colours)
    bar = figure.colorbar(image, ax=axes, location="right", aspect=18, pad=0.02, shrink=0.95)
    bar.set_label(matrix.label, color=MUTED, size=7.5)
    bar.outline.set_visible(False)


def _break(symbol: str, symbols: Sequence[str]) -> str:
    """A name in two lines where the columns are too narrow for it."""
    crowded = len(symbols) * max(map(len, symbols)) > _MOST_LETTERS
    return f"{symbol[:-4]}\n{symbol[-4:]}" if crowded else symbol


def _choose_colours(known: Floats, reach: float | None) -> tuple[Normalize, Any]:
    if reach is None:
        low, high = min(1.0, float(known.min())), float(known.max())
        return Normalize(low, high if high > low else low + 1.0), heat_colours()
    return TwoSlopeNorm(0.0, -reach, reach), matplotlib.colormaps[_DIVERGING]


def _draw_cell(axes: Any, matrix: _Matrix, place: tuple[int, int], norm: Normalize, colours: Any) -> None:
    row, column = place
    value = matrix.values[place]
    if not np.isfinite(value):
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", lw=0))
        return
    if row == column:
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=_OWN_COLOUR, edgecolor="white", lw=0.6))
    red, green, blue, _ = (1.0,) * 4 if row == column else colours(norm(value))
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
    framed = bool(matrix.framed[place])
    estimate, _, interval = matrix.texts[row][column].partition("\n")
    style = {"ha": "center", "va": "center", "color": "white" if dark else INK, "in_layout": False}
    weight = "bold" if framed else "normal"
    axes.text(column + 0.5, row + (0.36 if interval else 0.5), estimate, size=7, weight=weight, **style)
    axes.text(column + 0.5, row + 0.67, interval, size=5.6 if len(matrix.texts) <= _FEW else 4.8, **style)
    if framed:
        axes.add_patch(Rectangle((column + 0.04, row + 0.05), 0.92, 0.9, fill=False, edgecolor=INK, lw=1.1))
