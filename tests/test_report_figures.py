"""Figures show what the tables hold, say in words what they cannot show, and never warn."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from liqlab.core.schema import BARS, CASCADES, COVERAGE, LIQUIDATIONS, TICKER, TIME, Table
from liqlab.report import (
    format_count,
    format_usd,
    plot_cascade_examples,
    plot_hour_by_weekday,
    plot_liquidation_rate,
    plot_price_heatmap,
    plot_size_distribution,
    render_markdown_table,
    render_table,
    save_figure,
)

HOUR_MS = 3_600_000
#: Monday 2026-02-09 00:00 UTC.
MONDAY_MS = 1_770_595_200_000


def _table(table: Table, columns: dict[str, Any]) -> pl.DataFrame:
    """A frame of `table`; columns that are not given are null, times are milliseconds."""
    rows = max((len(values) for values in columns.values()), default=0)
    cast = [
        pl.Series(name, columns.get(name, [None] * rows), dtype=pl.Int64 if dtype == TIME else dtype).cast(dtype)
        for name, dtype in table.dtypes.items()
    ]
    return pl.DataFrame(cast)


def _liquidations(rows: list[tuple[str, int, str, float, float]]) -> pl.DataFrame:
    """From (symbol, milliseconds, side, price, notional)."""
    symbols, times, sides, prices, notional = (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 5
    columns = {"symbol": symbols, "event_time": times, "known_time": times, "liquidated_side": sides, "price": prices}
    return _table(LIQUIDATIONS, columns | {"notional_usd": notional, "exchange": ["bybit"] * len(rows)})


def _ticker(symbol: str, times: list[int], prices: list[float | None]) -> pl.DataFrame:
    known = {"symbol": [symbol] * len(times), "exchange": ["bybit"] * len(times), "event_time": times}
    return _table(TICKER, known | {"known_time": times, "last_price": prices})


def _bars(width: str, rows: list[tuple[str, int, int, float, float]]) -> pl.DataFrame:
    """From (symbol, right edge in milliseconds, count, notional of longs, notional of shorts)."""
    symbols, times, counts, longs, shorts = (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 5
    total = [one + other for one, other in zip(longs, shorts, strict=True)]
    columns = {"symbol": symbols, "time": times, "liq_count": counts, "liq_notional": total}
    return _table(BARS[width], columns | {"liq_buy_notional": longs, "liq_sell_notional": shorts})


def _coverage(*spans: tuple[int, int]) -> pl.DataFrame:
    rows = [("ALL", "any", *span) for span in spans] + [("BTCUSDT", "liquidation", *span) for span in spans]
    symbols, streams, starts, ends = (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 4
    columns = {"symbol": symbols, "stream": streams, "exchange": ["bybit"] * len(rows), "start": starts, "end": ends}
    return _table(COVERAGE, columns)


def _cascades(rows: list[tuple[str, int, int, int, float, float]]) -> pl.DataFrame:
    """From (symbol, start, end in milliseconds, number, notional of longs, notional of shorts)."""
    symbols, starts, ends, numbers, longs, shorts = (list(column) for column in zip(*rows, strict=True))
    columns = {
        "cascade_id": [f"{symbol}-{start}" for symbol, start in zip(symbols, starts, strict=True)],
        "symbol": symbols,
        "start": starts,
        "confirmed": [start + 1_000 for start in starts],
        "end": ends,
        "ended": [end + 5_001 for end in ends],
        "n_liquidations": numbers,
        "notional_usd": [one + other for one, other in zip(longs, shorts, strict=True)],
        "long_notional_usd": longs,
        "short_notional_usd": shorts,
        "dominant_side": ["long" if one >= other else "short" for one, other in zip(longs, shorts, strict=True)],
    }
    return _table(CASCADES, columns)


def _squeeze(symbol: str = "BTCUSDT", number: int = 30, start_ms: int = MONDAY_MS + 10 * HOUR_MS) -> pl.DataFrame:
    """Shorts liquidated upward, one every 100 ms, and a single long before them."""
    first = [(symbol, start_ms, "long", 69_990.0, 2_000.0)]
    shorts = [(symbol, start_ms + 100 * i, "short", 70_000.0 + 20 * i, 10_000.0 + i) for i in range(1, number)]
    return _liquidations(first + shorts)


def _words(figure: Figure) -> str:
    """Everything that is written on the figure."""
    axes = [
        text for panel in figure.axes for text in (*panel.texts, panel.title, panel._left_title, panel._right_title)
    ]
    return "\n".join(text.get_text() for text in (*figure.texts, *axes))


def _drawn(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Heights and edges of the stairs with this label."""
    stairs = next(patch for patch in axes.patches if patch.get_label() == label)
    values, edges, _ = stairs.get_data()
    return np.asarray(values), np.asarray(edges)


