"""Question 3, liquidations and open interest, and question 4, zones."""

from __future__ import annotations

from liqlab.study._hypotheses_shared import BLOCKS, BY_DAY, MATCHED
from liqlab.study._protocol import Hypothesis

_R2 = (
    "Least squares of the change of open interest in each 5 min on the total quantity liquidated in them, both as a "
    "share of the symbol's open interest, pooled over symbols with a mean for each. What is above the 99 % quantile of "
    "its symbol's bars in this regime counts as that quantile, or the few largest liquidations decide (the plain R2 is "
    "in the table oi_explained). Open interest is counted once per "
    "contract and not shifted; the scan over its publication lag, other bar sizes and the slope are reported beside, "
    "without verdict."
)
_R2_ASSUMPTIONS = (
    "Published liquidations are all liquidations (where the exchange publishes some, the share explained is too low), "
    "and open interest is as fresh as its timestamp. Blocks are independent of one another and alike."
)
_ZONES = (
    "Zones are the fullest price levels ($100 for Bitcoin, 15 bps for the others) that together hold half of the "
    "notional liquidated in the 48 h before, from what was known then, made anew every hour; in reach are those "
    "between 0.25 and 2 trailing hourly volatilities from the price."
)
_MIRRORS = (
    f"{_ZONES} Each is compared with its mirror image: the level at the same moment, as far from the price on the "
    "other side, so that time, distance and volatility are the same; one that lies in a zone is none. The difference "
    "is regressed on trailing returns of 5 min, 1 h and 4 h towards the zone; the constant is the effect. "
    "Over 30 % of the zones without a mirror image: inconclusive."
)
_RANDOM_LEVELS = (
    f"{_ZONES} First touches within an hour are compared with those of random levels at the same moments, mirror "
    "images included, on either side, that lie in no zone; distance, returns of 1, 5 and 15 min up to the touch "
    "and the ratio of 15 min to hourly volatility are taken out by regression. Over 30 % of the touches without a "
    "touch of another level of that hour: inconclusive."
)
_LEVELS_ASSUMPTIONS = (
    "At equal distance, volatility and recent path the price would come to a zone and leave it as it does with any "
    "other level, were it not for the liquidations; blocks are independent of one another and alike."
)

Q3 = (
    Hypothesis(
        id="Q3.1",
        claim="Liquidations explain 30-60% of OI changes in volatile regimes",
        null="the share of OI changes explained in the volatile regime is below 30 % or above 60 %",
        alternative="the share of OI changes explained in the volatile regime lies between 30 % and 60 %",
        estimand="R2 of 5 min OI changes on the total liquidated quantity, in the volatile regime",
        unit="fraction",
        delta=0.05,
        delta_reason=(
            "a claim of a range is judged by its ends; five points is the precision at which R2 is worth knowing"
        ),
        test=f"{_R2} Two one-sided tests against the ends of the range.",
        dependence=BLOCKS,
        assumptions=_R2_ASSUMPTIONS,
        reading=(
            "The share of the variance of OI changes that goes with liquidated quantity. It is no share of contracts: "
            "a forced close lowers OI only when its counterparty closes too."
        ),
        claimed_range=(0.3, 0.6),
        min_events=100,
        events="bars of 5 min in the volatile regime",
        min_blocks=20,
        max_ticker_interval_s=60.0,
        needs=("open interest",),
    ),
    Hypothesis(
        id="Q3.2",
        claim="Organic flow dominates in quiet regimes",
        null="in the quiet regime half of the variance of OI changes is organic",
        alternative="in the quiet regime more than half of the variance of OI changes is organic",
        estimand="1 - R2 of 5 min OI changes on the total liquidated quantity, in the quiet regime",
        unit="fraction",
        null_value=0.5,
        delta=0.05,
        delta_reason="dominating is more than half, by a margin that is visible: 55 % against 45 %",
        test=_R2,
        dependence=BLOCKS,
        assumptions=_R2_ASSUMPTIONS,
        reading=(
            "Near 1: almost nothing of OI changes goes with liquidations when it is quiet. Liquidations are few then, "
            "so this is what one expects without any theory. Organic includes the counterparties of forced orders."
        ),
        min_events=100,
        events="bars of 5 min in the quiet regime",
        min_blocks=20,
        max_ticker_interval_s=60.0,
        needs=("open interest",),
    ),
    Hypothesis(
        id="Q3.3",
        claim="OI spikes often precede liquidation cascades (leverage buildup)",
        null="a spike of open interest is as frequent before a cascade as before a matched moment",
        alternative="a spike of open interest is more frequent before a cascade",
        estimand=(
            "share of cascades with a spike of OI before them, less that of matched moments. Spike: the change of OI "
            "over the 15 min that end 1 min before the first liquidation is above its trailing 95 % quantile"
        ),
        unit="probability",
        delta=0.1,
        delta_reason=(
            "by construction one moment in twenty follows a spike, and ordinary activity before a cascade makes it "
            "two; 'often' is three times as often as by chance"
        ),
        test=f"Event study before the event. {MATCHED} Matched is at the end of the 15 min, before the event begins.",
        dependence=BLOCKS,
        assumptions=(
            "Moments with equal symbol, hour, trailing volatility and trailing return would follow a spike equally "
            "often; blocks are independent of one another and alike."
        ),
        reading=(
            "0.1: ten cascades in a hundred more than by chance had a spike of OI before them. No sign of a cause."
        ),
        min_events=30,
        min_blocks=20,
        max_ticker_interval_s=60.0,
        needs=("open interest",),
    ),
    Hypothesis(
        id="Q3.4",
        claim="Liquidations lag price moves by 0-5 seconds",
        null="liquidations come before the price move, or more than 5 s after it",
        alternative="liquidations come between 0 and 5 s after the price move",
        estimand=(
            "lag in seconds at which the cross-correlation of signed liquidated notional (by event time) with ticker "
            "returns, of both the square root with its sign, is highest: vertex of the parabola through the highest "
            "value and its neighbours; above 0 the price came first"
        ),
        unit="s",
        delta=1.0,
        delta_reason=(
            "a claim of a range is judged by its ends; a second is the precision at which the lag is worth knowing"
        ),
        test="Cross-correlation on the ticker's own intervals; two one-sided tests of the vertex against the ends.",
        dependence=f"The vertex is a smooth function of three covariances. {BLOCKS}",
        assumptions=(
            "One lag dominates; the ticker's times are those of its prices. A price between two ticker messages is "
            "not seen, so the lag is known no better than the ticker's interval lets it."
        ),
        reading=(
            "2.5: liquidations come mostly two or three seconds after the price has moved. With a ticker of 5 s "
            "nothing finer than its interval is resolved: the interval of the estimate, not the estimate, is the "
            "answer."
        ),
        claimed_range=(0.0, 5.0),
        min_events=30,
        events="liquidations",
        min_blocks=20,
        max_ticker_interval_s=6.0,
    ),
)

