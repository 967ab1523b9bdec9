"""What the published cascade fade earns on random walks, by its own fill rule, mended, and through the engine.

Run with `python benchmarks/published_fade.py`; prints the first table of docs/audit_strategy.md, and fails unless the
published rule has a median daily Sharpe ratio above 50 and the engine, on the same signals, none above 0. With
`--false-alarms` it prints the second: how often the audit's check of win rates objects to ledgers of the engine on
random walks, where no objection is right, and how far the published rule lies beyond it.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liqlab.audit import (
    LEAST_TRADES,
    PUBLISHED_FILL_RULES,
    SURROGATES,
    Backtest,
    PublishedFade,
    StrategyResult,
    check_fills,
    make_fade_market,
    simulate_as_published,
    simulate_honestly,
    summarise,
)
from liqlab.backtest import (
    STRATEGIES,
    CascadeFade,
    CascadeFadeParameters,
    ExecutionConfig,
    MarketInputs,
    Orders,
    read_inputs,
    run_engine,
)
from liqlab.core.parallel import ordered_map
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE
from liqlab.lake import FrameLake
from liqlab.panel import find_scope
from liqlab.report import render_markdown_table
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, load_world, simulate_tables

Floats = npt.NDArray[np.float64]

SEEDS = range(1, 21)
LEAST_SHARPE = 50.0
ENGINE = "the engine, same signals"
PUBLISHED = next(iter(PUBLISHED_FILL_RULES))

EVENT_DAYS, EVENT_SEED = 9, 7
#: Random strategies for each market.
N_RANDOM = 10
MARGINS = (0.0, 0.025, 0.05, 0.1, 0.15)
#: More trades than the plan's thresholds give in nine days.
MORE = {CascadeFade.name: (CascadeFadeParameters(threshold_usd=200_000.0),)}
RANDOM, CONTROL = "random limits, stops, targets, trails", "the published fill rule"


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--false-alarms", type=int, metavar="N", help="the second table, over N random walks")
    parser.add_argument("--workers", type=int, metavar="N", help="processes to use (default: one per core)")
    asked = parser.parse_args()
    begin = time.perf_counter()
    if asked.false_alarms:
        print_false_alarms(asked.false_alarms, asked.workers)
    else:
        print_fill_rules(asked.workers)
    print(f"\n{time.perf_counter() - begin:.0f} s")


# What each fill rule earns


def measure_rules(seed: int) -> dict[str, StrategyResult]:
    """The result of each fill rule, and of the engine, on one random walk."""
    market, strategy, execution = make_fade_market(seed), PublishedFade(), ExecutionConfig()
    backtests = {
        name: simulate_as_published(market, strategy, parameters, execution)
        for name, parameters in PUBLISHED_FILL_RULES.items()
    }
    backtests[ENGINE] = simulate_honestly(market, strategy, strategy.default, execution)
    return {name: summarise(backtest, market) for name, backtest in backtests.items()}


def print_fill_rules(workers: int | None) -> None:
    """Medians over the seeds; the Sharpe ratio with its lowest and highest."""
    found = list(ordered_map(measure_rules, SEEDS, workers))
    by_rule = {name: [one[name] for one in found] for name in found[0]}
    rows = [[name, *_describe(results)] for name, results in by_rule.items()]
    print(render_markdown_table(["fill rule", "trades", "won", "net in 11 days", "daily Sharpe ratio"], rows, "lrrrr"))
    if _median_sharpe(by_rule[PUBLISHED]) <= LEAST_SHARPE or _median_sharpe(by_rule[ENGINE]) > 0.0:
        raise SystemExit("the published rule must have a median above 50, and the engine none above 0")


def _describe(results: Sequence[StrategyResult]) -> list[str]:
    sharpe = [one.sharpe for one in results]
    return [
        f"{np.median([one.n_trades for one in results]):,.0f}",
        f"{100 * np.median([one.win_rate for one in results]):.1f} %",
        f"{100 * np.median([one.net for one in results]):+.1f} %",
        f"{np.median(sharpe):.1f} ({min(sharpe):.1f} to {max(sharpe):.1f})",
    ]


def _median_sharpe(results: Sequence[StrategyResult]) -> float:
    return float(np.median([one.sharpe for one in results]))


# False alarms of the win rate


@dataclass(frozen=True)
class Excess:
    """How far one ledger's win rate lies, at least, above what its payoffs allow, and other rules that it breaks."""

    name: str
    n_trades: int
    excess: float
    n_other: int


def print_false_alarms(n_markets: int, workers: int | None) -> None:
    """The strategies and random ones on random walks with the events of a simulated market; last the published rule."""
    with tempfile.TemporaryDirectory() as place:
        events = Path(place) / "events.pickle"
        events.write_bytes(pickle.dumps(make_events()))
        tasks = [(events, number) for number in range(n_markets)]
        found = [one for part in ordered_map(measure_market, tasks, workers) for one in part]
    found += ordered_map(measure_published, SEEDS, workers)
    names = [*(strategy.name for strategy in STRATEGIES), RANDOM, CONTROL]
    rows = [_count([one for one in found if one.name == name], name) for name in names]
    honest = [one for one in found if one.name != CONTROL]
    rows.insert(-1, _count(honest, "all of the above"))
    heads = [f"margin {margin:g}" for margin in MARGINS]
    print(render_markdown_table(["", "ledgers", "excess", *heads, "other rules"], rows, "l" + "r" * (3 + len(heads))))


