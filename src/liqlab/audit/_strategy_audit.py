"""The audit of one strategy: its decisions, its result where nothing can be earned, and the fills behind the result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from operator import length_hint
from typing import Any

import numpy as np

from liqlab.audit._strategy_backtest import Backtest, Simulate, StrategyResult, simulate_honestly, summarise
from liqlab.audit._strategy_contract import PICKLED, ContractCheck, check_contract
from liqlab.audit._strategy_fills import LEAST_TRADES, FillCheck, check_fills
from liqlab.audit._strategy_placebo import PlaceboCheck, check_n_surrogates, check_placebo
from liqlab.audit._strategy_truncation import check_n_cuts
from liqlab.backtest import ExecutionConfig, MarketInputs, Orders, Strategy, decide_orders
from liqlab.core.errors import UserError
from liqlab.core.progress import SILENT, Progress, stage


@dataclass(frozen=True)
class StrategyAuditConfig:
    """How much is done: cuts, surrogates in all, the seed that draws both, processes (None: one per core)."""

    n_cuts: int = 12
    n_surrogates: int = 200
    seed: int = 0
    workers: int | None = None
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)


@dataclass(frozen=True)
class AuditedFills:
    """Parts (b) and (c) for one fill rule; `not_testable` says why it gave no trade, empty otherwise."""

    placebo: tuple[PlaceboCheck, ...]
    fills: FillCheck
    not_testable: str

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return self.fills.passed and all(check.passed for check in self.placebo)


@dataclass(frozen=True)
class StrategyAudit:
    """What the audit of a strategy found.

    `contract`, `audited` and `engine` are of the first market: part (a), parts (b) and (c) for the fill rule that was
    audited, and the same for the engine on the same signals where the fill rule was the strategy's own (else None).
    `audited` is None, and nothing was traded, when the orders are not valid. `results` are what the backtest claims on
    each market, `honest` what the engine makes of the same signals, empty without `engine`.
    """

    strategy: str
    parameters: dict[str, Any]
    market: str
    contract: ContractCheck
    audited: AuditedFills | None
    engine: AuditedFills | None
    results: tuple[StrategyResult, ...]
    honest: tuple[StrategyResult, ...]

    @property
    def has_own_fills(self) -> bool:
        """Whether the strategy's own fill rule was audited rather than the engine."""
        return self.engine is not None

    @property
    def has_trades(self) -> bool:
        """Whether there was a trade on the first market."""
        return self.audited is not None and self.audited.fills.n_trades > 0

    @property
    def passed(self) -> bool:
        """Whether all three parts found nothing; see `not_done` for what they could not look at."""
        return self.contract.passed and self.audited is not None and self.audited.passed

    @property
    def not_done(self) -> tuple[str, ...]:
        """The parts of the audit that could not be done, each with why."""
        return tuple(_list_undone(self))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; NaN becomes None."""
        head = {"passed": self.passed, "not_done": list(self.not_done)}
        plain: dict[str, Any] = _without_nan({**head, **asdict(self)})
        return plain


def check_effort(n_cuts: int, n_surrogates: int) -> None:
    """`UserError` for so few cuts or surrogates that they would say nothing."""
    check_n_cuts(n_cuts)
    check_n_surrogates(n_surrogates)


def audit_strategy(
    strategy: Strategy,
    markets: Iterable[MarketInputs],
    parameters: Any = None,
    *,
    simulate: Simulate = simulate_honestly,
    config: StrategyAuditConfig | None = None,
    market: str = "the data",
    progress: Progress = SILENT,
) -> StrategyAudit:
    """All three parts of the audit on the first market, and the result on each.

    (a) `check_contract`: decisions from the past alone, and valid. (b) `check_placebo`: surrogates of the first market,
    the result on which is placed among them. (c) `check_fills`: every fill of the first market. `markets` are taken one
    after the other, so that a generator of many needs the memory of two. `simulate` is the strategy's own fill rule, if
    it has one; then the engine is run on the same signals beside it. `UserError` without a market, and what the
    strategy raises on the first one.
    """
    config = config or StrategyAuditConfig()
    check_effort(config.n_cuts, config.n_surrogates)
    chosen = strategy.default if parameters is None else parameters
    case = _Case(strategy, chosen, simulate, config)
    rest = iter(markets)
    first = next(rest, None)
    if first is None:
        raise UserError("the audit needs at least one market; ask for at least one seed")
    contract = check_contract(strategy, first, chosen, config.n_cuts, config.seed, progress)
    if not contract.has_valid_orders:
        return StrategyAudit(strategy.name, asdict(chosen), market, contract, None, None, (), ())
    if not all(item.passed for item in contract.items if item.name == PICKLED):
        case = replace(case, config=replace(config, workers=1))
    n_markets = max(length_hint(markets), 1)
    with stage(progress, f"{strategy.name}: the result", n_markets):
        backtest, fair = case.run(first)
        own, honest = _summarise_all(case, first, backtest, fair, rest, progress)
    audited = case.audit(first, backtest, simulate, progress)
    engine = None if fair is None else case.audit(first, fair, simulate_honestly, progress)
    return StrategyAudit(strategy.name, asdict(chosen), market, contract, audited, engine, own, honest)


@dataclass(frozen=True)
class _Case:
    """The strategy with its parameters and fill rule."""

    strategy: Strategy
    parameters: Any
    simulate: Simulate
    config: StrategyAuditConfig

    def run(self, inputs: MarketInputs) -> tuple[Backtest, Backtest | None]:
        """The backtest on a market, and the engine's where that is another."""
        task = (inputs, self.strategy, self.parameters, self.config.execution)
        backtest = self.simulate(*task)
        return backtest, None if self.simulate is simulate_honestly else simulate_honestly(*task)

    def audit(self, inputs: MarketInputs, backtest: Backtest, simulate: Simulate, progress: Progress) -> AuditedFills:
        """Parts (b) and (c) for one fill rule."""
        is_engine = simulate is simulate_honestly
        orders = decide_orders(self.strategy, inputs, self.parameters) if is_engine else None
        net = backtest.ledger.trades["net_return"].to_numpy()
        placebo = check_placebo(
            self.strategy,
            inputs,
            self.parameters,
            data_net=float(net.mean()) if net.size else math.nan,
            n_surrogates=self.config.n_surrogates,
            execution=self.config.execution,
            simulate=simulate,
            seed=self.config.seed,
            workers=self.config.workers,
            progress=progress,
        )
        return AuditedFills(placebo, _check(backtest, orders), backtest.ledger.not_testable)


