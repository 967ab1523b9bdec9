"""Event study: the price around cascades, beside the price around matched moments without one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from liqlab.core.schema import LONG, SHORT
from liqlab.report._figures_claims_data import (
    BAND_COLOUR,
    OTHER_COLOUR,
    floats,
    limit,
    survives,
    surviving_marks,
)
from liqlab.report._ic_reading import name_horizon
from liqlab.report._style import INK, MUTED, SIDE_COLOURS, message_figure, new_figure, say, styled
from liqlab.report._text import format_count

_TITLE = "Price after cascades"
_EMPTY = "no cascade with a ticker price around it and a matched moment to compare it with"
_ORIGINS = {"confirmed": "was confirmed", "ended": "was known to end"}
_SIDES = (LONG, SHORT)
_PANEL_INCHES = 2.6
_TICKS_S = range(-60, 301, 60)
_DODGE = {LONG: -0.14, SHORT: 0.14}
_NO_EXCESS = "no excess could be measured"


@styled
def plot_event_study(paths: pl.DataFrame, impact: pl.DataFrame | None = None) -> Figure:
    """Mean path of the price by dominant side, from a minute before to five minutes after, in bps against seconds.

    `paths` is the table `q1_paths`, `impact` is `q1_impact`. A row for each origin, when a cascade was confirmed and
    when it was known to have ended. Paths are signed by pressure, so that up is on with the forced flow on either side,
    and start at the first price at or after the origin. Coloured: mean and 95 % interval of the cascades; grey: mean
    and 95 % band of the matched moments. At the right the difference of the two at four horizons. A side without a
    path says so in its panel; without any the whole figure does.
    """
    own = paths.filter(pl.col("split") == "side", pl.col("mean_bps").is_not_null())
    origins = [origin for origin in _ORIGINS if (own["origin"] == origin).any()]
    if not origins:
        return message_figure(_TITLE, _EMPTY)
    excess = _select_excess(impact)
    figure = new_figure(_TITLE, _SUBTITLE, _PANEL_INCHES * len(origins), _list_legend(), row_space=0.05)
    panels = figure.subplots(len(origins), 3, squeeze=False, width_ratios=[1.25, 1.25, 1.0])
    for row, origin in enumerate(origins):
        here = own.filter(pl.col("origin") == origin)
        for axes, side in zip(panels[row], _SIDES, strict=False):
            _draw_fan(axes, here.filter(pl.col("group") == side).sort("offset_s"), side, origin)
        _share_limits(panels[row, :2], here)
        _draw_excess(panels[row, 2], excess.filter(pl.col("origin") == origin), origin)
    return figure


_SUBTITLE = (
    "mean path signed by pressure, up is on with the forced flow; matched moments: alike in symbol, hour, volatility "
    "and return, no cascade"
)


def count_cascades(paths: pl.DataFrame, origin: str, side: str) -> int:
    """Cascades behind a fan: the most at any offset."""
    own = paths.filter(pl.col("split") == "side", pl.col("origin") == origin, pl.col("group") == side)
    return int(own["n"].fill_null(0).max() or 0)  # type: ignore[arg-type]


def _select_excess(impact: pl.DataFrame | None) -> pl.DataFrame:
    if impact is None:
        return pl.DataFrame(schema={"origin": pl.String, "group": pl.String, "horizon_s": pl.Float64})
    return impact.filter(pl.col("split") == "side", pl.col("excess_bps").is_not_null()).sort("horizon_s", "group")


def _list_legend() -> list[Any]:
    sides = [
        Line2D([], [], color=SIDE_COLOURS[side], lw=1.6, label=f"{side}s liquidated (95 % interval)") for side in _SIDES
    ]
    placebo = [
        Line2D([], [], color=OTHER_COLOUR, lw=1.2, ls="--", label="matched moments"),
        Patch(color=BAND_COLOUR, alpha=0.55, lw=0, label="their 95 % band"),
    ]
    return sides + placebo + surviving_marks()


def _draw_fan(axes: Any, own: pl.DataFrame, side: str, origin: str) -> None:
    n = int(own["n"].max() or 0) if own.height else 0  # type: ignore[arg-type]
    if not n:
        say(axes, f"no cascade of liquidated {side}s\nwith a matched moment")
        return
    seconds, colour = floats(own, "offset_s"), SIDE_COLOURS[side]
    bands = ((BAND_COLOUR, 0.55, "placebo_low", "placebo_high"), (colour, 0.2, "ci_low", "ci_high"))
    for shade, alpha, low, high in bands:
        axes.fill_between(seconds, floats(own, low), floats(own, high), color=shade, alpha=alpha, lw=0, label=low)
    axes.axhline(0.0, color=INK, lw=0.7)
    axes.axvline(0.0, color=MUTED, lw=0.9, ls=":")
    axes.plot(seconds, floats(own, "placebo_bps"), color=OTHER_COLOUR, lw=1.2, ls="--", label="placebo")
    axes.plot(seconds, floats(own, "mean_bps"), color=colour, lw=1.6, label="cascades")
    axes.set_xlim(seconds.min(), seconds.max())
    axes.set_xticks([tick for tick in _TICKS_S if seconds.min() <= tick <= seconds.max()])
    axes.grid(axis="y")
    axes.set_xlabel(f"seconds after the cascade {_ORIGINS[origin]}")
    axes.set_ylabel("price path (bps)")
    axes.set_title(f"{side}s liquidated", loc="left", weight="bold")
    axes.set_title(f"n = {format_count(n)}", loc="right", color=MUTED)


def _share_limits(panels: Iterable[Any], here: pl.DataFrame) -> None:
    points = np.concatenate([floats(here, name) for name in ("mean_bps", "placebo_bps")])
    ends = np.concatenate([floats(here, name) for name in ("ci_low", "ci_high", "placebo_low", "placebo_high")])
    for axes in panels:
        if axes.axison:
            limit(axes, points, ends)


def _draw_excess(axes: Any, excess: pl.DataFrame, origin: str) -> None:
    if excess.is_empty():
        say(axes, _NO_EXCESS)
        return
    horizons = excess["horizon_s"].unique().sort().to_list()
    axes.axhline(0.0, color=INK, lw=0.7)
    for row in excess.iter_rows(named=True):
        x, colour = horizons.index(row["horizon_s"]) + _DODGE.get(row["group"], 0.0), SIDE_COLOURS[row["group"]]
        if row["ci_low"] is not None and row["ci_high"] is not None:
            axes.plot([x, x], [row["ci_low"], row["ci_high"]], color=colour, lw=1.3, label="interval")
        fill = colour if survives(row["p_adjusted"]) else "white"
        axes.plot(x, row["excess_bps"], ls="", marker="o", ms=4.5, color=colour, mfc=fill, label="excess")
    axes.set_xticks(np.arange(len(horizons)), [name_horizon(int(horizon)) for horizon in horizons])
    axes.set_xlim(-0.5, len(horizons) - 0.5)
    axes.grid(axis="y")
    ends = np.concatenate([floats(excess, name) for name in ("ci_low", "ci_high")])
    limit(axes, floats(excess, "excess_bps"), ends, inside=1.0)
    axes.set_xlabel(f"after it {_ORIGINS[origin]}")
    axes.set_ylabel("excess (bps)")
    axes.set_title("excess over matched moments", loc="left", weight="bold")
