"""What of a hypothesis's declared minima the data does not hold."""

from __future__ import annotations

import math
from collections.abc import Mapping

from liqlab.study._protocol import Hypothesis


def find_shortfall(
    hypothesis: Hypothesis,
    *,
    n_events: int | Mapping[str, int] | None = None,
    n_blocks: int | None = None,
    n_days: float | None = None,
    n_weekends: int | None = None,
    ticker_interval_s: float | None = None,
) -> str:
    """The declared minima that the data does not meet, in words; empty when it meets those that are asked about.

    Asked about is whatever is not None. `n_events` is by group for a hypothesis with `each_of`, and a group that is
    absent has none. Data without a ticker has an interval of infinity.

    >>> from liqlab.study import find_hypothesis
    >>> find_shortfall(find_hypothesis("Q6.4"), n_events={"at weekends": 31, "on weekdays": 4}, n_weekends=4)
    'needs 30 cascades on weekdays, found 4'
    """
    checks: list[tuple[str, float | None, float]] = [
        (words, n_events.get(group, 0) if isinstance(n_events, Mapping) else n_events, hypothesis.min_events)
        for group, words in hypothesis.event_minima
    ]
    checks += [
        (f"{hypothesis.min_blocks} blocks of time with events", n_blocks, hypothesis.min_blocks),
        (f"{hypothesis.min_days:g} {hypothesis.days}", n_days, hypothesis.min_days),
        (f"{hypothesis.min_weekends} weekends", n_weekends, hypothesis.min_weekends),
    ]
    problems = [
        f"needs {what}, found {found:.4g}" for what, found, least in checks if found is not None and found < least
    ]
    longest = hypothesis.max_ticker_interval_s
    if longest is not None and ticker_interval_s is not None and not ticker_interval_s <= longest:
        came = f"prices every {ticker_interval_s:.4g} s" if math.isfinite(ticker_interval_s) else "no ticker"
        problems.append(f"needs a ticker at least every {longest:g} s, found {came}")
    return "; ".join(problems)
