"""Question 5, liquidations as a predictor of volatility, and question 6, microstructure and time."""

from __future__ import annotations

from liqlab.study._hypotheses_shared import BLOCKS, BY_DAY, IMPACT, MAKER, MATCHED, UNCONFOUNDED, WITHIN
from liqlab.study._protocol import Hypothesis

_FORECAST = (
    "Two walk-forward forecasts of the same moments. Price only: HAR with realised variance of minutes, range, "
    "semivariances, jumps, ATR, Bollinger width and hour of day. The other adds the liquidation rate in events and "
    "USD per minute over 5 min, 15 min and 1 h, and its change. Both are fitted on the past alone, in the same way."
)
_WORTH = (
    "The loss saved, plus what estimating more coefficients costs (Clark and West 2007): half the mean product of what "
    "the price-only forecast missed and what the other changes in it, as a ratio to the price-only loss. Without the "
    "addition a forecast with useless terms loses, and would be found worse where there is nothing to find. The loss "
    "saved as fitted is in the note, and tested as in Diebold and Mariano in the table q5_comparisons."
)
_FORECAST_ASSUMPTIONS = (
    "Both forecasts are linear in logs and equally tuned, so that what differs is the information; blocks are "
    "independent of one another and alike."
)
_FORECAST_DAYS = "days of forecasts out of sample"
_NOT_THE_PUBLISHED = (
    "The published test, which finds that liquidations lead 97 % of volatility changes, finds the same where "
    "liquidations cause nothing: this one asks what they add to prices."
)
_ROOT = (
    "Ratio of sums: excess impact at 30 s from confirmation on the square root of the notional so far in $1M, through "
    "the origin, so that large cascades weigh more and sizes may differ."
)

Q5 = (
    Hypothesis(
        id="Q5.1",
        claim="Rising liquidation rate predicts volatility spike in 5-15 minutes",
        null="knowing the liquidation rate does not improve the price-only forecast of volatility over 15 min",
        alternative="knowing the liquidation rate improves the price-only forecast of volatility over 15 min",
        estimand=(
            "reduction of the out-of-sample QLIKE loss of forecasts of realised volatility over the next 15 min by "
            "adding liquidation rates to prices, their coefficients being known, in % of the price-only loss"
        ),
        unit="%",
        delta=1.0,
        delta_reason="a hundredth of the loss: less is smaller than what another usual price-only model gains or loses",
        test=f"{_FORECAST} {_WORTH}",
        dependence=BLOCKS,
        assumptions=_FORECAST_ASSUMPTIONS,
        reading=(
            "Positive: liquidations tell more of the coming volatility than prices do. That they correlate with it "
            f"is no news: both follow the last move. {_NOT_THE_PUBLISHED}"
        ),
        min_blocks=20,
        min_days=3.0,
        days=_FORECAST_DAYS,
        max_ticker_interval_s=60.0,
    ),
    Hypothesis(
        id="Q5.2",
        claim="Liquidation rate is a leading indicator (vs lagging indicators like ATR)",
        null="an alarm that knows the liquidation rate is raised as early as one that knows prices alone",
        alternative="an alarm that knows the liquidation rate is raised earlier",
        estimand=(
            "mean over transitions from quiet to volatile, after half an hour of quiet, of the minutes by which the "
            "alarm with liquidation rates comes before the price-only alarm, both at the same rate of false alarms"
        ),
        unit="min",
        delta=0.5,
        delta_reason="half a minute: less is within the step of a minute at which regimes are known",
        test=(
            f"{_FORECAST} An alarm stands while the forecast, against the level from which the regime is volatile, is "
            "above a level set on the past for one false alarm in 6 h. Its lead counts from the first minute of the "
            "last 30 in which it stands; none counts as raised at the transition."
        ),
        dependence=(
            "Most alarms come in the same minute, a few far apart, which a bootstrap resamples badly: Student's t over "
            "calendar blocks with all symbols of a block together, of a length chosen from the data (30 min to 6 h)."
        ),
        assumptions=_FORECAST_ASSUMPTIONS,
        reading=f"Positive: earlier by so many minutes. {_NOT_THE_PUBLISHED}",
        min_events=20,
        events="transitions from quiet to volatile",
        min_blocks=20,
        min_days=3.0,
        days=_FORECAST_DAYS,
        max_ticker_interval_s=60.0,
    ),
    Hypothesis(
        id="Q5.3",
        claim="Works best for detecting quiet → volatile transitions",
        null="liquidation rates add as much to detecting quiet → volatile as to volatile → quiet",
        alternative="liquidation rates add more to detecting quiet → volatile than to volatile → quiet",
        estimand=(
            "gain in AUC by liquidation rates over prices alone, out of sample, for a transition from quiet to "
            "volatile in the next 15 min, less the gain for one from volatile to quiet"
        ),
        unit="AUC",
        delta=0.02,
        delta_reason="two pairs in a hundred ranked right that were not before: less is not seen in use",
        test=(
            f"{_FORECAST} Here as classifiers, which also know how far the last hour's volatility is from the level of "
            "the regime; the difference of two differences of AUC, by influence (DeLong)."
        ),
        dependence=BLOCKS,
        assumptions=_FORECAST_ASSUMPTIONS,
        reading=(
            "Positive: liquidations help more to see volatility coming than to see it going. 'Best' is this one "
            "contrast; whether they help at all is Q5.1."
        ),
        min_events=20,
        events="transitions",
        each_of=("from quiet to volatile", "from volatile to quiet"),
        min_blocks=20,
        min_days=3.0,
        days=_FORECAST_DAYS,
        max_ticker_interval_s=60.0,
    ),
    Hypothesis(
        id="Q5.4",
        claim="Can be used for dynamic position sizing",
        null="positions sized by the forecast with liquidation rates miss their risk target as much as without",
        alternative="positions sized by the forecast with liquidation rates miss their risk target by less",
        estimand=(
            "reduction of the mean squared log ratio of realised to targeted risk over 15 min, positions being sized "
            "by the forecast with liquidation rates instead of the price-only one, their coefficients being known, in "
            "% of the latter's"
        ),
        unit="%",
        delta=1.0,
        delta_reason="a hundredth of the squared miss: less does not repay a second data feed",
        test=f"{_FORECAST} A position is the target divided by the forecast. {_WORTH}",
        dependence=BLOCKS,
        assumptions=_FORECAST_ASSUMPTIONS,
        reading=(
            "Positive: risk stays closer to its target. It is no statement on return, and trading costs are left out."
        ),
        min_blocks=20,
        min_days=3.0,
        days=_FORECAST_DAYS,
        max_ticker_interval_s=60.0,
    ),
)

