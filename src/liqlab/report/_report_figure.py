"""What a figure of a run is, and the sections of the findings that figures belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from matplotlib.figure import Figure

HYPOTHESES = "hypotheses"
EVENTS = "events"
CASCADES = "cascades"
REGIMES = "regimes"
IC = "ic"
WALK_FORWARD = "walk-forward"
BACKTESTS = "backtests"


class ReportFigure(NamedTuple):
    """A figure of a run: its file, the section of the findings it belongs to, what to see in it, how it is drawn.

    A figure of one research question has the question as its section, `Q4` say.
    """

    file: str
    section: str
    caption: str
    plot: Callable[[], Figure]
