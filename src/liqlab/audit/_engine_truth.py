"""Whether the engine pays what is there: nothing on a martingale, a planted reversion less what costs and delay take.

On a martingale no rule that does not know the future earns or loses before costs, whatever its stops, limits and
targets. So the mean over trades of net_return + fees + slippage + funding + limit_overshoot must be zero, for every
strategy and for random ones. A fill at a stale price, at a stop's own level, or at a target whose bar had been there
before the entry shows here. Where every cascade pushes the price by a known size and part of it comes back, what a
fade of them earns follows from size, costs and delay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.audit._engine_truth_market import TruthMarket, TruthWorld, make_truth_market
from liqlab.audit._engine_truth_orders import RANDOM_STRATEGIES, draw_orders
from liqlab.audit._strategy_render import _align
from liqlab.backtest import STRATEGIES, Ledger, decide_orders, get_strategy, run_engine
from liqlab.core.errors import ConfigError
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.schema import LONG

Floats = npt.NDArray[np.float64]

#: Seeds count up from here, apart from those of estimands, information coefficients, examples and tests.
FIRST_ENGINE_SEED = 300_000
#: A mean may lie this many standard errors from what it should be.
MOST_STANDARD_ERRORS = 3.0
#: What the planted reversion asks for: trades, and the standard error of the mean as a share of what is implied.
LEAST_TRADES, MOST_ERROR_FRAC = 500, 0.2
_BPS = 1e4
_N_RANDOM, _RANDOM_STREAM = 3_000, 1

#: Where nothing can be earned.
MARTINGALE = TruthWorld()
#: Cascades push by 50 bps and 25 come back within five minutes; by how much the price moves besides, a year.
REVERSIONS: tuple[TruthWorld, ...] = tuple(
    TruthWorld(days=1.0, annual_volatility_frac=volatility, push_bps=50.0, back_frac=0.5) for volatility in (0.05, 0.6)
)


@dataclass(frozen=True)
class FairMean:
    """What a trade of a strategy earns before costs where nothing can be earned; fractions of its notional.

    `mean` is the total over all seeds by the number of trades; `standard_error` comes from the totals of the seeds,
    which are independent, where trades are not. NaN without a trade.
    """

    strategy: str
    variant: str
    n_trades: int
    mean: float
    standard_error: float

    @property
    def standard_errors(self) -> float:
        """How many standard errors the mean lies from zero; NaN when there is no error to speak of."""
        return self.mean / self.standard_error if self.standard_error > 0.0 else float("nan")

    @property
    def holds(self) -> bool:
        """Whether there were trades and their mean is zero within three standard errors."""
        return abs(self.standard_errors) < MOST_STANDARD_ERRORS


@dataclass(frozen=True)
class ReversionMean:
    """What a trade of the scaled cascade fade earns net where a reversion was planted; fractions of its notional.

    `implied` is the mean of what was planted while each position was held, less its costs and overshoot; `difference`
    is `net` less `implied`, zero but for chance. `noise_free` is what the engine earns on the same cascades without the
    random walk. Standard errors come from the seeds.
    """

    annual_volatility_frac: float
    push_bps: float
    back_bps: float
    n_trades: int
    net: float
    standard_error: float
    implied: float
    difference_error: float
    noise_free: float

    @property
    def standard_errors(self) -> float:
        """How many standard errors the net result lies from what is implied."""
        away = self.net - self.implied
        return away / self.difference_error if self.difference_error > 0.0 else float("nan")

    @property
    def error_frac(self) -> float:
        """The standard error of the net result as a share of what is implied."""
        return self.standard_error / abs(self.implied)

    @property
    def holds(self) -> bool:
        """Whether enough trades earn what is implied, told sharply enough."""
        is_sharp = self.n_trades >= LEAST_TRADES and self.error_frac <= MOST_ERROR_FRAC
        return is_sharp and abs(self.standard_errors) < MOST_STANDARD_ERRORS


@dataclass(frozen=True)
class EngineTruth:
    """The truth of the engine over `n_seeds` markets."""

    n_seeds: int
    fair: tuple[FairMean, ...]
    reversions: tuple[ReversionMean, ...]

    @property
    def n_failed(self) -> int:
        """How many rows do not hold."""
        return sum(not one.holds for one in self.fair) + sum(not one.holds for one in self.reversions)

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return self.n_failed == 0

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values; null where there is no number."""
        rows = [_to_plain(one) for one in self.fair]
        return {"seeds": self.n_seeds, "fair": rows, "reversions": [_to_plain(one) for one in self.reversions]}


