"""Question 7: do liquidations of one asset trigger those of others?

Verdicts rest on the conditional regressions alone. Everything else is described: lifts and cross-correlations find
contagion wherever assets follow one market.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from liqlab.core.time import MS_PER_MINUTE
from liqlab.study._evidence import Booleans, Evidence, Integers
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import Answer, BlockInference, QuestionConfig
from liqlab.study._protocol import Finding, conjoin
from liqlab.study._q7_contagion_methods import describe_contagion
from liqlab.study._q7_contagion_regimes import QUIET, VOLATILE, compare_regimes, measure_regime_correlations
from liqlab.study._q7_contagion_response import Influence, Response, combine, mean_of, measure_responses
from liqlab.study._q7_contagion_state import describe_state

_LEADER, _OTHERS, _FAVOURITES, _ETHER = "BTC", "an alt", ("SOL", "DOGE"), "ETH"
#: Fewer rows with a liquidation than that, as a cause or as a response, say nothing of a symbol.
_LEAST_ROWS = 30


@dataclass(frozen=True)
class _Contagion:
    """Responses between BTC and each alt that can be measured, by alt, and why the others cannot."""

    times_ms: Integers
    leader: str | None
    there: Mapping[str, Response]
    back: Mapping[str, Response]
    left_out: Mapping[str, str]
    interval_s: float

    def relative(self) -> dict[str, Influence]:
        """Responses to BTC in units of the alt's base rate."""
        return {alt: response.relative for alt, response in self.there.items()}

    @property
    def n_events(self) -> int:
        """Rows with a liquidation of BTC."""
        return max((response.n_events for response in self.there.values()), default=0)

    @property
    def events(self) -> Booleans:
        """The rows with a liquidation of BTC behind any of the responses."""
        rows = [response.events for response in self.there.values()]
        return np.any(rows, axis=0) if rows else np.zeros(len(self.times_ms), dtype=bool)


def answer_q7(evidence: Evidence, config: QuestionConfig) -> Answer:
    """A finding for Q7.1 to Q7.4 and the exploratory tables of contagion.

    Symbols are told by how their names begin: BTC, ETH, SOL, DOGE. An alt without a ticker fast enough, or with too few
    liquidations, is left out and named.
    """
    # More BLAS threads would add up in another order, and the same input must give the same bits.
    with threadpool_limits(1, "blas"):
        contagion = _measure(evidence)
        findings = (
            _judge_lead(contagion, config),
            _judge_regimes(evidence, config),
            _judge_favourites(contagion, config),
            _judge_ether(contagion, config),
        )
        responses = (*contagion.there.values(), *contagion.back.values())
        tables, notes = describe_contagion(evidence, contagion.leader, responses, config)
    return Answer("Q7", findings, tables, (*_describe_left_out(contagion), *notes))


def _measure(evidence: Evidence) -> _Contagion:
    longest = find_hypothesis("Q7.1").max_ticker_interval_s or float("inf")
    leader = _find(evidence.symbols, _LEADER)
    times: Integers = next((s.times_ms for s in evidence.symbols.values()), np.empty(0, np.int64))
    if leader is None:
        return _Contagion(times, None, {}, {}, {}, evidence.slowest_interval_s)
    own = evidence.symbols[leader]
    there, back, left_out, intervals = {}, {}, {}, [own.ticker_interval_s]
    if own.ticker_interval_s <= longest:
        state = describe_state(own)
        for alt, symbol in evidence.symbols.items():
            if alt == leader:
                continue
            if not symbol.ticker_interval_s <= longest:
                left_out[alt] = "its ticker is too slow or missing"
                continue
            forth, reverse = measure_responses(state, describe_state(symbol))
            if min(forth.n_responses, reverse.n_events) < _LEAST_ROWS or not np.isfinite(forth.increase.estimate):
                left_out[alt] = f"fewer than {_LEAST_ROWS} moments with liquidations"
                continue
            there[alt], back[alt] = forth, reverse
    alts = [s.ticker_interval_s for name, s in evidence.symbols.items() if name != leader]
    intervals += [evidence.symbols[alt].ticker_interval_s for alt in there] or ([min(alts)] if alts else [])
    return _Contagion(times, leader, there, back, left_out, max(intervals))


def _find(names: Mapping[str, object] | Sequence[str], prefix: str) -> str | None:
    return next((name for name in names if name.startswith(prefix)), None)


def _judge_lead(contagion: _Contagion, config: QuestionConfig) -> Finding:
    """Q7.1: alts respond to BTC, and more than BTC responds to them."""
    if not contagion.there:
        return _conclude("Q7.1", contagion, None, f"{_LEADER} and at least one other symbol")
    names = list(contagion.there)
    there = mean_of({name: response.increase for name, response in contagion.there.items()}, names)
    back = mean_of({name: response.increase for name, response in contagion.back.items()}, names)
    less = [(-weight, part) for weight, part in back]
    parts = [combine(there), combine([*there, *less])]
    found = [part.infer(contagion.times_ms, config) for part in parts]
    whole = conjoin(
        find_hypothesis("Q7.1"),
        [_conclude("Q7.1", contagion, one, "") for one in found],
    )
    first, second = found
    note = f"increase {first.estimate:+.4f}; beyond that of the opposite direction {second.estimate:+.4f}"
    return replace(whole, note=note) if not whole.shortfall else whole


