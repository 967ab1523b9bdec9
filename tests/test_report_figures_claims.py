"""Figures of the claims hold the numbers of the tables, say in words what they cannot show, and overlap nothing."""

from __future__ import annotations

from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from test_report_figures_ic import overlaps, panel, png_size, words

from liqlab.report import save_figure
from liqlab.report._figures_claims import (
    CONTAGION_TABLES,
    EVENT_TABLES,
    LAG_TABLES,
    ZONE_TABLES,
    list_claim_figures,
)
from liqlab.report._figures_claims_contagion import plot_contagion
from liqlab.report._figures_claims_events import plot_event_study
from liqlab.report._figures_claims_lags import plot_lead_lag
from liqlab.report._figures_claims_verdicts import plot_verdicts, scale, shorten_claim
from liqlab.report._figures_claims_zones import plot_zone_scorecard
from liqlab.report._style import MUTED
from liqlab.study import HYPOTHESES, QUESTION_TABLES, Finding, Hypothesis, judge_all, verdicts_to_json

SYMBOLS = ("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
FILES = (
    "liquidations_verdicts.png",
    "liquidations_event_study.png",
    "liquidations_lead_lag.png",
    "liquidations_zone_scorecard.png",
    "liquidations_contagion.png",
)
SIDES = ("long", "short")
GROUPS = ("all", *SYMBOLS, "above the price", "below the price", "within one hourly volatility", "farther away")
MEASURES = (
    "visit within 60 min (probability)",
    "time near it (fraction of 60 min)",
    "reversal after first touch (probability)",
    "breakout after first touch (probability)",
    "reversal where a barrier was reached (probability)",
    "move in the 5 min after a breakout (volatilities)",
)
SHARES = 5
LAG_PAIRS = ("liquidated quantity, OI change", "return, signed liquidated notional")


def make_table(name: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A declared table; columns that a row lacks are null."""
    table = next(table for declared in QUESTION_TABLES.values() for table in declared if table.name == name)
    full = [{column: row.get(column) for column in table.names} for row in rows]
    return pl.DataFrame(full, schema=table.dtypes, orient="row")


def empty_tables() -> dict[str, pl.DataFrame]:
    return {name: make_table(name, []) for name in (*EVENT_TABLES, *LAG_TABLES, *ZONE_TABLES, *CONTAGION_TABLES)}


def make_events(sides: tuple[str, ...] = SIDES) -> dict[str, pl.DataFrame]:
    paths, impact = [], []
    for origin in ("confirmed", "ended"):
        for place, side in enumerate(sides):
            base = {"origin": origin, "split": "side", "group": side}
            for offset in range(-60, 301, 5):
                mean = 0.1 * offset + place
                ends = {"ci_low": mean - 2, "ci_high": mean + 2, "placebo_low": -1.0, "placebo_high": 1.0}
                at = {"offset_s": float(offset), "mean_bps": mean, "placebo_bps": 0.02 * offset, "n": 120 + place}
                paths.append(base | at | ends)
            for number, horizon in enumerate((10.0, 30.0, 60.0, 300.0)):
                numbers = {"excess_bps": number + 1.0, "ci_low": number - 0.5, "ci_high": number + 2.5, "n": 120}
                impact.append(base | {"horizon_s": horizon, "p_adjusted": 0.01 if number % 2 else 0.5} | numbers)
    everything = {"origin": "confirmed", "split": "all", "group": "all", "offset_s": 0.0, "mean_bps": 900.0, "n": 9}
    return {"q1_paths": make_table("q1_paths", [*paths, everything]), "q1_impact": make_table("q1_impact", impact)}


def make_zones() -> dict[str, pl.DataFrame]:
    scores = []
    for group_place, group in enumerate(GROUPS):
        for place, measure in enumerate(MEASURES):
            difference = 0.01 * group_place - 0.03 * place
            ends = {"ci_low": difference - 0.05, "ci_high": difference + 0.05}
            shares = {"zones": 0.3 + 0.1 * place, "other_levels": 0.2 + 0.1 * place, "n_zones": 804, "n_other": 2_365}
            p = {"p": 0.01, "p_adjusted": 0.01 if place == 0 else 0.4}
            scores.append({"measure": measure, "group": group, "difference": difference} | ends | shares | p)
    forecasts, bins = [], []
    for levels, brier in (("zones", 0.1534), ("other levels", 0.1236)):
        ends = {"ci_low": brier - 0.03, "ci_high": brier + 0.03}
        parts = {"reliability": 0.01, "resolution": 0.005, "uncertainty": 0.146}
        forecasts.append({"levels": levels, "n": 281, "brier": brier} | ends | parts)
        for low in (0.1, 0.2, 0.3, 0.4):
            observed = {"observed_frac": low, "observed_low": low - 0.05, "observed_high": low + 0.08}
            n = 3 if low == 0.4 else 60
            edges = {"bin_low": low, "bin_high": low + 0.05, "mean_forecast": low + 0.02}
            bins.append({"levels": levels, "n": n} | edges | observed)
    rows = {"zone_scores": scores, "zone_forecasts": forecasts, "zone_reliability": bins}
    return {name: make_table(name, rows[name]) for name in ZONE_TABLES}


def make_lags(symbols: tuple[str, ...] = SYMBOLS) -> dict[str, pl.DataFrame]:
    lags, peaks, leads, correlations = [], [], [], []
    for pair, step in zip(LAG_PAIRS, (60.0, 5.0), strict=True):
        for symbol in symbols:
            base = {"symbol": symbol, "pair": pair}
            lags += [
                base | {"lag_s": step * k, "correlation": 0.5 - 0.04 * abs(k - 2), "pointwise_band": 0.04, "band": 0.1}
                for k in range(-12, 13)
            ]
            at = {"peak_lag_s": 2 * step, "peak_low_s": step, "peak_high_s": 3 * step, "correlation": 0.5}
            peaks.append(base | at | {"band": 0.1, "p_adjusted": 0.01})
    for width in (5.0, 60.0):
        for second in symbols[1:]:
            base = {"first": symbols[0], "second": second, "width_s": width}
            leads += [
                base | {"lag_s": width * k, "correlation": 0.3 - 0.02 * abs(k), "pointwise_band": 0.01, "band": 0.03}
                for k in range(-10, 11)
            ]
            turned = {"first": second, "second": symbols[0], "width_s": width}
            at = {"peak_lag_s": -2 * width, "peak_low_s": -3 * width, "peak_high_s": -width, "peak_correlation": 0.3}
            correlations.append(turned | at | {"p_adjusted": 0.3})
    rows = {
        "oi_lead_lag": lags,
        "oi_lead_lag_peaks": peaks,
        "contagion_leads": leads,
        "contagion_correlations": correlations,
    }
    return {name: make_table(name, rows[name]) for name in LAG_TABLES}


def make_contagion(symbols: tuple[str, ...] = SYMBOLS) -> dict[str, pl.DataFrame]:
    responses, granger, hawkes, lifts = [], [], [], []
    for cause, effect in permutations(symbols, 2):
        base = {"cause": cause, "effect": effect}
        is_from_btc = cause == symbols[0]
        if symbols[0] in (cause, effect):
            increase = 0.05 if is_from_btc else 0.001
            numbers = {"increase": increase, "ci_low": increase - 0.01, "ci_high": increase + 0.01, "n_events": 4_321}
            responses.append(base | numbers | {"p_adjusted": 0.001 if is_from_btc else 0.7})
        numbers = {"coefficient_sum": -0.02, "ci_low": -0.04, "ci_high": 0.001, "p_adjusted": 0.2}
        granger += [base | numbers | {"bar_s": 60.0, "lag_rule": rule} for rule in ("criterion", "fixed")]
        for window in (5.0, 30.0):
            numbers = {"lift": 1 + window, "lift_low": window, "lift_high": 2 + window, "n_events": 777}
            lifts.append(base | numbers | {"window_s": window, "regime": "all"})
    for cause in symbols:
        for effect in symbols:
            children = 0.6 if cause == effect else 0.04
            ends = {"ci_low": 0.0 if effect == symbols[-1] else children - 0.02, "ci_high": children + 0.02}
            hawkes.append({"cause": cause, "effect": effect, "children": children, "n_events": 999} | ends)
    rows = (responses, granger, hawkes, lifts)
    return {name: make_table(name, own) for name, own in zip(CONTAGION_TABLES, rows, strict=True)}


def find_at(hypothesis: Hypothesis, low: float, mid: float, high: float, p: float) -> Finding:
    """A finding whose g is at these multiples of delta; for a range at these shares of the way through it."""
    claimed = hypothesis.claimed_range
    origin, unit = hypothesis.null_value, hypothesis.delta * hypothesis.direction
    if claimed is not None:
        origin, unit = claimed[0], claimed[1] - claimed[0]
    ends = sorted(origin + unit * end for end in (low, high))
    return Finding(hypothesis.id, origin + unit * mid, ends[0], ends[1], p, n=250, n_blocks=60, method="bootstrap")


def make_verdicts() -> list[dict[str, Any]]:
    """By turns supported, rejected, inconclusive and not testable."""
    findings = {}
    for place, hypothesis in enumerate(HYPOTHESES):
        supported = (0.3, 0.5, 0.7, 1e-6) if hypothesis.claimed_range else (1.5, 2.0, 2.5, 1e-6)
        rejected = (1.2, 1.5, 1.8, 0.9) if hypothesis.claimed_range else (-0.5, 0.1, 0.6, 0.9)
        numbers = (supported, rejected, (-3.0, 1.0, 400.0, 0.4))
        if place % 4 == 3 or hypothesis.question.startswith("S"):
            short = "needs 30 cascades, found 4; needs 20 blocks of time with events, found 3"
            findings[hypothesis.id] = Finding(hypothesis.id, shortfall=short)
        else:
            findings[hypothesis.id] = find_at(hypothesis, *numbers[place % 4])
    return verdicts_to_json(judge_all(HYPOTHESES, findings))


def events_figure(**tables: pl.DataFrame) -> Figure:
    return plot_event_study(*((make_events() | tables)[name] for name in EVENT_TABLES))


def zones_figure(**tables: pl.DataFrame) -> Figure:
    return plot_zone_scorecard(*((make_zones() | tables)[name] for name in ZONE_TABLES))


def lags_figure(**tables: pl.DataFrame) -> Figure:
    return plot_lead_lag(*((make_lags() | tables)[name] for name in LAG_TABLES))


def contagion_figure(**tables: pl.DataFrame) -> Figure:
    return plot_contagion(*((make_contagion() | tables)[name] for name in CONTAGION_TABLES))


def lines(axes: Axes, label: str) -> list[Any]:
    return [line for line in axes.lines if line.get_label() == label]


def is_hollow(line: Any) -> bool:
    return to_rgba(line.get_markerfacecolor()) == to_rgba("white")


def all_tables() -> dict[str, pl.DataFrame]:
    return make_events() | make_zones() | make_lags() | make_contagion()


# Event study


def test_each_fan_is_the_path_of_its_side_and_origin_with_both_bands() -> None:
    paths = make_events()["q1_paths"]
    figure = events_figure()
    fans = [axes for axes in figure.axes if lines(axes, "cascades")]
    assert len(fans) == 4
    expected = [(origin, side) for origin in ("confirmed", "ended") for side in SIDES]
    for axes, (origin, side) in zip(fans, expected, strict=True):
        own = paths.filter(pl.col("split") == "side", pl.col("origin") == origin, pl.col("group") == side)
        for label, column in (("cascades", "mean_bps"), ("placebo", "placebo_bps")):
            (line,) = lines(axes, label)
            assert list(line.get_xdata()) == own["offset_s"].to_list()
            assert list(line.get_ydata()) == pytest.approx(own[column].to_list())
        bands = {band.get_label(): band.get_paths()[0].vertices[:, 1] for band in axes.collections}
        assert (bands["placebo_low"].min(), bands["placebo_low"].max()) == (-1.0, 1.0)
        assert bands["ci_low"].min() == pytest.approx(own["ci_low"].min())
        assert bands["ci_low"].max() == pytest.approx(own["ci_high"].max())
        assert axes.get_title("right") == f"n = {own['n'].max()}"
        assert axes.get_ylabel() == "price path (bps)"
        assert axes.get_xlabel().startswith("seconds after")


def test_every_excess_is_one_mark_with_its_interval_filled_where_it_survives() -> None:
    figure = events_figure()
    panels = [axes for axes in figure.axes if axes.get_title("left") == "excess over matched moments"]
    assert len(panels) == 2
    for axes in panels:
        assert len(lines(axes, "excess")) == len(lines(axes, "interval")) == 8
        assert sorted(is_hollow(line) for line in lines(axes, "excess")) == [False] * 4 + [True] * 4


def test_a_side_without_cascades_says_so_and_the_other_is_drawn() -> None:
    figure = events_figure(**make_events(("short",)))
    assert sum(bool(lines(axes, "cascades")) for axes in figure.axes) == 2
    assert words(figure).count("no cascade of liquidated longs") == 2
    assert not overlaps(figure)


def test_paths_without_an_impact_table_are_drawn_alone() -> None:
    figure = plot_event_study(make_events()["q1_paths"])
    assert words(figure).count("no excess could be measured") == 2


# Zones


def test_every_row_of_the_scorecard_is_one_mark_and_one_interval_in_the_panel_of_its_measure() -> None:
    scores = make_zones()["zone_scores"]
    figure = zones_figure()
    for place, measure in enumerate(MEASURES):
        axes = figure.axes[place]
        assert axes.get_title("left") == measure.partition(" (")[0]
        own = scores.filter(pl.col("measure") == measure)
        marks = lines(axes, "estimate")
        assert [line.get_xdata()[0] for line in marks] == pytest.approx(own["difference"].to_list())
        assert [line.get_ydata()[0] for line in marks] == list(range(len(GROUPS)))
        assert [list(line.get_xdata()) for line in lines(axes, "interval")] == [
            pytest.approx(ends) for ends in own.select("ci_low", "ci_high").iter_rows()
        ]
        assert all(is_hollow(line) == (place > 0) for line in marks)
        low, high = axes.get_xlim()
        assert low < min(own["ci_low"])
        assert max(own["ci_high"]) < high


def test_shares_of_zones_and_levels_stand_beside_each_other_but_what_is_no_share_does_not() -> None:
    axes = panel(zones_figure(), "plain shares, all zones")
    assert [line.get_xdata()[0] for line in lines(axes, "zones")] == pytest.approx(np.arange(3, 8) / 10)
    assert [line.get_xdata()[0] for line in lines(axes, "other levels")] == pytest.approx(np.arange(2, 7) / 10)
    assert len(axes.get_yticks()) == SHARES


def test_reliability_is_drawn_from_ranges_with_enough_forecasts_and_the_brier_score_is_said() -> None:
    figure = zones_figure()
    axes = panel(figure, "forecasts of a reversal at first touch")
    for levels in ("zones", "other levels"):
        (line,) = lines(axes, levels)
        assert list(line.get_ydata()) == pytest.approx([0.1, 0.2, 0.3])
    legend = "\n".join(text.get_text() for text in figure.axes[-1].get_legend().get_texts())
    assert "Brier score 0.153 [0.123, 0.183]" in legend
    assert "281 first touches" in legend


def test_zones_without_touches_still_show_their_visits() -> None:
    tables = make_zones()
    visits = tables["zone_scores"].filter(pl.col("measure").str.contains("visit"))
    figure = zones_figure(
        zone_scores=visits,
        zone_forecasts=tables["zone_forecasts"].clear(),
        zone_reliability=tables["zone_reliability"].clear(),
    )
    assert len(lines(figure.axes[0], "estimate")) == len(GROUPS)
    assert "too few first touches" in words(figure)
    assert not overlaps(figure)


# Lead and lag


def test_every_series_pair_and_symbol_has_its_curve_band_and_peak() -> None:
    tables = make_lags()
    figure = lags_figure()
    drawn = [axes for axes in figure.axes if lines(axes, "correlation")]
    assert len(drawn) == 2 * len(SYMBOLS) + 2 * (len(SYMBOLS) - 1)
    own = tables["oi_lead_lag"].filter(pl.col("symbol") == "BTCUSDT", pl.col("pair") == LAG_PAIRS[0])
    (line,) = lines(drawn[0], "correlation")
    assert list(line.get_ydata()) == pytest.approx(own["correlation"].to_list())
    assert list(line.get_xdata()) == pytest.approx((own["lag_s"] / 60).to_list())
    assert drawn[0].get_xlabel() == "lag (min)"
    band = drawn[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (-0.1, 0.1)
    (peak,) = lines(drawn[0], "peak")
    assert (peak.get_xdata()[0], peak.get_ydata()[0], is_hollow(peak)) == (2.0, 0.5, False)


def test_a_pair_listed_the_other_way_round_is_turned() -> None:
    figure = lags_figure()
    axes = [axes for axes in figure.axes if lines(axes, "peak")][-1]
    (peak,), (interval,) = lines(axes, "peak"), lines(axes, "peak interval")
    assert peak.get_xdata()[0] == pytest.approx(2.0)
    assert sorted(interval.get_xdata()) == pytest.approx([1.0, 3.0])
    assert is_hollow(peak)


def test_one_symbol_alone_shows_its_own_lags_and_says_what_contagion_needs() -> None:
    tables = make_lags(("SOLUSDT",))
    figure = lags_figure(**tables)
    assert sum(bool(lines(axes, "correlation")) for axes in figure.axes) == 2
    assert "needs BTC and another symbol with liquidations" in words(figure)
    assert not overlaps(figure)


def test_of_many_symbols_six_are_drawn() -> None:
    symbols = tuple(f"COIN{number}USDT" for number in range(9))
    figure = lags_figure(**make_lags(symbols))
    assert len({axes.get_title("left") for axes in figure.axes if lines(axes, "correlation")}) == 6
    assert not overlaps(figure)


# Contagion


def test_each_panel_writes_every_known_cell_and_frames_exactly_what_survives() -> None:
    figure = contagion_figure()
    pairs = len(SYMBOLS) * (len(SYMBOLS) - 1)
    expected = {
        "Conditional response: what decides": (2 * (len(SYMBOLS) - 1), len(SYMBOLS) - 1),
        "Conditional Granger: exploratory": (pairs, 0),
        "Hawkes kernel: exploratory": (len(SYMBOLS) ** 2, len(SYMBOLS) * (len(SYMBOLS) - 1)),
        "Lift: description, no sign of contagion": (pairs, 0),
    }
    for title, (n_cells, n_frames) in expected.items():
        axes = panel(figure, title)
        frames = [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.get_fill()]
        hatched = [patch for patch in axes.patches if patch.get_hatch()]
        estimates = [text for text in axes.texts if text.get_text() and "[" not in text.get_text()]
        assert (len(estimates), len(frames), len(hatched)) == (n_cells, n_frames, len(SYMBOLS) ** 2 - n_cells)


def test_a_response_stands_in_the_row_of_its_cause_and_the_column_of_its_effect() -> None:
    axes = panel(contagion_figure(), "Conditional response: what decides")
    texts = {tuple(round(end, 2) for end in text.get_position()): text.get_text() for text in axes.texts}
    assert texts[1.5, 0.36] == "5.00"
    assert texts[0.5, 1.36] == "0.10"
    assert texts[0.5, 1.67] == "[-0.90, 1.10]"
    assert [label.get_text() for label in axes.get_xticklabels()] == list(SYMBOLS)


def test_numbers_stay_inside_their_cells() -> None:
    for symbols in (SYMBOLS, tuple(f"COIN{number}USDT" for number in range(6))):
        figure = contagion_figure(**make_contagion(symbols))
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        for axes in (axes for axes in figure.axes if axes.texts):
            cell = axes.get_window_extent().width / len(symbols)
            widest = max(text.get_window_extent(canvas.get_renderer()).width for text in axes.texts)
            assert widest <= cell + 1
        assert not overlaps(figure)


# Verdicts


def test_every_record_is_one_row_at_its_multiple_of_what_matters() -> None:
    records = make_verdicts()
    figure = plot_verdicts(records)
    names, axes, numbers = figure.axes
    shown = [text.get_text() for text in names.texts]
    assert [text for text in shown if text in {record["id"] for record in records}] == [r["id"] for r in records]
    tested = [record for record in records if record["verdict"] != "not testable"]
    marks = lines(axes, "effect")
    assert len(marks) == len(lines(axes, "interval")) == len(tested)
    for record, mark, interval in zip(tested, marks, lines(axes, "interval"), strict=True):
        scaled = scale(record)
        assert scaled is not None
        assert mark.get_xdata()[0] == pytest.approx(min(scaled.effect, 100.0))
        assert list(interval.get_xdata()) == pytest.approx(np.clip(scaled[1:], -100, 100))
        y = mark.get_ydata()[0]
        assert [t.get_text() for t in names.texts if t.get_position()[1] == y] == [
            record["id"],
            shorten_claim(record["claim"]),
        ]
        assert record["unit"] in next(t.get_text() for t in numbers.texts if t.get_position()[1] == y)


def test_ends_beyond_the_reach_of_the_axis_are_arrows() -> None:
    records = make_verdicts()
    axes = plot_verdicts(records).axes[1]
    beyond = sum(scaled is not None and scaled.high > 100 for scaled in map(scale, records))
    assert beyond > 0
    assert [line.get_marker() for line in lines(axes, "arrow")] == [">"] * beyond


def test_what_is_not_testable_is_grey_with_its_first_reason_and_no_interval() -> None:
    records = make_verdicts()
    axes = plot_verdicts(records).axes[1]
    reasons = [text for text in axes.texts if text.get_text().startswith("needs")]
    untestable = [record for record in records if record["verdict"] == "not testable"]
    assert len(reasons) == len(untestable) >= 8
    assert sum(text.get_text() == "needs 30 cascades, found 4 (and 1 more)" for text in reasons) >= 4
    assert {text.get_color() for text in reasons} == {MUTED}


def test_claimed_ranges_are_drawn_from_their_low_to_their_high_end() -> None:
    records = make_verdicts()
    axes = plot_verdicts(records).axes[1]
    ranges = [record for record in records if record["claimed_range"] and record["verdict"] != "not testable"]
    bars = [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_facecolor()[:3] == (to_rgba("#c8bedf")[:3])
    ]
    assert len(bars) == len(ranges) >= 1
    assert {(bar.get_x(), bar.get_width()) for bar in bars} == {(0.0, 1.0)}


def test_no_text_of_the_forest_plot_lies_on_another_or_reaches_into_the_plot() -> None:
    figure = plot_verdicts(make_verdicts())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    names, axes, numbers = figure.axes
    plot = axes.get_window_extent()

    def box(text: Text) -> Any:
        return text.get_window_extent(canvas.get_renderer())

    claims = [text for text in names.texts if text.get_fontweight() != "bold"]
    assert max(box(text).x1 for text in claims) <= plot.x0 + 1
    assert min(box(text).x0 for text in numbers.texts) >= plot.x1 - 1
    texts = [text for side in (names, axes, numbers) for text in side.texts]
    for one, other in combinations(texts, 2):
        assert not box(one).shrunk(0.98, 0.8).overlaps(box(other).shrunk(0.98, 0.8)), (one, other)
    assert not overlaps(figure)


@given(
    low=st.floats(-300, 300),
    widths=st.tuples(st.floats(0, 50), st.floats(0, 50)),
    p=st.floats(0, 1),
    place=st.integers(0, len(HYPOTHESES) - 1),
)
@settings(deadline=None)
def test_what_is_supported_lies_right_of_one_and_what_is_rejected_ends_left_of_it(
    low: float, widths: tuple[float, float], p: float, place: int
) -> None:
    hypothesis = HYPOTHESES[place]
    finding = find_at(hypothesis, low, low + widths[0], low + sum(widths), p)
    (record,) = verdicts_to_json(judge_all([hypothesis], {hypothesis.id: finding}))
    scaled = scale(record)
    assert scaled is not None
    assert scaled.low <= scaled.high
    tiny = 1e-6
    if hypothesis.claimed_range and record["verdict"] == "supported":
        assert -tiny <= scaled.low
        assert scaled.high <= 1 + tiny
    elif record["verdict"] == "supported":
        assert scaled.low > 0
        assert scaled.effect >= 1 - tiny
    elif record["verdict"] == "rejected":
        assert scaled.high < 1 + tiny or (hypothesis.claimed_range and scaled.low > 1 - tiny)


# All of them


def test_without_verdicts_there_is_no_figure_of_claims() -> None:
    assert list(list_claim_figures(all_tables(), [])) == []


def test_every_figure_is_a_picture_with_content_and_nothing_overlaps(tmp_path: Path) -> None:
    figures = list(list_claim_figures(all_tables(), make_verdicts()))
    assert tuple(figure.file for figure in figures) == FILES
    for figure in figures:
        drawn = figure.plot()
        assert not overlaps(drawn), figure.file
        save_figure(drawn, tmp_path / figure.file, "made up")
        assert png_size(tmp_path / figure.file)[0] == 1_600
        pixels = imread(tmp_path / figure.file)[..., :3]
        assert 0.005 < (pixels.min(axis=2) < 0.5).mean() < 0.5
        assert " n = " in f" {figure.caption}" or " n from " in figure.caption


@pytest.mark.parametrize("tables", [{}, empty_tables()], ids=["missing", "empty"])
def test_figures_without_data_say_why_in_words(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    figures = list(list_claim_figures(tables, make_verdicts()))
    assert tuple(figure.file for figure in figures) == FILES
    for figure in figures[1:]:
        drawn = figure.plot()
        (axes,) = drawn.axes
        assert len(axes.texts[0].get_text()) > 30
        assert axes.texts[0].get_text().startswith("no ")
        assert "n = " not in figure.caption
        save_figure(drawn, tmp_path / figure.file, "")
        assert png_size(tmp_path / figure.file)[0] == 1_600


def test_captions_name_how_many_cases_there_are() -> None:
    captions = {figure.file: figure.caption for figure in list_claim_figures(all_tables(), make_verdicts())}
    assert "n = 120 of longs and 121 of shorts" in captions["liquidations_event_study.png"]
    assert "804 first touches of zones and 2,365 of other levels" in captions["liquidations_zone_scorecard.png"]
    assert "n = 5 symbols" in captions["liquidations_lead_lag.png"]
    assert "n = 4,321 to 4,321 liquidations" in captions["liquidations_contagion.png"]
    assert "n from 250 to 250" in captions["liquidations_verdicts.png"]
