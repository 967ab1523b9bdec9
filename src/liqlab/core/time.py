"""Times are integer milliseconds since 1970-01-01 UTC; text appears only at the edges."""

from __future__ import annotations

from datetime import UTC, datetime

from liqlab.core.errors import UserError

MS_PER_S = 1_000
MS_PER_MINUTE = 60_000
MS_PER_HOUR = 3_600_000
MS_PER_DAY = 86_400_000

#: Exchange times outside these are not milliseconds of this century: seconds, microseconds or junk.
EARLIEST_MS = 1_262_304_000_000  # 2010-01-01
LATEST_MS = 4_102_444_800_000  # 2100-01-01


def parse_time(text: str) -> int:
    """Milliseconds UTC of an ISO date or time; without an offset it is UTC.

    >>> parse_time("2026-02-09")
    1770595200000
    >>> parse_time("2026-02-09T19:33") - parse_time("2026-02-09")
    70380000
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"cannot read the time {text!r}; write it as 2026-02-09 or 2026-02-09T19:33:00") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * MS_PER_S)


def format_time(milliseconds: int) -> str:
    """ISO text to the second, UTC.

    >>> format_time(1770665589949)
    '2026-02-09 19:33:09'
    """
    return datetime.fromtimestamp(milliseconds / MS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S")


def format_day(day: int) -> str:
    """ISO date of a day number (days since 1970-01-01).

    >>> format_day(20493)
    '2026-02-09'
    """
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")