def _judge_favourites(contagion: _Contagion, config: QuestionConfig) -> Finding:
    """Q7.3: SOL and DOGE less the other alts."""
    favourites = [name for name in contagion.there if name.startswith(_FAVOURITES)]
    return _judge_contrast("Q7.3", contagion, favourites, "BTC, SOL or DOGE, and another alt", config)


def _judge_ether(contagion: _Contagion, config: QuestionConfig) -> Finding:
    """Q7.4: the other alts less ETH."""
    others = [name for name in contagion.there if not name.startswith(_ETHER)]
    return _judge_contrast("Q7.4", contagion, others, "BTC, ETH and another alt", config)


def _judge_contrast(
    identifier: str, contagion: _Contagion, group: Sequence[str], needs: str, config: QuestionConfig
) -> Finding:
    """Mean relative response of `group` less that of the other alts."""
    rest = [name for name in contagion.there if name not in group]
    if not group or not rest:
        return _conclude(identifier, contagion, None, needs)
    relative = contagion.relative()
    less = [(-weight, part) for weight, part in mean_of(relative, rest)]
    found = combine([*mean_of(relative, group), *less]).infer(contagion.times_ms, config)
    return _conclude(identifier, contagion, found, "")


def _conclude(identifier: str, contagion: _Contagion, found: BlockInference | None, needs: str) -> Finding:
    hypothesis = find_hypothesis(identifier)
    n_blocks = None if found is None else _count_blocks(contagion, found.block_min)
    missing = find_shortfall(
        hypothesis,
        n_events=contagion.n_events if found is not None else None,
        n_blocks=n_blocks,
        ticker_interval_s=contagion.interval_s,
    )
    symbols = ", ".join((contagion.leader, *contagion.there)) if contagion.leader else "no BTC"
    short = f"needs {needs}, with prices and liquidations of each; found {symbols}" if needs else ""
    return _state(identifier, found, contagion.n_events, n_blocks or 0, "; ".join(t for t in (missing, short) if t))


def _state(identifier: str, found: BlockInference | None, n: int, n_blocks: int, shortfall: str) -> Finding:
    if found is None or shortfall:
        return Finding(identifier, n=n, n_blocks=n_blocks, shortfall=shortfall)
    return Finding(
        identifier,
        found.estimate,
        found.ci_low,
        found.ci_high,
        found.p,
        n,
        n_blocks,
        f"conditional regression, {found.method}" if identifier != "Q7.2" else f"moments by regime, {found.method}",
    )


def _count_blocks(contagion: _Contagion, block_min: int) -> int:
    times = contagion.times_ms[contagion.events]
    return int(np.unique(times // (block_min * MS_PER_MINUTE)).size) if block_min else 0


def _judge_regimes(evidence: Evidence, config: QuestionConfig) -> Finding:
    """Q7.2: mean correlation over pairs, volatile less quiet."""
    hypothesis = find_hypothesis("Q7.2")
    names = list(evidence.symbols)
    pairs = measure_regime_correlations(evidence, names)
    if not pairs:
        return Finding("Q7.2", shortfall=_explain_no_pair(evidence))
    contrast = compare_regimes(pairs)
    times = evidence.symbols[names[0]].times_ms
    found = contrast.infer(times, config)
    block_ms = found.block_min * MS_PER_MINUTE
    blocks = {
        words: int(
            np.unique(times[np.any([regimes[words].used for regimes in pairs.values()], axis=0)] // block_ms).size
        )
        for words in (VOLATILE, QUIET)
    }
    n_blocks = int(np.unique(times[contrast.used] // block_ms).size)
    missing = find_shortfall(hypothesis, n_events=blocks, n_blocks=n_blocks)
    return _state("Q7.2", found, found.n, n_blocks, missing)


def _explain_no_pair(evidence: Evidence) -> str:
    if len(evidence.symbols) < 2:
        return f"needs two symbols, found {', '.join(evidence.symbols) or 'none'}"
    known = [name for name, symbol in evidence.symbols.items() if (symbol.regime >= 0).any()]
    if len(known) < 2:
        return f"needs regimes of two symbols, found those of {', '.join(known) or 'none'}"
    return "needs two symbols with liquidations while both are volatile, and while both are quiet; found no such pair"


def _describe_left_out(contagion: _Contagion) -> list[str]:
    return [f"{name} is left out of the conditional regressions: {why}." for name, why in contagion.left_out.items()]
