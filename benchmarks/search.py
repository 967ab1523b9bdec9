"""The plan-size backtest: nine days, five symbols, the four strategies, each searched over about 1,000 combinations.

Run with `python benchmarks/search.py`; prints a Markdown table. The market is the simulated world `plan`, its ticker
every 5 s. Timed are the reading of the inputs and, for each strategy, all of `search_strategy`: the default, every
combination of the strategy's own space on every stretch of the walk-forward, the choice of each fold, its trades out of
fold. Every round must give the trades of the first. That a combination earns what the engine gives is for the tests.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from liqlab.backtest import STRATEGIES, SearchResult, TrialLedger, find_space, read_inputs, search_strategy
from liqlab.core.time import MS_PER_DAY
from liqlab.lake import FrameLake
from liqlab.panel import find_scope
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, load_world, simulate_tables

SECONDS = 30.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    lake = make_lake(asked.days)
    seconds: dict[str, list[float]] = {}
    first: dict[str, SearchResult] = {}
    for _ in range(asked.rounds):
        begun = time.perf_counter()
        inputs = read_inputs(lake, find_scope(lake))
        seconds.setdefault("inputs", []).append(time.perf_counter() - begun)
        for strategy in STRATEGIES:
            begun = time.perf_counter()
            found = search_strategy(strategy, inputs, TrialLedger())
            seconds.setdefault(strategy.name, []).append(time.perf_counter() - begun)
            check_equal(first.setdefault(strategy.name, found), found)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"Load of the machine while measuring: {os.getloadavg()[0]:.1f}.\n")
    print("| what | combinations | trades out of fold | seconds | aim |")
    print("|---|---:|---:|---:|---|")
    print(f"| inputs, {asked.days} days | | | {medians['inputs']:.2f} | |")
    for strategy in STRATEGIES:
        size, n_trades = find_space(strategy).size, first[strategy.name].out_of_fold.trades.height
        print(f"| `{strategy.name}` | {size:,} | {n_trades:,} | {medians[strategy.name]:.2f} | |")
    total = statistics.median(sum(values) for values in zip(*seconds.values(), strict=True))
    combinations = sum(find_space(strategy).size for strategy in STRATEGIES)
    print(f"| all | {combinations:,} | | {total:.1f} | under {SECONDS:.0f} s |")


def make_lake(days: int) -> FrameLake:
    """The recording of the world `plan`, in memory."""
    end_ms = DEFAULT_START_MS + days * MS_PER_DAY
    market = simulate_tables(load_world("plan"), DEFAULT_SYMBOLS, 7, DEFAULT_START_MS, end_ms)
    print(f"{market.liquidations.height:,} liquidations and {market.ticker.height:,} ticker rows.")
    return FrameLake(market.liquidations, market.ticker, market.long_short_ratio)


def check_equal(first: SearchResult, again: SearchResult) -> None:
    """Raise unless two searches tried the same and traded the same."""
    if first.n_trials != find_space_size(first) or not first.out_of_fold.trades.equals(again.out_of_fold.trades):
        raise AssertionError(f"{first.strategy}: a search repeated gives other trades, or not every combination")


def find_space_size(found: SearchResult) -> int:
    """The combinations that a search must have counted: its space, and the default."""
    return find_space(next(one for one in STRATEGIES if one.name == found.strategy)).size + 1


if __name__ == "__main__":
    main()
