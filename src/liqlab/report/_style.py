"""How every figure looks: palette, fonts, axes in dollars and in UTC, and how a figure is saved."""

from __future__ import annotations

import functools
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from liqlab.core.files import replacing
from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.report._text import format_usd

Parameters = ParamSpec("Parameters")

WIDTH_INCHES = 10.0
DOTS_PER_INCH = 160

INK = "#222222"
MUTED = "#6b6b6b"
UNCOVERED = "#dedede"

#: Liquidated longs and shorts; told apart by people with any kind of colour vision, and in grey.
SIDE_COLOURS = {LONG: "#e07b00", SHORT: "#0068a8"}
SIDE_LABELS = {LONG: "longs liquidated (forced sells)", SHORT: "shorts liquidated (forced buys)"}

#: Year first and all in figures, like every other time that liqlab writes; by level from year to second.
_DATE_FORMATS = {
    "formats": ["%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M", "%H:%M:%S"],
    "zero_formats": ["", "%Y", "%Y-%m", "%m-%d", "%H:%M", "%H:%M"],
    "offset_formats": ["", "%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"],
}

#: For symbols; none of them looks like the colour of a side.
SYMBOL_COLOURS = ("#332288", "#44aa99", "#882255", "#999933", "#222222", "#aa4499")
SYMBOL_LINES = ("-", "--", "-.", "-", "--", "-.")

#: More symbols than this are not drawn beside each other: the largest are.
MAX_SYMBOLS = len(SYMBOL_COLOURS)

#: The part of $2.0M that a tick does not need.
_ROUND = re.compile(r"\.0(?=[A-Z]$)")

_TITLE_INCHES = 0.62
_LEGEND_INCHES = 0.24
_FOOTER_INCHES = 0.36
_FOOTER_CHARACTERS = 190

#: `text.parse_math` is off because a text with two dollar signs would be read as a formula.
_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9a9a9a",
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#e9e9e9",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "hatch.linewidth": 0.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled(function: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Run `function` with the fonts and lines of liqlab, whatever the user's own matplotlib settings are."""

    @functools.wraps(function)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return function(*args, **kwargs)

    return run


def new_figure(
    title: str, subtitle: str, content_inches: float, legend: Sequence[Any] = (), row_space: float = 0.02
) -> Figure:
    """An empty figure with a title, one grey line and the legend above its content, and room for the footer below.

    `row_space` is the space between rows of panels as a share of a row's height.
    """
    height_inches = content_inches + _TITLE_INCHES + _LEGEND_INCHES * bool(legend) + _FOOTER_INCHES
    bottom, height = _FOOTER_INCHES / height_inches, content_inches / height_inches
    layout = ConstrainedLayoutEngine(rect=(0.005, bottom, 0.99, height), h_pad=0.05, w_pad=0.05, hspace=row_space)
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), dpi=DOTS_PER_INCH, layout=layout)
    figure.text(0.012, 1 - 0.13 / height_inches, title, size=12, weight="bold", va="top", gid="title")
    figure.text(0.012, 1 - 0.38 / height_inches, subtitle, size=8.5, color=MUTED, va="top", gid="subtitle")
    if legend:
        corner = (0.006, 1 - (_TITLE_INCHES - 0.04) / height_inches)
        columns = {"ncols": len(legend), "columnspacing": 1.6, "handlelength": 1.6}
        figure.legend(handles=legend, loc="upper left", bbox_to_anchor=corner, borderpad=0, **columns).set_in_layout(
            False
        )
    return figure


def message_figure(title: str, words: str) -> Figure:
    """A figure that says in words why there is nothing to draw."""
    figure = new_figure(title, "", 1.8)
    say(figure.add_subplot(), words)
    return figure


