"""Prices that come too rarely to decide what an order asks."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._orders import Orders
from liqlab.backtest._prices import PricePath
from liqlab.core.time import MS_PER_S

#: A timeout of fewer typical intervals than this cannot be told from its neighbours.
_LEAST_INTERVALS = 3


def find_undecidable(paths: Mapping[str, PricePath], orders: Orders, config: ExecutionConfig) -> str:
    """Why the prices cannot decide these orders; empty when they can.

    Prices are coarse when their typical interval exceeds `config.fills.coarse_s`. Then what happens between two of them
    decides stops, targets, trails and limits, and timeouts shorter than three intervals are not kept.
    """
    symbols_of: dict[str, list[str]] = {}
    for symbol, interval_ms in _coarse_intervals(paths, orders, config).items():
        own = orders.select(orders.codes == orders.symbols.index(symbol))
        what = [
            name
            for name, values in (
                ("limit", own.limit_price),
                ("target", own.target_frac),
                ("stop", own.stop_frac),
                ("stop price", own.stop_price),
                ("trailing stop", own.trail_frac),
            )
            if not np.isnan(values).all()
        ]
        if np.any(own.timeout_ms < _LEAST_INTERVALS * interval_ms):
            what.append(f"timeout under {_LEAST_INTERVALS} intervals")
        if what:
            text = f"every {interval_ms / MS_PER_S:.3g} s cannot decide: {', '.join(what)}"
            symbols_of.setdefault(text, []).append(symbol)
    return "; ".join(f"prices of {', '.join(names)} {text}" for text, names in symbols_of.items())


def describe_coarse(paths: Mapping[str, PricePath], orders: Orders, config: ExecutionConfig) -> tuple[str, ...]:
    """One note for each symbol whose coarse prices were used all the same."""
    return tuple(
        f"prices of {symbol} come every {interval_ms / MS_PER_S:.3g} s: "
        "entries and exits are late by up to that, and the path between is unknown"
        for symbol, interval_ms in _coarse_intervals(paths, orders, config).items()
    )


def _coarse_intervals(paths: Mapping[str, PricePath], orders: Orders, config: ExecutionConfig) -> dict[str, int]:
    """The typical interval of every symbol that has orders and coarse prices, in milliseconds."""
    used = [orders.symbols[code] for code in np.unique(orders.codes)]
    coarse_ms = config.fills.coarse_s * MS_PER_S
    return {s: paths[s].interval_ms for s in used if s in paths and paths[s].interval_ms > coarse_ms}
