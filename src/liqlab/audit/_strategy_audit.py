"""The audit of one strategy: its decisions, its result where nothing can be earned, and the fills behind the result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from liqlab.audit._strategy_backtest import Backtest, Simulate, StrategyResult, simulate_honestly, summarise
from liqlab.audit._strategy_fills import FillCheck, check_fills
from liqlab.audit._strategy_placebo import PlaceboCheck, check_placebo
from liqlab.audit._strategy_truncation import TruncationCheck, check_truncation
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

    `truncation`, `audited` and `engine` are of the first market: the decisions, the fill rule that was audited, and the
    engine on the same signals where the fill rule was the strategy's own (else None). `results` are what the backtest
    claims on each market, `honest` what the engine makes of the same signals, empty without `engine`.
    """

    strategy: str
    market: str
    truncation: TruncationCheck
    audited: AuditedFills
    engine: AuditedFills | None
    results: tuple[StrategyResult, ...]
    honest: tuple[StrategyResult, ...]

    @property
    def has_own_fills(self) -> bool:
        """Whether the strategy's own fill rule was audited rather than the engine."""
        return self.engine is not None

    @property
    def passed(self) -> bool:
        """Whether all three parts found nothing."""
        return self.truncation.passed and self.audited.passed

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values for JSON; NaN becomes None."""
        plain: dict[str, Any] = _without_nan({"passed": self.passed, **asdict(self)})
        return plain


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

    (a) `check_truncation`: decisions at cuts. (b) `check_placebo`: surrogates of the first market, the result on which
    is placed among them. (c) `check_fills`: every fill of the first market. `markets` are taken one after the other, so
    that a generator of many needs the memory of two. `simulate` is the strategy's own fill rule, if it has one; then
    the engine is run on the same signals beside it. `UserError` without a market, and what the strategy raises.
    """
    config = config or StrategyAuditConfig()
    chosen = strategy.default if parameters is None else parameters
    results: list[StrategyResult] = []
    honest: list[StrategyResult] = []
    first: _First | None = None
    with stage(progress, f"{strategy.name} on {market}"):
        for inputs in markets:
            backtest, fair = _run_both(inputs, strategy, chosen, simulate, config)
            first = first or _First(inputs, backtest, fair)
            results.append(summarise(backtest, inputs))
            honest += [summarise(fair, inputs)] if fair is not None else []
            progress.advance()
    if first is None:
        raise UserError("the audit needs at least one market; ask for at least one seed")
    parts = _audit_first(first, strategy, chosen, simulate, config, progress)
    return StrategyAudit(strategy.name, market, *parts, tuple(results), tuple(honest))


@dataclass(frozen=True)
class _First:
    """The first market, the backtest on it, and the engine's where that is another."""

    inputs: MarketInputs
    backtest: Backtest
    fair: Backtest | None


def _audit_first(
    first: _First,
    strategy: Strategy,
    parameters: Any,
    simulate: Simulate,
    config: StrategyAuditConfig,
    progress: Progress,
) -> tuple[TruncationCheck, AuditedFills, AuditedFills | None]:
    truncation = check_truncation(strategy, first.inputs, parameters, config.n_cuts, config.seed, progress)
    fair = None
    if first.fair is not None:
        fair = _audit_fills(first.inputs, first.fair, strategy, parameters, simulate_honestly, config, progress)
    own = _audit_fills(first.inputs, first.backtest, strategy, parameters, simulate, config, progress)
    return truncation, own, fair


def _audit_fills(
    inputs: MarketInputs,
    backtest: Backtest,
    strategy: Strategy,
    parameters: Any,
    simulate: Simulate,
    config: StrategyAuditConfig,
    progress: Progress,
) -> AuditedFills:
    """Parts (b) and (c) for one fill rule."""
    orders = decide_orders(strategy, inputs, parameters) if simulate is simulate_honestly else None
    placebo = check_placebo(
        strategy,
        inputs,
        parameters,
        data_net=summarise(backtest, inputs).net,
        n_surrogates=config.n_surrogates,
        execution=config.execution,
        simulate=simulate,
        seed=config.seed,
        workers=config.workers,
        progress=progress,
    )
    return AuditedFills(placebo, _check(backtest, orders), backtest.ledger.not_testable)


def _run_both(
    inputs: MarketInputs, strategy: Strategy, parameters: Any, simulate: Simulate, config: StrategyAuditConfig
) -> tuple[Backtest, Backtest | None]:
    backtest = simulate(inputs, strategy, parameters, config.execution)
    if simulate is simulate_honestly:
        return backtest, None
    return backtest, simulate_honestly(inputs, strategy, parameters, config.execution)


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


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
