"""The `plan` world beside the figures published for February 2026.

Run with `python benchmarks/similarity.py`; prints Markdown. Every cell is averaged over the seeds first. A cell is met
within a factor of 1.5 of the published figure; shares within 8 percentage points; values under 0.15 within 0.03; the
hour of day within two hours on the clock. Nothing here but the calibration of that world may use these figures.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.parallel import ordered_map
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_HOUR, parse_time
from liqlab.panel import PublishedBlock, compute_price_moves, compute_published
from liqlab.worlds import DEFAULT_SYMBOLS, World, deliver_days, iterate_market, load_world

START_MS, END_MS = parse_time("2026-02-09T19:33"), parse_time("2026-02-18T03:56")
PRICE_SYMBOL = "DOGEUSDT"
DELAY_SYMBOLS = ("DOGEUSDT", "SOLUSDT")
NAN = float("nan")

#: Row: the field of the published block, how it is compared (n number, s share, h hour of day), and the five figures.
PUBLISHED: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("hourly_files", "n", (197, 199, 197, 178, 192)),
    ("events", "n", (16_756, 10_476, 8_147, 2_541, 5_122)),
    ("volume", "n", (2_356.08, 43_815.93, 305_677.70, 79_947_680, 13_651_933.8)),
    ("notional_usd", "n", (160_199_296, 87_121_189, 25_482_677, 8_094_650, 20_133_680)),
    ("mean_size_usd", "n", (9_561, 8_316, 3_128, 3_186, 3_931)),
    ("p50_size_usd", "n", (921, 789, 440, 196, 359)),
    ("p75_size_usd", "n", (3_570, 3_396, 1_836, 1_019, 1_689)),
    ("p90_size_usd", "n", (13_314, 13_179, 6_798, 4_825, 6_980)),
    ("p95_size_usd", "n", (29_172, 28_955, 14_306, 10_194, 16_005)),
    ("p99_size_usd", "n", (136_378, 148_940, 49_511, 57_916, 71_777)),
    ("buy_events_frac", "s", (0.558, 0.620, 0.573, 0.569, 0.563)),
    ("buy_volume_frac", "s", (0.525, 0.604, 0.580, 0.701, 0.607)),
    ("most_active_hour", "h", (15, 15, 15, 14, 14)),
    ("most_active_hour_events", "n", (2_647, 1_438, 1_010, 253, 536)),
    ("least_active_hour", "h", (23, 23, 10, 7, 2)),
    ("least_active_hour_events", "n", (166, 110, 126, 22, 75)),
    ("mean_gap_s", "n", (43.1, 68.8, 88.5, 282.9, 140.7)),
    ("median_gap_s", "n", (0.1, 0.2, 0.4, 3.5, 1.1)),
    ("longest_gap_s", "n", (8_028, 6_013, 5_970, 9_847, 10_796)),
    ("rapid_frac", "s", (0.7695, 0.7043, 0.6070, 0.3935, 0.4879)),
    ("cascades", "n", (138, 101, 85, 24, 44)),
    ("mean_cascade_duration_s", "n", (28.4, 21.9, 18.4, 14.3, 24.9)),
    ("mean_cascade_events", "n", (4.7, 3.6, 3.0, 2.3, 3.0)),
    ("mean_cascade_notional_usd", "n", (658_190, 421_565, 110_747, 101_155, 165_734)),
    ("buy_cascades_frac", "s", (0.478, 0.703, 0.612, 0.708, 0.636)),
    ("nonempty_bars_frac", "s", (0.145, 0.130, 0.139, 0.077, 0.113)),
    ("imbalance_mean", "n", (-0.0052, -0.0135, -0.0044, -0.0067, -0.0064)),
    ("imbalance_sd", "n", (0.3791, 0.3601, 0.3716, 0.2762, 0.3355)),
    ("bars_imbalance_below", "n", (895, 861, 858, 497, 715)),
    ("bars_imbalance_above", "n", (835, 700, 803, 417, 638)),
    ("imbalance_autocorrelation_5", "n", (0.124, 0.081, 0.097, 0.072, 0.095)),
    ("imbalance_autocorrelation_15", "n", (0.055, 0.044, 0.022, 0.011, 0.049)),
    ("imbalance_autocorrelation_60", "n", (-0.007, -0.005, 0.001, 0.000, 0.011)),
)
SYMBOL_ORDER = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")
DELAYS_MS = {"event to push": {1: 7, 50: 250, 99: 497}, "event to capture": {1: 30, 50: 303, 90: 505, 99: 588}}
PRICE_MOVES_BPS = {
    0.5: (1.9, 3.2, 10.9),
    1.0: (2.6, 4.3, 14.3),
    5.0: (5.0, 9.4, 33.0),
    10.0: (6.7, 12.1, 43.0),
    30.0: (11.4, 18.8, 63.9),
    60.0: (14.8, 24.0, 80.6),
}


@dataclass(frozen=True)
class Cell:
    """One published figure beside the mean over the seeds."""

    row: str
    column: str
    kind: str
    published: float
    simulated: float

    @property
    def is_met(self) -> bool:
        """Whether the figure counts as reproduced."""
        if math.isnan(self.simulated):
            return False
        gap = abs(self.simulated - self.published)
        if self.kind == "h":
            return min(gap, 24.0 - gap) <= 2.0
        if self.kind == "s":
            return gap <= 0.08
        if abs(self.published) < 0.15:
            return gap <= 0.03
        return bool(1 / 1.5 <= self.simulated / self.published <= 1.5)


def measure(task: tuple[World, int]) -> dict[tuple[str, str], float]:
    """All figures of one seed by row and column, and checks that nothing published goes with."""
    world, seed = task
    market = iterate_market(world, DEFAULT_SYMBOLS, seed, START_MS, END_MS, every=1)
    rows: list[pl.DataFrame] = []
    prices: list[pl.DataFrame] = []
    closes: dict[str, list[Any]] = {symbol: [] for symbol in DEFAULT_SYMBOLS}
    n, triggered = 0, 0
    generator = np.random.default_rng(seed)
    for day, delivered in deliver_days(world, seed, market):
        for symbol_day, orders in zip(day.symbols, delivered, strict=True):
            known = orders.take((orders.known_ms >= START_MS) & (orders.known_ms < END_MS))
            frame = _liquidations(symbol_day.symbol, known)
            rows.append(frame)
            n += frame.height
            triggered += int((known.liquidations.cause >= 0).sum())
            closes[symbol_day.symbol].append(symbol_day.log_price[::600])
            if symbol_day.symbol == PRICE_SYMBOL:
                mark = np.round(np.exp(symbol_day.log_mark), symbol_day.dials.price_decimals)
                times = symbol_day.time_ms + generator.integers(10, 100, len(mark))
                prices.append(_near(frame, times, mark))
    liquidations = pl.concat(rows)
    found = dict(_published_figures(liquidations))
    found |= dict(_delay_figures(liquidations.filter(pl.col("symbol").is_in(DELAY_SYMBOLS))))
    found |= dict(_price_figures(liquidations.filter(pl.col("symbol") == PRICE_SYMBOL), pl.concat(prices)))
    found[("branching ratio", "all")] = triggered / n
    for symbol, parts in closes.items():
        found |= dict(_return_figures(symbol, np.diff(np.concatenate(parts))))
    return found


def _liquidations(symbol: str, delivered: Any) -> pl.DataFrame:
    orders = delivered.liquidations
    frame = pl.DataFrame(
        {
            "symbol": pl.repeat(symbol, len(orders.price), dtype=pl.String, eager=True),
            "event_time": orders.event_ms,
            "push_time": delivered.push_ms,
            "known_time": delivered.known_ms,
            "liquidated_side": np.where(orders.is_long, "long", "short"),
            "quantity": orders.quantity,
            "notional_usd": orders.quantity * orders.price,
        },
        schema_overrides={"liquidated_side": pl.String},
    )
    return frame.with_columns(pl.col("event_time", "push_time", "known_time").cast(TIME))


def _near(liquidations: pl.DataFrame, times: Any, mark: Any) -> pl.DataFrame:
    """Prices within a minute or so after the larger liquidations: the others are not looked at."""
    starts = liquidations.filter(pl.col("notional_usd") > 2_000)["known_time"].to_physical().to_numpy()
    last = np.searchsorted(starts, times, side="right") - 1
    near = (last >= 0) & (times - starts[np.maximum(last, 0)] < 62_000) if len(starts) else np.zeros(len(times), bool)
    n = int(near.sum())
    return pl.DataFrame(
        {
            "symbol": pl.repeat(PRICE_SYMBOL, n, dtype=pl.String, eager=True),
            "known_time": pl.Series(times[near]).cast(TIME),
            "mark_price": mark[near],
            "last_price": mark[near],
        }
    )


def _published_figures(liquidations: pl.DataFrame) -> Iterator[tuple[tuple[str, str], float]]:
    for symbol in SYMBOL_ORDER:
        rows = liquidations.filter(pl.col("symbol") == symbol)
        n_files = rows.select(pl.col("known_time").to_physical() // MS_PER_HOUR).n_unique()
        block = compute_published(rows, n_files, symbol)
        for name, _, _ in PUBLISHED:
            yield (name, symbol), _figure(block, name)
        hours = rows.select(pl.col("event_time").dt.hour()).to_series().to_numpy()
        for hour, count in enumerate(np.bincount(hours, minlength=24).tolist()):
            yield (f"hour {hour}", symbol), float(count)


def _figure(block: PublishedBlock, name: str) -> float:
    if name.startswith("imbalance_autocorrelation_"):
        lag = (5, 15, 60).index(int(name.rsplit("_", 1)[1]))
        value = block.imbalance_autocorrelation[lag]
    else:
        value = getattr(block, name)
    return NAN if value is None else float(value)


def _delay_figures(liquidations: pl.DataFrame) -> Iterator[tuple[tuple[str, str], float]]:
    event = liquidations["event_time"].to_physical().to_numpy()
    for row, column in (("event to push", "push_time"), ("event to capture", "known_time")):
        delays = liquidations[column].to_physical().to_numpy() - event
        for percent in DELAYS_MS[row]:
            yield (row, f"P{percent} ms"), float(np.percentile(delays, percent))


def _price_figures(liquidations: pl.DataFrame, prices: pl.DataFrame) -> Iterator[tuple[tuple[str, str], float]]:
    for move in compute_price_moves(liquidations, prices, {PRICE_SYMBOL: 100}):
        for name, value in (("median", move.median_bps), ("mean", move.mean_bps), ("P95", move.p95_bps)):
            yield (f"{name} move, bps", f"{move.horizon_s:g} s"), NAN if value is None else value


def _return_figures(symbol: str, returns: Any) -> Iterator[tuple[tuple[str, str], float]]:
    """One-minute returns: their autocorrelation, that of their size, and Hill's tail index of the largest 1 %."""
    for lag in (1, 5, 30):
        yield (f"return autocorrelation, {lag} min", symbol), _correlate(returns, lag)
    for lag in (1, 10, 60, 240, 1_440):
        yield (f"absolute return autocorrelation, {lag} min", symbol), _correlate(np.abs(returns), lag)
    largest = np.sort(np.abs(returns))[-len(returns) // 100 :]
    yield ("tail index (Hill, top 1 %)", symbol), 1.0 / float(np.mean(np.log(largest[1:] / largest[0])))


def _correlate(values: Any, lag: int) -> float:
    return float(np.corrcoef(values[lag:], values[:-lag])[0, 1])


def list_cells(mean: dict[tuple[str, str], float]) -> list[Cell]:
    """Every published figure beside the simulated one. The hours of day are those of the mean counts by hour."""
    cells = []
    for name, kind, figures in PUBLISHED:
        for symbol, published in zip(SYMBOL_ORDER, figures, strict=True):
            simulated = mean[(name, symbol)]
            if kind == "h":
                counts = [mean[(f"hour {hour}", symbol)] for hour in range(24)]
                simulated = float(np.argmax(counts) if name.startswith("most") else np.argmin(counts))
            cells.append(Cell(name, symbol, kind, published, simulated))
    for row, by_percent in DELAYS_MS.items():
        for percent, published in by_percent.items():
            cells.append(Cell(row, f"P{percent} ms", "n", published, mean[(row, f"P{percent} ms")]))
    for horizon, moves in PRICE_MOVES_BPS.items():
        for name, published in zip(("median", "mean", "P95"), moves, strict=True):
            row, column = f"{name} move, bps", f"{horizon:g} s"
            cells.append(Cell(row, column, "n", published, mean[(row, column)]))
    return cells


def render(cells: Sequence[Cell], mean: dict[tuple[str, str], float], world: str, seeds: Sequence[int]) -> str:
    """The tables in Markdown: published / simulated, an x where the cell is not met."""
    met = sum(cell.is_met for cell in cells)
    lines = [
        f"World `{world}`, seeds {', '.join(map(str, seeds))}: "
        f"**{met} of {len(cells)} cells met ({met / len(cells):.1%})**",
        "",
    ]
    by_row: dict[str, list[Cell]] = {}
    for cell in cells:
        by_row.setdefault(cell.row, []).append(cell)
    header: list[str] = []
    for row, parts in by_row.items():
        columns = [cell.column for cell in parts]
        if columns != header:
            header = columns
            lines += ["", "| published / simulated | " + " | ".join(header) + " |", "|---" * (len(header) + 1) + "|"]
        shown = [f"{_number(c.published)} / {_number(c.simulated)}{'' if c.is_met else ' **x**'}" for c in parts]
        lines.append(f"| {row} | " + " | ".join(shown) + " |")
    lines += ["", f"Branching ratio (triggered by an earlier liquidation): {mean[('branching ratio', 'all')]:.2f}", ""]
    checks = [row for row, symbol in mean if symbol == "BTCUSDT" and ("autocorrelation," in row or "Hill" in row)]
    lines += ["| check | " + " | ".join(SYMBOL_ORDER) + " |", "|---" * 6 + "|"]
    for row in checks:
        lines.append(f"| {row} | " + " | ".join(f"{mean[(row, symbol)]:.3f}" for symbol in SYMBOL_ORDER) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if math.isnan(value):
        return "none"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def average(found: Sequence[dict[tuple[str, str], float]]) -> dict[tuple[str, str], float]:
    """The mean over the seeds, cell by cell, of what is defined."""
    return {key: float(np.nanmean([one[key] for one in found])) for key in found[0]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", default="plan")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--workers", type=int, default=None)
    arguments = parser.parse_args()
    world = load_world(arguments.world)
    mean = average(list(ordered_map(measure, [(world, seed) for seed in arguments.seeds], arguments.workers)))
    print(render(list_cells(mean), mean, world.name, arguments.seeds))


if __name__ == "__main__":
    main()
