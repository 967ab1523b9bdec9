"""Question 1, cascades and impact, and question 2, imbalance as a signal of direction."""

from __future__ import annotations

from liqlab.study._hypotheses_shared import BLOCKS, FILL, IMPACT, MAKER, MATCHED, PRICE_ALONE, UNCONFOUNDED, WITHIN
from liqlab.study._protocol import Hypothesis

_IMBALANCE = (
    "One regression for Q2.1 to Q2.3, every minute of every symbol: the forward return of 15 min on three terms of the "
    "imbalance of the last 15 min (1 below -0.5; 1 above +0.5; its sign where its size is between 0.1 and 0.5), given "
    "a constant for each symbol, trailing returns over 1, 5 and 15 min (those that the ticker resolves), trailing 1 h "
    "volatility, and its product with the 5 min return. Each minute weighs by one over its trailing volatility: quiet "
    "minutes tell more. All other covered minutes are the reference, those without liquidations included. The return "
    "starts at the first price observed after the minute."
)
_IMBALANCE_BLOCKS = f"Forward returns overlap and symbols move together. {BLOCKS}"

Q1 = (
    Hypothesis(
        id="Q1.1",
        claim="Large cascades (>$1M notional) should predict short-term continuation",
        null="once a cascade is known to have reached $1M, the price goes on as it does at matched moments",
        alternative="once a cascade is known to have reached $1M, the price moves on in the direction of its pressure",
        estimand=(
            "mean excess impact over 60 s from the moment at which the notional of a cascade so far, as known, reaches "
            "$1M (not the total, which is known only at its end)"
        ),
        unit="bps",
        delta=1.0,
        delta_reason=MAKER,
        test=f"Matched comparison. {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=UNCONFOUNDED,
        reading=(
            "Positive: the price moves on with the pressure (down after liquidated longs). It is a mean before costs: "
            "following such a cascade with market orders costs 11 bps."
        ),
        min_events=30,
        events="cascades of $1M or more",
        min_blocks=20,
        max_ticker_interval_s=20.0,
    ),
    Hypothesis(
        id="Q1.2",
        claim="Cascades in low liquidity periods have larger price impact",
        null="cascades move the price on as much in low liquidity as in other liquidity",
        alternative="cascades move the price on further when liquidity is low",
        estimand=(
            "mean excess impact over 30 s from confirmation of cascades in low liquidity, less that of the others. "
            "Low: the spread in bps over the USD at the best bid and ask, median of the last 5 min, is above its "
            "trailing 3-day median; without sizes the spread alone, without prices the size alone (below it)"
        ),
        unit="bps",
        delta=1.0,
        delta_reason=MAKER,
        test=f"Difference of two matched comparisons. {WITHIN} {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=f"Spread and size at the best prices stand for liquidity. {UNCONFOUNDED}",
        reading=(
            "Positive: more impact when liquidity is low. Liquidity is low when volatility is high; the matched "
            "moments remove what volatility does to prices anyway, but not a larger response to liquidations in it."
        ),
        min_events=30,
        each_of=("in low liquidity", "in other liquidity"),
        min_blocks=20,
        max_ticker_interval_s=10.0,
        needs=("bid and ask prices or sizes in the ticker",),
    ),
    Hypothesis(
        id="Q1.3",
        claim="Buy liquidations (longs getting stopped) → price drops further",
        null="after a cascade of liquidated longs is confirmed, the price goes on as it does at matched moments",
        alternative="after a cascade of liquidated longs is confirmed, the price falls further",
        estimand="mean excess impact over 30 s from confirmation of cascades dominated by liquidated longs",
        unit="bps",
        delta=1.0,
        delta_reason=MAKER,
        test=f"Matched comparison. {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=UNCONFOUNDED,
        reading="Positive: the price falls further, by so many bps more than at matched moments. Before costs.",
        min_events=30,
        events="cascades dominated by liquidated longs",
        min_blocks=20,
        max_ticker_interval_s=10.0,
    ),
    Hypothesis(
        id="Q1.4",
        claim="Sell liquidations (shorts getting stopped) → price rallies further",
        null="after a cascade of liquidated shorts is confirmed, the price goes on as it does at matched moments",
        alternative="after a cascade of liquidated shorts is confirmed, the price rises further",
        estimand="mean excess impact over 30 s from confirmation of cascades dominated by liquidated shorts",
        unit="bps",
        delta=1.0,
        delta_reason=MAKER,
        test=f"Matched comparison. {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=UNCONFOUNDED,
        reading="Positive: the price rises further, by so many bps more than at matched moments. Before costs.",
        min_events=30,
        events="cascades dominated by liquidated shorts",
        min_blocks=20,
        max_ticker_interval_s=10.0,
    ),
)

