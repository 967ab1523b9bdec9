"""What goes wrong in a recording, added on purpose and counted exactly, to check a reader's own counts against."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from liqlab.core.time import MS_PER_MINUTE
from liqlab.worlds._capture import CaptureLines
from liqlab.worlds._dials import RecorderDials
from liqlab.worlds._noise import Integers

_GRID_MS = 10_000
_SHORTEST_GAP_MS = 2 * MS_PER_MINUTE
_REPEATED_LINES = 3
_LATE_WITHIN_MS = 3_000


@dataclass(frozen=True)
class DirtCounts:
    """How much dirt the files hold. `lost_` rows would have been written but for the gaps.

    `quarantined_rows` is what a reader must put aside: one per corrupt line that cannot be read, else one per bad
    liquidation in it. No good row is damaged: a corrupt line is a spoilt copy beside the good one.
    """

    gaps: int = 0
    lost_liquidations: int = 0
    lost_ticker_rows: int = 0
    repeated_messages: int = 0
    repeated_liquidations: int = 0
    repeated_ticker_rows: int = 0
    corrupt_lines: int = 0
    quarantined_rows: int = 0
    late_pushes: int = 0

    def __add__(self, other: DirtCounts) -> DirtCounts:
        """The sum, field by field."""
        return DirtCounts(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Interruptions:
    """When one recorder was deaf on a day, and when it connected anew, with or without a gap before."""

    gaps_ms: tuple[tuple[int, int], ...] = ()
    reconnects_ms: tuple[int, ...] = ()

    def is_deaf(self, time_ms: Integers) -> NDArray[np.bool_]:
        """For each time whether it falls into a gap."""
        deaf = np.zeros(len(time_ms), dtype=np.bool_)
        for start, end in self.gaps_ms:
            deaf |= (time_ms >= start) & (time_ms < end)
        return deaf


def draw_interruptions(
    generator: np.random.Generator, recorder: RecorderDials, start_ms: int, end_ms: int
) -> Interruptions:
    """One gap of some minutes and some reconnects between `start_ms` and `end_ms`, which lie in one day.

    Nothing when the time is too short. Reconnects come at full ten seconds: what is delivered again within the next
    second is then in the same hour.
    """
    span = end_ms - start_ms
    longest = min(round(recorder.gap_longest_min * MS_PER_MINUTE), span // 10)
    if longest < _SHORTEST_GAP_MS:
        return Interruptions()
    begin = start_ms + int(generator.uniform(0.1, 0.8) * span)
    end = _on_grid(begin + int(generator.uniform(_SHORTEST_GAP_MS, longest)))
    others = (
        _on_grid(start_ms + int(part * span)) for part in generator.uniform(0.1, 0.95, recorder.reconnects_per_day)
    )
    reconnects = {moment for moment in others if not begin - _GRID_MS <= moment <= end + _GRID_MS}
    return Interruptions(((begin, end),), tuple(sorted(reconnects | {end})))


def _on_grid(time_ms: int) -> int:
    return time_ms // _GRID_MS * _GRID_MS


def lose_in_gaps(lines: CaptureLines, interruptions: Interruptions) -> tuple[CaptureLines, int]:
    """The lines that the recorder had while it listened, and the number of rows in the others."""
    deaf = interruptions.is_deaf(lines.known_ms)
    return lines.take(~deaf), int(lines.rows[deaf].sum())


def delay_pushes(lines: CaptureLines, generator: np.random.Generator, n: int) -> tuple[CaptureLines, int]:
    """Deliver up to `n` pushes just after the push that followed them; how many."""
    ahead = np.flatnonzero(np.diff(lines.known_ms) < _LATE_WITHIN_MS)
    chosen = np.sort(generator.permutation(ahead)[:n])
    # Of two neighbours only the first is held back: both would come in order again.
    chosen = chosen[np.diff(chosen, prepend=-2) > 1]
    known_ms = lines.known_ms.copy()
    known_ms[chosen] = known_ms[chosen + 1] + 1
    text = list(lines.text)
    for line in chosen.tolist():
        text[line] = _delivered_at(text[line], int(known_ms[line]))
    return _in_order(CaptureLines(known_ms, lines.rows, text)), len(chosen)


def repeat_after_reconnects(lines: CaptureLines, reconnects_ms: Sequence[int]) -> tuple[CaptureLines, int, int]:
    """Deliver the last lines before each reconnect again after it; how many lines and how many rows that adds."""
    again: list[tuple[int, int, str]] = []
    for reconnect in reconnects_ms:
        stop = int(np.searchsorted(lines.known_ms, reconnect))
        for place, line in enumerate(range(max(stop - _REPEATED_LINES, 0), stop)):
            known = reconnect + 101 + 10 * place
            again.append((known, int(lines.rows[line]), _delivered_at(lines.text[line], known)))
    return _with_more(lines, again), len(again), sum(rows for _known, rows, _text in again)


def _delivered_at(text: str, known_ms: int) -> str:
    return re.sub(r'^\{"ts":\d+', f'{{"ts":{known_ms}', text)


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _junk(_text: str) -> str:
    return "\x1f\x8b\x00\xff\xfe\x9d\x13 not json"


def _negative_size(text: str) -> str:
    return text.replace('"v":"', '"v":"-')


def _unknown_side(text: str) -> str:
    return re.sub(r'"S":"\w+"', '"S":"Hold"', text)


def _seconds(text: str) -> str:
    return re.sub(r'"T":(\d+)\d{3}', r'"T":\1', text)


#: Ways to spoil a line, and whether a reader can still tell the rows in it apart.
_WAYS: tuple[tuple[Callable[[str], str], bool], ...] = (
    (_cut, False),
    (_junk, False),
    (_negative_size, True),
    (_unknown_side, True),
    (_seconds, True),
)


def add_corrupt_copies(
    lines: CaptureLines, generator: np.random.Generator, only_unreadable: bool = False
) -> tuple[CaptureLines, int, int]:
    """After some lines a copy spoilt in one way each; how many, and how many rows a reader must put aside.

    With `only_unreadable` one line, cut or replaced by junk; else one line for each way.
    """
    if not lines.text:
        return lines, 0, 0
    ways = _WAYS[:2] if only_unreadable else _WAYS
    chosen = [int(generator.integers(len(ways)))] if only_unreadable else range(len(ways))
    spoilt: list[tuple[int, int, str]] = []
    aside = 0
    for way in chosen:
        spoil, readable = ways[way]
        line = int(generator.integers(len(lines.text)))
        spoilt.append((int(lines.known_ms[line]), 0, spoil(lines.text[line])))
        aside += int(lines.rows[line]) if readable else 1
    return _with_more(lines, spoilt), len(spoilt), aside


def _with_more(lines: CaptureLines, more: list[tuple[int, int, str]]) -> CaptureLines:
    known_ms = np.array([known for known, _rows, _text in more], dtype=np.int64)
    rows = np.array([number for _known, number, _text in more], dtype=np.int64)
    text = lines.text + [line for _known, _rows, line in more]
    return _in_order(CaptureLines(np.append(lines.known_ms, known_ms), np.append(lines.rows, rows), text))


def _in_order(lines: CaptureLines) -> CaptureLines:
    return lines.take(np.argsort(lines.known_ms, kind="stable"))
