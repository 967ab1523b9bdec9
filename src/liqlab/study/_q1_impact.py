"""Question 1: do large liquidation events move prices, and do they go on?"""

from __future__ import annotations

import numpy as np

from liqlab.core.time import MS_PER_S
from liqlab.study._evidence import Booleans, Evidence, Floats
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._liquidity import is_thin
from liqlab.study._placebo import MomentMatcher, Moments, choose_quick, measure_outcomes, signed_return
from liqlab.study._placebo_events import list_confirmations, list_crossings, list_ends
from liqlab.study._placebo_inference import conclude, count_priced, infer_difference, infer_excess
from liqlab.study._protocol import Finding
from liqlab.study._q1_impact_aftermath import describe_excursions, describe_recovery
from liqlab.study._q1_impact_chain import describe_chain, describe_clusters, describe_severity
from liqlab.study._q1_impact_splits import MatchedSet, describe_balance, describe_impact, describe_paths
from liqlab.study._q1_impact_tables import BALANCE, CHAIN, CLUSTERS, EXCURSIONS, IMPACT, PATHS, RECOVERY, SEVERITY

LARGE_USD, HUGE_USD = 1e6, 5e6
_SHORT_MS, _LARGE_MS = 30 * MS_PER_S, 60 * MS_PER_S
_LOW, _OTHER = "in low liquidity", "in other liquidity"


def answer_q1(evidence: Evidence, config: QuestionConfig) -> Answer:
    """Findings Q1.1 to Q1.4, and what describes cascades beside them."""
    matcher = MomentMatcher(evidence)
    confirmed = MatchedSet.match("confirmed", list_confirmations(evidence), matcher)
    large = MatchedSet.match("$1M", list_crossings(evidence, LARGE_USD), matcher)
    huge = MatchedSet.match("$5M", list_crossings(evidence, HUGE_USD), matcher)
    ended = MatchedSet.match("ended", list_ends(evidence), matcher)
    origins = (confirmed, large, huge, ended)
    tables = {
        CLUSTERS.name: describe_clusters(evidence),
        IMPACT.name: describe_impact(evidence, origins),
        PATHS.name: describe_paths(evidence, (confirmed, ended)),
        EXCURSIONS.name: describe_excursions(evidence, matcher),
        RECOVERY.name: describe_recovery(evidence, ended),
        CHAIN.name: describe_chain(evidence, matcher),
        SEVERITY.name: describe_severity(evidence, confirmed),
        BALANCE.name: describe_balance(origins),
    }
    return Answer("Q1", _find(evidence, config, confirmed, large), tables, _note(evidence, large))


def _find(evidence: Evidence, config: QuestionConfig, confirmed: MatchedSet, large: MatchedSet) -> tuple[Finding, ...]:
    sides = confirmed.moments.pressure
    return (
        _find_mean(evidence, config, "Q1.1", large, _LARGE_MS, np.ones(len(large.moments), dtype=bool)),
        _find_liquidity(evidence, config, confirmed),
        _find_mean(evidence, config, "Q1.3", confirmed, _SHORT_MS, sides < 0.0),
        _find_mean(evidence, config, "Q1.4", confirmed, _SHORT_MS, sides > 0.0),
    )


def _find_mean(
    evidence: Evidence,
    config: QuestionConfig,
    identifier: str,
    events: MatchedSet,
    horizon_ms: int,
    where: Booleans,
) -> Finding:
    """The mean excess of the events in `where`."""
    quick, interval_s, note = choose_quick(evidence, find_hypothesis(identifier), events.moments)
    outcomes = measure_outcomes(evidence, events.matched, signed_return(horizon_ms))
    inside = where & quick
    found = infer_excess(events.matched, outcomes, horizon_ms, config, inside, weights=events.matched.calmness)
    counted = count_priced(outcomes, where, inside)
    return conclude(
        identifier,
        found,
        n_events=counted,
        ticker_interval_s=interval_s,
        note=note,
    )


def _find_liquidity(evidence: Evidence, config: QuestionConfig, events: MatchedSet) -> Finding:
    quick, interval_s, note = choose_quick(evidence, find_hypothesis("Q1.2"), events.moments)
    thin = map_moments(evidence, events.moments)
    low, other = thin == 1.0, thin == 0.0
    outcomes = measure_outcomes(evidence, events.matched, signed_return(_SHORT_MS))
    calm = events.matched.calmness
    found = infer_difference(events.matched, outcomes, _SHORT_MS, config, low & quick, other & quick, weights=calm)
    quoted = np.isfinite(thin).any() or not len(events.moments)
    return conclude(
        "Q1.2",
        found,
        n_events={
            _LOW: count_priced(outcomes, low, low & quick),
            _OTHER: count_priced(outcomes, other, other & quick),
        },
        ticker_interval_s=interval_s,
        shortfall="" if quoted else "needs a day of bid and ask prices or sizes in the ticker, found none",
        note=note,
    )


def map_moments(evidence: Evidence, moments: Moments) -> Floats:
    """Whether liquidity was low at each moment (n,): 1, 0 or NaN."""
    thin = np.full(len(moments), np.nan)
    for code, name in enumerate(moments.symbols):
        own = moments.codes == code
        if own.any():
            thin[own] = is_thin(evidence.symbols[name], moments.times_ms[own])
    return thin


def _note(evidence: Evidence, large: MatchedSet) -> tuple[str, ...]:
    notes = [
        "The excess is what a cascade adds to what was to be expected from equal volatility and returns, further "
        "cascades included; the price before it is not part of it.",
        "The verdicts weigh each event by one over its trailing volatility, since calm moments tell more of a mean; "
        "the "
        "tables count all events alike.",
        "Share of adverse movement and of recovery stand beside the same shares at matched moments: without that "
        "comparison both are high in any market.",
        "That more liquidations follow a first one than the move alone would bring (table q1_chain) does not say that "
        "one causes the next: traders who came together are liquidated together, in the null world too.",
    ]
    worst = max((abs(row[2]) for row in large.matched.describe_balance().values() if np.isfinite(row[2])), default=0.0)
    if worst > 0.25:
        notes.append(
            f"Moments as extreme as a cascade of $1M are few: the matched ones differ by up to {worst:.2f} standard "
            "deviations (table q1_balance)."
        )
    if not any(symbol.liquidations.height for symbol in evidence.symbols.values()):
        notes.append("There are no liquidations.")
    return tuple(notes)
