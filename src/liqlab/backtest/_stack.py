"""From paths, orders and configuration to the arrays of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from liqlab.backtest._execution import BPS, ExecutionConfig, SlippageModel
from liqlab.backtest._kernel import BIG_BLOCK, BLOCK, Decisions, Entries, Exits, Market, Rules, find_entries
from liqlab.backtest._orders import Orders
from liqlab.backtest._prices import PricePath

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def stack_paths(paths: Mapping[str, PricePath], symbols: Sequence[str], slippage: SlippageModel) -> Market:
    """The paths of `symbols`, one after the other; a symbol without a path has no rows."""
    own = [paths[symbol] for symbol in symbols if symbol in paths]
    counts = [paths[symbol].known_ms.size if symbol in paths else 0 for symbol in symbols]
    fundings = [paths[symbol].funding_ms.size if symbol in paths else 0 for symbol in symbols]
    low, high = _view(own, lambda path: path.low), _view(own, lambda path: path.high)
    block_low, block_high = _fold(low, BLOCK, np.minimum), _fold(high, BLOCK, np.maximum)
    big_low, big_high = _fold(low, BIG_BLOCK, np.minimum), _fold(high, BIG_BLOCK, np.maximum)
    begin = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    starts = begin[:-1][np.asarray(counts, dtype=np.int64) > 0]
    gaps = [
        start + find_gap_rows(path) for start, path in zip(starts, [p for p in own if p.known_ms.size], strict=True)
    ]
    return Market(
        begin,
        _join(own, lambda path: path.known_ms).astype(np.int64, copy=False),
        _join(own, lambda path: path.price),
        slippage.half_spread_frac(_view(own, lambda path: path.bid), _view(own, lambda path: path.ask)),
        _sign(low, high),
        _sign(high, low),
        _sign(block_low, block_high),
        _sign(block_high, block_low),
        _sign(big_low, big_high),
        _sign(big_high, big_low),
        np.concatenate([np.empty(0, np.int64), *gaps]),
        np.array([paths[symbol].tolerance_ms if symbol in paths else 0 for symbol in symbols], dtype=np.int64),
        np.concatenate([[0], np.cumsum(fundings)]).astype(np.int64),
        _join(own, lambda path: path.funding_ms).astype(np.int64, copy=False),
        _join(own, lambda path: path.funding_rate),
        _join(own, last_price_at_funding),
    )


def find_gap_rows(path: PricePath) -> Integers:
    """The rows of a path that come after a gap: more than the tolerance later than the row before."""
    return np.flatnonzero(np.diff(path.known_ms) > path.tolerance_ms).astype(np.int64) + 1


def last_price_at_funding(path: PricePath) -> Floats:
    """The last price known at each moment of funding, (f,); NaN before the first."""
    row = np.searchsorted(path.known_ms, path.funding_ms, side="right") - 1
    return np.where(row >= 0, path.price[row], np.nan) if path.price.size else np.full(row.shape, np.nan)


def _join(paths: Sequence[PricePath], column: Callable[[PricePath], npt.NDArray[np.generic]]) -> Floats:
    parts = [column(path) for path in paths]
    joined: Floats = np.concatenate(parts) if parts else np.empty(0)
    return joined


def _view(paths: Sequence[PricePath], column: Callable[[PricePath], Floats]) -> Floats:
    """`_join`, or the path's own column when there is one path: to read, for the kernel wants arrays of its own."""
    return column(paths[0]) if len(paths) == 1 else _join(paths, column)


def _sign(worse: Floats, better: Floats) -> Floats:
    """(2 n,): the worse extremes for a long, then those for a short with their sign changed."""
    n = worse.size
    signed = np.empty(2 * n)
    signed[:n] = worse
    np.negative(better, out=signed[n:])
    return signed


def _fold(values: Floats, width: int, worst: np.ufunc) -> Floats:
    """The extremes of whole blocks of `width` values, a power of two; what is left over has no block."""
    folded = values[: values.size // width * width]
    while width > 1:
        # Halving is several times as fast as reducing short rows, and picks the same values.
        folded = worst(folded[0::2], folded[1::2])
        width //= 2
    return folded


def make_decisions(orders: Orders) -> Decisions:
    """What the kernel needs of orders beside their exits."""
    return Decisions(
        orders.codes,
        orders.decision_ms,
        orders.side,
        orders.limit_price,
        orders.limit_life_ms,
        orders.stop_price,
        orders.exit_signal_ms,
        orders.exit_signal,
    )


def make_exits(orders: Orders) -> Exits:
    """The exits and sizes of the orders themselves."""
    return Exits(
        orders.target_frac, orders.target_share, orders.stop_frac, orders.trail_frac, orders.timeout_ms, orders.weight
    )


def make_rules(config: ExecutionConfig) -> Rules:
    """The configuration as the kernel takes it."""
    return Rules(
        config.latency.delay_ms,
        config.fills.through_frac,
        config.fees.maker_bps * BPS,
        config.fees.taker_bps * BPS,
        config.slippage.impact_bps * BPS,
        config.funding.charge,
        float(config.limits.notional_usd),
        int(config.limits.max_positions),
        float(config.limits.max_gross_usd),
        config.limits.cooldown_ms,
        float(config.limits.capital_usd),
    )


def compute_entries(market: Market, decisions: Decisions, rules: Rules) -> Entries:
    """What becomes of each order, were it let in."""
    n = decisions.code.size
    entries = Entries(
        np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.int64), np.zeros(n, np.int64)
    )
    find_entries(market, decisions, rules, entries)
    return entries
