"""The one record that is also handled one at a time: a liquidation on the wire."""

from __future__ import annotations

from typing import NamedTuple


class Liquidation(NamedTuple):
    """One forced order; times in milliseconds UTC.

    `push_ms` is None where the recording kept none. `known_ms` is when this machine had it.
    """

    symbol: str
    exchange: str
    event_ms: int
    push_ms: int | None
    known_ms: int
    liquidated_side: str
    quantity: float
    price: float
    position: int
