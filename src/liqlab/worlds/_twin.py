"""The noise-free twin of a market: the same seed without any liquidation's effect, from the undisturbed path alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
import polars as pl

from liqlab.core.schema import SYMBOL, TIME
from liqlab.core.time import MS_PER_DAY
from liqlab.worlds._dials import World
from liqlab.worlds._market import REST_STEPS
from liqlab.worlds._named import check_symbols
from liqlab.worlds._noise import STEP_MS, STEPS_PER_DAY, draw_free_paths, walk_days
from liqlab.worlds._traders import count_history_days

_HOURS_PER_DAY = 24.0


def compute_free_paths(world: World, symbols: Sequence[str], seed: int, start_ms: int, end_ms: int) -> pl.DataFrame:
    """The price that no liquidation moves, every five seconds of [start_ms, end_ms): symbol, time, free_price.

    Equal to `free_price` in the truth of a simulation with the same arguments: what liquidations do leaves every draw
    of this path as it was, so it serves as the twin of that market with all their effects off.
    """
    names = tuple(sorted(check_symbols(symbols)))
    first, last = start_ms // MS_PER_DAY, (end_ms - 1) // MS_PER_DAY
    history_days = count_history_days(world)
    walk = islice(walk_days(world, names, seed, first - history_days), history_days, history_days + last - first + 1)
    level = np.array([np.log(world.dials_of(name).start_price) for name in names])
    parts = []
    for place, nodes in enumerate(walk):
        free = draw_free_paths(world, names, seed, nodes, level, place * _HOURS_PER_DAY)
        level = free[:, -1].copy()
        time_ms = (first + place) * MS_PER_DAY + np.arange(0, STEPS_PER_DAY, REST_STEPS) * STEP_MS
        inside = slice(*np.searchsorted(time_ms, [start_ms, end_ms]).tolist())
        time = pl.Series(time_ms[inside]).cast(TIME)
        for name, path in zip(names, free[:, ::REST_STEPS], strict=True):
            symbol = pl.repeat(name, len(time), dtype=SYMBOL, eager=True)
            parts.append(pl.DataFrame({"symbol": symbol, "time": time, "free_price": np.exp(path[inside])}))
    return pl.concat(parts).sort("symbol", "time")
