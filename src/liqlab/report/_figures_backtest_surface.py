"""The surface of the search: the score over the two parameters that move it most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import polars as pl
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from liqlab.backtest import Backtests, SearchResult
from liqlab.report._backtest_reading import format_number, name_shape, shorten_name
from liqlab.report._figures_data import Floats
from liqlab.report._style import INK, MUTED, message_figure, new_figure, styled

_SURFACE = "Backtests: the search, and what stands around its best"
#: Purple and green: neither is the colour of a liquidated side.
_COLOURS = "PRGn"
_HATCH_COLOUR = "#cfcfcf"
_CELL_INCHES = 0.3
_LEAST_SCALE = 1.0
_KINDS = {"score_at_best": "others as in the best", "score_mean": "mean over the others"}


class _Pair(NamedTuple):
    """Two parameters and their values; `cells` maps a column of SURFACE to scores (y, x), NaN unknown."""

    x: str
    y: str
    x_values: list[float]
    y_values: list[float]
    cells: dict[str, Floats]


def has_surface(backtests: Backtests) -> bool:
    """Whether any search has a score to show over two parameters."""
    return any(choose_pair(search) is not None for search in backtests.searches.values())


def choose_pair(search: SearchResult) -> _Pair | None:
    """The two parameters whose values explain most of the scores: the largest variance of the pairs' means.

    None without a score, or with fewer than two parameters.
    """
    known = search.surface.table.filter(pl.col("n") > 0)
    best: tuple[str, str] | None = None
    most = -1.0
    for (x, y), own in known.group_by("x", "y", maintain_order=True):
        count, mean = own["n"].to_numpy().astype(np.float64), own["score_mean"].to_numpy()
        explained = float(count @ (mean - count @ mean / count.sum()) ** 2)
        # Equal up to rounding: the first pair of the space stays.
        if explained > most * (1 + 1e-9) + 1e-12:
            best, most = (str(x), str(y)), explained
    return None if best is None else _read_pair(search.surface.table, *best)


def _read_pair(table: pl.DataFrame, x: str, y: str) -> _Pair:
    own = table.filter((pl.col("x") == x) & (pl.col("y") == y))
    x_values, y_values = (own[f"{axis}_value"].unique().sort().to_list() for axis in ("x", "y"))
    cells = {kind: np.full((len(y_values), len(x_values)), np.nan) for kind in _KINDS}
    for row in own.iter_rows(named=True):
        place = (y_values.index(row["y_value"]), x_values.index(row["x_value"]))
        for kind, scores in cells.items():
            scores[place] = np.nan if row[kind] is None else row[kind]
    return _Pair(x, y, x_values, y_values, cells)


@styled
def plot_surface(backtests: Backtests) -> Figure:
    """Scores over two parameters, a row for each strategy: with the others as in the best, and their mean.

    Colours are centred at zero and the same for both panels of a strategy. A frame marks the best combination, hatching
    cells without a score. Without a score the figure says so.
    """
    pairs = {name: pair for name, search in backtests.searches.items() if (pair := choose_pair(search)) is not None}
    if not pairs:
        return message_figure(_SURFACE, "no combination of parameters has enough trades to be scored")
    score = "daily Sharpe ratio" if backtests.config.search.score == "sharpe" else "mean net return of a trade"
    subtitle = f"score: {score} on all days; the two parameters that explain most of it; no cell is a result"
    heights = [0.95 + _CELL_INCHES * len(pair.y_values) for pair in pairs.values()]
    figure = new_figure(_SURFACE, subtitle, sum(heights), _list_legend(pairs.values()), row_space=0.06)
    grid = figure.subplots(len(pairs), 2, squeeze=False, height_ratios=heights)
    for row, (name, pair) in zip(grid, pairs.items(), strict=True):
        _draw_pair(figure, row, pair, backtests.searches[name])
    return figure


def _list_legend(pairs: Any) -> list[Any]:
    framed = Patch(facecolor="white", edgecolor=INK, lw=1.4, label="the best combination")
    if not any(np.isnan(pair.cells["score_at_best"]).any() for pair in pairs):
        return [framed]
    return [
        framed,
        Patch(facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", label="no score: too few trades, or not tried"),
    ]


def _draw_pair(figure: Figure, row: Sequence[Any], pair: _Pair, search: SearchResult) -> None:
    scores = np.concatenate([cells.ravel() for cells in pair.cells.values()])
    reach = max(float(np.nanmax(np.abs(scores))), 1e-12)
    if reach > 0.1:
        reach = max(reach, _LEAST_SCALE)
    norm = TwoSlopeNorm(0.0, -reach, reach)
    best = _read_best(search.surface.plateau.parameters)
    for axes, (kind, words) in zip(row, _KINDS.items(), strict=True):
        image = _draw_cells(axes, pair, pair.cells[kind], norm)
        _frame(axes, pair, best)
        axes.set_xlabel(pair.x)
        place = {"transform": axes.transAxes, "va": "bottom", "size": 8, "in_layout": False}
        axes.text(0.0, 1.03, words, color=MUTED, **place)
    row[0].set_ylabel(pair.y)
    row[0].set_title(f"{shorten_name(search.strategy)}: {name_shape(search)}", loc="left", weight="bold", pad=16)
    bar = figure.colorbar(image, ax=list(row), aspect=12, pad=0.01, fraction=0.04)
    bar.set_ticks([-reach, 0.0, reach], labels=[format_number(value, 1, True) for value in (-reach, 0.0, reach)])
    bar.outline.set_visible(False)


def _draw_cells(axes: Any, pair: _Pair, scores: Floats, norm: TwoSlopeNorm) -> Any:
    n_rows, n_columns = scores.shape
    for y, x in np.argwhere(np.isnan(scores)):
        axes.add_patch(Rectangle((x, y), 1, 1, facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", lw=0))
    image = axes.pcolormesh(
        np.arange(n_columns + 1),
        np.arange(n_rows + 1),
        np.ma.masked_invalid(scores),
        norm=norm,
        cmap=_COLOURS,
        edgecolors="white",
        lw=0.5,
    )
    colours = matplotlib.colormaps[_COLOURS]
    decimals = 1 if np.nanmax(np.abs(scores), initial=0.0) >= 0.1 else 4
    for (y, x), value in np.ndenumerate(scores):
        if np.isfinite(value):
            red, green, blue, _ = colours(norm(value))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = format_number(value, decimals, True)
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", size=7.5, color="white" if dark else INK)
    axes.set_xlim(0, n_columns)
    axes.set_ylim(0, n_rows)
    axes.set_xticks(np.arange(n_columns) + 0.5, [_name_value(value) for value in pair.x_values])
    axes.set_yticks(np.arange(n_rows) + 0.5, [_name_value(value) for value in pair.y_values])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def _frame(axes: Any, pair: _Pair, best: dict[str, float]) -> None:
    """A frame around the cell of the best combination; on the right-hand panel it marks the same place."""
    x, y = best.get(pair.x), best.get(pair.y)
    if x in pair.x_values and y in pair.y_values:
        corner = (pair.x_values.index(x), pair.y_values.index(y))
        axes.add_patch(Rectangle(corner, 1.0, 1.0, fill=False, edgecolor=INK, lw=1.8, clip_on=False, zorder=3))


def _read_best(parameters: str) -> dict[str, float]:
    """The values of a combination from the text by which it is known."""
    pairs = (text.partition("=") for text in parameters.split(", ") if "=" in text)
    return {name: float(value) for name, _, value in pairs}


def _name_value(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:g}"
