"""The one way to a combination's result: decide, leave out what reaches over the border, run, record."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab import __version__
from liqlab.backtest._engine import run_engine
from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._grid import ExitGrid, run_grid
from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._ledger import Ledger
from liqlab.backtest._orders import Orders
from liqlab.backtest._prices import PricePath
from liqlab.backtest._search_folds import Integers, Stretch, cut_paths, purge, reach_of
from liqlab.backtest._search_space import Combination, SearchSpace, describe, exit_columns, lay_exits, make_parameters
from liqlab.backtest._strategy import Strategy, decide_orders
from liqlab.backtest._trials import Trial, TrialLedger
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE

Floats = npt.NDArray[np.float64]
Place = tuple[int, ...]

#: What an `ExitGrid` lays over orders.
GRID_COLUMNS = tuple(item.name for item in dataclasses.fields(ExitGrid))
#: Stretch number of a trial over the whole span.
WHOLE_SPAN = -2
#: Sets of decisions that are kept, newest first: a sampler comes back to the same entry with other exits.
_KEPT_DECISIONS = 8


@dataclass
class Evaluator:
    """Evaluates combinations of one strategy on one market, stretch by stretch, and records each in `trials`."""

    strategy: Strategy
    inputs: MarketInputs
    space: SearchSpace
    execution: ExecutionConfig
    trials: TrialLedger
    source: str
    _decided: OrderedDict[tuple[float, ...], Orders] = field(default_factory=OrderedDict, repr=False)

    def evaluate(self, places: Sequence[Place], stretch: Stretch) -> list[Trial]:
        """The trials of combinations on a stretch, in the order given; those found in the ledger are not run again.

        Each set of entry parameters is on record before the next is begun.
        """
        groups: dict[tuple[float, ...], list[int]] = {}
        combinations = [self.space.combination(place) for place in places]
        for i, combination in enumerate(combinations):
            groups.setdefault(self.space.entry_of(combination), []).append(i)
        found: dict[int, Trial] = {}
        for members in groups.values():
            group = [combinations[i] for i in members]
            found.update(zip(members, self._evaluate_group(group, stretch), strict=True))
        return [found[i] for i in range(len(places))]

    def _evaluate_group(self, group: Sequence[Combination], stretch: Stretch) -> list[Trial]:
        """Combinations with the same entry."""
        names = [describe(combination) for combination in group]

        def run(missing: Sequence[int]) -> Iterable[Trial]:
            return self._run([group[i] for i in missing], [names[i] for i in missing], stretch)

        return self.trials.evaluate(self.strategy.name, self.source, stretch.number, names, run)

    def _run(self, group: Sequence[Combination], names: Sequence[str], stretch: Stretch) -> list[Trial]:
        orders = self.decide(group[0])
        kept = purge(orders, self.reach_of(orders), stretch)
        if not len(kept):
            nothing = (0.0,) * len(stretch.days)
            return [Trial(name, stretch.number, 0, 0.0, nothing) for name in names]
        results = run_exits(cut_paths(self.inputs.paths, stretch), kept, group, self.execution, stretch)
        return [Trial(name, stretch.number, *result) for name, result in zip(names, results, strict=True)]

    def decide(self, combination: Combination) -> Orders:
        """The orders of the combination's entry; exits are laid over them later.

        The longest timeout of the space is what they are decided with, so that no exit signal is cut short.
        """
        entry = self.space.entry_of(combination)
        if entry not in self._decided:
            self._decided[entry] = _decide_entry(self.strategy, self.inputs, self.space, combination)
            while len(self._decided) > _KEPT_DECISIONS:
                self._decided.popitem(last=False)
        self._decided.move_to_end(entry)
        return self._decided[entry]

    def reach_of(self, orders: Orders) -> Integers:
        """How long after its decision each order's trade may last; see `_search_folds.reach_of`."""
        return reach_of(orders, self.inputs.paths, self.execution, longest_timeout_ms(self.space))


def decide_combination(
    strategy: Strategy, inputs: MarketInputs, space: SearchSpace, combination: Combination
) -> Orders:
    """The orders of one combination of a search space on a market, exits included."""
    return lay_exits(_decide_entry(strategy, inputs, space, combination), combination)


def _decide_entry(strategy: Strategy, inputs: MarketInputs, space: SearchSpace, combination: Combination) -> Orders:
    """The orders of the entry of a combination, with the longest timeout of the space."""
    longest = {axis.name: axis.values[-1] for axis in space.exits if axis.name == "timeout_min"}
    values = {**{axis.name: combination[axis.name] for axis in space.entry}, **longest}
    return decide_orders(strategy, inputs, make_parameters(strategy.default, values))


def longest_timeout_ms(space: SearchSpace) -> int | None:
    """The longest timeout of a space; None when it has no such axis."""
    axes = [axis for axis in space.exits if axis.name == "timeout_min"]
    return round(axes[0].values[-1] * MS_PER_MINUTE) if axes else None


def describe_parameters(default: Any, parameters: Any) -> str:
    """What was changed from the default; empty for nothing."""
    names = [item.name for item in dataclasses.fields(default)]
    changed = [name for name in names if getattr(parameters, name) != getattr(default, name)]
    return ", ".join(f"{name}={getattr(parameters, name)!r}" for name in changed)