def say(axes: Any, words: str) -> None:
    """Show `words` in place of the content of `axes`."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", size=10, color=MUTED)


def save_figure(figure: Figure, path: Path, footer: str) -> None:
    """Write `figure` to `path` as PNG, 1,600 px wide, atomically, creating its folder.

    `footer` is the small line at the bottom: which data, which span, which version. It is not kept on the figure, so
    that saving twice does not print two of them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(textwrap.wrap(footer, _FOOTER_CHARACTERS)[:2])
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings(), replacing(path) as temporary:
        # A symbol may be written in letters that the font lacks; boxes in its title are no reason to lose the figure.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        line = figure.text(0.012, 0.08 / figure.get_figheight(), text, size=6.5, color=MUTED, va="bottom")
        # `savefig` would lay the figure out and draw it twice.
        figure.set_dpi(DOTS_PER_INCH)
        FigureCanvasAgg(figure).print_png(temporary, metadata={"Software": None})
        line.remove()


def side_patches() -> list[Any]:
    """What the colours of the two sides mean, for a legend: shorts, then longs."""
    return [Patch(color=SIDE_COLOURS[side], label=SIDE_LABELS[side]) for side in (SHORT, LONG)]


def heat_colours() -> Colormap:
    """Light to dark, in one family of hues that is neither side's; its lightest shade is still seen on white."""
    shades = matplotlib.colormaps["BuPu"](np.linspace(0.18, 1.0, 256))
    return LinearSegmentedColormap.from_list("liqlab_heat", shades)


def to_days(times_ms: Any) -> Any:
    """Milliseconds UTC as matplotlib's days, scalars and arrays alike."""
    return np.asarray(times_ms, dtype=np.float64) / MS_PER_DAY


def time_axis(axes: Any, low_ms: float, high_ms: float, label: bool = True) -> None:
    """Make the x axis of `axes` a time axis in UTC from `low_ms` to `high_ms`."""
    axes.set_xlim(to_days(low_ms), to_days(high_ms))
    locator = AutoDateLocator(tz=UTC, minticks=4, maxticks=10)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, **_DATE_FORMATS))
    axes.xaxis.get_offset_text().set_visible(label)
    if label:
        axes.set_xlabel("time (UTC)")


def usd_axis(axis: Any, ticks: int | None = None) -> None:
    """Write the ticks of `axis` as amounts without sign: on a mirrored axis both directions are amounts."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: _ROUND.sub("", format_usd(abs(value)))))
    if ticks is not None:
        axis.set_major_locator(MaxNLocator(ticks, steps=(1, 2, 2.5, 5, 10)))


def price_axis(axis: Any, ticks: int) -> None:
    """Write the ticks of `axis` as prices, with the decimals that tell them apart."""
    axis.set_major_locator(MaxNLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda price, _: f"{price:,.{_decimals(axis.get_majorticklocs())}f}"))


def _decimals(places: Sequence[float]) -> int:
    step = float(np.min(np.diff(places), initial=np.inf))
    exact = (digits for digits in range(10) if np.allclose(places, np.round(places, digits), rtol=0, atol=1e-3 * step))
    return next(exact, 10) if np.isfinite(step) else 4


def shade_uncovered(axes: Any, spans: Iterable[tuple[float, float]]) -> None:
    """Shade the spans (milliseconds, start and end) in which no recorder listened."""
    bars = [(float(to_days(start)), float(to_days(end - start))) for start, end in spans]
    if bars:
        axes.broken_barh(bars, (0, 1), transform=axes.get_xaxis_transform(), color=UNCOVERED, lw=0, zorder=0.5)


def format_span(milliseconds: float) -> str:
    """A length of time in its natural unit.

    >>> [format_span(span) for span in (250, 5_000, 300_000, 3_600_000, 5_400_000, 86_400_000)]
    ['0.25 s', '5 s', '5 min', '1 h', '1.5 h', '1 day']
    """
    if milliseconds < MS_PER_MINUTE:
        return f"{milliseconds / MS_PER_S:.3g} s"
    if milliseconds < MS_PER_HOUR:
        return f"{milliseconds / MS_PER_MINUTE:.3g} min"
    if milliseconds < MS_PER_DAY:
        return f"{milliseconds / MS_PER_HOUR:.3g} h"
    days = milliseconds / MS_PER_DAY
    return "1 day" if days == 1 else f"{days:.3g} days"