def _line(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in axes.lines if line.get_label() == label)
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def _png_size(path: Path) -> tuple[int, int]:
    head = path.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _panel(figure: Figure, title: str) -> Axes:
    return next(axes for axes in figure.axes if title in (axes._left_title.get_text(), axes.title.get_text()))


# Liquidation rate


def test_drawn_rate_times_bin_length_is_the_notional_and_count_of_the_table() -> None:
    random = np.random.default_rng(3)
    rows = [
        (symbol, MONDAY_MS + 60_000 * int(minute), int(random.integers(1, 9)), *random.uniform(0, 1e6, 2))
        for symbol in ("BTCUSDT", "ETHUSDT")
        for minute in np.unique(random.integers(1, 9 * 1_440, 400))
    ]
    bars = _bars("1m", rows)
    figure = plot_liquidation_rate(bars, _coverage((MONDAY_MS, MONDAY_MS + 9 * 24 * HOUR_MS)), "1m")
    for symbol, own in (("All symbols", bars), ("BTCUSDT", bars.filter(pl.col("symbol") == "BTCUSDT"))):
        panel = _panel(figure, symbol)
        below = figure.axes[figure.axes.index(panel) + 1]
        for axes, label, column, sign in (
            (panel, "long", "liq_buy_notional", -1),
            (panel, "short", "liq_sell_notional", 1),
            (below, "events", "liq_count", 1),
        ):
            values, edges = _drawn(axes, label)
            assert (sign * values >= 0).all()
            assert sign * (values * np.diff(edges) * 24).sum() == pytest.approx(float(own[column].sum()))


@pytest.mark.parametrize(
    ("hours", "width", "step"), [(1, "1m", "1 min"), (24, "1m", "5 min"), (216, "1m", "1 h"), (8_760, "1h", "1 day")]
)
def test_bins_of_the_rate_grow_with_the_span(hours: int, width: str, step: str) -> None:
    first = MONDAY_MS + (60_000 if width == "1m" else HOUR_MS)
    bars = _bars(width, [("BTCUSDT", first, 1, 5.0, 0.0), ("BTCUSDT", MONDAY_MS + hours * HOUR_MS, 1, 0.0, 5.0)])
    assert f"in steps of {step}," in _words(plot_liquidation_rate(bars, _coverage(), width))


def test_a_bar_is_drawn_where_it_begins_not_at_its_label() -> None:
    bars = _bars(
        "1h", [("BTCUSDT", MONDAY_MS + HOUR_MS, 1, 0.0, 7.0), ("BTCUSDT", MONDAY_MS + 5 * HOUR_MS, 1, 1.0, 0.0)]
    )
    values, edges = _drawn(_panel(plot_liquidation_rate(bars, _coverage(), "1h"), "BTCUSDT"), "short")
    assert edges[np.argmax(values)] * 24 * HOUR_MS == pytest.approx(MONDAY_MS, abs=1)


def test_the_busiest_and_the_largest_minute_are_named() -> None:
    rows = [("BTCUSDT", MONDAY_MS + 60_000 * minute, 2, 10.0, 5.0) for minute in range(1, 1_440)]
    rows[626] = ("BTCUSDT", MONDAY_MS + 60_000 * 627, 316, 0.0, 1_360_000.0)
    words = _words(plot_liquidation_rate(_bars("1m", rows), _coverage(), "1m"))
    assert "busiest 1 min: 316 events, 02-09 10:26" in words
    assert "largest 1 min: $1.4M of shorts, 02-09 10:26" in words