def evaluate_parameters(
    strategy: Strategy,
    inputs: MarketInputs,
    execution: ExecutionConfig,
    trials: TrialLedger,
    parameters: Any = None,
) -> Ledger:
    """The ledger of a strategy with one set of parameters, the default if None, over the whole span, on record.

    Raises what the strategy and `run_engine` raise.
    """
    chosen = strategy.default if parameters is None else parameters
    text = describe_parameters(strategy.default, chosen)
    orders = decide_orders(strategy, inputs, chosen)
    ledger = run_engine(inputs.paths, orders, execution, strategy.name, text)
    source = fingerprint(strategy, inputs, execution)
    first, last = inputs.start_ms // MS_PER_DAY, max(inputs.end_ms - 1, inputs.start_ms) // MS_PER_DAY
    daily = sum_by_day(ledger, range(first, last + 1), execution)
    net_sum = float(ledger.trades["net_return"].sum())
    trial = Trial(text, WHOLE_SPAN, ledger.trades.height, net_sum, tuple(daily.tolist()))
    trials.evaluate(strategy.name, source, WHOLE_SPAN, [text], lambda _: [trial])
    return ledger


def sum_by_day(ledger: Ledger, days: range, execution: ExecutionConfig) -> Floats:
    """Net result of each UTC day as a fraction of the capital, (days,); a trade counts on the day it was closed."""
    closed = ledger.trades.select(
        day=pl.col("exit_time").to_physical() // MS_PER_DAY - days.start,
        net=pl.col("net_return") * pl.col("notional_usd") / execution.limits.capital_usd,
    )
    day = closed["day"].to_numpy()
    inside = (day >= 0) & (day < len(days))
    return np.bincount(day[inside], closed["net"].to_numpy()[inside], len(days)).astype(np.float64)


def fingerprint(strategy: Strategy, inputs: MarketInputs, execution: ExecutionConfig, *more: object) -> str:
    """Text that differs when data, costs, the strategy's code or `more` do: other trials are not reused."""
    digest = hashlib.blake2b(digest_size=12)
    for item in (__version__, strategy.name, _code_of(strategy), strategy.default, execution, *more):
        digest.update(repr(item).encode())
    digest.update(repr((inputs.start_ms, inputs.end_ms)).encode())
    for name, symbol in inputs.symbols.items():
        path = symbol.path
        digest.update(repr((name, symbol.preset, path.interval_ms)).encode())
        for values in (path.known_ms, path.price, path.low, path.high, path.bid, path.ask, path.funding_rate):
            digest.update(np.ascontiguousarray(values).tobytes())
        for facts in (symbol.known_ms, symbol.notional_usd, symbol.is_long, symbol.covered):
            digest.update(np.ascontiguousarray(facts).tobytes())
    return digest.hexdigest()


def _code_of(strategy: Strategy) -> str:
    """The text of the module in which the strategy stands; empty when it has none, as at a prompt."""
    path = getattr(strategy, "path", None)
    try:
        if path is not None:
            return str(path.read_text(encoding="utf-8"))
        return inspect.getsource(inspect.getmodule(type(strategy)) or type(strategy))
    except (OSError, TypeError):
        return ""


def run_exits(
    paths: Mapping[str, PricePath],
    orders: Orders,
    group: Sequence[Combination],
    execution: ExecutionConfig,
    stretch: Stretch,
) -> list[tuple[int, float, tuple[float, ...]]]:
    """Trades, sum of net returns and net result by day of the same orders with each combination's exits.

    Exits that the combinations do not name are the orders' own. Where those differ from order to order they cannot be
    laid over all, and the combinations run one by one.
    """
    own = {name: _only_value(getattr(orders, name)) for name in GRID_COLUMNS}
    columns = [exit_columns(combination) for combination in group]
    if any(own[name] is None and name not in columns[0] for name in GRID_COLUMNS):
        return [_run_one(paths, lay_exits(orders, combination), execution, stretch.days) for combination in group]
    values = {name: [column.get(name, own[name]) for column in columns] for name in GRID_COLUMNS}
    arrays: dict[str, Any] = {
        name: np.array(row, np.int64 if name == "timeout_ms" else np.float64) for name, row in values.items()
    }
    grid = ExitGrid(**arrays)
    found = run_grid(paths, orders, grid, execution, stretch.start_ms, stretch.end_ms)
    daily = [tuple(row) for row in found.daily_returns.tolist()]
    return list(zip(found.n_trades.tolist(), found.net_return_sum.tolist(), daily, strict=True))


def _run_one(
    paths: Mapping[str, PricePath], orders: Orders, execution: ExecutionConfig, days: range
) -> tuple[int, float, tuple[float, ...]]:
    ledger = run_engine(paths, orders, execution)
    net_sum = float(ledger.trades["net_return"].sum())
    return ledger.trades.height, net_sum, tuple(sum_by_day(ledger, days, execution).tolist())


def _only_value(values: npt.NDArray[Any]) -> float | int | None:
    """The value that all have, NaN included; None when they differ."""
    first = values[0]
    same = np.isnan(values).all() if np.isnan(first) else (values == first).all()
    return first.item() if same else None