Q2 = (
    Hypothesis(
        id="Q2.1",
        claim="Extreme long liquidations (imbalance < -0.5) → mean reversion (buy signal)",
        null="given trailing returns and volatility, the price goes on alike after extreme long liquidations",
        alternative="given trailing returns and volatility, the price rises after extreme long liquidations",
        estimand="coefficient of 1{imbalance over 15 min < -0.5} on the forward return of 15 min",
        unit="bps",
        delta=2.0,
        delta_reason=FILL,
        test=_IMBALANCE,
        dependence=_IMBALANCE_BLOCKS,
        assumptions=PRICE_ALONE,
        reading=(
            "Positive: the price rises, against the pressure, by so many bps more than after equal returns and "
            "volatility. That the price comes back after any fall, with or without liquidations, is not counted."
        ),
        min_blocks=30,
        max_ticker_interval_s=300.0,
    ),
    Hypothesis(
        id="Q2.2",
        claim="Extreme short liquidations (imbalance > +0.5) → mean reversion (sell signal)",
        null="given trailing returns and volatility, the price goes on alike after extreme short liquidations",
        alternative="given trailing returns and volatility, the price falls after extreme short liquidations",
        estimand="minus the coefficient of 1{imbalance over 15 min > +0.5} on the forward return of 15 min",
        unit="bps",
        delta=2.0,
        delta_reason=FILL,
        test=_IMBALANCE,
        dependence=_IMBALANCE_BLOCKS,
        assumptions=PRICE_ALONE,
        reading="Positive: the price falls, against the pressure, more than after equal returns and volatility.",
        min_blocks=30,
        max_ticker_interval_s=300.0,
    ),
    Hypothesis(
        id="Q2.3",
        claim="Moderate imbalances may predict continuation",
        null="given trailing returns and volatility, the sign of a moderate imbalance says nothing on the next return",
        alternative=(
            "given trailing returns and volatility, the price moves on in the direction of a moderate imbalance"
        ),
        estimand=(
            "coefficient of the sign of the imbalance over 15 min, where its size is between 0.1 and 0.5, on the "
            "forward return of 15 min"
        ),
        unit="bps",
        delta=2.0,
        delta_reason="one maker's fee: a smaller move does not pay for the cheapest fill that would follow it",
        test=_IMBALANCE,
        dependence=_IMBALANCE_BLOCKS,
        assumptions=PRICE_ALONE,
        reading=(
            "Positive: the price moves with the pressure, up after more shorts than longs were liquidated. Negative: "
            "it reverses here too."
        ),
        min_blocks=30,
        max_ticker_interval_s=300.0,
    ),
    Hypothesis(
        id="Q2.4",
        claim="Works best at regime transitions (quiet → volatile)",
        null=(
            "in the hour after quiet turns volatile extreme imbalances do not reverse, or not more than at other times"
        ),
        alternative="extreme imbalances reverse in the hour after quiet turns volatile, and more than at other times",
        estimand=(
            "the lesser of two: the coefficient of the extreme imbalance (+1 below -0.5, -1 above +0.5) on the forward "
            "return of 15 min in the hour after a transition from quiet to volatile, and that less the one at other "
            "times"
        ),
        unit="bps",
        delta=2.0,
        delta_reason=FILL,
        test=(
            "The regression of Q2.1 with both extremes in one signed term, that term times an indicator of the hour "
            "after a transition, and the indicator itself. Regimes are those known at the time. Both parts must hold: "
            "what works best works."
        ),
        dependence=_IMBALANCE_BLOCKS,
        assumptions=PRICE_ALONE,
        reading=(
            "Positive: there is a reversal just after a transition, and a stronger one than at other times. 'Best' is "
            "this one contrast with all other times, not the winner among many splits."
        ),
        min_events=20,
        events="transitions from quiet to volatile",
        min_blocks=20,
        max_ticker_interval_s=300.0,
    ),
)
