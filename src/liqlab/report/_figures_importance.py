"""Which groups of columns the forecasts rest on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from liqlab.report._ic_reading import TARGETS, name_horizon
from liqlab.report._style import INK, MUTED, message_figure, new_figure, styled
from liqlab.report._text import MISSING

_TITLE = "What the forecasts rest on"
_MOST_GROUPS = 8
_LONGEST_NAME = 30
LIQUIDATIONS, BASELINES, BOTH = "liquidations", "baselines", "both in one group"
GROUP_COLOURS = {LIQUIDATIONS: "#882255", BASELINES: "#8f8f8f", BOTH: "#332288"}
_KINDS = {"permutation": "loss of R² when permuted", "gain": "share of the trees' gain"}


class _Panel(NamedTuple):
    target: str
    horizon_s: int
    model: str
    kind: str


@styled
def plot_importance(importance: pl.DataFrame, liquidations: Collection[str], model: str = "xgboost") -> Figure:
    """Importance of the eight largest groups of columns of `model`: a row for each target and horizon, a column a kind.

    `importance` has target, horizon_s, model, kind (`permutation`, `gain`), group, features (names separated by
    commas), mean and spread over the folds, folds and rank_agreement (null where there is none). Dots are means,
    whiskers one standard deviation over the folds to either side. `liquidations` names the columns that hold any:
    groups with such columns, without, and mixed ones have each their colour. Without any row the figure says so.
    """
    own = importance.filter((pl.col("model") == model) & pl.col("mean").is_not_null())
    if own.is_empty():
        return message_figure(_TITLE, f"no forecast of {model}, so nothing that it rests on")
    kinds = [kind for kind in _KINDS if (own["kind"] == kind).any()]
    rows = [
        (target, horizon)
        for target in TARGETS
        for horizon in own.filter(pl.col("target") == target)["horizon_s"].unique().sort()
    ]
    inches = sum(0.42 + 0.15 * _count_rows(own, target, horizon) for target, horizon in rows)
    figure = new_figure(_TITLE, _describe(own, model), 0.3 + inches, _list_legend(own, liquidations), row_space=0.03)
    heights = [0.42 + 0.15 * _count_rows(own, target, horizon) for target, horizon in rows]
    panels = figure.subplots(len(rows), len(kinds), squeeze=False, height_ratios=heights)
    for place, (target, horizon) in enumerate(rows):
        for axes, kind in zip(panels[place], kinds, strict=True):
            _draw(axes, own, _Panel(target, horizon, model, kind), liquidations)
            axes.set_xlabel(_KINDS[kind] if place == len(rows) - 1 else "")
    return figure


def _count_rows(own: pl.DataFrame, target: str, horizon_s: int) -> int:
    here = own.filter((pl.col("target") == target) & (pl.col("horizon_s") == horizon_s))
    return min(_MOST_GROUPS, here["group"].n_unique())


def _describe(own: pl.DataFrame, model: str) -> str:
    folds = max(own["folds"].to_list())
    over = f"mean over {folds:,} folds, whiskers one standard deviation between them" if folds > 1 else "one fold"
    return f"{model}; {over}; groups of correlated columns by their first, the {_MOST_GROUPS} largest"


def _list_legend(own: pl.DataFrame, liquidations: Collection[str]) -> list[Any]:
    kinds = {classify_group(features, liquidations) for features in own["features"]}
    return [Patch(color=colour, label=kind) for kind, colour in GROUP_COLOURS.items() if kind in kinds]


def split_features(features: str) -> list[str]:
    """The columns of a group.

    >>> split_features("liq_rate, liq_volume_1m,atr_bps")
    ['liq_rate', 'liq_volume_1m', 'atr_bps']
    """
    return [name.strip() for name in features.split(",") if name.strip()]


def classify_group(features: str, liquidations: Collection[str]) -> str:
    """Whether a group of columns holds liquidation features, others, or both."""
    made = {name in liquidations for name in split_features(features)}
    return BOTH if len(made) > 1 else LIQUIDATIONS if made == {True} else BASELINES


def name_group(group: str, features: str) -> str:
    """A group by its first column and how many more there are.

    >>> name_group("liq_rate", "liq_rate,liq_volume_1m"), name_group("atr_bps", "atr_bps")
    ('liq_rate + 1', 'atr_bps')
    """
    more = len(split_features(features)) - 1
    name = group if len(group) <= _LONGEST_NAME else group[: _LONGEST_NAME - 1] + "…"
    return f"{name} + {more}" if more > 0 else name


def _draw(axes: Any, own: pl.DataFrame, panel: _Panel, liquidations: Collection[str]) -> None:
    same = pl.all_horizontal(pl.col(name) == value for name, value in panel._asdict().items())
    shown = own.filter(same).sort("mean", "group", descending=[True, False], maintain_order=True).head(_MOST_GROUPS)
    axes.set_title(f"{panel.target}, {name_horizon(panel.horizon_s)}", loc="left", weight="bold")
    axes.set_title(_say_agreement(shown), loc="right", color=MUTED, size=7)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    names = [name_group(group, features) for group, features in shown.select("group", "features").iter_rows()]
    axes.set_yticks(np.arange(shown.height), names, size=6.8)
    axes.set_ylim(max(shown.height, 1) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    for place, row in enumerate(shown.iter_rows(named=True)):
        colour = GROUP_COLOURS[classify_group(row["features"], liquidations)]
        axes.errorbar(row["mean"], place, xerr=row["spread"] or 0.0, fmt="o", ms=4, color=colour, ecolor=colour, lw=1.1)
    if shown.is_empty():
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _say_agreement(shown: pl.DataFrame) -> str:
    agreements = shown["rank_agreement"].drop_nulls().to_list()
    return f"rank agreement {f'{agreements[0]:+.2f}' if agreements else MISSING}"
