"""What every strategy must keep to, one by one: from the catalogue, or from a user's own file."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from liqlab.audit._lookahead_compare import Cut, describe_time
from liqlab.audit._strategy_truncation import AFTER, TruncationCheck, check_truncation, compare_orders
from liqlab.backtest import MarketInputs, Orders, Strategy, StrategyFile, decide_orders
from liqlab.core.errors import UserError
from liqlab.core.progress import SILENT, Progress

VALID, IN_SPAN, SIGNALS = "orders are valid", "orders lie in the span", "exit signals come later"
AGAIN, PICKLED = "same decisions again", "crosses processes"
_ITEM_OF = {after: f"later data {after}" for after in AFTER}
#: The items in their order. Nothing is decided outside the market's span, no exit signal lies before the decision of
#: its own order; decisions made by a moment are the same when what comes after it is removed, and when it is replaced;
#: the same market gives the same orders; a pickled copy decides the same, for work is shared between processes.
CONTRACT = (VALID, IN_SPAN, SIGNALS, *_ITEM_OF.values(), AGAIN, PICKLED)


@dataclass(frozen=True)
class ContractItem:
    """One item of `CONTRACT`: `passed` is None when it could not be checked; `reason` says what was found."""

    name: str
    passed: bool | None
    reason: str


@dataclass(frozen=True)
class ContractCheck:
    """Every item in the order of `CONTRACT`; `truncation` holds the cuts, None when the orders are not valid."""

    items: tuple[ContractItem, ...]
    truncation: TruncationCheck | None

    @property
    def passed(self) -> bool:
        """Whether every item could be checked, and holds."""
        return all(item.passed for item in self.items)

    @property
    def has_valid_orders(self) -> bool:
        """Whether the orders can be traded at all, be they honest or not."""
        return self.truncation is not None


def check_contract(
    strategy: Strategy,
    inputs: MarketInputs,
    parameters: Any = None,
    n_cuts: int = 12,
    seed: int = 0,
    progress: Progress = SILENT,
) -> ContractCheck:
    """Every item of `CONTRACT` on this market.

    Orders that are not valid leave the other items unchecked. What the strategy raises on the whole market is raised
    (for a user's file a `UserError` with file and line); what it raises only on a part of it breaks that item.
    """
    chosen = strategy.default if parameters is None else parameters
    orders = _decide_unchecked(strategy, inputs, chosen)
    items = _check_orders(orders, inputs)
    if not all(item.passed for item in items):
        rest = [name for name in CONTRACT if name not in {item.name for item in items}]
        unchecked = [ContractItem(name, None, "not checked, for the orders are not valid") for name in rest]
        return ContractCheck((*items, *unchecked), None)
    truncation = check_truncation(strategy, inputs, chosen, n_cuts, seed, progress)
    items += [_describe_cuts(truncation, after) for after in AFTER]
    items.append(_check_again(strategy, inputs, chosen, orders))
    items.append(_check_pickle(strategy, inputs, chosen, orders))
    return ContractCheck(tuple(items), truncation)


def _decide_unchecked(strategy: Strategy, inputs: MarketInputs, parameters: Any) -> Any:
    """What the strategy returns, be it valid or not."""
    if not isinstance(strategy, StrategyFile):
        return strategy.decide(inputs, parameters)
    try:
        return strategy.run(inputs, parameters)
    except (Exception, SystemExit):  # noqa: BLE001 - a user's code may raise anything
        # The file's own `decide` says where in the file it happened.
        return strategy.decide(inputs, parameters)


def _check_orders(orders: Any, inputs: MarketInputs) -> list[ContractItem]:
    """The items on the orders themselves; no more than the first when they are no orders."""
    if not isinstance(orders, Orders):
        found = "nothing" if orders is None else f"a {type(orders).__name__}"
        return [ContractItem(VALID, False, f"decide returned {found} instead of Orders")]
    try:
        orders.check()
    except UserError as error:
        return [ContractItem(VALID, False, str(error))]
    strangers = sorted(set(orders.symbols) - set(inputs.symbols))
    if strangers:
        available = ", ".join(inputs.symbols)
        return [ContractItem(VALID, False, f"unknown symbol {strangers[0]!r}; the market has {available}")]
    what = f"{len(orders):,} orders, each with a symbol of the market, a side, and distances in their ranges"
    return [ContractItem(VALID, True, what), _check_span(orders, inputs), _check_signals(orders)]


def _check_span(orders: Orders, inputs: MarketInputs) -> ContractItem:
    span = f"{describe_time(inputs.start_ms)} to {describe_time(inputs.end_ms)}"
    outside = np.flatnonzero((orders.decision_ms < inputs.start_ms) | (orders.decision_ms > inputs.end_ms))
    if not len(outside):
        return ContractItem(IN_SPAN, True, f"all are decided in the market's span, {span} UTC")
    what = (
        f"{len(outside):,} of {len(orders):,} orders do not, the first decided at {orders.decision_ms[outside[0]]} ms"
    )
    return ContractItem(
        IN_SPAN, False, f"{what}; the market goes from {inputs.start_ms} to {inputs.end_ms} ms ({span})"
    )


def _check_signals(orders: Orders) -> ContractItem:
    early = np.flatnonzero(orders.exit_signal_ms < orders.decision_ms)
    if not len(early):
        return ContractItem(SIGNALS, True, "none lies before the decision of its own order")
    first_ms = int(orders.decision_ms[early[0]])
    return ContractItem(
        SIGNALS, False, f"{len(early):,} do not, first that of the order decided at {describe_time(first_ms)}"
    )


def _describe_cuts(check: TruncationCheck, after: str) -> ContractItem:
    changed = [one for one in check.changed if one.after == after]
    if changed:
        what = f"changes at {len(changed):,} of {len(check.cuts):,} moments, first: {changed[0].describe()}"
        return ContractItem(_ITEM_OF[after], False, what)
    n = check.n_compared // len(AFTER)
    what = f"at {len(check.cuts):,} moments all that came later was {after}: {n:,} decisions from before are unchanged"
    return ContractItem(_ITEM_OF[after], True, what)


def _check_again(strategy: Strategy, inputs: MarketInputs, parameters: Any, orders: Orders) -> ContractItem:
    """Again on the same inputs, and on new ones from which nothing has been worked out yet."""
    anew = replace(inputs, symbols={name: replace(one, _zones={}) for name, one in inputs.symbols.items()})
    for again in (inputs, anew):
        found = _compare(orders, inputs, lambda market=again: decide_orders(strategy, market, parameters))  # type: ignore[misc]
        if found:
            return ContractItem(AGAIN, False, found)
    return ContractItem(AGAIN, True, "decided three times, equal in every value")


def _check_pickle(strategy: Strategy, inputs: MarketInputs, parameters: Any, orders: Orders) -> ContractItem:
    module = type(parameters).__module__
    loaded = sys.modules.get(module)
    try:
        copy, copied = pickle.loads(pickle.dumps((strategy, parameters)))
    except Exception as error:  # noqa: BLE001 - pickle hands on whatever the user's classes raise
        return ContractItem(PICKLED, False, f"it cannot be pickled: {type(error).__name__}: {error}")
    finally:
        # The copy of a user's strategy loads its file again; the classes in use here must be found under their name.
        if loaded is not None:
            sys.modules[module] = loaded
    found = _compare(orders, inputs, lambda: decide_orders(copy, inputs, copied))
    return ContractItem(PICKLED, not found, found or "a pickled copy decided the same")


def _compare(orders: Orders, inputs: MarketInputs, decide: Callable[[], Orders]) -> str:
    """What is different when it decides again; empty when nothing is."""
    try:
        again = decide()
    except UserError as error:
        return str(error)
    changed = compare_orders(orders, again, Cut(inputs.end_ms, "end"), "decided again")
    if changed is None:
        return ""
    order = f"{changed.symbol}, decided at {describe_time(changed.decision_ms)}"
    return f"{order}: {changed.column} is {changed.full} the first time and {changed.at_cut} the next"
