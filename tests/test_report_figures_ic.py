"""Figures of the predictive analysis hold the numbers of the tables, overlap nothing and never warn."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from test_report_predictive import FAMILIES, make_ic
from test_report_predictive_findings import MINUTE_MS, START_MS, make_walk_forward

from liqlab.core.schema import IC, LABEL_HORIZONS_S, REGIMES, VOLATILITY_HORIZONS_S
from liqlab.models import IMPORTANCE, SCORES
from liqlab.regimes import compute_regimes
from liqlab.report import save_figure
from liqlab.report._figures_ic import plot_ic_decay, plot_ic_heatmap
from liqlab.report._figures_importance import GROUP_COLOURS, plot_importance
from liqlab.report._figures_regimes import plot_regimes
from liqlab.report._figures_walk_forward import plot_walk_forward

LIQUIDATIONS = {name for name, family in FAMILIES.items() if family in ("liquidation", "cross-asset")}
DAY_MS = 1_440 * MINUTE_MS


@lru_cache
def make_regimes(days: float = 2.0, step: float = 5e-4, interval_ms: int | None = None) -> pl.DataFrame:
    """Eight quiet hours, eight volatile ones, and so on."""
    times = START_MS + MINUTE_MS * np.arange(1, round(days * 1_440) + 1)
    loud = np.where(np.arange(len(times)) // 480 % 2, 5.0, 1.0)
    moves = np.random.default_rng(1).normal(0, step, len(times)) * loud
    return compute_regimes("BTCUSDT", times, 70_000 * np.exp(np.cumsum(moves)), ticker_interval_ms=interval_ms).table


def whole(table: pl.DataFrame, target: str, symbol: str = "ALL") -> pl.DataFrame:
    return table.filter(pl.col("symbol") == symbol, pl.col("regime") == "all", pl.col("target") == target)


def panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if title in (axes.get_title("left"), axes.get_title("right")))


def words(figure: Figure) -> str:
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts]
        texts += [axes.get_title(side) for side in ("left", "right")] + [axes.get_xlabel(), axes.get_ylabel()]
    return "\n".join(texts)


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height


def _texts(figure: Figure) -> Iterator[Text]:
    """Titles, labels, tick labels and legends: what must not overlap."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        yield from (axes.title, axes._left_title, axes._right_title)
        if axes.axison:
            yield from (axes.xaxis.label, axes.yaxis.label, *_tick_labels(axes.xaxis), *_tick_labels(axes.yaxis))
        legend = axes.get_legend()
        if legend is not None:
            yield from legend.get_texts()


def _tick_labels(axis: Axis) -> Iterator[Text]:
    low, high = sorted(axis.get_view_interval())
    yield from (
        tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high and tick.label1.get_visible()
    )


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other in the drawn figure, and texts that leave the page."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = [text for text in _texts(figure) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in drawn]
    page = figure.bbox
    outside = [
        (text, "the edge")
        for text, box in boxes
        if min(box.x0 - page.x0, page.x1 - box.x1, box.y0 - page.y0, page.y1 - box.y1) < -1
    ]
    return outside + [
        (one, other)
        for (one, first), (other, second) in combinations(boxes, 2)
        if min(first.x1 - second.x0, second.x1 - first.x0, first.y1 - second.y0, second.y1 - first.y0) > 1
    ]


# Heat map


def test_each_cell_of_the_heat_map_is_the_ic_of_its_feature_and_horizon() -> None:
    table = make_ic(missing=0.1)
    figure = plot_ic_heatmap(table, FAMILIES)
    for target, horizons in (("return", LABEL_HORIZONS_S), ("volatility", VOLATILITY_HORIZONS_S)):
        axes = panel(figure, f"forward {target}")
        cells = np.ma.asarray(axes.collections[0].get_array()).reshape(-1, len(horizons))
        names = [label.get_text() for label in panel(figure, "forward return").get_yticklabels()]
        assert len(names) == len(cells) == len(FAMILIES) + len(set(FAMILIES.values()))
        rows = {name: row for name, row in zip(names, cells, strict=True) if name in FAMILIES}
        assert list(rows) == list(FAMILIES)
        for feature, row in rows.items():
            own = whole(table, target).filter(pl.col("feature") == feature).sort("horizon_s")
            expected = [np.nan if ic is None else ic for ic in own["ic"]]
            assert np.ma.filled(row, np.nan) == pytest.approx(expected, nan_ok=True)


