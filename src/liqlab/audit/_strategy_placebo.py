"""A strategy where nothing can be earned: if it earns there, it is the backtest that earns."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from liqlab.audit._strategy_backtest import Backtest, Simulate, simulate_honestly
from liqlab.audit._strategy_surrogates import SURROGATES
from liqlab.backtest import ExecutionConfig, MarketInputs, Strategy
from liqlab.core.errors import UserError
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage

#: The mean over surrogates may lie this many standard errors from zero.
MOST_STANDARD_ERRORS = 3.0
#: Fewer surrogates of a kind give no standard error to speak of.
LEAST_SURROGATES = 10


@dataclass(frozen=True)
class PlaceboCheck:
    """A strategy on surrogates of one kind; returns are fractions of the notional of a trade.

    `mean` is what a trade earns there before costs, and with what trading through a limit costs given back (net + fees
    + slippage + funding + limit_overshoot): zero on a martingale, whatever the strategy. It is the total over all
    surrogates by the number of trades; `standard_error` comes from the totals of the surrogates. `n_trades` is a
    surrogate's mean number of trades. `net` is what a trade earns after costs in each surrogate that had a trade, in
    order of size, `data_net` the same of the data, and `p` the share of those that earn at least as much, the data
    counted among them; NaN without a trade. `must_not_lose`: a mean far below zero is wrong too, since the ledger says
    what its limits cost.
    """

    kind: str
    n_surrogates: int
    n_trades: float
    mean: float
    standard_error: float
    win_rate: float
    net: tuple[float, ...]
    data_net: float
    n_as_good: int
    p: float
    must_not_lose: bool

    @property
    def standard_errors(self) -> float:
        """How many standard errors the mean lies from zero; NaN without trades."""
        return self.mean / self.standard_error if self.standard_error > 0.0 else float("nan")

    @property
    def passed(self) -> bool:
        """Whether the strategy does not earn; true without a trade, for then there is nothing to earn."""
        away = self.standard_errors
        return not (away > MOST_STANDARD_ERRORS or (self.must_not_lose and away < -MOST_STANDARD_ERRORS))


@dataclass(frozen=True)
class _Surrogate:
    """What one surrogate gave: number of trades, how many won after costs, sum before costs, sum after."""

    n_trades: int
    n_won: int
    fair: float
    net: float


@dataclass(frozen=True)
class _Task:
    kind: str
    seed: int
    number: int
    inputs: MarketInputs | Path
    strategy: Strategy
    parameters: Any
    execution: ExecutionConfig
    simulate: Simulate


def check_n_surrogates(n_surrogates: int) -> None:
    """`UserError` when there are too few of each kind."""
    least = LEAST_SURROGATES * len(SURROGATES)
    if n_surrogates < least:
        raise UserError(f"the placebo needs at least {least} surrogates, got {n_surrogates}")


def check_placebo(
    strategy: Strategy,
    inputs: MarketInputs,
    parameters: Any = None,
    *,
    data_net: float = float("nan"),
    n_surrogates: int = 200,
    execution: ExecutionConfig | None = None,
    simulate: Simulate = simulate_honestly,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> tuple[PlaceboCheck, ...]:
    """The strategy on `n_surrogates` surrogate markets, an equal number of each kind of `SURROGATES`.

    Liquidations keep their times, sides and notional; prices are made anew, and all that follows from them. `data_net`
    is what a trade earns on the data after costs. With another `simulate` than the engine a ledger need not know what
    its limits cost: then only to earn is wrong. More than one worker needs strategy, parameters and `simulate` that
    pickle; the result does not depend on their number. `UserError` for fewer than 10 surrogates of a kind, and what the
    strategy raises.
    """
    check_n_surrogates(n_surrogates)
    n_each = -(-n_surrogates // len(SURROGATES))
    chosen = strategy.default if parameters is None else parameters
    is_engine = simulate is simulate_honestly
    n_workers = min(count_workers(workers), n_surrogates)
    with tempfile.TemporaryDirectory(prefix="liqlab-placebo-") as place:
        source: MarketInputs | Path = inputs
        if n_workers > 1:
            source = Path(place) / "inputs.pickle"
            source.write_bytes(pickle.dumps(inputs, protocol=pickle.HIGHEST_PROTOCOL))
        tasks = [
            _Task(kind, seed, number, source, strategy, chosen, execution or ExecutionConfig(), simulate)
            for kind in SURROGATES
            for number in range(n_each)
        ]
        found = []
        with stage(
            progress,
            f"{strategy.name}: surrogates, by {'the engine' if is_engine else 'its own fill rule'}",
            len(tasks),
        ):
            for one in ordered_map(_run, tasks, n_workers):
                found.append(one)
                progress.advance()
    parts = [found[start : start + n_each] for start in range(0, len(found), n_each)]
    return tuple(_judge(kind, part, data_net, is_engine) for kind, part in zip(SURROGATES, parts, strict=True))


def _run(task: _Task) -> _Surrogate:
    inputs = task.inputs if isinstance(task.inputs, MarketInputs) else _load(task.inputs)
    # Each surrogate has its own stream: which worker takes it, and after which, makes no difference.
    generator = np.random.default_rng([task.seed, list(SURROGATES).index(task.kind), task.number])
    surrogate = inputs.with_paths(SURROGATES[task.kind](inputs.paths, generator))
    try:
        return _sum_up(task.simulate(surrogate, task.strategy, task.parameters, task.execution))
    except UserError as error:
        raise UserError(
            f"{error} (it happened on other prices: {task.kind} {task.number + 1} of the placebo)"
        ) from error


@lru_cache(maxsize=1)
def _load(path: Path) -> MarketInputs:
    inputs: MarketInputs = pickle.loads(path.read_bytes())
    return inputs


def _sum_up(backtest: Backtest) -> _Surrogate:
    trades = backtest.ledger.trades
    net = trades["net_return"].to_numpy()
    fair = trades.select((pl.col("gross_return") + pl.col("limit_overshoot")).sum()).item()
    return _Surrogate(trades.height, int((net > 0.0).sum()), float(fair), float(net.sum()))


def _judge(kind: str, found: Sequence[_Surrogate], data_net: float, two_sided: bool) -> PlaceboCheck:
    n, fair = np.array([one.n_trades for one in found]), np.array([one.fair for one in found])
    total, n_won = int(n.sum()), sum(one.n_won for one in found)
    nan = float("nan")
    net = tuple(sorted(one.net / one.n_trades for one in found if one.n_trades))
    n_as_good = sum(value >= data_net for value in net)
    return PlaceboCheck(
        kind=kind,
        n_surrogates=len(found),
        n_trades=total / len(found),
        mean=float(fair.sum()) / total if total else nan,
        # Of the sum, whose mean is zero; the number of trades only scales it.
        standard_error=float(fair.std(ddof=1)) * len(found) ** 0.5 / total if total else nan,
        win_rate=n_won / total if total else nan,
        net=net,
        data_net=data_net,
        n_as_good=n_as_good,
        p=(1 + n_as_good) / (1 + len(net)) if net and np.isfinite(data_net) else nan,
        must_not_lose=two_sided,
    )
