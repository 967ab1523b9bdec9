"""What the figures of the claims share: colours of verdicts and of what is compared, marks, short words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.lines import Line2D

from liqlab.report._figures_data import Floats
from liqlab.report._ic_reading import LEVEL
from liqlab.report._style import INK

#: What is looked at, where it has no colour of a side, and what it is compared with.
OWN_COLOUR = "#332288"
OTHER_COLOUR = "#6b6b6b"
BAND_COLOUR = "#b5b5b5"

#: Told apart in grey too: by mark and by filling.
VERDICT_COLOURS = {
    "supported": "#117733",
    "rejected": "#882255",
    "inconclusive": "#4a4a4a",
    "not testable": "#9a9a9a",
}


def floats(frame: pl.DataFrame, column: str) -> Floats:
    """A column as float64 of shape (rows,), NaN for null."""
    return frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()


def number(value: Any) -> float:
    """A value that may be missing; NaN then."""
    return float("nan") if value is None else float(value)


def survives(p_adjusted: Any) -> bool:
    """Whether a corrected p, which may be missing, is below the level."""
    return p_adjusted is not None and float(p_adjusted) < LEVEL


def surviving_marks(colour: str = INK) -> list[Any]:
    """What a filled and a hollow mark mean, for a legend."""
    style: dict[str, Any] = {"color": colour, "ls": "", "marker": "o", "ms": 4.5}
    return [
        Line2D([], [], label=f"adjusted p < {LEVEL:g}", **style),
        Line2D([], [], mfc="white", label="not", **style),
    ]


def shorten(text: str, longest: int) -> str:
    """`text` in at most `longest` characters, cut between words.

    >>> shorten("needs 20 blocks of time with events", 24)
    'needs 20 blocks of time…'
    """
    if len(text) <= longest:
        return text
    head = text[:longest]
    return head[: max(head.rfind(" "), longest // 2)].rstrip(" ,;:(") + "…"


def draw_mark(axes: Any, x: float, y: float, x_ends: tuple[float, float] | None, colour: str, filled: bool) -> None:
    """A point with its horizontal interval; without one where an end is missing."""
    if x_ends is not None and np.isfinite(x_ends).all():
        axes.plot(x_ends, [y, y], color=colour, lw=1.2, solid_capstyle="butt", label="interval")
    if np.isfinite(x):
        axes.plot(x, y, ls="", marker="o", ms=4.5, color=colour, mfc=colour if filled else "white", label="estimate")


def limit(axes: Any, points: Floats, ends: Floats, axis: str = "y", inside: float = 0.97) -> None:
    """Limits that hold zero, every point and most of the ends of the intervals: one wild band may leave the page."""
    known = ends[np.isfinite(ends)]
    kept = np.quantile(known, [1 - inside, inside]) if known.size else np.empty(0)
    values = np.concatenate([[0.0], points[np.isfinite(points)], kept])
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low) or 1.0
    (axes.set_ylim if axis == "y" else axes.set_xlim)(low - room, high + room)
