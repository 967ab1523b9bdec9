"""The catalogue: each expected finding of the research plan as one hypothesis, and one for each strategy.

A plain tuple. Its length is the size of the confirmatory family, so an entry is never left out for want of data.
"""

from __future__ import annotations

from collections.abc import Mapping

from liqlab.core.errors import unknown_name
from liqlab.study._hypotheses_q1_q2 import Q1, Q2
from liqlab.study._hypotheses_q3_q4 import Q3, Q4
from liqlab.study._hypotheses_q5_q6 import Q5, Q6
from liqlab.study._hypotheses_q7 import Q7, STRATEGIES
from liqlab.study._protocol import Hypothesis

HYPOTHESES: tuple[Hypothesis, ...] = (*Q1, *Q2, *Q3, *Q4, *Q5, *Q6, *Q7, *STRATEGIES)

#: The research questions, as the plan's own general hypotheses; each strategy is its own question.
QUESTIONS: Mapping[str, str] = {
    "Q1": "Large liquidation events trigger price moves and subsequent cascades",
    "Q2": "Imbalance between long vs short liquidations predicts reversals",
    "Q3": "Liquidations explain OI changes better than organic position changes",
    "Q4": "Price levels with historical liquidation clusters act as magnets",
    "Q5": "Liquidation rate predicts upcoming volatility spikes",
    "Q6": "Liquidations reveal hidden order flow and market maker behavior",
    "Q7": "Liquidations in one asset trigger liquidations in correlated assets",
    "S1": "Cascade Fade",
    "S2": "Imbalance Reversal",
    "S3": "Liquidation Zone Bounce",
    "S4": "Volatility Breakout",
}


def find_hypothesis(identifier: str) -> Hypothesis:
    """The hypothesis called so, in capitals or not; `UserError` lists those there are.

    >>> find_hypothesis("q3.2").claim
    'Organic flow dominates in quiet regimes'
    """
    for hypothesis in HYPOTHESES:
        if hypothesis.id == identifier.strip().upper():
            return hypothesis
    raise unknown_name("hypothesis", identifier, [hypothesis.id for hypothesis in HYPOTHESES])