Q6 = (
    Hypothesis(
        id="Q6.1",
        claim="Liquidations cluster during low liquidity hours (Asia session)",
        null="liquidations per covered hour are as many in the Asia session as in the rest of the day",
        alternative="liquidations per covered hour are more in the Asia session",
        estimand="log of the ratio of liquidations per covered hour, 00-08 UTC against 08-24 UTC, all symbols",
        unit="log ratio",
        delta=0.1,
        delta_reason="a tenth more liquidations per hour: less is within what one busy hour adds to a day",
        test="Log ratio of two rates over covered time, by the delta method.",
        dependence=f"Liquidations come in bursts of minutes to hours. {BY_DAY}",
        assumptions="Days are independent and alike; a week of data stands for the season of its days.",
        reading="0.1: a tenth more per hour in the Asia session. Negative: more at other hours.",
        min_days=5.0,
    ),
    Hypothesis(
        id="Q6.2",
        claim="Market makers absorb liquidations during high liquidity (US/EU session)",
        null="a cascade moves the price on as much per size outside the US and European sessions as inside",
        alternative="a cascade moves the price on less per size inside the US and European sessions",
        estimand=(
            "excess impact at 30 s per sqrt($1M) of cascades confirmed outside 08-21 UTC, less that of cascades "
            "confirmed inside"
        ),
        unit="bps per sqrt($1M)",
        delta=1.0,
        delta_reason=MAKER,
        test=f"{_ROOT} {WITHIN} {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=f"Impact grows with the square root of size, alike in all sessions. {UNCONFOUNDED}",
        reading=(
            "Positive: the same size moves the price on less in the US and European sessions. Who absorbs it is not "
            "in the data; the absorption of single cascades is described beside, without verdict."
        ),
        min_events=30,
        each_of=("outside 08-21 UTC", "inside 08-21 UTC"),
        min_blocks=20,
        min_days=5.0,
        max_ticker_interval_s=10.0,
    ),
    Hypothesis(
        id="Q6.3",
        claim="Sweeps predict continuation (aggressive liquidation hunting)",
        null="once a sweep is known, the price goes on as it does at matched moments",
        alternative="once a sweep is known, the price moves on in the direction of its pressure",
        estimand=(
            "mean excess impact over 60 s from the moment a sweep is known, the first of its symbol in 10 min: at "
            "least four liquidations of one side at four different, monotone prices within 2 s"
        ),
        unit="bps",
        delta=1.0,
        delta_reason=MAKER,
        test=f"Matched comparison. {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=UNCONFOUNDED,
        reading=(
            "Positive: the price moves on with the pressure. That somebody hunts is the plan's explanation, not tested."
        ),
        min_events=30,
        events="sweeps",
        min_blocks=20,
        max_ticker_interval_s=20.0,
    ),
    Hypothesis(
        id="Q6.4",
        claim="Weekend liquidations have larger price impact",
        null="a cascade moves the price on as much per size at weekends as on weekdays",
        alternative="a cascade moves the price on more per size at weekends",
        estimand="excess impact at 30 s per sqrt($1M) of cascades at weekends (UTC), less that of cascades on weekdays",
        unit="bps per sqrt($1M)",
        delta=1.0,
        delta_reason=MAKER,
        test=f"{_ROOT} {WITHIN} {IMPACT} {MATCHED}",
        dependence=BLOCKS,
        assumptions=f"Impact grows with the square root of size, alike on all days. {UNCONFOUNDED}",
        reading=(
            "Positive: the same size moves the price on more at weekends. One weekend is one case, not fifty cascades."
        ),
        min_events=30,
        each_of=("at weekends", "on weekdays"),
        min_blocks=20,
        min_weekends=4,
        max_ticker_interval_s=10.0,
    ),
)
