"""Question 6: do liquidations reveal hidden order flow and market maker behaviour?"""

from __future__ import annotations

import numpy as np

from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_S
from liqlab.study._evidence import Booleans, Evidence
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._placebo import (
    MatchedMoments,
    MomentMatcher,
    Outcomes,
    choose_quick,
    measure_outcomes,
    signed_return,
)
from liqlab.study._placebo_events import CascadeMoments, list_confirmations
from liqlab.study._placebo_inference import conclude, count_priced, infer_difference, infer_excess, join_notes
from liqlab.study._protocol import Finding
from liqlab.study._q6_microstructure_hours import HourlyRates, compare_rates, count_by_hour, describe_hours
from liqlab.study._q6_microstructure_size import describe_absorption, describe_delays, describe_efficiency
from liqlab.study._q6_microstructure_sweeps import describe_sweeps, list_sweeps, sweep_periods
from liqlab.study._q6_microstructure_tables import ABSORPTION, DELAYS, EFFICIENCY, HOURS, SWEEPS

_SHORT_MS, _SWEEP_MS = 30 * MS_PER_S, 60 * MS_PER_S
_BUSY_HOURS = (8, 21)
_MUSD = 1e6
_FIRST_WEEKDAY, _SATURDAY = 3, 5


def answer_q6(evidence: Evidence, config: QuestionConfig) -> Answer:
    """Findings Q6.1 to Q6.4, and what describes sweeps, absorption, size and time beside them."""
    matcher, rates = MomentMatcher(evidence), count_by_hour(evidence)
    events = list_confirmations(evidence)
    matched = matcher.match(events.moments)
    outcomes = measure_outcomes(evidence, matched, signed_return(_SHORT_MS))
    moments, sweeps = list_sweeps(evidence)
    swept = matcher.match(moments, sweep_periods(evidence, sweeps))
    after = measure_outcomes(evidence, swept, signed_return(_SWEEP_MS))
    hour = events.moments.times_ms // MS_PER_HOUR % 24
    busy = (hour >= _BUSY_HOURS[0]) & (hour < _BUSY_HOURS[1])
    weekend = (events.moments.times_ms // MS_PER_DAY + _FIRST_WEEKDAY) % 7 >= _SATURDAY
    findings = (
        _find_asia(evidence, rates),
        _find_contrast(evidence, config, "Q6.2", (events, matched, outcomes), ~busy, busy, rates),
        _find_sweeps(evidence, config, swept, after),
        _find_contrast(evidence, config, "Q6.4", (events, matched, outcomes), weekend, ~weekend, rates),
    )
    tables = {
        DELAYS.name: describe_delays(evidence),
        SWEEPS.name: describe_sweeps(evidence, sweeps, swept, after),
        ABSORPTION.name: describe_absorption(evidence, events, outcomes),
        EFFICIENCY.name: describe_efficiency(evidence, events, outcomes, config),
        HOURS.name: describe_hours(rates),
    }
    return Answer("Q6", findings, tables, _NOTES)


_NOTES = (
    "From event to push and from push to capture: delays of the messages are in the statistics of each symbol.",
    "The displacement of a cascade holds the move that set it off: that it grows with size is no sign of impact.",
    "A share of large cascades that hardly move the price on is what a market without impact shows too; who takes the "
    "other side is not in the data.",
)


def _find_asia(evidence: Evidence, rates: HourlyRates) -> Finding:
    inside = rates.in_session("Asia")
    found = compare_rates(rates, inside)
    shortfall = find_shortfall(find_hypothesis("Q6.1"), n_days=evidence.covered_days)
    empty = [name for name, group in (("in", inside), ("outside", ~inside)) if not rates.n[group].sum() > 0.0]
    if empty:
        shortfall = join_notes(shortfall, f"needs liquidations {' and '.join(empty)} the Asia session, found none")
    return Finding(
        "Q6.1",
        effect=found.estimate,
        ci_low=found.ci_low,
        ci_high=found.ci_high,
        p=found.p,
        n=int(rates.n.sum()),
        n_blocks=found.n_clusters,
        method=f"log ratio of rates, errors clustered by {found.n_clusters} days",
        shortfall=shortfall,
    )


def _find_contrast(
    evidence: Evidence,
    config: QuestionConfig,
    identifier: str,
    cascades: tuple[CascadeMoments, MatchedMoments, Outcomes],
    first: Booleans,
    second: Booleans,
    rates: HourlyRates,
) -> Finding:
    """Excess per square root of $1M in `first` less that in `second`."""
    events, matched, outcomes = cascades
    quick, interval_s, note = choose_quick(evidence, find_hypothesis(identifier), events.moments)
    root = np.sqrt(events.notional_usd / _MUSD)
    calm = matched.calmness
    found = infer_difference(matched, outcomes, _SHORT_MS, config, first & quick, second & quick, root, calm)
    groups = zip(find_hypothesis(identifier).each_of, (first, second), strict=True)
    return conclude(
        identifier,
        found,
        n_events={name: count_priced(outcomes, group, group & quick) for name, group in groups},
        ticker_interval_s=interval_s,
        n_days=evidence.covered_days,
        n_weekends=rates.count_weekends(),
        note=note,
    )


def _find_sweeps(evidence: Evidence, config: QuestionConfig, matched: MatchedMoments, outcomes: Outcomes) -> Finding:
    quick, interval_s, note = choose_quick(evidence, find_hypothesis("Q6.3"), matched.moments)
    found = infer_excess(matched, outcomes, _SWEEP_MS, config, quick, weights=matched.calmness)
    everything = np.ones(len(matched.moments), dtype=bool)
    return conclude(
        "Q6.3",
        found,
        n_events=count_priced(outcomes, everything, quick),
        ticker_interval_s=interval_s,
        note=note,
    )
