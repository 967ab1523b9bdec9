"""Forest plot of all verdicts: every hypothesis one row, in units of the smallest effect that matters to it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from liqlab.report._figures_claims_data import VERDICT_COLOURS, number, shorten
from liqlab.report._ic_reading import format_p
from liqlab.report._style import INK, MUTED, message_figure, new_figure, styled
from liqlab.report._verdicts_text import NOT_TESTABLE, count_verdicts
from liqlab.study import QUESTIONS

Record = Mapping[str, Any]

_TITLE = "All verdicts"
_EMPTY = "no claim was tested in this run"
_ROW_INCHES = 0.19
_MARKS = {"supported": "o", "rejected": "s", "inconclusive": "D"}
_FILLED = ("supported", "rejected")
#: The axis is linear up to here and logarithmic beyond; what lies beyond the reach is drawn at its end, as an arrow.
_LINEAR = 2.0
_REACH = 100.0
_TICKS = (-100, -30, -10, -5, -2, -1, 0, 1, 2, 5, 10, 30, 100)
_SMALL_COLOUR = "#efefef"
_CLAIM_COLOUR = "#c8bedf"
_HEADER_COLOUR = "#f4f4f4"
_LONGEST_CLAIM, _LONGEST_REASON = 71, 92
_LABEL = "0: no effect, 1: the smallest that matters, right of it: as claimed; logarithmic beyond ±2"
_STRATEGIES = "Strategies: what a trade earns, net of costs"
_TEXT_SIZE = 6.8


class Scaled(NamedTuple):
    """An effect with its interval on the axis: 0 is no effect and 1 the smallest that matters.

    For a claim of a range 0 and 1 are its ends.
    """

    effect: float
    low: float
    high: float


@styled
def plot_verdicts(records: Sequence[Record]) -> Figure:
    """Every record of `verdicts.json` in one row, with its effect and 95 % interval.

    The axis is direction x (effect - null value) / delta: 0 is no effect, 1 the smallest that matters, and what lies
    right of 1 is as claimed. Beyond 2 it is logarithmic; ends beyond 100 are arrows. A claim of a range is scaled to
    its own ends, which are shaded from 0 to 1 in its row. What is not testable is grey, with the first reason in place
    of an interval. At the right the numbers in their own units. Without records the figure says so.
    """
    if not records:
        return message_figure(_TITLE, _EMPTY)
    lines = list(_lay_out(records))
    subtitle = "effect in the direction of the claim, with 95 % intervals, each in units of what would matter to it"
    inches = 0.62 + _ROW_INCHES * len(lines)
    figure = new_figure(_TITLE, subtitle, inches, _list_legend(records))
    names, axes, numbers = figure.subplots(1, 3, sharey=True, width_ratios=[3.8, 3.3, 2.7])
    layout: Any = figure.get_layout_engine()
    layout.set(wspace=0.0, w_pad=0.0)
    _prepare(axes, [scale(record) for record in records], len(lines))
    for side in (names, numbers):
        side.set_axis_off()
    names.set_xlim(-0.02, 1.03)
    numbers.set_xlim(0, 1.02)
    names.set_zorder(axes.get_zorder() + 2)
    axes.set_zorder(numbers.get_zorder() + 1)
    _write_heads(names, numbers)
    for place, line in enumerate(lines):
        if isinstance(line, str):
            _draw_header((names, axes, numbers), place, line)
        else:
            _draw_record((names, axes, numbers), place, line)
    return figure


def scale(record: Record) -> Scaled | None:
    """Where a record lies on the axis; None without an effect, an interval, or what to measure it by."""
    values = [number(record.get(name)) for name in ("effect", "ci_low", "ci_high")]
    claimed = record.get("claimed_range")
    if claimed:
        origin, unit = float(claimed[0]), float(claimed[1]) - float(claimed[0])
    else:
        origin = number(record.get("null_value", 0.0))
        unit = number(record.get("delta")) * number(record.get("direction", 1))
    if not all(map(math.isfinite, (*values, origin, unit))) or unit == 0.0:
        return None
    effect, *ends = ((value - origin) / unit for value in values)
    return Scaled(effect, min(ends), max(ends))


def _lay_out(records: Sequence[Record]) -> Iterator[str | Record]:
    """Records from top to bottom, with the words of a question above its first."""
    last = ""
    for record in records:
        group = record["question"] if record["question"].startswith("Q") else _STRATEGIES
        if group != last:
            last = group
            yield f"{group}  {QUESTIONS[group]}" if group in QUESTIONS else group
        yield record


def _list_legend(records: Sequence[Record]) -> list[Any]:
    counts = Counter(record["verdict"] for record in records)
    handles: list[Any] = []
    for verdict, mark in _MARKS.items():
        colour = VERDICT_COLOURS[verdict]
        fill = colour if verdict in _FILLED else "white"
        label = f"{verdict} ({counts[verdict]})"
        handles.append(Line2D([], [], color=colour, marker=mark, mfc=fill, ms=4.5, lw=1.3, label=label))
    grey = Patch(color=VERDICT_COLOURS[NOT_TESTABLE], label=f"{NOT_TESTABLE} ({counts[NOT_TESTABLE]}), with the reason")
    small = Patch(color=_SMALL_COLOUR, label="too small to matter")
    return [*handles, grey, small, Patch(color=_CLAIM_COLOUR, label="claimed range, from 0 to 1")]


def _prepare(axes: Any, scaled: Sequence[Scaled | None], n_lines: int) -> None:
    ends = [end for one in scaled if one is not None for end in one]
    low, high = (min(max(end, -_REACH), _REACH) for end in (min([-_LINEAR, *ends]), max([2 * _LINEAR, *ends])))
    axes.set_xscale("symlog", linthresh=_LINEAR, linscale=1.2)
    axes.set_xlim(1.15 * low, 1.15 * high)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if low <= tick <= high]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(n_lines - 0.5, -1.6)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.spines["left"].set_visible(False)
    axes.axvspan(0, 1, color=_SMALL_COLOUR, lw=0, zorder=0.4)
    axes.axvline(0, color=INK, lw=0.9, zorder=1.2)
    axes.axvline(1, color=INK, lw=0.9, ls="--", zorder=1.2)
    axes.grid(axis="x", zorder=0.3)
    axes.set_xlabel(_LABEL, size=7.5)


def _write_heads(names: Any, numbers: Any) -> None:
    style = {"size": _TEXT_SIZE, "color": MUTED, "va": "center", "in_layout": False}
    names.text(0.0, -1.0, "claim", **style)
    numbers.text(0.02, -1.0, "effect [95 % interval], unit", **style)
    numbers.text(1.0, -1.0, "adjusted p", ha="right", **style)


def _draw_header(panels: Sequence[Any], place: int, words: str) -> None:
    for axes in panels:
        axes.axhspan(place - 0.5, place + 0.5, color=_HEADER_COLOUR, lw=0, zorder=1.5)
    style = {"size": 7, "weight": "bold", "va": "center", "in_layout": False, "zorder": 5}
    panels[0].text(0.0, place, words, **style)


def _draw_record(panels: Sequence[Any], place: int, record: Record) -> None:
    names, axes, numbers = panels
    scaled, untestable = scale(record), record["verdict"] == NOT_TESTABLE
    style = {"size": _TEXT_SIZE, "va": "center", "in_layout": False}
    colour = MUTED if untestable else INK
    names.text(0.0, place, record["id"], color=colour, **style)
    names.text(0.08, place, shorten_claim(record["claim"]), color=colour, **style)
    if record.get("claimed_range") and not untestable:
        axes.barh(place, 1.0, height=0.8, color=_CLAIM_COLOUR, lw=0, zorder=1.3, label="claimed range")
    if scaled is None or untestable:
        axes.annotate(
            shorten(_say_why(record), _LONGEST_REASON),
            (0.012, place),
            xycoords=("axes fraction", "data"),
            color=colour,
            style="italic",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            annotation_clip=False,
            **style,
        )
        return
    _draw_interval(axes, place, scaled, record["verdict"])
    numbers.text(0.02, place, _describe_effect(record), color=VERDICT_COLOURS[record["verdict"]], **style)
    numbers.text(1.0, place, format_p(record["p_adjusted"]), ha="right", color=colour, **style)


def _draw_interval(axes: Any, place: int, scaled: Scaled, verdict: str) -> None:
    colour = VERDICT_COLOURS[verdict]
    effect, low, high = np.clip(scaled, -_REACH, _REACH)
    axes.plot([low, high], [place, place], color=colour, lw=1.4, solid_capstyle="butt", zorder=3, label="interval")
    fill = colour if verdict in _FILLED else "white"
    axes.plot(effect, place, ls="", marker=_MARKS[verdict], ms=4.5, color=colour, mfc=fill, zorder=4, label="effect")
    for end, clipped, mark in ((scaled.low, low, "<"), (scaled.high, high, ">")):
        if end != clipped:
            axes.plot(clipped, place, ls="", marker=mark, ms=4, color=colour, zorder=4, label="arrow")


def shorten_claim(claim: str) -> str:
    """A claim in one line: what stands in brackets at its end goes first.

    >>> shorten_claim("Extreme short liquidations (imbalance > +0.5) → mean reversion (sell signal)")
    'Extreme short liquidations (imbalance > +0.5) → mean reversion'
    >>> shorten_claim("Liquidation rate is a leading indicator (vs lagging indicators like ATR)")
    'Liquidation rate is a leading indicator'
    """
    if len(claim) > _LONGEST_CLAIM and claim.endswith(")"):
        claim = claim[: claim.rindex("(")].rstrip()
    return shorten(claim, _LONGEST_CLAIM)


def _say_why(record: Record) -> str:
    """The first reason for which there is nothing to draw, and how many more there are."""
    reasons = [part.strip() for part in (record.get("needs") or record.get("why") or "").split(";") if part.strip()]
    if not reasons:
        return str(record["verdict"])
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return f"{shorten(reasons[0], _LONGEST_REASON - len(more))}{more}"


def _describe_effect(record: Record) -> str:
    effect, low, high = (f"{number(record[name]):.3g}" for name in ("effect", "ci_low", "ci_high"))
    claimed = record.get("claimed_range")
    claims = f", claimed {claimed[0]:g} to {claimed[1]:g}" if claimed else ""
    return f"{effect} [{low}, {high}] {record['unit']}{claims}"


def describe_verdicts(records: Sequence[Record]) -> str:
    """How many there are of each."""
    return count_verdicts(records)
