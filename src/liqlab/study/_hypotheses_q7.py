"""Question 7, contagion between assets, and the four strategies."""

from __future__ import annotations

from liqlab.study._hypotheses_shared import BLOCKS
from liqlab.study._protocol import Hypothesis

_CONDITIONAL = (
    "Linear probability model on the 5 s grid: an alt has a liquidation in (t + 5 s, t + 30 s], on whether BTC had "
    "one in (t - 5 s, t], given what is known of both when that window begins: returns (5 s, 30 s, 5 min; their sizes "
    "too), volatility of 1 min to 1 h, how near the price is to its extremes of the last 1 min to 24 h, and their own "
    "liquidations of the last 5 s (so BTC's in (t, t + 5 s] too), 5 min and hour."
)
_CONDITIONAL_ASSUMPTIONS = (
    "Given the past prices and liquidations of both assets, a common factor makes BTC's liquidations no better a "
    "predictor; blocks are independent of one another and alike."
)
_CONDITIONAL_BLOCKS = f"All assets share a factor and liquidations come in bursts. {BLOCKS}"
_LIFTS = (
    "Lifts such as P(alt | BTC) over its base rate, cross-correlations and shifts in time find contagion wherever "
    "there is a common factor: they are reported without verdict."
)
_STRATEGIES = ("Cascade Fade", "Imbalance Reversal", "Liquidation Zone Bounce", "Volatility Breakout")

Q7 = (
    Hypothesis(
        id="Q7.1",
        claim="BTC liquidations lead altcoin liquidations by 5-30 seconds",
        null=(
            "given trailing returns and volatilities, BTC's liquidations do not make an alt's more likely 5 to 30 s "
            "later, or no more than an alt's make BTC's"
        ),
        alternative=(
            "given trailing returns and volatilities, BTC's liquidations make an alt's more likely 5 to 30 s later, "
            "and more so than an alt's make BTC's"
        ),
        estimand=(
            "the lesser of two, mean over alts: the increase of the probability that the alt has a liquidation in (t "
            "+ 5 s, t + 30 s] when BTC had one in the last 5 s; and that increase less the same with the roles "
            "exchanged"
        ),
        unit="probability",
        delta=0.01,
        delta_reason=(
            "one response more in a hundred: 8 to 15 % of the minutes of the published data hold a liquidation, so "
            "the base rate of 25 s is of a few percent"
        ),
        test=f"Compound claim: both parts must hold, and its p is the larger. {_CONDITIONAL}",
        dependence=_CONDITIONAL_BLOCKS,
        assumptions=_CONDITIONAL_ASSUMPTIONS,
        reading=f"0.01: in one of a hundred cases an alt follows that would not have without BTC. {_LIFTS}",
        min_events=30,
        events="intervals of 5 s with a BTC liquidation",
        min_blocks=20,
        max_ticker_interval_s=10.0,
        needs=("BTC and at least one other symbol",),
    ),
    Hypothesis(
        id="Q7.2",
        claim="Correlation is stronger in volatile regimes",
        null="liquidations of two symbols are as correlated in the volatile as in the quiet regime",
        alternative="liquidations of two symbols are more correlated in the volatile regime",
        estimand=(
            "correlation of log(1 + liquidated USD in 30 s), mean over pairs of symbols, while both are volatile, "
            "less that while both are quiet"
        ),
        unit="correlation",
        delta=0.05,
        delta_reason="a correlation of 0.05 is a four-hundredth of the variance: less has no use",
        test="Difference of two mean correlations, each from moments of its own regime.",
        dependence=_CONDITIONAL_BLOCKS,
        assumptions="Regimes are those known at the time; blocks are independent of one another and alike.",
        reading=(
            "Positive: symbols are liquidated together more when it is volatile. So they are where nothing spreads "
            "from one to another and all follow one market: this is no sign of contagion."
        ),
        min_events=20,
        events="blocks of time",
        each_of=("in the volatile regime", "in the quiet regime"),
        min_blocks=20,
        needs=("two symbols", "regimes"),
    ),
    Hypothesis(
        id="Q7.3",
        claim="SOL/DOGE have highest contagion (most speculative)",
        null="SOL and DOGE respond to BTC's liquidations as much as the other alts, relative to their base rates",
        alternative="SOL and DOGE respond to BTC's liquidations more than the other alts, relative to their base rates",
        estimand=(
            "conditional increase of Q7.1's first part divided by the alt's base rate: mean of SOL and DOGE, less the "
            "mean of the other alts"
        ),
        unit="base rates",
        delta=0.1,
        delta_reason="a tenth of the base rate: less does not set one alt apart from another",
        test=f"One named contrast stands for the ranking. {_CONDITIONAL}",
        dependence=_CONDITIONAL_BLOCKS,
        assumptions=_CONDITIONAL_ASSUMPTIONS,
        reading="Positive: SOL and DOGE follow BTC more than the others do. Why they do is not tested.",
        min_events=30,
        events="intervals of 5 s with a BTC liquidation",
        min_blocks=20,
        max_ticker_interval_s=10.0,
        needs=("BTC, SOL or DOGE, and another alt",),
    ),
    Hypothesis(
        id="Q7.4",
        claim="ETH is more independent (institutional positioning)",
        null="ETH responds to BTC's liquidations as much as the other alts, relative to its base rate",
        alternative="ETH responds to BTC's liquidations less than the other alts, relative to its base rate",
        estimand=(
            "conditional increase of Q7.1's first part divided by the alt's base rate: mean of the other alts, less "
            "that of ETH"
        ),
        unit="base rates",
        delta=0.1,
        delta_reason="a tenth of the base rate: less does not set one alt apart from another",
        test=f"One named contrast stands for the ranking. {_CONDITIONAL}",
        dependence=_CONDITIONAL_BLOCKS,
        assumptions=_CONDITIONAL_ASSUMPTIONS,
        reading=(
            "Positive: ETH follows BTC less than the others do. Where nothing follows BTC, ETH is no more independent "
            "than the rest. Who holds it is not tested."
        ),
        min_events=30,
        events="intervals of 5 s with a BTC liquidation",
        min_blocks=20,
        max_ticker_interval_s=10.0,
        needs=("BTC, ETH and another alt",),
    ),
)


def _declare_strategy(number: int, name: str) -> Hypothesis:
    return Hypothesis(
        id=f"S{number}",
        claim=f"{name} earns a positive return per trade, net of costs",
        null="the mean return per trade, net of costs, is zero",
        alternative="the mean return per trade, net of costs, is positive",
        estimand=(
            "mean net return per trade with the strategy's default parameters, which nothing was chosen by, in bps of "
            "entry notional"
        ),
        unit="bps",
        delta=1.0,
        delta_reason="a basis point per trade, net: less does not survive a fee tier or a slower machine",
        test="Mean net return of trades, after fees, spread, impact and funding, filled as an exchange fills.",
        dependence=f"Trades come in bursts and symbols move together. {BLOCKS}",
        assumptions="Costs and fills are as modelled; blocks are independent of one another and alike.",
        reading="Positive: it earned money in these days after all costs. These days are no others.",
        min_events=30,
        events="trades",
        min_blocks=20,
        max_ticker_interval_s=10.0,
        needs=("a backtest",),
    )


STRATEGIES = tuple(_declare_strategy(number, name) for number, name in enumerate(_STRATEGIES, start=1))