def test_uncovered_time_is_shaded_and_named_and_unknown_coverage_is_not() -> None:
    bars = _bars("1m", [("BTCUSDT", MONDAY_MS + 60_000 * minute, 1, 1.0, 0.0) for minute in (1, 600)])
    covered = _coverage((MONDAY_MS, MONDAY_MS + 3 * HOUR_MS), (MONDAY_MS + 4 * HOUR_MS, MONDAY_MS + 10 * HOUR_MS))
    figure = plot_liquidation_rate(bars, covered, "1m")
    (shade,) = figure.axes[0].collections
    (box,) = [path.get_extents() for path in shade.get_paths()]
    assert np.array([box.x0, box.x1]) * 24 * HOUR_MS - MONDAY_MS == pytest.approx([3 * HOUR_MS, 4 * HOUR_MS], abs=1)
    assert "not covered" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert not plot_liquidation_rate(bars, _coverage(), "1m").axes[0].collections


def test_a_symbol_without_liquidations_says_so_beside_the_others() -> None:
    bars = _bars("1h", [("BTCUSDT", MONDAY_MS + HOUR_MS, 3, 1.0, 2.0), ("ETHUSDT", MONDAY_MS + HOUR_MS, 0, 0.0, 0.0)])
    assert "no liquidations of ETHUSDT" in _words(plot_liquidation_rate(bars, _coverage(), "1h"))


def test_of_many_symbols_the_largest_are_drawn_and_the_figure_says_so() -> None:
    bars = _bars("1h", [(f"S{i}USDT", MONDAY_MS + HOUR_MS, 1, float(i + 1), 0.0) for i in range(9)])
    words = _words(plot_liquidation_rate(bars, _coverage(), "1h"))
    assert "the 6 of 9 symbols with most notional" in words
    assert "S8USDT" in words
    assert "S2USDT" not in words


def test_an_unknown_bar_width_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'2m'; available: 1s, 5s, 1m, 1h"):
        plot_liquidation_rate(_bars("1m", []), _coverage(), "2m")


# Sizes


def test_quantiles_are_those_of_the_whole_sample_and_lie_on_the_curve() -> None:
    sizes = np.random.default_rng(5).lognormal(7, 2, 4_000)
    rows = [("BTCUSDT", MONDAY_MS + i, "long" if i % 3 else "short", 1.0, float(s)) for i, s in enumerate(sizes)]
    axes = plot_size_distribution(_liquidations(rows)).axes[0]
    curve, marks = axes.lines[0], axes.lines[1]
    assert list(marks.get_xdata()) == pytest.approx(list(np.quantile(sizes, [0.5, 0.95, 0.99])))
    assert list(marks.get_ydata()) == pytest.approx([0.5, 0.05, 0.01])
    for size, share in zip(np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata()), strict=True):
        assert share == pytest.approx((sizes >= size).mean())
    assert np.asarray(curve.get_xdata())[[0, -1]] == pytest.approx([sizes.min(), sizes.max()])
    legend = axes.get_legend()
    assert legend is not None
    assert format_usd(float(np.quantile(sizes, 0.95))) in legend.get_texts()[0].get_text()


def test_histograms_count_every_liquidation_once_with_its_side() -> None:
    liquidations = pl.concat([_squeeze("BTCUSDT", 40), _squeeze("ETHUSDT", 7)])
    figure = plot_size_distribution(liquidations)
    for symbol, number in (("BTCUSDT", 40), ("ETHUSDT", 7)):
        panel = _panel(figure, symbol)
        assert _drawn(panel, "short")[0].sum() == number - 1
        assert _drawn(panel, "long")[0].sum() == -1


# Hour by weekday


