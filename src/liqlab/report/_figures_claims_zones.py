"""Zone scorecard: what prices do at zones of past liquidations, beside what they do at matched levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liqlab.report._figures_claims_data import (
    OTHER_COLOUR,
    OWN_COLOUR,
    draw_mark,
    floats,
    limit,
    number,
    survives,
    surviving_marks,
)
from liqlab.report._style import INK, MUTED, message_figure, new_figure, say, styled
from liqlab.report._text import format_count

_TITLE = "Zone scorecard"
_EMPTY = "no zone came within reach of a price, so there is nothing to compare with other levels"
_SUBTITLE = (
    "zones of past liquidations less matched levels, distance and path being equal; right of the line zones have more"
)
_ALL = "all"
#: The units of what can be drawn as a share.
_SHARE = r"\((probability|fraction)"
_ALL_WORDS = "all zones"
_COLUMNS = 3
_ROW_INCHES = 0.17
_BOTTOM_INCHES = 2.3
#: Levels of the reliability diagram, with colour and mark.
_LEVELS = {"zones": (OWN_COLOUR, "o"), "other levels": (OTHER_COLOUR, "s")}
_NO_FORECAST = "too few first touches\nwith a forecast and an outcome"
#: A range of forecasts with fewer says nothing of how often they came true.
_LEAST_IN_BIN = 10
_NO_SHARE = "no measure of all zones"


@styled
def plot_zone_scorecard(scores: pl.DataFrame, forecasts: pl.DataFrame, reliability: pl.DataFrame) -> Figure:
    """Each measure of the zones less that of matched levels, with 95 % intervals, for all zones and by group.

    The three frames are the tables `zone_scores`, `zone_forecasts` and `zone_reliability`. Below the differences the
    plain shares of zones and levels, and how far forecasts of a reversal can be relied on: forecast against what
    happened, with 95 % intervals, and the Brier score. Without any zone the figure says so.
    """
    own = scores.filter(pl.col("difference").is_not_null())
    measures = own["measure"].unique(maintain_order=True).to_list()
    if not measures:
        return message_figure(_TITLE, _EMPTY)
    groups = own["group"].unique(maintain_order=True).to_list()
    rows = -(-len(measures) // _COLUMNS)
    heights = [*([0.62 + _ROW_INCHES * len(groups)] * rows), _BOTTOM_INCHES]
    figure = new_figure(_TITLE, _SUBTITLE, sum(heights), _list_legend(), row_space=0.03)
    grid = figure.add_gridspec(rows + 1, _COLUMNS, height_ratios=heights)
    for place, measure in enumerate(measures):
        axes = figure.add_subplot(grid[place // _COLUMNS, place % _COLUMNS])
        _draw_differences(axes, own.filter(pl.col("measure") == measure), groups, named=place % _COLUMNS == 0)
    _draw_shares(figure.add_subplot(grid[rows, 0]), own)
    _draw_reliability(figure.add_subplot(grid[rows, 1]), reliability)
    _explain_levels(figure.add_subplot(grid[rows, 2]), forecasts)
    return figure


def split_measure(measure: str) -> tuple[str, str]:
    """A measure and its unit.

    >>> split_measure("visit within 60 min (probability)")
    ('visit within 60 min', 'probability')
    """
    name, _, unit = measure.partition(" (")
    return name, unit.removesuffix(")")


def _list_legend() -> list[Any]:
    difference = Line2D([], [], color=OWN_COLOUR, lw=1.2, label="difference with its 95 % interval")
    return [difference, *surviving_marks(OWN_COLOUR)]


def _draw_differences(axes: Any, own: pl.DataFrame, groups: Sequence[str], named: bool) -> None:
    name, unit = split_measure(own["measure"][0])
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.grid(axis="x")
    for row in own.iter_rows(named=True):
        ends = (number(row["ci_low"]), number(row["ci_high"]))
        filled = survives(row["p_adjusted"])
        draw_mark(axes, row["difference"], groups.index(row["group"]), ends, OWN_COLOUR, filled)
    reach = np.concatenate([floats(own, "ci_low"), floats(own, "ci_high")])
    limit(axes, floats(own, "difference"), reach, axis="x", inside=1.0)
    names = [_ALL_WORDS if group == _ALL else group for group in groups]
    axes.set_yticks(np.arange(len(groups)), names if named else [""] * len(groups), size=7)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", nbins=6)
    axes.set_title(name, loc="left", weight="bold", size=8)
    axes.set_xlabel(f"difference ({unit})")


def _draw_shares(axes: Any, own: pl.DataFrame) -> None:
    """Plain shares of all zones and of the levels they are compared with; what is no share is left out."""
    is_share = pl.col("measure").str.contains("(probability)", literal=True) | pl.col("measure").str.contains(
        "fraction"
    )
    shown = own.filter((pl.col("group") == _ALL) & is_share)
    if shown.is_empty():
        say(axes, _NO_SHARE)
        return
    for place, (zones, others) in enumerate(shown.select("zones", "other_levels").iter_rows()):
        axes.plot([number(others), number(zones)], [place, place], color=MUTED, lw=0.8, label="gap")
        for value, levels in ((others, "other levels"), (zones, "zones")):
            axes.plot(number(value), place, label=levels, **_style(levels))
    names = [_break(split_measure(measure)[0]) for measure in shown["measure"]]
    axes.set_yticks(np.arange(shown.height), names, size=7)
    axes.set_ylim(shown.height - 0.4, -0.6)
    axes.set_xlim(0.0, 1.0)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("share")
    axes.set_title("plain shares, all zones", loc="left", weight="bold", size=8)


def _break(words: str) -> str:
    return words.replace(" after ", "\nafter ").replace(" where ", "\nwhere ")


def _style(levels: str) -> dict[str, Any]:
    colour, mark = _LEVELS[levels]
    return {"color": colour, "marker": mark, "ms": 4.5, "mfc": colour if levels == "zones" else "white", "ls": ""}


def _draw_reliability(axes: Any, reliability: pl.DataFrame) -> None:
    known = reliability.filter(pl.col("n") >= _LEAST_IN_BIN)
    if known.is_empty():
        say(axes, _NO_FORECAST)
        return
    axes.set_title("forecasts of a reversal at first touch", loc="left", weight="bold", size=8)
    for levels, (colour, _) in _LEVELS.items():
        own = known.filter(pl.col("levels") == levels).sort("bin_low")
        x = floats(own, "mean_forecast")
        axes.vlines(
            x, floats(own, "observed_low"), floats(own, "observed_high"), color=colour, lw=1.1, label="interval"
        )
        axes.plot(x, floats(own, "observed_frac"), label=levels, **_style(levels) | {"ls": "-", "lw": 1.1})
    ends = np.concatenate([floats(known, name) for name in ("mean_forecast", "observed_low", "observed_high")])
    reach = max(0.0, float(np.nanmin(ends)) - 0.03), min(1.0, float(np.nanmax(ends)) + 0.03)
    axes.plot(reach, reach, color=MUTED, lw=0.8, ls=":", label="as forecast")
    axes.set_xlim(*reach)
    axes.set_ylim(*reach)
    axes.grid()
    axes.set_xlabel("forecast, from earlier touches (probability)")
    axes.set_ylabel("share that reversed")


def _explain_levels(axes: Any, forecasts: pl.DataFrame) -> None:
    """The marks of both panels beside it, and the scores of the forecasts."""
    axes.set_axis_off()
    handles = [Line2D([], [], label=_describe_score(forecasts, levels), **_style(levels)) for levels in _LEVELS]
    handles.append(Line2D([], [], color=MUTED, lw=0.8, ls=":", label="as often as forecast"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.06, 1.0), fontsize=7, labelspacing=1.1)
    words = f"95 % intervals as if touches were independent;\nranges with fewer than {_LEAST_IN_BIN} forecasts left out"
    axes.text(0.0, -0.02, words, va="top", transform=axes.transAxes, size=7, color=MUTED)


def _describe_score(forecasts: pl.DataFrame, levels: str) -> str:
    """The Brier score in words, beside that of always forecasting the overall share."""
    for row in forecasts.filter(pl.col("levels") == levels).iter_rows(named=True):
        if row["brier"] is None:
            continue
        ends = [number(row[name]) for name in ("ci_low", "ci_high")]
        interval = f" [{ends[0]:.3f}, {ends[1]:.3f}]" if np.isfinite(ends).all() else ""
        return (
            f"{levels}: {format_count(row['n'])} first touches\nBrier score {row['brier']:.3f}{interval}\n"
            f"always the overall share {number(row['uncertainty']):.3f}\nreliability {number(row['reliability']):.4f}"
        )
    return levels
