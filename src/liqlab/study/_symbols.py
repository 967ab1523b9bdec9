"""Which symbols a hypothesis can use: those whose ticker comes as often as it declares."""

from __future__ import annotations

from dataclasses import dataclass

from liqlab.study._evidence import Evidence
from liqlab.study._protocol import Hypothesis


@dataclass(frozen=True)
class QuickSymbols:
    """Names of the symbols with a ticker as quick as declared, and what to say of it.

    `interval_s` is that of the slowest of them, or, where there are none, of the quickest of all: the one that is said
    to be too long. `note` names those left out beside others.
    """

    names: tuple[str, ...]
    interval_s: float
    note: str


def select_quick(evidence: Evidence, hypothesis: Hypothesis) -> QuickSymbols:
    """The symbols whose ticker comes at least as often as the hypothesis declares."""
    longest = hypothesis.max_ticker_interval_s
    intervals = {name: symbol.ticker_interval_s for name, symbol in evidence.symbols.items()}
    quick = tuple(name for name, interval in intervals.items() if longest is None or interval <= longest)
    if not quick:
        return QuickSymbols((), min(intervals.values(), default=float("inf")), "")
    slow = [name for name in intervals if name not in quick]
    note = f"without {', '.join(slow)}: prices too rare" if slow else ""
    return QuickSymbols(quick, max(intervals[name] for name in quick), note)
