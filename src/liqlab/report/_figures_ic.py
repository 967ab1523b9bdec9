"""Information coefficients: all of them as a heat map, and the strongest over the horizon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import polars as pl
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from liqlab.report._figures_data import Floats
from liqlab.report._ic_reading import (
    LEVEL,
    RETURN,
    TARGET_NAMES,
    TARGETS,
    at_all_times,
    count_family,
    format_ic,
    group_features,
    list_horizons,
    name_horizon,
    rank_strongest,
)
from liqlab.report._style import INK, MUTED, message_figure, new_figure, styled
from liqlab.report._text import format_count
from liqlab.report._words import plural
from liqlab.study import ALL

_HEATMAP = "Information coefficients"
_DECAY = "Information coefficients over the horizon"
_HATCH_COLOUR = "#cfcfcf"
_ROW_INCHES = 0.165
#: Purple and green: neither is the colour of a liquidated side.
_COLOURS = "PRGn"
#: More rows than this cannot be read: those with the largest IC are drawn.
_MOST_ROWS = 70
_LONGEST_NAME = 34
#: The colours end at this quantile of the sizes, so that one lonely cell does not wash out the others.
_SCALE_QUANTILE = 0.95
_LEAST_SCALE = 0.01
#: The share of the bands that the scale of the decay holds whole.
_BANDS_INSIDE = 0.95
_PER_FAMILY = 3
_LINE_COLOURS = ("#332288", "#44aa99", "#882255")
_LINE_STYLES = ("-", "--", "-.")
_LINE_MARKS = ("o", "s", "^")


class _Cells(NamedTuple):
    """One target of the heat map: ICs of shape (rows, horizons), NaN where there is none, and where it survives."""

    horizons: list[int]
    ic: Floats
    surviving: Any


@styled
def plot_ic_heatmap(table: pl.DataFrame, families: Mapping[str, str], symbol: str = ALL) -> Figure:
    """IC of each feature (rows, by family) at each horizon (columns), forward returns left, volatilities right.

    `table` is `core.schema.IC`, `families` names the family of each feature in the order in which they are drawn;
    features that it does not name come last. Colours are centred at 0 and reach as far up as down, on a scale of its
    own for each target that its bar states. A frame marks an adjusted p below 0.05; a cell without an IC is hatched. Of
    more than 70 features those with the largest IC are drawn. Without any IC the figure says so.
    """
    own = at_all_times(table).filter(pl.col("symbol") == symbol)
    if own["ic"].count() == 0:
        return message_figure(_HEATMAP, f"no information coefficient of {symbol} can be computed from this data")
    drawn = _choose_rows(own)
    groups = group_features(drawn["feature"].unique().to_list(), families)
    rows = _lay_out(groups)
    targets = [target for target in TARGETS if list_horizons(drawn, target)]
    figure = new_figure(_HEATMAP, _describe(own, symbol, drawn), 0.75 + _ROW_INCHES * len(rows), _list_legend(drawn))
    grid = figure.add_gridspec(1, len(targets), width_ratios=[len(list_horizons(drawn, target)) for target in targets])
    for place, target in enumerate(targets):
        axes = figure.add_subplot(grid[0, place])
        _draw_target(figure, axes, _read_cells(drawn, target, rows), target)
        _name_rows(axes, rows, groups, named=place == 0)
    return figure


def _choose_rows(own: pl.DataFrame) -> pl.DataFrame:
    size = pl.col("ic").abs().max()
    largest = own.group_by("feature").agg(size.alias("size")).sort("size", "feature", descending=[True, False])
    return own.filter(pl.col("feature").is_in(largest["feature"].head(_MOST_ROWS).to_list()))


def _lay_out(groups: Mapping[str, Sequence[str]]) -> list[str | None]:
    """Features from top to bottom, with None where the name of a family stands."""
    rows: list[str | None] = []
    for features in groups.values():
        rows += [None, *features]
    return rows


def _describe(own: pl.DataFrame, symbol: str, drawn: pl.DataFrame) -> str:
    counts = count_family(own)
    n_features, n_drawn = own["feature"].n_unique(), drawn["feature"].n_unique()
    whose = "all symbols, ranked within each" if symbol == ALL else symbol
    some = f" (the {n_drawn} with the largest IC drawn)" if n_drawn < n_features else ""
    return (
        f"{whose}; rank correlation of {plural(n_features, 'feature')}{some} with what came after; "
        f"{format_count(counts.surviving)} of {plural(counts.tested, 'cell')} survive the correction"
    )


def _list_legend(drawn: pl.DataFrame) -> list[Any]:
    framed = Patch(facecolor="white", edgecolor=INK, lw=1.0, label=f"adjusted p < {LEVEL:g} (Benjamini-Hochberg)")
    if drawn["ic"].null_count() == 0:
        return [framed]
    return [framed, Patch(facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", label="not available")]


def _read_cells(drawn: pl.DataFrame, target: str, rows: Sequence[str | None]) -> _Cells:
    own = drawn.filter(pl.col("target") == target)
    horizons = list_horizons(own, target)
    ic = np.full((len(rows), len(horizons)), np.nan)
    surviving = np.zeros(ic.shape, dtype=bool)
    row_of = {feature: row for row, feature in enumerate(rows) if feature is not None}
    column_of = {horizon: column for column, horizon in enumerate(horizons)}
    for feature, horizon_s, value, p in own.select("feature", "horizon_s", "ic", "p_adjusted").iter_rows():
        place = (row_of[feature], column_of[horizon_s])
        ic[place] = np.nan if value is None else value
        surviving[place] = p is not None and p < LEVEL
    return _Cells(horizons, ic, surviving)


def _choose_scale(ic: Floats) -> float:
    """Where the colours end: a quantile of the sizes, rounded up to two digits."""
    sizes = np.abs(ic[np.isfinite(ic)])
    reach = max(float(np.quantile(sizes, _SCALE_QUANTILE)) if sizes.size else 0.0, _LEAST_SCALE)
    step = 10.0 ** (np.floor(np.log10(reach)) - 1)
    return float(np.ceil(reach / step - 1e-9) * step)


def _draw_target(figure: Figure, axes: Any, cells: _Cells, target: str) -> None:
    n_rows, n_horizons = cells.ic.shape
    reach = _choose_scale(cells.ic)
    norm = TwoSlopeNorm(0.0, -reach, reach)
    edges = np.arange(n_horizons + 1), np.arange(n_rows + 1)
    masked = np.ma.masked_invalid(cells.ic)
    image = axes.pcolormesh(*edges, masked, norm=norm, cmap=_COLOURS, edgecolors="white", lw=0.4)
    axes.set_xlim(0, n_horizons)
    axes.set_ylim(n_rows, 0)
    axes.set_xticks(np.arange(n_horizons) + 0.5, [name_horizon(horizon) for horizon in cells.horizons])
    axes.set_xlabel("horizon")
    axes.set_title(TARGET_NAMES[target], loc="left", weight="bold")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if not np.isfinite(cells.ic).any():
        return
    _write_cells(axes, cells, norm)
    beyond = bool(np.nanmax(np.abs(cells.ic), initial=0.0) > reach)
    bar = figure.colorbar(
        image, ax=axes, location="bottom", extend="both" if beyond else "neither", aspect=30, pad=0.01, shrink=0.9
    )
    bar.set_ticks([-reach, 0.0, reach], labels=[format_ic(-reach), "0", format_ic(reach)])
    bar.set_label(f"IC; colours reach from {format_ic(-reach)} to {format_ic(reach)}", color=MUTED)
    bar.outline.set_visible(False)


def _write_cells(axes: Any, cells: _Cells, norm: TwoSlopeNorm) -> None:
    colours = matplotlib.colormaps[_COLOURS]
    for (row, column), value in np.ndenumerate(cells.ic):
        if not np.isfinite(value):
            continue
        framed = bool(cells.surviving[row, column])
        red, green, blue, _ = colours(norm(value))
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(
            column + 0.5,
            row + 0.53,
            format_ic(value),
            ha="center",
            va="center",
            size=6,
            weight="bold" if framed else "normal",
            color="white" if dark else INK,
            in_layout=False,
        )
        if framed:
            axes.add_patch(Rectangle((column + 0.04, row + 0.06), 0.92, 0.88, fill=False, edgecolor=INK, lw=0.9))


def _name_rows(axes: Any, rows: Sequence[str | None], groups: Mapping[str, Sequence[str]], named: bool) -> None:
    """Hatch what is missing, and write features and families at the left of the first panel."""
    cells = np.ma.getmaskarray(axes.collections[0].get_array()).reshape(len(rows), -1)
    for row, feature in enumerate(rows):
        spans = [(int(column), 1) for column in np.flatnonzero(cells[row])] if feature is not None else []
        if spans:
            axes.broken_barh(spans, (row, 1), facecolor="white", edgecolor=_HATCH_COLOUR, hatch="////", lw=0)
    if not named:
        axes.set_yticks([])
        return
    titles = iter(groups)
    names = [next(titles) if feature is None else _shorten(feature) for feature in rows]
    axes.set_yticks(np.arange(len(rows)) + 0.5, names, size=6.8)
    for feature, label in zip(rows, axes.get_yticklabels(), strict=True):
        if feature is None:
            label.set_fontweight("bold")


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


@styled
def plot_ic_decay(table: pl.DataFrame, families: Mapping[str, str], symbol: str = ALL) -> Figure:
    """IC over the horizon of the strongest features of each family, with 95 % intervals as bands.

    One row for each family, forward returns left, volatilities right. In each panel the three features with the
    smallest p at any horizon. `table` and `families` as for `plot_ic_heatmap`. Without any IC the figure says so.
    """
    own = at_all_times(table).filter(pl.col("symbol") == symbol)
    if own["ic"].count() == 0:
        return message_figure(_DECAY, f"no information coefficient of {symbol} can be computed from this data")
    known = own.filter(pl.col("ic").is_not_null())
    groups = group_features(known["feature"].unique().to_list(), families)
    targets = [target for target in TARGETS if list_horizons(known, target)]
    whose = "all symbols, ranked within each" if symbol == ALL else symbol
    subtitle = (
        f"{whose}; in each panel the {_PER_FAMILY} features with the smallest p at any horizon, chosen after looking: "
        "the next sample will be weaker"
    )
    figure = new_figure(_DECAY, subtitle, 0.4 + 1.35 * len(groups), _decay_legend(), row_space=0.04)
    widths = [1.7 if target == RETURN else 1.0 for target in targets]
    panels = figure.subplots(len(groups), len(targets), squeeze=False, sharey="col", width_ratios=widths)
    drawn: dict[str, list[pl.DataFrame]] = {target: [] for target in targets}
    for column, target in enumerate(targets):
        for row, (family, features) in enumerate(groups.items()):
            mine = known.filter((pl.col("target") == target) & pl.col("feature").is_in(features))
            axes = panels[row, column]
            drawn[target].append(_draw_family(axes, mine, list_horizons(known, target)))
            axes.set_title(family if column == 0 else "", loc="left", weight="bold")
            axes.set_ylabel("IC")
            if row == 0:
                axes.set_title(TARGET_NAMES[target], loc="right", color=MUTED)
        panels[-1, column].set_xlabel("horizon")
        _limit(panels[:, column], pl.concat(drawn[target]))
    return figure


def _decay_legend() -> list[Any]:
    return [
        Line2D([], [], color=MUTED, lw=1.3, label="IC"),
        Patch(color=MUTED, alpha=0.2, lw=0, label="95 % interval"),
    ]


def _draw_family(axes: Any, own: pl.DataFrame, horizons: Sequence[int]) -> pl.DataFrame:
    """Draw the strongest features of a family; gives their rows."""
    axes.axhline(0.0, color=INK, lw=0.8)
    axes.set_xscale("log")
    axes.set_xlim(horizons[0] / 1.5, horizons[-1] * 1.5)
    axes.set_xticks(horizons, [name_horizon(horizon) for horizon in horizons], size=6.8)
    axes.minorticks_off()
    axes.grid(axis="y")
    names = rank_strongest(own)["feature"].unique(maintain_order=True).head(_PER_FAMILY).to_list()
    if not names:
        axes.text(0.5, 0.5, "none available", transform=axes.transAxes, ha="center", va="center", color=MUTED)
    for name, colour, line, mark in zip(names, _LINE_COLOURS, _LINE_STYLES, _LINE_MARKS, strict=False):
        points = own.filter(pl.col("feature") == name).sort("horizon_s")
        places = points["horizon_s"].to_numpy()
        low, high = (points[end].cast(pl.Float64).fill_null(float("nan")).to_numpy() for end in ("ci_low", "ci_high"))
        axes.fill_between(places, low, high, color=colour, alpha=0.14, lw=0)
        axes.plot(places, points["ic"].to_numpy(), color=colour, ls=line, marker=mark, ms=3, lw=1.2, label=name)
    _name_lines(axes)
    return own.filter(pl.col("feature").is_in(names))


def _name_lines(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    place = {"loc": "upper left", "bbox_to_anchor": (1.005, 1.02), "borderaxespad": 0.2}
    if handles:
        axes.legend(handles, [_shorten(label) for label in labels], fontsize=6.5, handlelength=1.8, **place)


def _limit(panels: Any, own: pl.DataFrame) -> None:
    """One scale for all families of a target, zero in it; a few wide bands may leave it, a point may not."""
    ends = [own["ci_low"].drop_nulls().quantile(1 - _BANDS_INSIDE), own["ci_high"].drop_nulls().quantile(_BANDS_INSIDE)]
    values = [0.0, *(float(value) for value in (own["ic"].min(), own["ic"].max(), *ends) if value is not None)]  # type: ignore[arg-type]
    room = 0.06 * max(max(values) - min(values), _LEAST_SCALE)
    for axes in panels:
        axes.set_ylim(min(values) - room, max(values) + room)
