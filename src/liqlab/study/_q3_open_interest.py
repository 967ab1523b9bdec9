"""Question 3: how much of the changes of open interest are liquidations, and which of the two comes first?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from liqlab.core.time import MS_PER_MINUTE
from liqlab.study._evidence import Booleans, Evidence
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import Answer, BlockInference, QuestionConfig
from liqlab.study._placebo_inference import conclude
from liqlab.study._protocol import Finding
from liqlab.study._q3_open_interest_bars import (
    QUIET,
    VOLATILE,
    Bars,
    fit_shared_variance,
    has_open_interest,
    make_bars,
    to_share,
)
from liqlab.study._q3_open_interest_lag import choose_alike, measure_lag
from liqlab.study._q3_open_interest_spikes import Spikes, find_spikes, study_events
from liqlab.study._q3_open_interest_tables import (
    MAIN_BAR_MIN,
    compare_forecasts,
    decompose_changes,
    explain_changes,
    relate_in_time,
)

_NO_OPEN_INTEREST = "needs open interest, found none in the ticker"
_HALF = 0.5


def answer_q3(evidence: Evidence, config: QuestionConfig) -> Answer:
    """A finding for Q3.1 to Q3.4 and the exploratory tables of open interest."""
    timely, interval_s, left_out = evidence.choose_timely(find_hypothesis("Q3.1").max_ticker_interval_s)
    symbols = [name for name in timely if has_open_interest(evidence.symbols[name])]
    missing = "" if symbols or not timely else _NO_OPEN_INTEREST
    bars = make_bars(evidence, symbols, MAIN_BAR_MIN)
    spikes = find_spikes(evidence, symbols)
    lags, peaks = relate_in_time(evidence, symbols, config.seed)
    findings = (
        _judge_explained(bars, interval_s, missing, config),
        _judge_organic(bars, interval_s, missing, config),
        _judge_spikes(spikes, interval_s, missing, config),
        _judge_lag(evidence, config),
    )
    tables = {
        "oi_explained": explain_changes(evidence, symbols),
        "oi_decomposition": decompose_changes(evidence, symbols),
        "oi_lead_lag": lags,
        "oi_lead_lag_peaks": peaks,
        "oi_event_study": study_events(evidence, spikes),
        "oi_ic": compare_forecasts(evidence, symbols),
    }
    return Answer("Q3", findings, tables, tuple(_list_notes(symbols, timely, left_out)))


def _judge_explained(bars: Bars, interval_s: float, missing: str, config: QuestionConfig) -> Finding:
    """Q3.1: two one-sided tests of the share in the volatile regime against the ends of the claimed range."""
    hypothesis = find_hypothesis("Q3.1")
    fit = fit_shared_variance(bars, bars.regime == VOLATILE)
    low, high = hypothesis.claimed_range or (0.0, 1.0)
    against_low, against_high = fit.infer(config, low), fit.infer(config, high)
    beyond = (float(np.arctanh(np.sqrt(low))), float(np.arctanh(np.sqrt(high))))
    p = max(_one_sided(against_low, beyond[0], above=True), _one_sided(against_high, beyond[1], above=False))
    return _share_finding("Q3.1", bars, VOLATILE, against_low, fit.n, p, interval_s, missing)


def _judge_organic(bars: Bars, interval_s: float, missing: str, config: QuestionConfig) -> Finding:
    """Q3.2: what is not explained in the quiet regime, against a half."""
    fit = fit_shared_variance(bars, bars.regime == QUIET)
    inference = fit.infer(config, _HALF)
    found = _share_finding("Q3.2", bars, QUIET, inference, fit.n, inference.p, interval_s, missing)
    if found.effect is None or found.ci_low is None or found.ci_high is None:
        return found
    return replace(found, effect=1.0 - found.effect, ci_low=1.0 - found.ci_high, ci_high=1.0 - found.ci_low)


def _share_finding(
    identifier: str,
    bars: Bars,
    regime: int,
    inference: BlockInference,
    n: int,
    p: float,
    interval_s: float,
    missing: str,
) -> Finding:
    """The share explained in a regime, its interval on the scale of a share."""
    known = np.isfinite(inference.estimate + inference.ci_low + inference.ci_high)
    low, high = to_share(inference.ci_low, inference.ci_high) if known else (None, None)
    used = (bars.regime == regime) & bars.is_known
    n_blocks = _count_blocks(bars, used, inference.block_min)
    declared = find_shortfall(find_hypothesis(identifier), n_events=n, n_blocks=n_blocks, ticker_interval_s=interval_s)
    return Finding(
        identifier,
        effect=float(np.tanh(inference.estimate) ** 2) if known else None,
        ci_low=low,
        ci_high=high,
        p=p if known else None,
        n=n,
        n_blocks=n_blocks,
        method=f"least squares, Fisher's z of the correlation, {inference.method}",
        note="" if known or missing else "open interest or liquidated quantity does not vary in these bars",
        shortfall="; ".join(text for text in (missing, declared) if text),
    )


def _judge_spikes(spikes: Spikes, interval_s: float, missing: str, config: QuestionConfig) -> Finding:
    """Q3.3: spikes of open interest before cascades and before matched moments."""
    found = spikes.infer(config)
    own, others = spikes.outcomes.own, spikes.outcomes.control_means
    known = spikes.outcomes.is_known
    note = f"{own[known].mean():.3f} of cascades, {others[known].mean():.3f} of matched moments" if known.any() else ""
    return conclude("Q3.3", found, n_events=found.n_events, ticker_interval_s=interval_s, shortfall=missing, note=note)


def _judge_lag(evidence: Evidence, config: QuestionConfig) -> Finding:
    """Q3.4: two one-sided tests of the lag against the ends of the claimed range."""
    hypothesis = find_hypothesis("Q3.4")
    timely, interval_s, _ = evidence.choose_timely(hypothesis.max_ticker_interval_s)
    symbols = choose_alike(evidence, timely)
    lag = measure_lag(evidence, symbols)
    low, high = hypothesis.claimed_range or (0.0, 0.0)
    against_low, against_high = lag.infer(config, low), lag.infer(config, high)
    p = max(_one_sided(against_low, low, above=True), _one_sided(against_high, high, above=False))
    shortfall = find_shortfall(
        hypothesis,
        n_events=lag.n_liquidations,
        n_blocks=against_low.n_blocks if lag.n_liquidations else 0,
        ticker_interval_s=interval_s,
    )
    return Finding(
        "Q3.4",
        effect=against_low.estimate,
        ci_low=against_low.ci_low,
        ci_high=against_low.ci_high,
        p=p,
        n=lag.n_liquidations,
        n_blocks=against_low.n_blocks,
        method=f"vertex of the cross-correlation in steps of {lag.step_s:g} s, {against_low.method}",
        note=f"highest correlation {float(lag.correlation.max()):.3f}" if symbols else "",
        shortfall=shortfall,
        doubt="" if shortfall or lag.has_peak(config) else "liquidations and prices go together at no lag",
    )


def _one_sided(inference: BlockInference, end: float, *, above: bool) -> float:
    """p of the claim that the truth lies above (below) `end`, from the two-sided p against it."""
    agrees = inference.estimate > end if above else inference.estimate < end
    return inference.p / 2.0 if agrees else 1.0 - inference.p / 2.0


def _count_blocks(bars: Bars, used: Booleans, block_min: int) -> int:
    return int(np.unique(bars.time_ms[used] // (max(block_min, 1) * MS_PER_MINUTE)).size)


def _list_notes(symbols: Sequence[str], timely: Sequence[str], left_out: str) -> list[str]:
    notes = [
        "R2 is a share of variance, not of contracts: a forced close lowers open interest only when its counterparty "
        "closes too, so the slope lies between -1 and 0, and both ends are tested.",
        "Organic flow is what is left of OI changes; the counterparties of forced orders are part of it.",
        "If the organic part forecasts returns no better than the total change, liquidations are not what spoilt "
        "forecasts from open interest.",
    ]
    without = [name for name in timely if name not in symbols]
    if without:
        notes.append(f"Without open interest in the ticker: {', '.join(without)}.")
    return [*notes, left_out] if left_out else notes