def test_colours_are_centred_at_zero_and_their_reach_is_stated() -> None:
    figure = plot_ic_heatmap(make_ic(), FAMILIES)
    for target in ("return", "volatility"):
        norm = panel(figure, f"forward {target}").collections[0].norm
        assert norm.vmin == -norm.vmax
        assert norm(0.0) == pytest.approx(0.5)
        assert f"colours reach from {norm.vmin:+.3f} to {norm.vmax:+.3f}" in words(figure)


def test_frames_stand_exactly_where_the_adjusted_p_is_below_five_per_cent() -> None:
    table = make_ic()
    figure = plot_ic_heatmap(table, FAMILIES)
    for target in ("return", "volatility"):
        frames = [patch for patch in panel(figure, f"forward {target}").patches if isinstance(patch, Rectangle)]
        assert len(frames) == int((whole(table, target)["p_adjusted"] < 0.05).sum())


def test_cells_without_an_ic_are_hatched_and_the_legend_says_so() -> None:
    table = make_ic(missing=0.2)
    figure = plot_ic_heatmap(table, FAMILIES)
    hatched = sum(len(group.get_paths()) for axes in figure.axes for group in axes.collections if group.get_hatch())
    assert hatched == whole(table, "return")["ic"].null_count() + whole(table, "volatility")["ic"].null_count()
    assert "not available" in [text.get_text() for text in figure.legends[0].get_texts()]
    full = plot_ic_heatmap(make_ic(), FAMILIES)
    assert "not available" not in [text.get_text() for text in full.legends[0].get_texts()]


def test_of_very_many_features_those_with_the_largest_ic_are_drawn() -> None:
    families = {f"feature_{i:03d}": "liquidation" for i in range(100)}
    table = make_ic(families, ("BTCUSDT",), regimes=("all",))
    figure = plot_ic_heatmap(table, families, "BTCUSDT")
    assert "100 features (the 70 with the largest IC drawn)" in words(figure)
    size = table.group_by("feature").agg(pl.col("ic").abs().max()).sort("ic", descending=True)
    names = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert set(size["feature"].head(70)) <= names
    assert not set(size["feature"].tail(30)) & names


# Decay


def test_decay_draws_the_strongest_features_with_their_intervals() -> None:
    table = make_ic()
    figure = plot_ic_decay(table, FAMILIES)
    axes = panel(figure, "liquidation")
    lines = {line.get_label(): line for line in axes.lines if line.get_marker() != "None"}
    own = whole(table, "return").filter(pl.col("feature").is_in([n for n, f in FAMILIES.items() if f == "liquidation"]))
    strongest = own.sort("p")["feature"].unique(maintain_order=True).head(3).to_list()
    assert list(lines) == strongest
    for feature, line in lines.items():
        points = own.filter(pl.col("feature") == feature).sort("horizon_s")
        assert list(line.get_xdata()) == points["horizon_s"].to_list()
        assert list(line.get_ydata()) == pytest.approx(points["ic"].to_list())
    band = axes.collections[0].get_paths()[0].vertices
    points = own.filter(pl.col("feature") == strongest[0]).sort("horizon_s")
    assert set(points["ci_low"].to_list()) <= set(band[:, 1])
    assert set(points["ci_high"].to_list()) <= set(band[:, 1])


def test_all_families_share_the_scale_of_a_target_and_every_point_lies_inside() -> None:
    figure = plot_ic_decay(make_ic(effect=0.1), FAMILIES)
    panels = [axes for axes in figure.axes if axes.lines]
    scales = {axes.get_ylim() for axes in panels}
    assert len(scales) == 2
    for axes in panels:
        low, high = axes.get_ylim()
        assert low <= 0 <= high
        values = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
        assert ((values >= low) & (values <= high)).all()


# Regimes