def _summarise_all(
    case: _Case,
    first: MarketInputs,
    backtest: Backtest,
    fair: Backtest | None,
    rest: Iterator[MarketInputs],
    progress: Progress,
) -> tuple[tuple[StrategyResult, ...], tuple[StrategyResult, ...]]:
    """The result on each market, and the engine's on each where that is another."""
    own, honest = [summarise(backtest, first)], [] if fair is None else [summarise(fair, first)]
    progress.advance()
    for inputs in rest:
        backtest, fair = case.run(inputs)
        own.append(summarise(backtest, inputs))
        honest += [] if fair is None else [summarise(fair, inputs)]
        progress.advance()
    return tuple(own), tuple(honest)


def _check(backtest: Backtest, orders: Orders | None) -> FillCheck:
    target_frac, stop_frac = (None, None) if orders is None else _find_payoff(orders)
    ledger = backtest.ledger
    return check_fills(ledger.trades, backtest.paths, ledger.fills, target_frac=target_frac, stop_frac=stop_frac)


def _find_payoff(orders: Orders) -> tuple[float | None, float | None]:
    """Target and stop where each order has the same two distances; else none."""
    both = np.column_stack([orders.target_frac, orders.stop_frac])
    if not len(both) or np.isnan(both).any() or not np.isnan(orders.trail_frac).all() or (both != both[0]).any():
        return None, None
    return float(both[0, 0]), float(both[0, 1])


def _list_undone(audit: StrategyAudit) -> Iterator[str]:
    for item in audit.contract.items:
        if item.passed is None:
            yield f"(a) {item.name}: {item.reason}"
    if audit.audited is None:
        yield "(b) placebo and (c) fills: orders that are not valid cannot be traded"
        return
    n_trades = audit.audited.fills.n_trades
    why = audit.audited.not_testable or (
        "the strategy made no trade on the data" if audit.results[0].n_orders else "the strategy gave no order"
    )
    if audit.contract.truncation is not None and not audit.contract.truncation.n_compared:
        yield "(a) later data removed, replaced: there was no order to compare"
    silent = [check.kind for check in audit.audited.placebo if not check.net]
    if silent:
        yield f"(b) placebo, {' and '.join(silent)}: no trade on any surrogate either"
    if not n_trades:
        yield f"(b) the place of the data's result among the surrogates: {why}"
        yield f"(c) fills: {why}"
    elif n_trades < LEAST_TRADES:
        yield f"(c) win rate: {n_trades:,} trades say nothing about it, {LEAST_TRADES} are needed"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
