"""What a strategy is, the catalogue of those that come with liqlab, and a user's own from a file."""

from __future__ import annotations

import dataclasses
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from liqlab.backtest._cascade_fade import CascadeFade
from liqlab.backtest._imbalance_reversal import ImbalanceReversal
from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._orders import Orders
from liqlab.backtest._volatility_breakout import VolatilityBreakout
from liqlab.backtest._zone_bounce import ZoneBounce
from liqlab.core.errors import ConfigError, UserError, unknown_name
from liqlab.core.time import format_time

_ASKED = "see docs/strategies.md for an example"
_NEEDED = ("name", "description", "Parameters", "default", "decide")


class Strategy(Protocol):
    """Rules that turn what was known into orders.

    `Parameters` is a frozen dataclass of `bounded` fields; `default` holds the plan's values, `scaled` those for little
    data. `decide` is pure and causal: orders with `decision_ms` at or before t, and exit signals at or before t, depend
    only on what was known at t.
    """

    @property
    def name(self) -> str:
        """How it is called: lower case, words joined by underscores."""

    @property
    def description(self) -> str:
        """One line."""

    @property
    def Parameters(self) -> type[Any]:  # noqa: N802 - it is a class
        """The class of its parameters."""

    @property
    def default(self) -> Any:
        """Its parameters as the plan has them."""

    @property
    def scaled(self) -> Any:
        """Its parameters for little data."""

    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        """Orders on a market, by parameters of its own class."""


STRATEGIES: tuple[Strategy, ...] = (CascadeFade(), ImbalanceReversal(), ZoneBounce(), VolatilityBreakout())


def get_strategy(name: str) -> Strategy:
    """The strategy called `name`; `UserError` lists those there are.

    >>> get_strategy("cascade_fade").default.threshold_usd
    5000000.0
    """
    for strategy in STRATEGIES:
        if strategy.name == name:
            return strategy
    raise unknown_name("strategy", name, [strategy.name for strategy in STRATEGIES])


def check_orders(orders: Orders, inputs: MarketInputs, name: str) -> Orders:
    """`orders` themselves when the strategy called `name` may have decided them on these inputs.

    `UserError` when they are no `Orders`, name a symbol that the market does not have, decide outside its span, or take
    an exit signal from before the decision; `ConfigError` for values out of range.
    """
    if not isinstance(orders, Orders):
        found = f"a {type(orders).__name__}" if orders is not None else "nothing"
        raise UserError(f"strategy {name}: decide must return Orders, it returned {found}; {_ASKED}")
    orders.check()
    strangers = sorted(set(orders.symbols) - set(inputs.symbols))
    if strangers:
        available = ", ".join(inputs.symbols)
        raise UserError(f"strategy {name}: orders for unknown symbol {strangers[0]!r}; the market has {available}")
    _check_times(orders, inputs, name)
    return orders


def _check_times(orders: Orders, inputs: MarketInputs, name: str) -> None:
    decision = orders.decision_ms
    outside = np.flatnonzero((decision < inputs.start_ms) | (decision > inputs.end_ms))
    if len(outside):
        span = f"{format_time(inputs.start_ms)} to {format_time(inputs.end_ms)} UTC"
        raise UserError(
            f"strategy {name}: order {outside[0]} is decided at {decision[outside[0]]} ms, outside the market's span, "
            f"{span}; times are milliseconds UTC"
        )
    early = np.flatnonzero(orders.exit_signal_ms < decision)
    if len(early):
        raise UserError(
            f"strategy {name}: the exit signal of order {early[0]} lies before its decision; "
            "give a later moment, or NEVER"
        )


def decide_orders(strategy: Strategy, inputs: MarketInputs, parameters: Any = None) -> Orders:
    """The strategy's orders, checked; by its default parameters when none are given.

    `ConfigError` for parameters of another class, else what `check_orders` raises.
    """
    chosen = strategy.default if parameters is None else parameters
    if not isinstance(chosen, strategy.Parameters):
        raise ConfigError(
            f"strategy {strategy.name} takes {strategy.Parameters.__name__}, got a {type(chosen).__name__}"
        )
    return check_orders(strategy.decide(inputs, chosen), inputs, strategy.name)


