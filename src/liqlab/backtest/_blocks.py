"""Trades and days in blocks of time, wide enough that what one block earned says nothing about the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.stats import choose_block_length

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Blocks that an interval should have at least, where narrower blocks give them.
WANTED_BLOCKS = 16
#: Blocks beyond which they are made wider: more say no more, and wider ones cover longer dependence.
MOST_BLOCKS = 32
#: Blocks below which a block bootstrap gives no interval.
LEAST_BLOCKS = 8

_WIDTHS_HOURS = (24, 12, 6, 3, 1)


@dataclass(frozen=True)
class TradeBlocks:
    """Blocks of calendar time: `block` (n,) numbers that of each trade's entry, from 0; `width_ms` is their width."""

    width_ms: int
    block: Integers

    @property
    def n_blocks(self) -> int:
        """Blocks that hold trades."""
        return int(self.block.max()) + 1 if self.block.size else 0

    @property
    def words(self) -> str:
        """How wide, in words."""
        hours = self.width_ms // MS_PER_HOUR
        return f"{hours // 24} days" if hours > 24 else f"{hours} h"

    def sums(self, values: Floats) -> Floats:
        """Sums of `values` (n,) by block, (n_blocks,)."""
        sums: Floats = np.bincount(self.block, weights=values, minlength=self.n_blocks).astype(np.float64)
        return sums


def assign_blocks(trades: pl.DataFrame) -> TradeBlocks:
    """The blocks of the trades of a ledger, by entry time, over all symbols together.

    The widest of 24, 12, 6, 3 and 1 hours with which at least 16 blocks hold trades, and no narrower than twice the
    longest holding time, but for a day, which always will do; a number of days where more than 32 blocks held trades.
    """
    entry_ms = trades["entry_time"].to_physical().to_numpy()
    if not entry_ms.size:
        return TradeBlocks(MS_PER_DAY, entry_ms.astype(np.int64))
    holding_ms = int((trades["exit_time"].to_physical().to_numpy() - entry_ms).max())
    widths = [hours * MS_PER_HOUR for hours in _WIDTHS_HOURS]
    usable = [width for width in widths if width == MS_PER_DAY or width >= 2 * holding_ms]
    chosen = next((width for width in usable if _count(entry_ms, width) >= WANTED_BLOCKS), usable[-1])
    if chosen == MS_PER_DAY:
        while _count(entry_ms, chosen) > MOST_BLOCKS:
            chosen += MS_PER_DAY
    _, block = np.unique(entry_ms // chosen, return_inverse=True)
    return TradeBlocks(chosen, block.astype(np.int64))


def block_days(returns: Floats) -> Integers:
    """The block of each of d days, (d,), of one length but for the last: chosen from the returns, at most 32 blocks.

    The length is that of `choose_block_length`, cut to what leaves 8 blocks.
    """
    n_days = returns.size
    length = max(choose_block_length(returns), -(-n_days // MOST_BLOCKS))
    length = max(min(length, n_days // LEAST_BLOCKS), 1)
    return np.arange(n_days, dtype=np.int64) // length


def _count(entry_ms: Integers, width_ms: int) -> int:
    return int(np.unique(entry_ms // width_ms).size)