def _to_plain(one: FairMean | ReversionMean) -> dict[str, Any]:
    values = {**asdict(one), "standard_errors": one.standard_errors, "holds": one.holds}
    return {
        name: None if isinstance(value, float) and not np.isfinite(value) else value for name, value in values.items()
    }


@dataclass(frozen=True)
class _Fair:
    """Of one seed: trades of a strategy and their sum before costs."""

    strategy: str
    variant: str
    n_trades: int
    total: float


@dataclass(frozen=True)
class _Reversion:
    """Of one seed: trades, their net sum and what is implied; the same cascades without noise."""

    n_trades: int
    net: float
    implied: float
    n_noise_free: int
    net_noise_free: float


@dataclass(frozen=True)
class _Task:
    seed: int
    martingale: TruthWorld
    reversions: tuple[TruthWorld, ...]


def measure_engine_truth(
    n_seeds: int = 200,
    *,
    martingale: TruthWorld = MARTINGALE,
    reversions: Sequence[TruthWorld] = REVERSIONS,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> EngineTruth:
    """The engine on `n_seeds` markets where nothing can be earned, and as many of each planted reversion.

    The four strategies trade with their scaled and their default parameters, and random ones with every kind of order.
    The same seeds give the same numbers with any number of workers. `ConfigError` for fewer than two seeds, which have
    no standard error.
    """
    if n_seeds < 2:
        raise ConfigError(f"the truth of the engine needs at least 2 seeds for a standard error, got {n_seeds}")
    seeds = range(FIRST_ENGINE_SEED, FIRST_ENGINE_SEED + n_seeds)
    tasks = [_Task(seed, martingale, tuple(reversions)) for seed in seeds]
    found = []
    with stage(progress, "truth of the engine", n_seeds):
        for one in ordered_map(_measure, tasks, min(count_workers(workers), n_seeds)):
            found.append(one)
            progress.advance()
    fair, planted = (list(zip(*parts, strict=True)) for parts in zip(*found, strict=True))
    return EngineTruth(
        n_seeds,
        tuple(_judge_fair(column) for column in fair),
        tuple(_judge_reversion(world, column) for world, column in zip(reversions, planted, strict=True)),
    )


def _measure(task: _Task) -> tuple[tuple[_Fair, ...], tuple[_Reversion, ...]]:
    fair = tuple(_trade_all(make_truth_market(task.seed, task.martingale), task.seed))
    return fair, tuple(_measure_reversion(task.seed, world) for world in task.reversions)


def _trade_all(market: TruthMarket, seed: int) -> Iterator[_Fair]:
    """Every strategy on a market, always in the same order."""
    inputs = market.inputs
    for strategy in STRATEGIES:
        for variant, parameters in (("scaled", strategy.scaled), ("default", strategy.default)):
            ledger = run_engine(inputs.paths, decide_orders(strategy, inputs, parameters))
            yield _Fair(strategy.name, variant, ledger.trades.height, _sum_before_costs(ledger))
    for number, drawn in enumerate(RANDOM_STRATEGIES):
        generator = np.random.default_rng([seed, number, _RANDOM_STREAM])
        ledger = run_engine(inputs.paths, draw_orders(drawn, inputs, generator, _N_RANDOM), drawn.execution)
        yield _Fair("random", drawn.name, ledger.trades.height, _sum_before_costs(ledger))


def _sum_before_costs(ledger: Ledger) -> float:
    """Sum over trades of what costs and limits took given back; unknown funding was never taken."""
    costs = pl.col("fees") + pl.col("slippage") + pl.col("funding").fill_null(0.0)
    return float(ledger.trades.select((pl.col("net_return") + costs + pl.col("limit_overshoot")).sum()).item())


def _measure_reversion(seed: int, world: TruthWorld) -> _Reversion:
    market = make_truth_market(seed, world)
    trades = _fade(market).trades
    alone = _fade(make_truth_market(seed, replace(world, annual_volatility_frac=0.0))).trades
    implied = float(imply_net(market, trades).sum())
    return _Reversion(
        trades.height,
        float(trades["net_return"].sum()),
        implied,
        alone.height,
        float(alone["net_return"].sum()),
    )


def _fade(market: TruthMarket) -> Ledger:
    strategy = get_strategy("cascade_fade")
    return run_engine(market.inputs.paths, decide_orders(strategy, market.inputs, strategy.scaled))


def imply_net(market: TruthMarket, trades: pl.DataFrame) -> Floats:
    """What each trade of market orders earns net on average, given when it was entered and left, (t,).

    side (planted(exit) - planted(entry)) / price(entry) - fees - slippage - funding - limit_overshoot: the martingale's
    share of the return has mean zero at any exit that does not know the future.
    """
    implied = np.zeros(trades.height)
    side = np.where(trades["side"] == LONG, 1.0, -1.0)
    entry_ms, exit_ms = (trades[name].to_physical().to_numpy() for name in ("entry_time", "exit_time"))
    for name, path in market.inputs.paths.items():
        own = (trades["symbol"] == name).to_numpy()
        entry, last = (np.searchsorted(path.known_ms, times[own]) for times in (entry_ms, exit_ms))
        planted = market.planted[name]
        implied[own] = side[own] * (planted[last] - planted[entry]) / path.price[entry]
    costs = sum(trades[name].fill_null(0.0).to_numpy() for name in ("fees", "slippage", "funding", "limit_overshoot"))
    return np.asarray(implied - costs, dtype=np.float64)


def _judge_fair(seeds: Sequence[_Fair]) -> FairMean:
    n, totals = sum(one.n_trades for one in seeds), np.array([one.total for one in seeds])
    mean, error = (totals.sum() / n, _error_of_sum(totals) / n) if n else (float("nan"), float("nan"))
    return FairMean(seeds[0].strategy, seeds[0].variant, n, float(mean), float(error))


def _judge_reversion(world: TruthWorld, seeds: Sequence[_Reversion]) -> ReversionMean:
    counts, net, implied = (np.array([getattr(one, name) for one in seeds]) for name in ("n_trades", "net", "implied"))
    n = max(int(counts.sum()), 1)
    return ReversionMean(
        annual_volatility_frac=world.annual_volatility_frac,
        push_bps=world.push_bps,
        back_bps=world.push_bps * world.back_frac,
        n_trades=int(counts.sum()),
        net=float(net.sum() / n),
        # The number of trades varies too, and the mean is not zero: what varies is the sum less the mean's share of it.
        standard_error=_error_of_sum(net - net.sum() / n * counts) / n,
        implied=float(implied.sum() / n),
        difference_error=_error_of_sum(net - implied) / n,
        noise_free=sum(one.net_noise_free for one in seeds) / max(sum(one.n_noise_free for one in seeds), 1),
    )


def _error_of_sum(values: Floats) -> float:
    """The standard error of a sum of independent values."""
    return float(values.std(ddof=1) * values.size**0.5)


def render_engine_truth(truth: EngineTruth) -> str:
    """Both tables as text, and a verdict that names what does not hold."""
    fair = [
        (
            f"{one.strategy}, {one.variant}",
            f"{one.n_trades:,}",
            f"{_BPS * one.mean:+.3f}",
            f"{_BPS * one.standard_error:.3f}",
            f"{one.standard_errors:+.2f}",
            "yes" if one.holds else "NO",
        )
        for one in truth.fair
    ]
    planted = [
        (
            f"{100 * one.annual_volatility_frac:.0f} %, {one.back_bps:.0f} of {one.push_bps:.0f} bps come back",
            f"{one.n_trades:,}",
            f"{_BPS * one.noise_free:+.2f}",
            f"{_BPS * one.implied:+.2f}",
            f"{_BPS * one.net:+.2f}",
            f"{_BPS * one.standard_error:.2f}",
            f"{one.standard_errors:+.2f}",
            "yes" if one.holds else "NO",
        )
        for one in truth.reversions
    ]
    verdict = "everything holds" if truth.passed else f"{truth.n_failed} of {len(fair) + len(planted)} do NOT hold"
    lines = [
        f"{truth.n_seeds} markets where nothing can be earned: bps per trade before costs, overshoot given back",
        "",
        *_align([_FAIR_HEADINGS, *fair]),
        "",
        f"{truth.n_seeds} markets with a planted reversion, scaled cascade_fade: bps per trade, net",
        "",
        *_align([_REVERSION_HEADINGS, *planted]),
        "",
        verdict,
    ]
    return "\n".join(lines)


_FAIR_HEADINGS = ("strategy", "trades", "mean", "standard error", "standard errors from 0", "holds")
_REVERSION_HEADINGS = (
    "volatility a year, reversion",
    "trades",
    "without noise",
    "implied",
    "earned",
    "standard error",
    "standard errors from implied",
    "holds",
)
