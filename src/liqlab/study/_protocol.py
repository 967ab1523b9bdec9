"""The protocol of DESIGN 9.1: a claim is declared before any data is read, and judged by rules that never change.

With g = direction x (estimate - null_value), its 95 % interval [L, U], and the smallest effect that matters, delta, the
first that holds is the verdict:

1. not testable: a declared minimum is not met
2. supported: L > 0, adjusted p < 0.05 and g >= delta
3. rejected: U < delta
4. inconclusive

A claim of a range is supported when the interval lies inside it (adjusted p < 0.05, from two one-sided tests) and
rejected when the two are disjoint.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

from liqlab.core.errors import ResultsError
from liqlab.stats import adjust_holm

Verdict = Literal["supported", "rejected", "inconclusive", "not testable"]
VERDICTS: tuple[Verdict, ...] = ("supported", "rejected", "inconclusive", "not testable")
ALPHA = 0.05
VERDICTS_FILE = "verdicts.json"

#: What every reader of the file relies on, with the types of its values.
_RECORD: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "question", "claim", "verdict", "unit", "method", "needs", "note"), (str,)),
    **dict.fromkeys(("effect", "ci_low", "ci_high", "p", "p_adjusted"), (int, float, type(None))),
    "n": (int,),
}


@dataclass(frozen=True)
class Hypothesis:
    """One claim, as data.

    `null` and `alternative` are the two sides of its test in words. The claim is that direction x (estimand -
    null_value) is at least `delta`, the smallest effect that matters, for `delta_reason`; or, with `claimed_range`,
    that the estimand lies in it, and `delta` is only the precision at which it is worth knowing. `test`, `dependence`,
    `assumptions` and `reading` are for the reader.

    What the data must hold: `min_events` of what `events` names, in each of the groups `each_of` where there are any;
    `min_blocks` blocks of time with events; `min_days` of what `days` names; `min_weekends`; a ticker at least every
    `max_ticker_interval_s`; and the inputs `needs`. Raises `ValueError` for a declaration that contradicts itself.
    """

    id: str
    claim: str
    null: str
    alternative: str
    estimand: str
    unit: str
    delta: float
    delta_reason: str
    test: str
    dependence: str
    assumptions: str
    reading: str
    null_value: float = 0.0
    direction: int = 1
    claimed_range: tuple[float, float] | None = None
    min_events: int = 0
    events: str = "cascades"
    each_of: tuple[str, ...] = ()
    min_blocks: int = 0
    min_days: float = 0.0
    days: str = "covered days"
    min_weekends: int = 0
    max_ticker_interval_s: float | None = None
    needs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.delta > 0.0 and math.isfinite(self.delta)):
            raise ValueError(f"{self.id}: delta must be above 0 and finite, got {self.delta}")
        if self.direction not in (-1, 1):
            raise ValueError(f"{self.id}: direction must be -1 or 1, got {self.direction}")
        if self.claimed_range is not None and not self.claimed_range[0] < self.claimed_range[1]:
            raise ValueError(f"{self.id}: claimed_range must go from low to high, got {self.claimed_range}")

    @property
    def question(self) -> str:
        """`Q1` of `Q1.3`."""
        return self.id.partition(".")[0]

    @property
    def event_minima(self) -> tuple[tuple[str, str], ...]:
        """Each group with its minimum in words; one group `""` where there are none."""
        count = f"{self.min_events} {self.events}"
        return tuple((group, f"{count} {group}".rstrip()) for group in self.each_of or ("",))

    @property
    def minima(self) -> tuple[str, ...]:
        """What the data must hold, each minimum in words."""
        counts = (
            (self.min_blocks, f"{self.min_blocks} blocks of time with events"),
            (self.min_days, f"{self.min_days:g} {self.days}"),
            (self.min_weekends, f"{self.min_weekends} weekends"),
            (self.max_ticker_interval_s, f"a ticker at least every {self.max_ticker_interval_s or 0:g} s"),
        )
        events = [words for _, words in self.event_minima if self.min_events]
        return (*events, *(words for least, words in counts if least), *self.needs)


@dataclass(frozen=True)
class Finding:
    """What the test of one hypothesis gave; the numbers are None (or NaN) where there are none.

    `shortfall` names a declared minimum that the data does not meet: then there is no verdict but `not testable`.
    `doubt` is a reason for which the test may not decide, whatever its numbers (most events without a match, say).
    `p` is two-sided, against the null value, and from the procedure of the interval; for a claim of a range it is that
    of two one-sided tests. Raises `ValueError` for an interval that ends before it begins.
    """

    id: str
    effect: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    n: int = 0
    n_blocks: int = 0
    method: str = ""
    note: str = ""
    shortfall: str = ""
    doubt: str = ""

    def __post_init__(self) -> None:
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise ValueError(f"{self.id}: the interval from {self.ci_low} to {self.ci_high} ends before it begins")


@dataclass(frozen=True)
class Judgement:
    """A hypothesis, its finding, the p adjusted over the whole family, the verdict, and the rule that gave it.

    `p_adjusted` is 1 for what has no p or may not decide.
    """

    hypothesis: Hypothesis
    finding: Finding
    p_adjusted: float
    verdict: Verdict
    why: str = ""


def judge_all(hypotheses: Sequence[Hypothesis], findings: Mapping[str, Finding]) -> tuple[Judgement, ...]:
    """The verdict on every hypothesis of the family, in its order.

    The family is the catalogue: Holm's correction is over all of `hypotheses`, and one that cannot be tested or may not
    decide counts with p = 1. Raises `ValueError` for a hypothesis without a finding and for a finding without a
    hypothesis: nothing is dropped silently.
    """
    own = [_find(hypothesis, findings) for hypothesis in hypotheses]
    strays = sorted(set(findings) - {hypothesis.id for hypothesis in hypotheses})
    misfiled = [name for name, finding in findings.items() if finding.id != name]
    if strays or misfiled:
        raise ValueError(f"findings that belong to no hypothesis of the family: {', '.join(strays + misfiled)}")
    adjusted = adjust_holm([_family_p(finding) for finding in own])
    return tuple(
        _judge(hypothesis, finding, float(p)) for hypothesis, finding, p in zip(hypotheses, own, adjusted, strict=True)
    )


def decide(hypothesis: Hypothesis, finding: Finding, p_adjusted: float) -> Verdict:
    """The verdict that the rules give; the first that holds.

    An interval with an end that is missing, NaN or infinite decides nothing; a NaN `p_adjusted` supports nothing.
    """
    return _judge(hypothesis, finding, p_adjusted).verdict


def conjoin(hypothesis: Hypothesis, parts: Sequence[Finding]) -> Finding:
    """The finding of a compound claim, true only if each of its parts is: all parts in its unit, against its delta.

    The effect of a conjunction is the least g of its parts. Its interval reaches from the least lower end to the least
    upper end and its p is the largest (Berger 1982, "Multiparameter hypothesis testing and acceptance sampling",
    Technometrics 24: the intersection-union test). So it is supported exactly when every part is, and rejected exactly
    when one of them is. Counts are the least of the parts. Any part without numbers leaves the whole without; what one
    part falls short of, or doubts, the whole does. Raises `ValueError` for no part and for a claim of a range.

    >>> strong, weak = Finding("Q7.1", 4.0, 3.0, 5.0, 0.001, 90), Finding("Q7.1", 2.0, 1.0, 3.5, 0.01, 80)
    >>> from liqlab.study import find_hypothesis
    >>> both = conjoin(find_hypothesis("Q7.1"), [strong, weak])
    >>> both.effect, both.ci_low, both.ci_high, both.p, both.n
    (2.0, 1.0, 3.5, 0.01, 80)
    """
    if not parts or hypothesis.claimed_range is not None:
        raise ValueError(f"{hypothesis.id}: a conjunction needs parts and a claim that is no range")
    intervals = [_interval(part) for part in parts]
    found = [_orient(hypothesis, *interval) for interval in intervals if interval is not None]
    whole = Finding(
        hypothesis.id,
        n=min(part.n for part in parts),
        n_blocks=min(part.n_blocks for part in parts),
        method=_join(part.method for part in parts),
        note=_join(part.note for part in parts),
        shortfall=_join(part.shortfall for part in parts),
        doubt=_join(part.doubt for part in parts),
    )
    if len(found) < len(parts):
        return whole
    least = [hypothesis.null_value + hypothesis.direction * min(values) for values in zip(*found, strict=True)]
    p = [part.p for part in parts if part.p is not None and not math.isnan(part.p)]
    return replace(
        whole,
        effect=least[0],
        ci_low=min(least[1:]),
        ci_high=max(least[1:]),
        p=max(p) if len(p) == len(parts) else None,
    )


def _find(hypothesis: Hypothesis, findings: Mapping[str, Finding]) -> Finding:
    if hypothesis.id not in findings:
        raise ValueError(f"{hypothesis.id} has no finding: every hypothesis of the family must have one")
    return findings[hypothesis.id]


def _judge(hypothesis: Hypothesis, finding: Finding, p_adjusted: float) -> Judgement:
    interval = _interval(finding)
    if finding.shortfall:
        return Judgement(hypothesis, finding, p_adjusted, "not testable", finding.shortfall)
    if finding.doubt:
        return Judgement(hypothesis, finding, p_adjusted, "inconclusive", f"the test may not decide: {finding.doubt}")
    if interval is None:
        return Judgement(hypothesis, finding, p_adjusted, "inconclusive", "the test gave no interval")
    if hypothesis.claimed_range is not None:
        verdict, why = _judge_range(hypothesis.claimed_range, interval[1], interval[2], p_adjusted)
    else:
        verdict, why = _judge_effect(hypothesis, *_orient(hypothesis, *interval), p_adjusted)
    return Judgement(hypothesis, finding, p_adjusted, verdict, why)


def _judge_effect(
    hypothesis: Hypothesis, gain: float, low: float, high: float, p_adjusted: float
) -> tuple[Verdict, str]:
    """Rules 2 to 4 on g and its interval."""
    delta, size = hypothesis.delta, f"{hypothesis.delta:g} {hypothesis.unit}"
    if hypothesis.null_value:
        size += f" beyond {hypothesis.null_value:g}"
    if low > 0 and p_adjusted < ALPHA and gain >= delta:
        return "supported", f"the effect is at least {size}, and stands among all claims tested"
    if high < delta:
        return "rejected", f"an effect of {size} or more, as claimed, is ruled out{_tell_small(low, high)}"
    if low <= 0:
        return "inconclusive", f"both no effect and one of {size}, which would matter, are possible"
    if gain < delta:
        return "inconclusive", f"there is an effect; the estimate is below {size}, yet that much is not ruled out"
    return "inconclusive", "the effect is above none when looked at alone, but not among all claims tested"


def _tell_small(low: float, high: float) -> str:
    if low > 0:
        return "; there is one, but too small to matter"
    return "; the effect goes the other way" if high < 0 else ""


def _judge_range(claimed: tuple[float, float], low: float, high: float, p_adjusted: float) -> tuple[Verdict, str]:
    words = f"{claimed[0]:g} to {claimed[1]:g}"
    if high < claimed[0] or low > claimed[1]:
        return "rejected", f"the interval lies outside the claimed {words}"
    if not (claimed[0] <= low and high <= claimed[1]):
        return "inconclusive", f"the interval reaches over an end of the claimed {words}"
    if p_adjusted < ALPHA:
        return "supported", f"the interval lies inside the claimed {words}, and stands among all claims tested"
    return (
        "inconclusive",
        f"the interval lies inside the claimed {words} when looked at alone, but not among all claims tested",
    )


def _orient(hypothesis: Hypothesis, *values: float) -> tuple[float, float, float]:
    """g and its interval: distances from the null value in the direction of the claim."""
    effect, low, high = (hypothesis.direction * (value - hypothesis.null_value) for value in values)
    return effect, min(low, high), max(low, high)


def _interval(finding: Finding) -> tuple[float, float, float] | None:
    effect, low, high = finding.effect, finding.ci_low, finding.ci_high
    if effect is None or low is None or high is None or not math.isfinite(effect + low + high):
        return None
    return effect, low, high


def _family_p(finding: Finding) -> float:
    """The p that enters the family: 1 for what has none or may not decide, so that it helps no other claim."""
    if finding.shortfall or finding.doubt or finding.p is None or math.isnan(finding.p):
        return 1.0
    return finding.p


def _join(texts: Iterable[str]) -> str:
    """Each different text once, in order."""
    return "; ".join(dict.fromkeys(text for text in texts if text))


def verdicts_to_json(judgements: Iterable[Judgement]) -> list[dict[str, Any]]:
    """The records of `verdicts.json`, in order; every number is finite or None.

    Beside the keys of DESIGN 12: `why` (the rule that gave the verdict), null and alternative in words, estimand, null
    value, direction, delta, claimed range, number of blocks and declared minima. `needs` is the missing minimum of what
    is not testable, and empty otherwise; what is not testable shows no effect, no interval and no p.
    """
    return [_to_record(judgement) for judgement in judgements]


def _to_record(judgement: Judgement) -> dict[str, Any]:
    hypothesis, finding = judgement.hypothesis, judgement.finding
    tested = not finding.shortfall
    has_p = tested and _number(finding.p) is not None
    return {
        "id": hypothesis.id,
        "question": hypothesis.question,
        "claim": hypothesis.claim,
        "verdict": judgement.verdict,
        "effect": _number(finding.effect) if tested else None,
        "unit": hypothesis.unit,
        "ci_low": _number(finding.ci_low) if tested else None,
        "ci_high": _number(finding.ci_high) if tested else None,
        "p": _number(finding.p) if tested else None,
        "p_adjusted": _number(judgement.p_adjusted) if has_p else None,
        "n": int(finding.n),
        "method": finding.method or hypothesis.test,
        "needs": finding.shortfall,
        "note": finding.note,
        "why": judgement.why,
        "n_blocks": int(finding.n_blocks),
        "null": hypothesis.null,
        "alternative": hypothesis.alternative,
        "estimand": hypothesis.estimand,
        "null_value": hypothesis.null_value,
        "direction": hypothesis.direction,
        "delta": hypothesis.delta,
        "claimed_range": list(hypothesis.claimed_range) if hypothesis.claimed_range else None,
        "minima": list(hypothesis.minima),
    }


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def read_verdicts(path: Path) -> list[dict[str, Any]]:
    """The records of a results folder, or of a `verdicts.json`, as `verdicts_to_json` gives them.

    Raises `ResultsError` when there are none, or when the file is not what liqlab writes.
    """
    file = path / VERDICTS_FILE if path.is_dir() else path
    try:
        records = json.loads(file.read_bytes(), parse_constant=_refuse_constant)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ResultsError(
            f"no {VERDICTS_FILE} in {path}; give the folder that `liqlab run SOURCE -o RESULTS` wrote, or run it again"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"{file} is no JSON that liqlab wrote ({error}); run `liqlab run` again") from error
    if not isinstance(records, list):
        raise ResultsError(f"{file} holds no list of verdicts; run `liqlab run` again")
    for number, record in enumerate(records):
        problem = _find_problem(record)
        if problem:
            raise ResultsError(f"{file}: verdict {number} {problem}; run `liqlab run` again")
    return records


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _find_problem(record: Any) -> str:
    if not isinstance(record, dict):
        return "is no record"
    for key, types in _RECORD.items():
        if key not in record:
            return f"has no {key}"
        if not isinstance(record[key], types) or isinstance(record[key], bool):
            return f"has {record[key]!r} as {key}"
    return "" if record["verdict"] in VERDICTS else f"has the unknown verdict {record['verdict']!r}"
