"""Transitions, the regime at a moment, and the summary, on tables written by hand; and the page about regimes."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.core.schema import REGIMES
from liqlab.regimes import RegimeFit, RegimeResult, list_transitions, regime_at, summarise_regimes

START_MS = 1_770_595_200_000
MINUTE_MS = 60_000
NAMES = {"q": "quiet", "v": "volatile", ".": None}


def table_of(letters: str, hmm: str = "", symbol: str = "A") -> pl.DataFrame:
    """One minute per letter: q, v, or . for unknown."""
    n = len(letters)
    columns = {
        "symbol": [symbol] * n,
        "time": [START_MS + MINUTE_MS * row for row in range(n)],
        "volatility_bps": [1.0 + row for row in range(n)],
        "threshold_bps": [1.0] * n,
        "regime": [NAMES[letter] for letter in letters],
        "volatile_probability": [None] * n,
        "regime_hmm": [NAMES[letter] for letter in hmm or "." * n],
        "fitted": [None] * n,
    }
    return pl.DataFrame(columns, schema=REGIMES.dtypes)


def result_of(letters: str, hmm: str = "", fits: tuple[RegimeFit, ...] = ()) -> RegimeResult:
    return RegimeResult(table_of(letters, hmm), fits, "", 60, 300)


def moves(table: pl.DataFrame) -> list[tuple[str, int, str, str]]:
    times = (table["time"].to_physical() - START_MS) // MINUTE_MS
    return list(zip(table["symbol"], times, table["from"], table["to"], strict=True))


def test_a_transition_is_the_first_minute_of_the_new_regime_and_unknown_minutes_are_skipped() -> None:
    found = list_transitions(table_of("..qq.qvv..vq..v."))
    assert moves(found) == [
        ("A", 6, "quiet", "volatile"),
        ("A", 11, "volatile", "quiet"),
        ("A", 14, "quiet", "volatile"),
    ]
    assert found.columns == ["symbol", "time", "from", "to"]
    assert found.schema["time"] == REGIMES.dtypes["time"]


def test_transitions_do_not_cross_from_one_symbol_to_another_and_are_sorted() -> None:
    table = pl.concat([table_of("qv", symbol="B"), table_of("qqv", symbol="A")]).reverse()
    assert moves(list_transitions(table)) == [("A", 2, "quiet", "volatile"), ("B", 1, "quiet", "volatile")]


@pytest.mark.parametrize("letters", ["", ".", "....", "qqq", "..v.."])
def test_without_a_change_there_is_no_transition(letters: str) -> None:
    assert list_transitions(table_of(letters)).height == 0


def test_transitions_of_either_column() -> None:
    assert moves(list_transitions(table_of("qqq", "vvq"), "regime_hmm")) == [("A", 2, "volatile", "quiet")]


@given(st.text("qv.", max_size=12), st.lists(st.integers(-100, 1_200), max_size=8), st.sampled_from([0, 60, 120, 400]))
def test_the_regime_at_a_time_is_that_of_the_last_minute_before(letters: str, seconds: list[int], age: int) -> None:
    times = [START_MS + 1_000 * second for second in seconds]
    found = regime_at(table_of(letters), times, max_age_s=age)
    expected = []
    for second in seconds:
        rows = [row for row in range(len(letters)) if 60 * row <= second and second - 60 * row <= age]
        expected.append(NAMES[letters[max(rows)]] if rows else None)
    assert found.to_list() == expected
    assert found.name == "regime"
    assert found.dtype == pl.String


def test_the_regime_at_a_time_may_be_any_column_of_an_unsorted_table() -> None:
    table = table_of("qvq").reverse()
    assert regime_at(table, [START_MS + 119_999, START_MS - 1], "volatility_bps").to_list() == [2.0, None]


def test_a_minute_without_a_regime_is_not_replaced_by_an_older_one() -> None:
    assert regime_at(table_of("q."), [START_MS + 60_000]).to_list() == [None]


def test_several_symbols_at_once_are_an_error() -> None:
    both = pl.concat([table_of("q", symbol="B"), table_of("q", symbol="A")])
    with pytest.raises(ValueError, match="one symbol at a time, got A, B"):
        regime_at(both, [START_MS])


def test_the_summary_counts_known_minutes_only() -> None:
    summary = summarise_regimes(result_of("..qqvvvqqv", "vvv.vqqqqq"))
    assert summary.symbol == "A"
    assert (summary.minutes, summary.known_frac, summary.known_hmm_frac) == (10, 0.8, 0.9)
    assert summary.volatile_frac == 0.5
    assert summary.volatile_hmm_frac == pytest.approx(4 / 9)
    assert (summary.n_transitions, summary.n_transitions_hmm) == (3, 1)
    assert summary.median_stay_s == pytest.approx(150.0)  # three minutes and two
    assert summary.median_stay_hmm_s is None
    assert summary.agreement_frac == pytest.approx(3 / 7)
    assert (summary.n_fits, summary.n_fits_used, summary.worst_refit_agreement_frac) == (0, 0, None)
    assert summary.notes == ("no hidden Markov model: the data end before the first refit",)


def fit_of(agreement: float | None, means: tuple[float, float] = (0.0, 2.0), stay: float = 0.9) -> RegimeFit:
    return RegimeFit(
        time_ms=START_MS,
        n=300,
        log_likelihood=-1.0,
        means=means,
        stds=(1.0, 1.0),
        transitions=((0.9, 0.1), (1.0 - stay, stay)),
        starts_at_best=6,
        n_starts=6,
        agreement_with_previous=agreement,
        used=True,
    )


def test_the_summary_names_what_makes_the_states_doubtful() -> None:
    fine = summarise_regimes(result_of("qv", "qv", (fit_of(None), fit_of(0.99))))
    assert fine.notes == ()
    assert (fine.n_fits_used, fine.worst_refit_agreement_frac) == (2, 0.99)
    refused = RegimeFit(START_MS, 300, note="a state has no spread")
    doubtful = summarise_regimes(
        result_of("qv", "qv", (refused, fit_of(None, (0.0, 0.5), 0.5), refused, fit_of(0.6, (0.0, 0.5), 0.5)))
    )
    assert doubtful.notes == (
        "1 of 4 refits refused, the fit before stayed in use: a state has no spread",
        "the two states hardly differ: their means lie 0.5 spreads apart",
        "the states do not last: one is left after 2 stretches, so they are noise, not regimes",
        "unstable: consecutive fits agree on as little as 60% of their stretches",
    )


def test_separation_and_stay_of_a_fit_by_hand() -> None:
    fit = fit_of(None, (1.0, 4.0), 0.75)
    assert fit.separation == pytest.approx(3.0)
    assert fit.shortest_stay == pytest.approx(4.0)
    unused = RegimeFit(START_MS, 0)
    assert unused.separation is None
    assert unused.shortest_stay is None


def test_the_summary_names_a_regime_that_never_occurs() -> None:
    summary = summarise_regimes(result_of("qqq", "vvv", (fit_of(None),)))
    assert summary.notes == (
        "the volatile regime never occurs (trailing quantile)",
        "the quiet regime never occurs (hidden Markov model)",
    )


def test_the_summary_of_nothing_is_empty_and_says_so() -> None:
    summary = summarise_regimes(result_of(""))
    assert summary.symbol is None
    assert summary.volatile_frac is None
    assert summary.notes == ("no volatility is known: too few prices, or none",)


def test_the_examples_on_the_page_of_regimes_run(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (repository / "docs" / "regimes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 1
    names: dict[str, object] = {"np": np}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for number, block in enumerate(blocks, 1):
        test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", "regimes.md", 0)
        assert test.examples
        runner.run(test, clear_globs=False)
        names = test.globs
    assert runner.summarize(verbose=False).failed == 0, capsys.readouterr().out
