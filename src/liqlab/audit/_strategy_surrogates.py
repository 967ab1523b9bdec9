"""Prices on which no strategy can have an edge, in place of those of a recording; its events stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from liqlab.backtest import PricePath
from liqlab.core.time import MS_PER_MINUTE, MS_PER_S

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Volatility stays together within a block this long.
BLOCK_MS = 10 * MS_PER_MINUTE
#: A return beyond this, up or down, is cut: with its sign drawn anew it must not make a price negative.
_LARGEST_RETURN = 0.5

Paths = Mapping[str, PricePath]
MakeSurrogate = Callable[[Paths, np.random.Generator], dict[str, PricePath]]


def make_random_walks(paths: Paths, generator: np.random.Generator) -> dict[str, PricePath]:
    """For each path a geometric random walk without drift, at the path's own times, as volatile as it was over all.

    log p moves by N(-v / 2, v) with v = s^2 dt and s^2 = sum r^2 / sum dt over the path's log returns r, so that the
    price is a martingale. Observations become ticks; relative spreads and funding stay. Symbols are independent.
    """
    return {name: _walk(path, generator) for name, path in paths.items()}


def shuffle_blocks(paths: Paths, generator: np.random.Generator) -> dict[str, PricePath]:
    """For each path its own returns, in blocks of 10 minutes drawn with replacement, each with its sign drawn anew.

    Sizes of returns, fat tails and clusters of volatility stay; direction is a coin, so that the price is a martingale:
    p(i) = p(i - 1) (1 + e r) with e = +1 or -1. Blocks and signs (one per second) are the same for all symbols, which
    therefore keep moving together. How far an observation's extremes lie beyond its price and the one before goes with
    its return, mirrored when the sign is. Relative spreads and funding stay.
    """
    ends = [int(path.known_ms[row]) for path in paths.values() if len(path.known_ms) for row in (0, -1)]
    start_ms, end_ms = min(ends, default=0), max(ends, default=0)
    n_blocks = (end_ms - start_ms) // BLOCK_MS + 1
    source = generator.integers(0, n_blocks, n_blocks)
    signs = generator.integers(0, 2, (end_ms - start_ms) // MS_PER_S + 1, dtype=np.int8) * 2 - 1
    return {name: _shuffle(path, start_ms, source, signs) for name, path in paths.items()}


#: Kind of surrogate to what makes it.
SURROGATES: dict[str, MakeSurrogate] = {"random walk": make_random_walks, "shuffled blocks": shuffle_blocks}


def _walk(path: PricePath, generator: np.random.Generator) -> PricePath:
    if len(path.price) < 2:
        return path
    step_ms = np.diff(path.known_ms)
    moves = np.diff(np.log(path.price))
    variance = float(moves @ moves) / float(step_ms.sum()) * step_ms
    drawn = np.sqrt(variance) * generator.standard_normal(len(step_ms)) - 0.5 * variance
    price = path.price[0] * np.exp(np.append(0.0, np.cumsum(drawn)))
    return _on_prices(path, price, price, price)


def _shuffle(path: PricePath, start_ms: int, source: Integers, signs: npt.NDArray[np.int8]) -> PricePath:
    if len(path.price) < 2:
        return path
    taken = _take(path.known_ms, start_ms, source)
    before = np.append(path.price[0], path.price[:-1])
    sign = signs[(path.known_ms - start_ms) // MS_PER_S]
    # Sign and return of one second belong together for all symbols, so that what they have in common survives.
    move = np.clip(path.price / before - 1.0, -_LARGEST_RETURN, _LARGEST_RETURN)
    below = 1.0 - path.low / np.minimum(path.price, before)
    above = path.high / np.maximum(path.price, before) - 1.0
    moves = np.where(taken >= 0, sign * move[taken], 0.0)
    moves[0] = 0.0
    price = path.price[0] * np.cumprod(1.0 + moves)
    before = np.append(price[0], price[:-1])
    down, up = (np.where(taken >= 0, np.maximum(part[taken], 0.0), 0.0) for part in (below, above))
    down, up = np.where(sign > 0, down, up), np.where(sign > 0, up, down)
    if np.array_equal(path.low, path.high):
        return _on_prices(path, price, price, price)
    return _on_prices(path, price, np.minimum(price, before) * (1.0 - down), np.maximum(price, before) * (1.0 + up))


def _take(known_ms: Integers, start_ms: int, source: Integers) -> Integers:
    """The observation that each one's return comes from, (n,), -1 for none: the same place within the block drawn.

    A block with fewer or more observations is stretched over those there are.
    """
    edges = np.searchsorted(known_ms, start_ms + BLOCK_MS * np.arange(len(source) + 1))
    first, size = edges[:-1], np.diff(edges)
    block = (known_ms - start_ms) // BLOCK_MS
    place = np.arange(len(known_ms)) - first[block]
    stretched = place * size[source[block]] // size[block]
    return np.where(size[source[block]] > 0, first[source[block]] + stretched, -1)


def _on_prices(path: PricePath, price: Floats, low: Floats, high: Floats) -> PricePath:
    moved = price / path.price
    columns: dict[str, Any] = {"price": price, "low": np.minimum(low, price), "high": np.maximum(high, price)}
    return replace(path, **columns, bid=path.bid * moved, ask=path.ask * moved)
