"""Combinations of exits on 1-second prices: combination-bars per second, and against vectorbt, trades compared.

Run with `python benchmarks/backtest.py`; prints a Markdown table. The comparison needs vectorbt, which pins old
packages and is no dependency of this project, in an environment of its own:

    python3.11 -m venv .vectorbt
    .vectorbt/bin/pip install "vectorbt==0.28.5" "plotly<6"
    python benchmarks/backtest.py --vectorbt .vectorbt/bin/python

There both express the same: long at the close, fixed or trailing stops watched on closes and filled at the close that
reached them or at the last one, taker fees. For every combination the number of trades must be equal, and total returns
to 1e-9, before times are printed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from liqlab.backtest import (
    ExecutionConfig,
    ExitGrid,
    FeeModel,
    LatencyModel,
    Orders,
    PositionLimits,
    PricePath,
    SlippageModel,
    run_engine,
    run_grid,
)

Floats = npt.NDArray[np.float64]

START_MS = 1_770_595_200_000
ROUNDS = 9
#: Of each kind, fixed and trailing, in the comparison with vectorbt.
_STOPS = np.linspace(0.001, 0.01, 50)
_TAKER_BPS = 5.5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vectorbt", type=Path, help="the Python of an environment that has vectorbt")
    parser.add_argument("--bars", type=int, default=800_000)
    parser.add_argument("--combinations", type=int, default=1_000)
    asked = parser.parse_args()
    rows = [measure_grid(asked.bars, asked.combinations, n_orders) for n_orders in (500, 2_000, 8_000)]
    rows.append(measure_engine(asked.bars))
    if asked.vectorbt:
        rows.extend(measure_against_vectorbt(asked.vectorbt, 200_000))
    print("| what | measured | aim |")
    print("|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def make_path(n: int, seed: int = 1) -> PricePath:
    """A random walk of `n` seconds, 1.2 bps a second, with a range around each second's price, and funding."""
    random = np.random.default_rng(seed)
    price = 68_000.0 * np.exp(np.cumsum(random.normal(0.0, 1.2e-4, n)))
    low, high = price * (1.0 - 3e-5 * random.random(n)), price * (1.0 + 3e-5 * random.random(n))
    moments = START_MS + 28_800_000 * np.arange(1, n // 28_800 + 1)
    return PricePath.from_ticks(
        "A",
        START_MS + 1_000 * np.arange(n),
        price,
        low,
        high,
        funding_ms=moments,
        funding_rate=np.full(moments.size, 1e-4),
    )


def make_orders(path: PricePath, n: int, seed: int = 2) -> Orders:
    """Market orders of both sides at random moments."""
    random = np.random.default_rng(seed)
    decided = np.sort(random.choice(path.known_ms[:-7_200], n, replace=False))
    return Orders.gather((path.symbol,), 0, decided, random.choice([-1.0, 1.0], n))


def make_grid(m: int) -> ExitGrid:
    """About `m` combinations of targets, stops, trailing stops and timeouts, trails in all of them."""
    side = max(round(m ** (1 / 3) / 2), 1) * 2
    return ExitGrid.product(
        target_frac=np.linspace(0.003, 0.015, side),
        stop_frac=np.linspace(0.003, 0.012, side // 2),
        trail_frac=np.linspace(0.002, 0.01, side),
        timeout_ms=[900_000, 3_600_000],
    )


def measure_grid(n_bars: int, m: int, n_orders: int) -> tuple[str, str, str]:
    """Combination-bars per second, with every cost charged; two combinations are compared with the engine."""
    path = make_path(n_bars)
    orders, grid, config = make_orders(path, n_orders), make_grid(m), ExecutionConfig()
    paths = {path.symbol: path}
    result = run_grid(paths, orders, grid, config)
    for combination in (0, len(grid) - 1):
        trades = run_engine(paths, grid.apply(orders, combination), config).trades
        if trades.height != result.n_trades[combination]:
            raise AssertionError(f"combination {combination} has other trades in the engine")
        np.testing.assert_allclose(float(trades["net_return"].sum()), result.net_return_sum[combination], rtol=1e-10)
    seconds = _median_seconds(lambda: run_grid(paths, orders, grid, config))
    speed = len(grid) * n_bars / seconds
    what = f"{len(grid):,} combinations x {n_bars:,} one-second bars, {n_orders:,} orders"
    return (
        f"{what}, {result.n_trades.sum():,} trades with trailing stops and costs",
        f"{speed / 1e9:.2f} billion combination-bars/s ({seconds * 1e3:,.0f} ms)",
        "at least 1 billion",
    )


def measure_engine(n_bars: int) -> tuple[str, str, str]:
    """One run of the engine with its whole ledger."""
    path = make_path(n_bars)
    orders = make_orders(path, 2_000).with_values(trail_frac=0.005, stop_frac=0.008, timeout_ms=900_000)
    trades = run_engine({path.symbol: path}, orders).trades.height
    seconds = _median_seconds(lambda: run_engine({path.symbol: path}, orders))
    return f"one run with its ledger, {n_bars:,} bars, {trades:,} trades", f"{seconds * 1e3:,.0f} ms", ""


#: Runs in the other environment: reads the case, checks and times `Portfolio.from_signals`, prints JSON.
_VECTORBT = """
import json, sys, time
import numpy as np, pandas as pd, vectorbt as vbt
case = np.load(sys.argv[1])
close = pd.Series(case["close"])
entries = pd.Series(case["entries"])
last = pd.Series(np.arange(len(close)) == len(close) - 1)
stops, is_trail = case["stops"], case["is_trail"]
names = pd.Index(range(len(stops)))
def run():
    return vbt.Portfolio.from_signals(
        close, entries.vbt.tile(len(stops), keys=names), last.vbt.tile(len(stops), keys=names),
        sl_stop=stops[None, :], sl_trail=is_trail[None, :], stop_exit_price="close", fees=float(case["fees"]),
        size=1.0, size_type="amount", init_cash=np.inf, accumulate=False, freq="1s",
    )
run()
seconds = []
for _ in range(3):
    begun = time.perf_counter()
    portfolio = run()
    seconds.append(time.perf_counter() - begun)
records = portfolio.trades.records
returns = records["return"].groupby(records["col"]).sum().reindex(names, fill_value=0.0)
counts = records.groupby("col").size().reindex(names, fill_value=0)
found = {"seconds": sorted(seconds)[1], "n": counts.tolist(), "sum": returns.tolist()}
print(json.dumps(found | {"version": vbt.__version__}))
"""


def measure_against_vectorbt(python: Path, n_bars: int) -> list[tuple[str, str, str]]:
    """Fixed and trailing stops on closes with fees in both, equal trades first."""
    close = make_path(n_bars, seed=6).price
    known_ms = START_MS + 1_000 * np.arange(n_bars)
    random = np.random.default_rng(4)
    rows = np.sort(random.choice(n_bars - 60, 2_000, replace=False))
    entries = np.zeros(n_bars, dtype=np.bool_)
    entries[rows + 1] = True
    fixed, trailing = ExitGrid.product(stop_frac=_STOPS), ExitGrid.product(trail_frac=_STOPS)
    grid = ExitGrid(
        *(np.concatenate([getattr(part, field.name) for part in (fixed, trailing)]) for field in fields(fixed))
    )
    path = PricePath.from_ticks("A", known_ms, close)
    orders = Orders.gather(("A",), 0, known_ms[rows], 1.0)
    config = ExecutionConfig(
        LatencyModel(0.0), FeeModel(0.0, _TAKER_BPS), SlippageModel(0.0, 0.0), limits=PositionLimits(cooldown_s=0.0)
    )
    own = run_grid({"A": path}, orders, grid, config)
    with tempfile.TemporaryDirectory() as folder:
        case = Path(folder) / "case.npz"
        kinds = np.repeat([False, True], _STOPS.size)
        np.savez(case, close=close, entries=entries, stops=np.tile(_STOPS, 2), is_trail=kinds, fees=_TAKER_BPS * 1e-4)
        done = subprocess.run([python, "-c", _VECTORBT, case], check=True, capture_output=True, text=True)
    other = json.loads(done.stdout.splitlines()[-1])
    if own.n_trades.tolist() != other["n"]:
        raise AssertionError(f"trades differ: {own.n_trades.tolist()} and {other['n']}")
    np.testing.assert_allclose(own.net_return_sum, other["sum"], rtol=1e-9, atol=1e-9)
    seconds = _median_seconds(lambda: run_grid({"A": path}, orders, grid, config))
    what = f"{len(grid)} fixed and trailing stops x {n_bars:,} closes, {own.n_trades.sum():,} trades with fees"
    return [
        (f"{what}: liqlab", f"{seconds * 1e3:,.1f} ms", ""),
        (f"the same with vectorbt {other['version']}, equal trades", f"{other['seconds'] * 1e3:,.0f} ms", ""),
        ("ratio of medians", f"{other['seconds'] / seconds:,.0f}", "at least 100"),
    ]


def _median_seconds(function: Callable[[], object]) -> float:
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