def test_regimes_show_volatility_threshold_and_the_volatile_stretches() -> None:
    table = make_regimes()
    figure = plot_regimes({"BTCUSDT": table})
    upper, lower = figure.axes
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in upper.lines}
    for column in ("volatility_bps", "threshold_bps"):
        assert lines[column] == pytest.approx(table[column].fill_null(float("nan")).to_numpy(), nan_ok=True)
    spans = [path.get_extents() for path in upper.collections[0].get_paths()]
    shaded_ms = sum(box.x1 - box.x0 for box in spans) * DAY_MS
    assert shaded_ms == pytest.approx(int((table["regime"] == "volatile").sum()) * MINUTE_MS, rel=1e-6)
    assert lower.get_ylim() == (0.0, 1.0)
    share = float((table["regime"].drop_nulls() == "volatile").mean())
    assert f"volatile: {100 * share:.1f} % by quantile" in words(figure)


def test_at_most_three_symbols_are_drawn_and_the_figure_says_so() -> None:
    table = make_regimes()
    tables = {f"S{i}USDT": table for i in range(5)}
    figure = plot_regimes({"EMPTY": REGIMES.empty(), **tables})
    assert [axes.get_title("left") for axes in figure.axes if axes.get_title("left")] == ["S0USDT", "S1USDT", "S2USDT"]
    assert "the first 3 of 6 symbols" in words(figure)


# Forecasts


def test_importance_shows_the_largest_groups_with_their_spread_and_colour() -> None:
    importance = make_walk_forward().importance
    figure = plot_importance(importance, LIQUIDATIONS)
    own = importance.filter(
        pl.col("model") == "xgboost",
        pl.col("kind") == "permutation",
        pl.col("target") == "return",
        pl.col("horizon_s") == 300,
    ).sort("mean", descending=True)
    axes = panel(figure, "return, 5 min")
    drawn = [bar.lines[0] for bar in axes.containers]
    assert [float(line.get_xdata()[0]) for line in drawn] == pytest.approx(own["mean"].head(8).to_list())
    names = [label.get_text() for label in axes.get_yticklabels()]
    for name, group, line in zip(names, own["group"].head(8), drawn, strict=True):
        features = own.filter(pl.col("group") == group)["features"][0].split(",")
        made = {feature in LIQUIDATIONS for feature in features}
        kind = "both in one group" if len(made) > 1 else "liquidations" if made == {True} else "baselines"
        assert line.get_color() == GROUP_COLOURS[kind]
        assert name == group + (f" + {len(features) - 1}" if len(features) > 1 else "")
    spreads = [np.ptp(bar.lines[2][0].get_segments()[0][:, 0]) / 2 for bar in axes.containers]
    assert spreads == pytest.approx(own["spread"].head(8).to_list())


def test_the_forest_shows_r2_against_the_baseline_with_its_interval() -> None:
    scores = make_walk_forward().scores
    figure = plot_walk_forward(scores)
    for target, against in (("return", "zero"), ("volatility", "har")):
        own = scores.filter(
            pl.col("target") == target,
            pl.col("horizon_s") == 300,
            pl.col("symbol") == "ALL",
            pl.col("metric") == "r2",
            pl.col("against") == against,
            (pl.col("model") != "mean") | (pl.col("target") == "return"),
        )
        axes = panel(figure, f"forward {target}, 5 min")
        values = [float(line.get_xdata()[0]) for line in axes.lines if len(line.get_xdata()) == 1]
        intervals = [tuple(line.get_xdata()) for line in axes.lines if line.get_label() in set(own["model"])]
        assert values == pytest.approx(own["value"].to_list())
        assert [end for pair in intervals for end in pair] == pytest.approx(
            [end for pair in own.select("ci_low", "ci_high").iter_rows() for end in pair]
        )
    assert "R² against HAR" in words(figure)


# Nothing overlaps, nothing warns


_SHORT = {"liq_rate": "liquidation", "atr_bps": "price"}
_LONG = {f"{'a_very_long_feature_name_' * 2}{i}": "liquidation" for i in range(4)} | FAMILIES


