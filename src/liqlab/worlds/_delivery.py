"""From the exchange to the recorder: when each liquidation is pushed and when the recorder has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.worlds._dials import World
from liqlab.worlds._market import LiquidationArrays, MarketDay
from liqlab.worlds._noise import Integers
from liqlab.worlds._random import named_generator

#: The exchange pushes liquidations in batches, this far apart.
PUSH_INTERVAL_MS = 500


@dataclass(frozen=True)
class Delivered:
    """Liquidations with the time of the push that held each and the time at which the recorder had it, in order."""

    liquidations: LiquidationArrays
    push_ms: Integers
    known_ms: Integers

    def take(self, rows: NDArray[np.bool_]) -> Delivered:
        """The liquidations of a mask."""
        return Delivered(self.liquidations.take(rows), self.push_ms[rows], self.known_ms[rows])

    def number_lines(self) -> tuple[Integers, Integers]:
        """For each liquidation its line in the file of its hour, from 1, and its place in that line, from 0."""
        is_first = np.concatenate([[True], self.push_ms[1:] != self.push_ms[:-1]])[: len(self.push_ms)]
        line = np.cumsum(is_first)
        hours = self.known_ms // MS_PER_HOUR
        _, first_of_hour, of_hour = np.unique(hours, return_index=True, return_inverse=True)
        rows = np.arange(len(self.push_ms))
        place = rows - np.maximum.accumulate(np.where(is_first, rows, 0))
        return line - line[first_of_hour][of_hour] + 1, place


def deliver_days(
    world: World, seed: int, days: Iterable[MarketDay]
) -> Iterator[tuple[MarketDay, tuple[Delivered, ...]]]:
    """Each day with what the recorder had of each symbol on it; what comes after midnight waits for the next day.

    All forced orders of one half second come in one push at its end. Its way is shorter than the time to
    the next push. What is still on its way after the last day is not delivered.
    """
    late: dict[str, Delivered] = {}
    for day in days:
        midnight_ms = (day.day + 1) * MS_PER_DAY
        delivered = []
        for symbol_day in day.symbols:
            name = symbol_day.symbol
            coming = _send(world, seed, name, day.day, symbol_day.liquidations)
            if name in late:
                coming = _join(late[name], coming)
            in_time = coming.known_ms < midnight_ms
            delivered.append(coming.take(in_time))
            late[name] = coming.take(~in_time)
        yield day, tuple(delivered)


def _send(world: World, seed: int, symbol: str, day: int, liquidations: LiquidationArrays) -> Delivered:
    dials = world.recorder
    push_ms = (liquidations.event_ms // PUSH_INTERVAL_MS + 1) * PUSH_INTERVAL_MS
    pushes, of_push = np.unique(push_ms, return_inverse=True)
    generator = named_generator(seed, symbol, day, "pushes")
    spread = dials.delivery_longest_ms - dials.delivery_shortest_ms
    delay = dials.delivery_shortest_ms + max(spread, 0.0) * generator.random(len(pushes))
    known_ms = pushes + delay.astype(np.int64)
    return Delivered(liquidations, push_ms, known_ms[of_push])


def _join(first: Delivered, second: Delivered) -> Delivered:
    def join(one: Any, other: Any) -> Any:
        return type(one)(
            *(np.concatenate([getattr(one, part.name), getattr(other, part.name)]) for part in fields(one))
        )

    return Delivered(
        join(first.liquidations, second.liquidations),
        np.concatenate([first.push_ms, second.push_ms]),
        np.concatenate([first.known_ms, second.known_ms]),
    )


def draw_rest_delays(seed: int, symbol: str, day: int, n: int) -> Integers:
    """How long the REST answer of each of the day's states takes, in ms."""
    return named_generator(seed, symbol, day, "ticker delays").integers(20, 151, n)