@dataclass(frozen=True)
class StrategyFile:
    """A user's strategy and the file it came from; pickled as its path, so that other processes load it again.

    Whatever goes wrong in the user's `decide` is a `UserError` that names the file and the line.
    """

    path: Path
    name: str
    description: str
    Parameters: type[Any]
    default: Any
    scaled: Any
    run: Callable[[MarketInputs, Any], Any]

    def decide(self, inputs: MarketInputs, parameters: Any) -> Orders:
        """The user's orders, checked."""
        try:
            orders = self.run(inputs, parameters)
        except (Exception, SystemExit) as error:
            raise UserError(_describe_failure(self.path, f"strategy {self.name} failed", error)) from error
        return check_orders(orders, inputs, f"{self.name} ({self.path})")

    def __reduce__(self) -> tuple[Any, ...]:
        return load_strategy_file, (self.path,)


def load_strategy_file(path: Path) -> StrategyFile:
    """The strategy in a Python file: its module-level `STRATEGY`, an object with what `Strategy` asks for.

    `scaled` may be missing: then it is `default`. `UserError` names the file, the line where there is one, and what to
    do, when the file is missing, does not run, or holds no such object.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise UserError(f"the strategy file {path} {what}; --strategy takes a name or a Python file")
    strategy = getattr(_run_file(path), "STRATEGY", None)
    if strategy is None:
        raise UserError(f"{path} defines no STRATEGY; end it with STRATEGY = YourStrategy(), {_ASKED}")
    _check_strategy(path, strategy)
    scaled = getattr(strategy, "scaled", strategy.default)
    return StrategyFile(
        path, strategy.name, strategy.description, strategy.Parameters, strategy.default, scaled, strategy.decide
    )


def _run_file(path: Path) -> ModuleType:
    # A dataclass with annotations as text looks its module up by name.
    name = f"liqlab_strategy_{path.stem}"
    loader = SourceFileLoader(name, str(path))
    spec = spec_from_loader(name, loader)
    module = module_from_spec(spec)  # type: ignore[arg-type]
    sys.modules[name] = module
    try:
        # Compiled from its text: a cached module of the same second would hide an edit.
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        sys.modules.pop(name)
        where = f"{path}, line {error.lineno}" if error.lineno else str(path)
        raise UserError(f"{where}: {error.msg}; mend the file and try again") from error
    except (Exception, SystemExit) as error:
        sys.modules.pop(name)
        raise UserError(_describe_failure(path, "the strategy file does not run", error)) from error
    return module


def _describe_failure(path: Path, what: str, error: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    reason = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
    return f"{where}: {what}: {reason}; mend the file and try again"


def _check_strategy(path: Path, strategy: Any) -> None:
    if isinstance(strategy, type):
        raise UserError(
            f"{path}: STRATEGY is the class {strategy.__name__}; make it an instance: {strategy.__name__}()"
        )
    missing = [name for name in _NEEDED if not hasattr(strategy, name)]
    if missing:
        raise UserError(
            f"{path}: STRATEGY has no {', '.join(missing)}; a strategy needs {', '.join(_NEEDED)}, {_ASKED}"
        )
    parameters = strategy.Parameters
    checks = (
        (isinstance(strategy.name, str) and strategy.name.isidentifier(), "name must be words joined by underscores"),
        (strategy.name not in {known.name for known in STRATEGIES}, "name must not be that of a built-in strategy"),
        (isinstance(strategy.description, str), "description must be text"),
        (isinstance(parameters, type) and dataclasses.is_dataclass(parameters), "Parameters must be a dataclass"),
        (callable(strategy.decide), "decide must be a method that takes inputs and parameters"),
    )
    for holds, rule in checks:
        if not holds:
            raise UserError(f"{path}: STRATEGY.{rule}; {_ASKED}")
    for variant in ("default", "scaled"):
        if not isinstance(getattr(strategy, variant, strategy.default), parameters):
            raise UserError(f"{path}: STRATEGY.{variant} must be an instance of {parameters.__name__}; {_ASKED}")
