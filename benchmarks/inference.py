"""Rank correlations, resampling and trailing windows: equal results first, then time, accuracy and error rates.

Run with `python benchmarks/inference.py`; prints Markdown tables. pandas needs minutes for the whole table of rank
correlations, so it is timed on two of the twelve labels and the time scaled by six; the time per label is the same for
all. Compiled kernels are warm.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from scipy.signal import lfilter

from liqlab.core.parallel import count_workers
from liqlab.report import render_markdown_table
from liqlab.stats import (
    bootstrap_means,
    choose_cosines,
    fixed_b_means,
    rolling_moments,
    spearman_matrix,
    studentised_bootstrap,
)

Floats = npt.NDArray[np.float64]

N_ROWS, N_FEATURES, N_LABELS, N_PANDAS_LABELS = 800_000, 40, 12, 2
N_SERIES = 2000
WINDOW = 720
SPIKE_ROW = 80_000


def measure(work: Callable[[], object], repeats: int = 5) -> float:
    """The median of some runs, in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def make_table() -> tuple[Floats, Floats]:
    """Features, every fourth with 80 % zeros of both signs and every eighth in ticks, and labels without holes."""
    random = np.random.default_rng(1)
    features = random.standard_normal((N_ROWS, N_FEATURES))
    sparse = features[:, ::4]
    sparse[np.abs(sparse) < 1.28] = 0.0
    sparse[: N_ROWS // 2] *= -1.0
    features[:, 1::8] = np.round(features[:, 1::8], 2)
    return features, features[:, :N_LABELS] + 5.0 * random.standard_normal((N_ROWS, N_LABELS))


def compare_rank_correlations() -> list[list[str]]:
    """liqlab on one and on all cores beside `DataFrame.corrwith`."""
    features, labels = make_table()
    spearman_matrix(features[:1000], labels[:1000])
    workers = count_workers()
    alone = measure(lambda: spearman_matrix(features, labels), 3)
    together = measure(lambda: spearman_matrix(features, labels, workers), 3)
    found = spearman_matrix(features, labels, workers)
    frame = pd.DataFrame(features)
    start = time.perf_counter()
    columns = [frame.corrwith(pd.Series(labels[:, label]), method="spearman") for label in range(N_PANDAS_LABELS)]
    scaled = (time.perf_counter() - start) * N_LABELS / N_PANDAS_LABELS
    difference = np.abs(found[:, :N_PANDAS_LABELS] - np.column_stack(columns)).max()
    if difference > 1e-12:
        raise SystemExit(f"pandas and liqlab differ by {difference:g}")
    size = f"{N_FEATURES} x {N_LABELS} x {N_ROWS:,}"
    return [
        [f"Spearman, {size}, pandas corrwith, scaled", f"{scaled:.1f} s", "1", ""],
        [f"Spearman, {size}, 1 core", f"{alone:.2f} s", f"{scaled / alone:.0f}", ""],
        [f"Spearman, {size}, {workers} cores", f"{together:.2f} s", f"{scaled / together:.0f}", "30, better 80"],
        ["largest difference from pandas", f"{difference:.1e}", "", "1e-12"],
    ]


def time_resampling() -> list[list[str]]:
    """Both bootstraps at the sizes of the analysis."""
    random = np.random.default_rng(2)
    series, blocks = random.standard_normal(13_000), random.standard_normal((216, 480))
    means = bootstrap_means(series, 60, 10_000, 3)
    if not math.isclose(means.std(), series.std() / math.sqrt(13_000), rel_tol=0.15):
        raise SystemExit("the bootstrap of noise has the wrong spread")
    plain = measure(lambda: bootstrap_means(series, 60, 10_000, 3))
    studentised = measure(lambda: studentised_bootstrap(blocks, np.ones(216), 4999, 4), 3)
    return [
        ["block bootstrap of a mean, 10,000 x 13,000, blocks of 60", f"{1e3 * plain:.0f} ms", "", "100 ms"],
        ["studentised bootstrap, 4,999 x 216 blocks x 480 columns", f"{studentised:.2f} s", "", ""],
    ]


def exact_std(values: list[float]) -> float:
    """Two passes with exact sums."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return math.sqrt((squares - math.fsum(value - mean for value in values) ** 2 / len(values)) / (len(values) - 1))


def running_totals(values: Floats) -> Floats:
    """The textbook shortcut that this library avoids."""
    count = np.minimum(np.arange(1, values.size + 1), WINDOW)
    first, second = np.cumsum(values), np.cumsum(values**2)
    first[WINDOW:] -= first[:-WINDOW].copy()
    second[WINDOW:] -= second[:-WINDOW].copy()
    return np.sqrt(np.maximum(second - first**2 / count, 0.0) / np.maximum(count - 1, 1))


def compare_windows() -> list[list[str]]:
    """Largest relative error of the standard deviation before a spike and after it has left the window."""
    random = np.random.default_rng(5)
    prices = 71_000.0 + np.round(0.05 * random.standard_normal(160_000).cumsum(), 1)
    prices[SPIKE_ROW] = 1e12
    ways: dict[str, Callable[[], Floats]] = {
        "liqlab": lambda: rolling_moments(prices, WINDOW).std,
        "pandas rolling.std": lambda: pd.Series(prices).rolling(WINDOW).std().to_numpy(),
        "polars rolling_std": lambda: pl.Series(prices).rolling_std(WINDOW).to_numpy(),
        "difference of running totals": lambda: running_totals(prices),
    }
    rows = []
    for name, way in ways.items():
        result = way()
        errors = []
        for first, last in ((WINDOW, SPIKE_ROW), (SPIKE_ROW + WINDOW, len(prices))):
            sample = range(first, last, 331)
            exact = [exact_std(prices[row - WINDOW + 1 : row + 1].tolist()) for row in sample]
            errors.append(np.abs(result[list(sample)] / exact - 1.0).max())
        rows.append([name, *(f"{error:.1e}" for error in errors), f"{1e3 * measure(way):.1f} ms"])
    return rows


def measure_sizes() -> list[list[str]]:
    """How often a true null is rejected: moving sums of noise, and their product with a persistent feature."""
    random = np.random.default_rng(6)
    rows = []
    for n_times, overlap in ((1200, 2), (1200, 10), (2400, 100), (5400, 100), (5000, 5)):
        steps = random.standard_normal((N_SERIES, n_times + overlap)).cumsum(axis=1)
        sums = steps[:, overlap:] - steps[:, :-overlap]
        n_cosines = choose_cosines(n_times, overlap)
        cells = [f"{n_times:,}", str(overlap), str(n_cosines)]
        for persistence in (None, 0.5, 0.98):
            series = sums
            if persistence is not None:
                noise = random.standard_normal((N_SERIES, n_times + 400))
                series = sums * lfilter([1.0], [1.0, -persistence], noise, axis=1)[:, 400:]
            p = fixed_b_means(series.T, n_cosines or 0).p
            cells.append(f"{100 * (p < 0.05).mean():.1f} % / {1e3 * (p < 0.001).mean():.1f} ‰")
        rows.append(cells)
    return rows


def main() -> None:
    rows = compare_rank_correlations() + time_resampling()
    print(render_markdown_table(["what", "measured", "ratio", "aim"], rows, "lrrr") + "\n")
    header = ["rolling standard deviation, window 720", "error near 71,000", "error after a 1e12 spike", "160,000 rows"]
    print(render_markdown_table(header, compare_windows(), "lrrr") + "\n")
    header = ["times", "overlap", "cosines", "overlapping noise", "times AR(1) of 0.5", "times AR(1) of 0.98"]
    print(f"Rejections of a true null at 5 % and at 0.1 %, {N_SERIES:,} series each:\n")
    print(render_markdown_table(header, measure_sizes(), "rrrrrr"))


if __name__ == "__main__":
    main()