Q4 = (
    Hypothesis(
        id="Q4.1",
        claim="Price tends to visit liquidation-rich zones (stop hunting)",
        null="the price visits zones as often as matched random levels",
        alternative="the price visits zones more often than matched random levels",
        estimand="probability that the price comes into a zone within 60 min, less that of matched random levels",
        unit="probability",
        delta=0.03,
        delta_reason="three visits in a hundred: fewer would be lost among the visits that distance alone explains",
        test=f"Matched comparison, once per hour and zone. {_MIRRORS}",
        dependence=BLOCKS,
        assumptions=_LEVELS_ASSUMPTIONS,
        reading=(
            "Positive: zones attract. Zones lie where the price has been, and it comes back there anyway: hence the "
            "comparison with levels at equal distance. It says nothing on who moves the price."
        ),
        min_events=100,
        events="hours of a zone within reach",
        min_blocks=20,
        max_ticker_interval_s=60.0,
    ),
    Hypothesis(
        id="Q4.2",
        claim="Reversals more likely at major liquidation zones",
        null="after its first touch of a zone the price reverses as often as at matched random levels",
        alternative="after its first touch of a zone the price reverses more often than at matched random levels",
        estimand=(
            "probability of a reversal before a breakout at first touch, barriers at one trailing 15 min volatility "
            "on either side, less that at matched random levels"
        ),
        unit="probability",
        delta=0.03,
        delta_reason=(
            "three more reversals in a hundred earn 0.06 volatilities per touch: 2 bps, one maker's fee, where one is "
            "30 bps"
        ),
        test=f"Matched comparison at first touches. {_RANDOM_LEVELS}",
        dependence=BLOCKS,
        assumptions=_LEVELS_ASSUMPTIONS,
        reading=(
            "Positive: zones hold. A hit rate alone says little: with symmetric barriers random levels reverse about "
            "half of the time too. Neither barrier within an hour counts as neither."
        ),
        min_events=50,
        events="first touches of a zone",
        min_blocks=20,
        max_ticker_interval_s=60.0,
    ),
    Hypothesis(
        id="Q4.3",
        claim="Breakouts through zones are explosive (cascade effect)",
        null="after a breakout of a zone the price moves on as far as after a breakout of a matched random level",
        alternative="after a breakout of a zone the price moves on further than after a breakout of a random level",
        estimand=(
            "mean move in the direction of the breakout in the 5 min after the barrier beyond a zone was reached, in "
            "trailing 15 min volatilities, less that after breakouts of matched random levels"
        ),
        unit="volatilities",
        delta=0.1,
        delta_reason="a tenth of an ordinary 15 min move: less is no explosion",
        test=(
            f"Matched comparison at breakouts. {_RANDOM_LEVELS} The move starts at the first price after the breakout."
        ),
        dependence=BLOCKS,
        assumptions=_LEVELS_ASSUMPTIONS,
        reading=(
            "0.1: breakouts of zones go on for a tenth of a volatility further. Breakouts of any level overshoot a "
            "little."
        ),
        min_events=30,
        events="breakouts of a zone",
        min_blocks=20,
        max_ticker_interval_s=60.0,
    ),
    Hypothesis(
        id="Q4.4",
        claim="Zones shift over time as leverage rebuilds",
        null="the zones of a day are those of the day before, but for chance in which liquidations were drawn",
        alternative="a part of a day's zones is new, beyond chance",
        estimand=(
            "share of the reproducible part of a day's zones that is new a day later: 1 less the ratio of the zone "
            "mass that random halves of neighbouring days have in common to what two random halves of one day have"
        ),
        unit="fraction",
        delta=0.1,
        delta_reason="a tenth of the map in a day: less would let zones of last week serve today",
        test=(
            "Ratio of sums over days (UTC) and symbols, from maps of 24 h on levels of $400 for Bitcoin and 60 bps for "
            "the others: on finer ones two halves of one day hardly agree. 40 random halves each, drawn by episodes "
            "(liquidations without a silence of 1 min), not by single liquidations."
        ),
        dependence=f"Neighbouring days share a map. {BY_DAY}",
        assumptions="Days are alike and nearly independent. With few days the t distribution carries the uncertainty.",
        reading=(
            "0.3: a day later three tenths of the map are new. That leverage was rebuilt is the plan's explanation; a "
            "price that has moved on moves the map too, and this test does not tell them apart."
        ),
        min_days=4.0,
    ),
)
