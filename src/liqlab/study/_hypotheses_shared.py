"""Words that several hypotheses share: how moments are matched, dependence is handled, and what is assumed."""

from __future__ import annotations

from collections.abc import Mapping

MATCHED = (
    "Each event is compared with up to twenty moments of the same symbol in whose last 10 min nothing of its kind was "
    "under way, within six hours of the same time of day, and alike in trailing 1 h volatility and in trailing 1 min "
    "and 5 min return (calipers; returns in units of that volatility, signed by the event's pressure, large ones alike "
    "in proportion). What was known at a moment alone decides whether it serves: to leave out moments that an event "
    "follows would find an impact where there is none. So the excess is what an event adds to what was to be expected, "
    "further events included. Over 30 % of the events without such a moment: inconclusive, whatever the numbers."
)
WITHIN = "Differences between groups are taken within each symbol, so that no group wins by holding more of a thin one."
IMPACT = (
    "Excess impact of a moment: the return in bps from the first ticker price observed at or after it to the first one "
    "observed a horizon later, times the pressure, less the mean of the same at its matched moments. In a mean over "
    "events each weighs by one over its trailing volatility, as known then: calm moments tell more of a mean."
)
BLOCKS = (
    "The influence of every event on the estimate is summed over calendar blocks with all symbols of a block together. "
    "Blocks are 30 min, 2 h and 6 h long, at least twice the horizon: a short one misses what lasts, a long one leaves "
    "few. "
    "Over each, a studentised bootstrap of whole blocks (4,999 resamples) and Student's t by leaving out blocks, with "
    "the degrees of freedom of as many equal blocks; the interval is the widest hull of them, p the largest."
)
BY_DAY = (
    "Errors are clustered by calendar day (UTC), all symbols of a day together; Student's t with as many degrees of "
    "freedom as there are days, less one."
)
UNCONFOUNDED = (
    "Moments with equal symbol, hour, trailing volatility and trailing return would have gone on alike without the "
    "liquidations; blocks are independent of one another and alike."
)
PRICE_ALONE = (
    "What liquidations tell beyond trailing returns and volatility is linear in the terms of the regression; blocks "
    "are independent of one another and alike."
)
MAKER = "half of a maker's fee (2 bps): a smaller move does not pay for half of the cheapest fill"
FILL = "one maker's fee: a smaller reversal does not pay for the cheapest fill that would trade it"

#: What the documentation describes once: name to text.
SHARED: Mapping[str, str] = {
    "excess impact": IMPACT,
    "matched moments": MATCHED,
    "within symbols": WITHIN,
    "blocks of time": BLOCKS,
    "clusters by day": BY_DAY,
}
