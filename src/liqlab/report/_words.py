"""Words around numbers: shares, moments, lengths of time, sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

from liqlab.core.time import format_time
from liqlab.report._text import MISSING, format_count

_HOURS_PER_DAY = 24
_DAYS_FROM_HOURS = 48


def percent(frac: float | None, decimals: int = 1) -> str:
    """A fraction as a percentage; a share that is not quite nothing or not quite everything is not rounded to it.

    >>> [percent(frac) for frac in (0.3696, 1.0, 0.99999, 0.0002, 0.0, None)]
    ['37.0 %', '100.0 %', '>99.9 %', '<0.1 %', '0.0 %', 'n/a']
    """
    if frac is None or not math.isfinite(frac):
        return MISSING
    least = 10.0**-decimals
    text = f"{100 * frac:.{decimals}f}"
    if 0 < frac < 1 and float(text) >= 100:
        return f">{100 - least:.{decimals}f} %"
    if 0 < frac < 1 and float(text) == 0:
        return f"<{least:.{decimals}f} %"
    return f"{text} %"


def minute(milliseconds: int) -> str:
    """A moment to the minute, UTC.

    >>> minute(1772706360000)
    '2026-03-05 10:26'
    """
    return format_time(milliseconds)[:16]


def span(start_ms: int | None, end_ms: int | None) -> str:
    """From when to when, UTC, to the minute."""
    if start_ms is None or end_ms is None:
        return MISSING
    return f"{minute(start_ms)} to {minute(end_ms)} UTC"


def length(hours: float | None) -> str:
    """A length of time in hours, from two days on in days.

    >>> length(21.019), length(200.5), length(0.25)
    ('21.0 hours', '8.4 days', '0.2 hours')
    """
    if hours is None:
        return MISSING
    if hours >= _DAYS_FROM_HOURS:
        return f"{hours / _HOURS_PER_DAY:,.1f} days"
    return f"{hours:.1f} hours"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun.

    >>> plural(1, "file"), plural(5717, "liquidation"), plural(2, "entry", "entries")
    ('1 file', '5,717 liquidations', '2 entries')
    """
    return f"{format_count(count)} {one if count == 1 else many or one + 's'}"


def sides(longs: float, shorts: float) -> str:
    """Which side an amount belongs to, in words.

    >>> sides(0, 316), sides(70, 30), sides(1, 999), sides(0, 0)
    ('all shorts', '70 % longs', '99 % shorts', 'none')
    """
    total = longs + shorts
    if total <= 0:
        return "none"
    name, larger = ("shorts", shorts) if shorts >= longs else ("longs", longs)
    if larger >= total:
        return f"all {name}"
    return f"{min(99, round(100 * larger / total))} % {name}"


def join_names(names: Sequence[str], most: int = 8) -> str:
    """Names after each other, or how many there are when there are more than `most`.

    >>> join_names(["BTCUSDT", "ETHUSDT"]), join_names(["A"] * 154)
    ('BTCUSDT, ETHUSDT', '154 symbols')
    """
    return ", ".join(names) if len(names) <= most else f"{len(names)} symbols"
