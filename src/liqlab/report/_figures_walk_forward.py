"""How good the forecasts were out of sample, against the baselines they have to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from liqlab.report._figures_importance import BASELINES, GROUP_COLOURS, LIQUIDATIONS
from liqlab.report._ic_reading import RETURN, TARGET_NAMES, TARGETS, VOLATILITY, list_horizons, name_horizon
from liqlab.report._style import INK, message_figure, new_figure, styled
from liqlab.study import ALL

_TITLE = "Out-of-sample forecasts"
#: What a forecast has to beat.
BASELINE = {RETURN: "zero", VOLATILITY: "har"}
BASELINE_NAMES = {"zero": "zero", "mean": "the mean", "har": "HAR"}
#: The end of the names of models that see no liquidations, and those that never do.
WITHOUT = "_without_liquidations"
PLAIN = tuple(BASELINE_NAMES)
_ROW_INCHES = 0.3
_SPLIT_MARKS = {"expanding": "o", "rolling": "s"}
_SPLIT_SHIFTS = {"expanding": -0.14, "rolling": 0.14}


@styled
def plot_walk_forward(scores: pl.DataFrame, symbol: str = ALL) -> Figure:
    """R2 out of sample of each model, with 95 % intervals, a panel for each target and horizon.

    `scores` has target, horizon_s, split, symbol, model, metric, against, value, ci_low, ci_high. Drawn is the metric
    `r2` against forecasting no return, and for volatility against the heterogeneous autoregression (HAR): right of
    the line the model is better. Filled marks are expanding splits, hollow ones rolling. The mean volatility, far
    worse than all others, would flatten them and is left out. Without any score the figure says so.
    """
    beaten = pl.col("target").replace_strict(BASELINE, return_dtype=pl.String)
    own = scores.filter(
        (pl.col("symbol") == symbol)
        & (pl.col("metric") == "r2")
        & (pl.col("against") == beaten)
        & (pl.col("model") != beaten)
        & ((pl.col("target") != VOLATILITY) | (pl.col("model") != "mean"))
        & pl.col("value").is_not_null()
    )
    if own.is_empty():
        return message_figure(_TITLE, f"no forecast of {symbol} has been scored")
    targets = [target for target in TARGETS if (own["target"] == target).any()]
    models = {target: own.filter(pl.col("target") == target)["model"].unique(maintain_order=True) for target in targets}
    most = max(len(list_horizons(own, target)) for target in targets)
    heights = [0.5 + _ROW_INCHES * len(models[target]) for target in targets]
    figure = new_figure(_TITLE, _describe(own, symbol), 0.5 + sum(heights), _list_legend(own), row_space=0.06)
    grid = figure.add_gridspec(len(targets), most, height_ratios=heights)
    for row, target in enumerate(targets):
        for column, horizon in enumerate(list_horizons(own, target)):
            axes = figure.add_subplot(grid[row, column])
            here = own.filter((pl.col("target") == target) & (pl.col("horizon_s") == horizon))
            _draw(axes, here, models[target].to_list(), named=column == 0)
            axes.set_title(f"{TARGET_NAMES[target]}, {name_horizon(horizon)}", loc="left", weight="bold")
            axes.set_xlabel(f"R² against {BASELINE_NAMES[BASELINE[target]]}")
    return figure


def is_plain(model: str) -> bool:
    """Whether a model sees no liquidation column."""
    return model in PLAIN or model.endswith(WITHOUT)


def name_model(model: str) -> str:
    """A model in words.

    >>> name_model("ridge_without_liquidations"), name_model("har")
    ('ridge without liquidations', 'HAR')
    """
    return "HAR" if model == "har" else model.replace("_", " ")


def _describe(own: pl.DataFrame, symbol: str) -> str:
    whose = "all symbols together" if symbol == ALL else symbol
    short = "; no interval where independent stretches are too few" if own["ci_low"].null_count() else ""
    return f"{whose}; 1 - squared error / the baseline's, 95 % intervals{short}; right of the line the model is better"


def _list_legend(own: pl.DataFrame) -> list[Any]:
    sees = {LIQUIDATIONS: "sees liquidations", BASELINES: "does not"}
    colours = [Line2D([], [], color=GROUP_COLOURS[kind], lw=3, label=label) for kind, label in sees.items()]
    marks = [
        Line2D([], [], color=INK, ls="", marker=mark, ms=4.5, mfc=_fill(split, INK), label=f"{split} training window")
        for split, mark in _SPLIT_MARKS.items()
        if (own["split"] == split).any()
    ]
    return colours + marks


def _fill(split: str, colour: str) -> str:
    return colour if split == "expanding" else "white"


def _draw(axes: Any, here: pl.DataFrame, models: Sequence[str], named: bool) -> None:
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.grid(axis="x")
    for row in here.iter_rows(named=True):
        place = models.index(row["model"]) + _SPLIT_SHIFTS.get(row["split"], 0.0)
        colour = GROUP_COLOURS[BASELINES if is_plain(row["model"]) else LIQUIDATIONS]
        if row["ci_low"] is not None and row["ci_high"] is not None:
            axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=colour, lw=1.2, label=row["model"])
        mark = _SPLIT_MARKS.get(row["split"], "o")
        axes.plot(row["value"], place, ls="", marker=mark, ms=4.5, color=colour, mfc=_fill(row["split"], colour))
    axes.set_yticks(np.arange(len(models)), [name_model(model) for model in models] if named else [""] * len(models))
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    axes.locator_params(axis="x", nbins=5)