def test_a_cell_is_events_per_covered_hour() -> None:
    covered = _coverage(
        (MONDAY_MS, MONDAY_MS + 3 * HOUR_MS // 2), (MONDAY_MS + 168 * HOUR_MS, MONDAY_MS + 169 * HOUR_MS)
    )
    bars = _bars(
        "1h", [("BTCUSDT", MONDAY_MS + HOUR_MS, 30, 1.0, 0.0), ("BTCUSDT", MONDAY_MS + 2 * HOUR_MS, 8, 1.0, 0.0)]
    )
    figure = plot_hour_by_weekday(bars, covered, "1h")
    cells = figure.axes[0].collections[-1].get_array()
    assert cells is not None
    cells = np.ma.asarray(cells).reshape(7, 24)
    assert cells[0, 0] == pytest.approx(15.0)
    assert cells[0, 1] == pytest.approx(16.0)
    assert cells.count() == 2
    assert "less than 10 min covered" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert "mean 15 per covered hour" in _words(figure)


def test_each_symbol_is_shown_relative_to_its_own_mean() -> None:
    hours = range(1, 25)
    rows = [
        (symbol, MONDAY_MS + hour * HOUR_MS, size, 1.0, 1.0) for symbol, size in (("A", 2), ("B", 50)) for hour in hours
    ]
    figure = plot_hour_by_weekday(_bars("1h", rows), _coverage((MONDAY_MS, MONDAY_MS + 24 * HOUR_MS)), "1h")
    for symbol in ("A", "B"):
        cells = np.ma.asarray(_panel(figure, symbol).collections[-1].get_array())
        assert cells.compressed() == pytest.approx(np.ones(24))


def test_unknown_coverage_is_said_instead_of_a_rate() -> None:
    bars = _bars("1h", [("BTCUSDT", MONDAY_MS + HOUR_MS, 30, 1.0, 0.0)])
    assert "coverage is unknown" in _words(plot_hour_by_weekday(bars, _coverage(), "1h"))


# Heat map by price level


def test_cells_and_profile_hold_the_notional_of_the_symbol_alone() -> None:
    liquidations = pl.concat([_squeeze("BTCUSDT", 50), _squeeze("ETHUSDT", 9)])
    own = liquidations.filter(pl.col("symbol") == "BTCUSDT")
    heat, profile, *_ = plot_price_heatmap("BTCUSDT", liquidations, TICKER.empty()).axes
    assert np.ma.asarray(heat.collections[0].get_array()).sum() == pytest.approx(own["notional_usd"].sum())
    for side, sign in (("long", -1), ("short", 1)):
        total = own.filter(pl.col("liquidated_side") == side)["notional_usd"].sum()
        assert sign * _drawn(profile, side)[0].sum() == pytest.approx(total)


def test_bitcoin_levels_are_100_dollars_and_others_round_bps() -> None:
    levels = _drawn(plot_price_heatmap("BTCUSDT", _squeeze("BTCUSDT", 50), TICKER.empty()).axes[1], "short")[1]
    assert np.diff(levels) == pytest.approx(100.0)
    assert levels % 100 == pytest.approx(0)
    figure = plot_price_heatmap("ETHUSDT", _squeeze("ETHUSDT", 50), TICKER.empty())
    levels = _drawn(figure.axes[1], "short")[1]
    assert len(levels) <= 92
    assert "levels of 2 bps" in _words(figure)
    assert np.diff(levels) == pytest.approx(_squeeze("ETHUSDT", 50)["price"].median() * 2e-4)


def test_the_price_line_is_broken_where_the_ticker_had_a_gap() -> None:
    start = MONDAY_MS + 10 * HOUR_MS
    liquidations = _liquidations(
        [("ETHUSDT", start, "long", 2_000.0, 1e4), ("ETHUSDT", start + HOUR_MS, "long", 1_990.0, 1e4)]
    )
    minutes = [*range(20), *range(40, 61)]
    prices = _ticker("ETHUSDT", [start + 60_000 * m for m in minutes], [2_000.0 + m for m in minutes])
    times, drawn = _line(plot_price_heatmap("ETHUSDT", liquidations, prices).axes[0], "ticker price")
    assert np.isnan(drawn).sum() == 1
    broken = float(times[np.isnan(drawn)][0]) * 24 * HOUR_MS - start
    assert 19 * 60_000 < broken < 40 * 60_000
    seen = drawn[~np.isnan(drawn)]
    assert set(seen) <= {2_000.0 + m for m in minutes}
    assert {2_019.0, 2_040.0} <= set(seen)


def test_the_mark_price_is_drawn_where_there_is_one() -> None:
    start = MONDAY_MS + 10 * HOUR_MS
    prices = _ticker("BTCUSDT", [start, start + 1_000, start + 2_000], [1.0, 70_100.0, None]).with_columns(
        mark_price=pl.Series([70_050.0, None, None], dtype=pl.Float64)
    )
    _, drawn = _line(plot_price_heatmap("BTCUSDT", _squeeze(), prices).axes[0], "ticker price")
    assert list(drawn) == [70_050.0, 70_100.0]


def test_far_prices_do_not_stretch_the_axis_and_are_counted() -> None:
    rows = [("ETHUSDT", MONDAY_MS + 1_000 * i, "long", 2_000.0 + i % 10, 500.0) for i in range(5_000)]
    rows[17] = ("ETHUSDT", MONDAY_MS + 17_000, "long", 9_000.0, 500.0)
    figure = plot_price_heatmap("ETHUSDT", _liquidations(rows), TICKER.empty())
    assert figure.axes[0].get_ylim()[1] < 2_100
    assert "1 outside the price axis" in _words(figure)


# Cascade examples


def _cascade_inputs() -> tuple[pl.DataFrame, pl.DataFrame]:
    liquidations = _squeeze("BTCUSDT", 30)
    start = MONDAY_MS + 10 * HOUR_MS
    longs, shorts = 2_000.0, float(liquidations["notional_usd"].sum()) - 2_000.0
    return _cascades([("BTCUSDT", start, start + 2_900, 30, longs, shorts)]), liquidations


def test_the_last_step_is_the_notional_of_the_cascade_by_side() -> None:
    cascades, liquidations = _cascade_inputs()
    other = liquidations.with_columns(symbol=pl.lit("ETHUSDT"))
    later = liquidations.with_columns(pl.col("event_time") + pl.duration(minutes=1))
    figure = plot_cascade_examples(cascades, pl.concat([liquidations, other, later]), TICKER.empty())
    amounts = figure.axes[1]
    for side in ("long", "short"):
        _, sums = _line(amounts, side)
        assert sums[-1] == pytest.approx(cascades[f"{side}_notional_usd"][0])
        assert (np.diff(sums) >= 0).all()
    assert "BTCUSDT  2026-02-09 10:00:00 UTC\n30 liquidations, $292K, 99 % shorts" in _words(figure)


def test_confirmed_and_ended_stand_at_their_times() -> None:
    cascades, liquidations = _cascade_inputs()
    axes = plot_cascade_examples(cascades, liquidations, TICKER.empty()).axes[0]
    assert _line(axes, "confirmed")[0][0] == pytest.approx(1.0)
    assert _line(axes, "ended")[0][0] == pytest.approx(2.9 + 5.001)


def test_a_fine_ticker_is_drawn_and_a_coarse_one_replaced_by_named_dots() -> None:
    cascades, liquidations = _cascade_inputs()
    start = MONDAY_MS + 10 * HOUR_MS
    fine = _ticker("BTCUSDT", [start + 5_000 * i for i in range(-30, 30)], [70_000.0 + i for i in range(-30, 30)])
    axes = plot_cascade_examples(cascades, liquidations, fine).axes[0]
    times, prices = _line(axes, "price")
    assert {-5.0, 0.0, 5.0} <= set(times)
    assert prices[list(times).index(0.0)] == 70_000.0
    assert not axes.collections
    assert "bankruptcy" not in _words(axes.get_figure())

    coarse = _ticker("BTCUSDT", [start + 300_000 * i for i in range(-3, 3)], [70_000.0 + i for i in range(-3, 3)])
    axes = plot_cascade_examples(cascades, liquidations, coarse).axes[0]
    assert "price" not in [line.get_label() for line in axes.lines]
    dots = {group.get_label(): np.asarray(group.get_offsets())[:, 1] for group in axes.collections}
    assert sorted(dots["short prices"]) == liquidations.filter(pl.col("liquidated_side") == "short")["price"].to_list()
    assert list(dots["long prices"]) == [69_990.0]
    assert list(dots["price"]) == [70_000.0]
    assert "ticker price every 5 min; dots are bankruptcy or order prices" in _words(axes.get_figure())


def test_the_largest_come_first_and_different_symbols_before_repeats() -> None:
    start, second = MONDAY_MS, 1_000
    cascades = _cascades(
        [
            ("A", start, start + second, 3, 9e6, 0.0),
            ("A", start + 60_000, start + 61_000, 4, 8e6, 0.0),
            ("B", start + 120_000, start + 121_000, 5, 1e6, 0.0),
            ("B", start + 180_000, start + 181_000, 90, 0.0, 2e5),
            ("A", start + 240_000, start + 241_000, 80, 0.0, 2e5),
        ]
    )
    times = [
        ("A", start),
        ("A", start + 60_000),
        ("B", start + 120_000),
        ("B", start + 180_000),
        ("A", start + 240_000),
    ]
    liquidations = _liquidations([(symbol, time, "long", 10.0, 1e5) for symbol, time in times])
    figure = plot_cascade_examples(cascades, liquidations, TICKER.empty(), n=4)
    titles = [axes._left_title.get_text().split(" UTC")[0] for axes in figure.axes if axes._left_title.get_text()]
    assert titles == [
        "A  2026-02-09 00:00:00",
        "B  2026-02-09 00:02:00",
        "B  2026-02-09 00:03:00",
        "A  2026-02-09 00:04:00",
    ]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        plot_cascade_examples(cascades, liquidations, TICKER.empty(), n=0)


# Little or nothing to draw


def _one() -> pl.DataFrame:
    return _liquidations([("BTCUSDT", MONDAY_MS + 1_000, "long", 70_000.0, 500.0)])


_EMPTY: dict[str, tuple[Callable[[], Figure], str]] = {
    "rate": (lambda: plot_liquidation_rate(_bars("1m", []), _coverage()), "no liquidations"),
    "rate of empty bars": (
        lambda: plot_liquidation_rate(_bars("1m", [("BTCUSDT", MONDAY_MS, 0, 0.0, 0.0)]), _coverage()),
        "no liquidations",
    ),
    "sizes": (lambda: plot_size_distribution(LIQUIDATIONS.empty()), "no liquidations"),
    "hours": (lambda: plot_hour_by_weekday(_bars("1h", []), _coverage((0, 1))), "no liquidations"),
    "heat map": (lambda: plot_price_heatmap("ETHUSDT", _one(), TICKER.empty()), "no liquidations of ETHUSDT"),
    "cascades": (lambda: plot_cascade_examples(CASCADES.empty(), _one(), TICKER.empty()), "no cascade"),
}


@pytest.mark.parametrize("case", _EMPTY)
def test_nothing_to_draw_is_said_in_words(case: str, tmp_path: Path) -> None:
    make, words = _EMPTY[case]
    figure = make()
    assert words in _words(figure)
    save_figure(figure, tmp_path / "empty.png", "no data")
    assert _png_size(tmp_path / "empty.png")[0] == 1_600


def _one_bar(width: str) -> pl.DataFrame:
    return _bars(width, [("BTCUSDT", MONDAY_MS + (60_000 if width == "1m" else HOUR_MS), 1, 500.0, 0.0)])


_LITTLE: dict[str, Callable[[], Figure]] = {
    "rate of one minute": lambda: plot_liquidation_rate(_one_bar("1m"), _coverage((MONDAY_MS, MONDAY_MS + HOUR_MS))),
    "rate of one hour": lambda: plot_liquidation_rate(_one_bar("1h"), _coverage(), "1h"),
    "size of one": lambda: plot_size_distribution(_one()),
    "one size twice": lambda: plot_size_distribution(pl.concat([_one(), _one()])),
    "one hour": lambda: plot_hour_by_weekday(_one_bar("1h"), _coverage((MONDAY_MS, MONDAY_MS + HOUR_MS))),
    "heat map of one, one price": lambda: plot_price_heatmap(
        "BTCUSDT", _one(), _ticker("BTCUSDT", [MONDAY_MS + 1_000], [7e4])
    ),
    "heat map of one, other coin": lambda: plot_price_heatmap(
        "XUSDT", _one().with_columns(symbol=pl.lit("XUSDT")), _ticker("BTCUSDT", [MONDAY_MS], [7e4])
    ),
    "cascade of one side, no ticker": lambda: plot_cascade_examples(
        _cascades([("BTCUSDT", MONDAY_MS + 1_000, MONDAY_MS + 1_000, 1, 500.0, 0.0)]), _one(), TICKER.empty()
    ),
    "letters that the font lacks": lambda: plot_size_distribution(_one().with_columns(symbol=pl.lit("币安人生USDT"))),
}


@pytest.mark.parametrize("case", _LITTLE)
def test_a_single_liquidation_is_drawn_without_a_warning(case: str, tmp_path: Path) -> None:
    figure = _LITTLE[case]()
    save_figure(figure, tmp_path / "little.png", "one")
    assert _png_size(tmp_path / "little.png")[0] == 1_600


# Saving


def test_a_saved_figure_is_wide_enough_small_enough_and_carries_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "sizes.png"
    figure = plot_size_distribution(_squeeze())
    save_figure(figure, path, "data, span, version")
    first = path.read_bytes()
    assert _png_size(path)[0] == 1_600
    assert 20_000 < len(first) < 600_000
    save_figure(figure, path, "another footer")
    assert not {"data, span, version", "another footer"} & set(_words(figure).split("\n"))
    save_figure(plot_size_distribution(_squeeze()), path, "data, span, version")
    assert path.read_bytes() == first
    save_figure(plot_size_distribution(_squeeze()), path, "another footer")
    assert path.read_bytes() != first
    assert [entry.name for entry in path.parent.iterdir()] == ["sizes.png"]


def test_a_figure_that_cannot_be_saved_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sizes.png"
    figure = plot_size_distribution(_squeeze())
    save_figure(figure, path, "old")
    old = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(figure, path, "new")
    assert path.read_bytes() == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["sizes.png"]


def test_two_dollar_signs_are_not_read_as_a_formula() -> None:
    bars = _bars("1m", [("BTCUSDT", MONDAY_MS + 60_000 * minute, 1, 1e6, 2e6) for minute in (1, 90)])
    figure = plot_liquidation_rate(bars, _coverage())
    title = _panel(figure, "BTCUSDT")._right_title
    assert title.get_text().count("$") == 2
    assert not title.get_parse_math()


# Text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0"),
        (0.004, "<$0.01"),
        (0.5, "$0.50"),
        (2, "$2"),
        (9.96, "$10"),
        (921, "$921"),
        (999.6, "$1.0K"),
        (9_561, "$9.6K"),
        (29_172, "$29K"),
        (999_600, "$1.0M"),
        (1_234_567, "$1.2M"),
        (-136_378, "-$136K"),
        (27_300_000, "$27M"),
        (2.5e9, "$2.5B"),
        (None, "n/a"),
        (float("nan"), "n/a"),
    ],
)
def test_amounts_are_short_and_read_like_money(amount: float | None, text: str) -> None:
    assert format_usd(amount) == text


