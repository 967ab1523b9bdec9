"""Contagion as other methods see it, and how far they agree; without verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl

from liqlab.core.time import MS_PER_HOUR, MS_PER_S
from liqlab.stats import adjust_benjamini_hochberg
from liqlab.study._evidence import STEP_MS, Evidence, Integers
from liqlab.study._inference import QuestionConfig
from liqlab.study._q7_contagion_hawkes import fit_contagion
from liqlab.study._q7_contagion_lifts import measure_lifts
from liqlab.study._q7_contagion_response import Response
from liqlab.study._q7_contagion_series import add_adjusted, correlate_pairs, list_granger
from liqlab.study._q7_contagion_tables import CONTAGION_AGREEMENT, CONTAGION_RESPONSES

_ALPHA = 0.05
_MORE, _LESS, _NONE = "more", "less", "none"
_METHODS = ("response", "granger", "hawkes", "lead")
Said = Mapping[tuple[str, str], str]


def describe_contagion(
    evidence: Evidence, leader: str | None, responses: Sequence[Response], config: QuestionConfig
) -> tuple[dict[str, pl.DataFrame], tuple[str, ...]]:
    """The exploratory tables by name, and what to say of them."""
    measured = _list_responses(evidence, responses)
    correlations, leads = correlate_pairs(evidence, leader, config)
    granger = list_granger(evidence)
    kernels, fit = fit_contagion(evidence)
    agreement = _compare(evidence, measured, granger, kernels, correlations)
    tables = {
        "contagion_responses": measured,
        "contagion_lifts": measure_lifts(evidence),
        "contagion_correlations": correlations,
        "contagion_leads": leads,
        "contagion_granger": granger,
        "contagion_hawkes": kernels,
        "contagion_hawkes_fit": fit,
        "contagion_agreement": agreement,
    }
    return tables, (*_describe_agreement(agreement), *_describe_hawkes(fit))


def _list_responses(evidence: Evidence, responses: Sequence[Response]) -> pl.DataFrame:
    times: Integers = next((s.times_ms for s in evidence.symbols.values()), np.empty(0, np.int64))
    rows: list[dict[str, Any]] = []
    for response in responses:
        increase, relative = (part.describe(times, MS_PER_HOUR) for part in (response.increase, response.relative))
        rows.append(
            {
                "cause": response.cause,
                "effect": response.effect,
                "increase": _number(increase.estimate),
                "ci_low": _number(increase.ci_low),
                "ci_high": _number(increase.ci_high),
                "p": _number(increase.p),
                "base_rate": _number(response.base_rate),
                "relative": _number(relative.estimate),
                "relative_low": _number(relative.ci_low),
                "relative_high": _number(relative.ci_high),
                "n_events": response.n_events,
            }
        )
    return pl.DataFrame(add_adjusted(rows, adjust_benjamini_hochberg), schema=CONTAGION_RESPONSES.dtypes, orient="row")


def _compare(
    evidence: Evidence,
    responses: pl.DataFrame,
    granger: pl.DataFrame,
    kernels: pl.DataFrame,
    correlations: pl.DataFrame,
) -> pl.DataFrame:
    """Table `contagion_agreement`."""
    said: dict[str, Said] = {
        "response": _read_signs(responses, "increase"),
        "granger": _read_signs(granger.filter(pl.col("lag_rule") == "criterion"), "coefficient_sum"),
        "hawkes": {
            (cause, effect): _MORE if low > 0.0 else _NONE
            for cause, effect, low in kernels.select("cause", "effect", "ci_low").iter_rows()
            if low is not None
        },
        "lead": _read_leads(correlations),
    }
    rows: list[dict[str, Any]] = []
    for pair in permutations(evidence.symbols, 2):
        answers = {method: said[method].get(pair, "") for method in _METHODS}
        given = [answer for answer in answers.values() if answer]
        agree = len(set(given)) == 1 if len(given) > 1 else None
        rows.append({"cause": pair[0], "effect": pair[1], **answers, "n_more": given.count(_MORE), "agree": agree})
    return pl.DataFrame(rows, schema=CONTAGION_AGREEMENT.dtypes, orient="row")


def _read_signs(table: pl.DataFrame, column: str) -> Said:
    found = {}
    for cause, effect, value, p in table.select("cause", "effect", column, "p_adjusted").iter_rows():
        if value is not None and p is not None:
            found[cause, effect] = _NONE if p >= _ALPHA else _MORE if value > 0.0 else _LESS
    return found


def _read_leads(correlations: pl.DataFrame) -> Said:
    """At the narrowest bars: the whole interval of the peak on one side of zero."""
    found = {}
    narrow = correlations.filter(pl.col("width_s") == STEP_MS / MS_PER_S)
    columns = ("first", "second", "peak_low_s", "peak_high_s", "p_adjusted")
    for first, second, low, high, p in narrow.select(columns).iter_rows():
        if low is not None and high is not None and p is not None:
            found[first, second] = _MORE if low > 0.0 and p < _ALPHA else _NONE
            found[second, first] = _MORE if high < 0.0 and p < _ALPHA else _NONE
    return found


def _describe_agreement(agreement: pl.DataFrame) -> list[str]:
    judged = agreement.filter(pl.col("agree").is_not_null())
    if judged.is_empty():
        return []
    return [
        f"Methods agree on {judged['agree'].sum()} of {judged.height} ordered pairs (conditional response, conditional "
        "Granger, Hawkes kernel, lead in the cross-correlation). Only the conditional response decides: the others "
        "measure a common factor too, or less of what is given."
    ]


def _describe_hawkes(fit: pl.DataFrame) -> list[str]:
    checked = fit.filter(pl.col("ks_p").is_not_null())
    if checked.is_empty():
        return []
    poor = checked.filter(pl.col("ks_p") < _ALPHA)["symbol"].to_list()
    if not poor:
        return []
    return [
        f"The Hawkes process does not fit {', '.join(poor)} (time rescaling, p below 0.05): its kernels say how events "
        "come together, not what causes them."
    ]


def _number(value: float | None) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