def _count(found: Sequence[Excess], name: str) -> list[str]:
    """Those with enough trades to be judged, and how many are flagged by each margin."""
    judged = [one.excess for one in found if one.n_trades >= LEAST_TRADES]
    flagged = [sum(excess > margin for excess in judged) for margin in MARGINS]
    return [
        name,
        f"{len(judged):,}",
        f"{min(judged, default=np.nan):+.3f} to {max(judged, default=np.nan):+.3f}",
        *(f"{n:,} ({100 * n / max(len(judged), 1):.2f} %)" for n in flagged),
        f"{sum(one.n_other > 0 for one in found):,}",
    ]


def make_events() -> MarketInputs:
    """The market whose liquidations are kept."""
    end_ms = DEFAULT_START_MS + EVENT_DAYS * MS_PER_DAY
    tables = simulate_tables(load_world("plan"), DEFAULT_SYMBOLS, EVENT_SEED, DEFAULT_START_MS, end_ms)
    lake = FrameLake(tables.liquidations, tables.ticker, tables.long_short_ratio)
    return read_inputs(lake, find_scope(lake))


@lru_cache(maxsize=1)
def load_events(path: Path) -> MarketInputs:
    """Once for each process."""
    inputs: MarketInputs = pickle.loads(path.read_bytes())
    return inputs


def measure_market(task: tuple[Path, int]) -> list[Excess]:
    """Every strategy of the catalogue, both variants, and random ones on one random walk."""
    path, number = task
    events, generator = load_events(path), np.random.default_rng([1, number])
    market = events.with_paths(SURROGATES["random walk"](events.paths, generator))
    execution = ExecutionConfig()
    found = []
    for strategy in STRATEGIES:
        for parameters in (strategy.default, strategy.scaled, *MORE.get(strategy.name, ())):
            found.append(measure(simulate_honestly(market, strategy, parameters, execution), strategy.name))
    for orders in draw_orders(market, generator):
        ledger = run_engine(market.paths, orders, execution)
        found.append(measure(Backtest(ledger, market.paths), RANDOM, *_payoff(orders)))
    return found


def measure_published(seed: int) -> Excess:
    """The published rule on one of its own random walks."""
    strategy = PublishedFade()
    backtest = simulate_as_published(make_fade_market(seed), strategy, strategy.default, ExecutionConfig())
    return measure(backtest, CONTROL)


def measure(backtest: Backtest, name: str, target_frac: float | None = None, stop_frac: float | None = None) -> Excess:
    """One ledger beside its prices."""
    ledger = backtest.ledger
    check = check_fills(ledger.trades, backtest.paths, ledger.fills, target_frac=target_frac, stop_frac=stop_frac)
    n_other = sum(one.rule != "win rate" for one in check.findings)
    excess = check.win_rate.low - check.win_rate.allowed if check.win_rate is not None else float("nan")
    return Excess(name, check.n_trades, excess, n_other)


def draw_orders(market: MarketInputs, generator: np.random.Generator) -> Iterator[Orders]:
    """Random strategies: 40 to 600 orders with a few exits at random distances, the same for all of its orders."""
    names = list(market.symbols)
    for _ in range(N_RANDOM):
        n = int(generator.choice([40, 60, 100, 200, 600]))
        decision_ms = generator.integers(market.start_ms, market.end_ms - MS_PER_DAY, n)
        codes = generator.integers(0, len(names), n)
        side = generator.choice([-1.0, 1.0], n)
        columns: dict[str, Any] = {
            "target_frac": _draw(generator, 0.0005, 0.02),
            "target_share": float(generator.choice([0.5, 1.0])),
            "stop_frac": _draw(generator, 0.001, 0.05),
            "trail_frac": _draw(generator, 0.0005, 0.02),
            "timeout_ms": round(float(np.exp(generator.uniform(np.log(5), np.log(1_440)))) * MS_PER_MINUTE),
        }
        if generator.random() < 0.5:
            prices = [market.symbols[name].price_at(decision_ms) for name in names]
            distance = np.exp(generator.uniform(np.log(0.0002), np.log(0.003)))
            columns["limit_price"] = np.choose(codes, prices) * (1.0 - side * distance)
            columns["limit_life_ms"] = 60 * MS_PER_MINUTE
        yield Orders.gather(names, codes, decision_ms, side, **columns)


def _draw(generator: np.random.Generator, low: float, high: float) -> float:
    """None (NaN) in two of five, else uniform in the logarithm."""
    drawn = float(np.exp(generator.uniform(np.log(low), np.log(high))))
    return drawn if generator.random() < 0.6 else float("nan")


def _payoff(orders: Orders) -> tuple[float | None, float | None]:
    """Target and stop where both are the only distances, as the audit takes them."""
    target, stop = float(orders.target_frac[0]), float(orders.stop_frac[0])
    if np.isnan([target, stop]).any() or not np.isnan(orders.trail_frac[0]):
        return None, None
    return target, stop


if __name__ == "__main__":
    main()