def _cases() -> dict[str, Callable[[], Figure]]:
    forecasts = make_walk_forward()
    alone = make_ic(symbols=("BTCUSDT",))
    without = forecasts.scores.with_columns(ci_low=pl.lit(None, pl.Float64), ci_high=pl.lit(None, pl.Float64))
    one_fold = forecasts.importance.with_columns(
        spread=pl.lit(None, pl.Float64), rank_agreement=pl.lit(None, pl.Float64), folds=pl.lit(1, pl.Int64)
    )
    return {
        "heat map": lambda: plot_ic_heatmap(make_ic(), FAMILIES),
        "heat map of one symbol": lambda: plot_ic_heatmap(alone, FAMILIES, "BTCUSDT"),
        "heat map of two features": lambda: plot_ic_heatmap(make_ic(_SHORT), _SHORT),
        "heat map with long names and gaps": lambda: plot_ic_heatmap(make_ic(_LONG, missing=0.3), _LONG),
        "decay": lambda: plot_ic_decay(make_ic(), FAMILIES),
        "decay of two features": lambda: plot_ic_decay(make_ic(_SHORT, missing=0.5), _SHORT),
        "decay with long names": lambda: plot_ic_decay(make_ic(_LONG), _LONG),
        "regimes": lambda: plot_regimes({"BTCUSDT": make_regimes()}),
        "regimes of three": lambda: plot_regimes(dict.fromkeys(("A", "B", "C"), make_regimes(9.0))),
        "regimes of a price that never moves": lambda: plot_regimes({"BTCUSDT": make_regimes(step=0.0)}),
        "regimes of a few hours": lambda: plot_regimes({"BTCUSDT": make_regimes(0.2)}),
        "importance": lambda: plot_importance(forecasts.importance, LIQUIDATIONS),
        "importance in one fold": lambda: plot_importance(one_fold, LIQUIDATIONS),
        "importance of ridge": lambda: plot_importance(forecasts.importance, LIQUIDATIONS, "ridge"),
        "forest": lambda: plot_walk_forward(forecasts.scores),
        "forest of one symbol": lambda: plot_walk_forward(forecasts.scores, "BTCUSDT"),
        "forest without intervals": lambda: plot_walk_forward(without),
    }


_CASES = _cases()


@pytest.mark.parametrize("case", _CASES)
def test_no_text_lies_on_another_or_leaves_the_page(case: str) -> None:
    assert overlaps(_CASES[case]()) == []


def test_the_saved_heat_map_is_wide_enough_and_small_enough(tmp_path: Path) -> None:
    path = tmp_path / "heat.png"
    save_figure(_CASES["heat map"](), path, "data")
    assert png_size(path)[0] == 1_600
    assert path.stat().st_size < 700_000


_EMPTY: dict[str, tuple[Callable[[], Figure], str]] = {
    "heat map": (lambda: plot_ic_heatmap(IC.empty(), FAMILIES), "no information coefficient of ALL"),
    "heat map of nulls": (lambda: plot_ic_heatmap(make_ic(missing=1.0), FAMILIES), "no information coefficient of ALL"),
    "heat map of an unknown symbol": (lambda: plot_ic_heatmap(make_ic(), FAMILIES, "XUSDT"), "coefficient of XUSDT"),
    "decay": (lambda: plot_ic_decay(IC.empty(), FAMILIES), "no information coefficient of ALL"),
    "regimes": (lambda: plot_regimes({}), "no volatility is known"),
    "regimes of a coarse ticker": (
        lambda: plot_regimes({"BTCUSDT": make_regimes(interval_ms=3_600_000)}),
        "no volatility is known",
    ),
    "importance": (lambda: plot_importance(IMPORTANCE.empty(), LIQUIDATIONS), "no forecast of xgboost"),
    "forest": (lambda: plot_walk_forward(SCORES.empty()), "no forecast of ALL has been scored"),
}


@pytest.mark.parametrize("case", _EMPTY)
def test_nothing_to_draw_is_said_in_words(case: str, tmp_path: Path) -> None:
    make, said = _EMPTY[case]
    figure = make()
    assert said in words(figure)
    save_figure(figure, tmp_path / "empty.png", "no data")
    assert png_size(tmp_path / "empty.png")[0] == 1_600


def test_axes_say_what_they_show() -> None:
    labels: dict[str, set[Any]] = {
        case: {text for axes in _CASES[case]().axes for text in (axes.get_xlabel(), axes.get_ylabel())}
        for case in ("heat map", "decay", "regimes", "importance", "forest")
    }
    assert "horizon" in labels["heat map"]
    assert {"horizon", "IC"} <= labels["decay"]
    assert {"time (UTC)", "volatility\n(bps per √hour)", "P(volatile)"} <= labels["regimes"]
    assert {"loss of R² when permuted", "share of the trees' gain"} <= labels["importance"]
    assert {"R² against zero", "R² against HAR"} <= labels["forest"]