@given(st.floats(0.1, 1e14))
def test_a_short_amount_is_within_six_percent_of_the_amount(amount: float) -> None:
    text = format_usd(amount)
    scale = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1.0)
    assert float(text.strip("$KMBT").replace(",", "")) * scale == pytest.approx(amount, rel=0.055)


def test_counts_have_thousands_separators() -> None:
    assert format_count(16_756) == "16,756"
    assert format_count(2_356.084, decimals=2) == "2,356.08"
    assert format_count(None) == "n/a"


_CELLS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


@given(st.lists(st.tuples(_CELLS, _CELLS, _CELLS), min_size=1, max_size=6), st.integers(30, 100))
def test_a_text_table_is_aligned_and_fits_or_cuts_text_but_never_numbers(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    header = ["name", "value", "note"]
    lines = render_table(header, rows, "lrl", width).split("\n")
    assert len(lines) == len(rows) + 2
    widest_value = max(len(value) for _, value, _ in [header, *rows])
    if widest_value + 2 + 2 + 2 <= width:
        assert max(map(len, lines)) <= width
    rule = lines[1]
    value_start = rule.index(" ") + (2 if rule[rule.index(" ") + 1] == " " else 1)
    value_end = value_start + widest_value
    for line, (_, value, _) in zip([lines[0], *lines[2:]], [header, *rows], strict=True):
        assert line[value_start:value_end].strip() == value
        assert line[value_start:value_end].endswith(value)


def test_a_markdown_table_keeps_its_columns_whatever_the_cells_hold() -> None:
    table = render_markdown_table(["a", "b"], [["x|y", "1\n2"]], "lr")
    assert table == "| a | b |\n|:---|---:|\n| x\\|y | 1 2 |"


@pytest.mark.parametrize(("rows", "align", "found"), [([["1"]], "lr", "1 cells"), ([], "l", "'l'"), ([], "lx", "'lx'")])
def test_a_table_whose_parts_disagree_is_refused(rows: list[list[str]], align: str, found: str) -> None:
    for render in (render_table, render_markdown_table):
        with pytest.raises(ValueError, match=found):
            render(["a", "b"], rows, align)
