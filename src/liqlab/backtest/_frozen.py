"""Frozen parameters on other data: default, scaled, and what the search liked best where it looked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from liqlab.backtest._backtests import CHOSEN, DEFAULT, SCALED, Backtests, resolve_strategies
from liqlab.backtest._engine import Engine
from liqlab.backtest._equity import compute_equity
from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._ledger import Ledger
from liqlab.backtest._metrics import compute_metrics
from liqlab.backtest._orders import Orders
from liqlab.backtest._out_of_sample import OutOfSample, Sample, compare_samples
from liqlab.backtest._search_evaluate import decide_combination, describe_parameters
from liqlab.backtest._search_space import find_space
from liqlab.backtest._strategy import Strategy, decide_orders


@dataclass(frozen=True)
class Frozen:
    """One strategy with one set of parameters, in sample and out of sample."""

    strategy: str
    variant: str
    inside: Sample
    outside: Sample
    comparison: OutOfSample


def compare_out_of_sample(backtests: Backtests, inside: MarketInputs, outside: MarketInputs) -> tuple[Frozen, ...]:
    """Each strategy of `backtests` (made on `inside`) with frozen parameters on `outside`, side by side.

    Three sets for each: default, scaled, and the best combination of the search over all of `inside`, whose result
    there is the best of many and must be expected to fall. `UserError` when the two overlap in time.
    """
    config = backtests.config
    engines = [Engine(market.paths, config.execution) for market in (inside, outside)]
    found = []
    for strategy in resolve_strategies(config.strategies):
        n_trials = max(backtests.trials[strategy.name], 1)
        for variant, text, orders in _list_sets(strategy, backtests, (inside, outside)):
            before, after = (
                _measure(engine.run(own, strategy.name, text), market, backtests, n_trials)
                for engine, own, market in zip(engines, orders, (inside, outside), strict=True)
            )
            found.append(Frozen(strategy.name, variant, before, after, compare_samples(before, after)))
    return tuple(found)


def _list_sets(
    strategy: Strategy, backtests: Backtests, markets: tuple[MarketInputs, MarketInputs]
) -> Iterator[tuple[str, str, list[Orders]]]:
    """Variant, parameters in words, and the orders on each market."""
    variants = {DEFAULT: strategy.default}
    if strategy.scaled != strategy.default:
        variants[SCALED] = strategy.scaled
    for variant, parameters in variants.items():
        text = describe_parameters(strategy.default, parameters)
        yield variant, text, [decide_orders(strategy, market, parameters) for market in markets]
    best = backtests.searches[strategy.name].best
    if best.combination:
        space = find_space(strategy)
        orders = [decide_combination(strategy, market, space, best.combination) for market in markets]
        yield CHOSEN, best.parameters, orders


def _measure(ledger: Ledger, market: MarketInputs, backtests: Backtests, n_trials: int) -> Sample:
    config = backtests.config
    equity = compute_equity(ledger, market.paths, config.execution, market.start_ms, market.end_ms)
    sharpes = backtests.searches[ledger.strategy].trial_sharpes.tolist()
    metrics = compute_metrics(ledger, equity, config.execution, n_trials, sharpes, config.seed, config.n_resamples)
    return Sample(ledger, metrics, market.start_ms, market.end_ms)
