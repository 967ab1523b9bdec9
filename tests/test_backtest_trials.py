"""The trial ledger: everything evaluated is counted, once, and found again after an interruption."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from liqlab.backtest import TRIALS, Trial, TrialLedger
from liqlab.core.errors import EnvironmentFailure
from liqlab.core.schema import check_frame

NAMES = ["a=1", "a=2", "a=3"]


def _trial(name: str, fold: int = 0) -> Trial:
    number = float(name[-1])
    return Trial(name, fold, int(number), 0.1 * number, (0.1 * number, 0.0, 1 / 3))


def _evaluator(names: Sequence[str], fold: int, asked: list[str]) -> Callable[[Sequence[int]], Iterable[Trial]]:
    def run(missing: Sequence[int]) -> list[Trial]:
        asked.extend(names[i] for i in missing)
        return [_trial(names[i], fold) for i in missing]

    return run


def _evaluate(
    ledger: TrialLedger, names: Sequence[str], fold: int = 0, source: str = "s"
) -> tuple[list[Trial], list[str]]:
    asked: list[str] = []
    return ledger.evaluate("fade", source, fold, names, _evaluator(names, fold, asked)), asked


def test_the_count_is_that_of_different_combinations_whatever_the_fold_and_source() -> None:
    ledger = TrialLedger()
    assert ledger.count("fade") == 0
    _evaluate(ledger, NAMES)
    _evaluate(ledger, NAMES, fold=1)
    _evaluate(ledger, NAMES[:1], source="other data")
    assert ledger.count("fade") == 3
    assert ledger.count_evaluations("fade") == 7
    assert ledger.count("another strategy") == 0


def test_nothing_is_evaluated_twice_and_results_keep_the_order_asked_for() -> None:
    ledger = TrialLedger()
    _evaluate(ledger, NAMES[1:2])
    found, asked = _evaluate(ledger, NAMES[::-1])
    assert asked == ["a=3", "a=1"]
    assert found == [_trial(name) for name in NAMES[::-1]]
    assert _evaluate(ledger, NAMES)[1] == []


def test_a_folder_gives_back_exactly_what_was_written(tmp_path: Path) -> None:
    _evaluate(TrialLedger(tmp_path / "trials"), NAMES)
    again = TrialLedger(tmp_path / "trials")
    found, asked = _evaluate(again, NAMES)
    assert asked == []
    assert found == [_trial(name) for name in NAMES]
    assert again.count("fade") == 3


def test_trials_of_other_data_are_counted_and_not_reused(tmp_path: Path) -> None:
    _evaluate(TrialLedger(tmp_path), NAMES, source="first")
    second = TrialLedger(tmp_path)
    assert _evaluate(second, ["a=3", "a=4"], source="second")[1] == ["a=3", "a=4"]
    assert second.count("fade") == 4


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_is_evaluated_again_and_spoils_no_other(tmp_path: Path, cut: int) -> None:
    _evaluate(TrialLedger(tmp_path), NAMES)
    file = tmp_path / "fade.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    again = TrialLedger(tmp_path)
    found, asked = _evaluate(again, [*NAMES, "a=4"])
    # The line break alone may be missing: then the trial is whole.
    assert asked == (["a=4"] if cut == 1 else ["a=3", "a=4"])
    assert found == [_trial(name) for name in [*NAMES, "a=4"]]
    last = TrialLedger(tmp_path)
    assert _evaluate(last, [*NAMES, "a=4"])[1] == []
    assert last.count("fade") == 4


def test_what_an_evaluator_raises_leaves_what_was_recorded_before(tmp_path: Path) -> None:
    ledger = TrialLedger(tmp_path)
    _evaluate(ledger, NAMES[:1])

    def fail(_: Sequence[int]) -> Iterable[Trial]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.evaluate("fade", "s", 0, NAMES, fail)
    assert TrialLedger(tmp_path).count("fade") == 1


@pytest.mark.parametrize("wrong", [[], [_trial("a=2"), _trial("a=1")], [_trial("a=1", 1), _trial("a=2", 1)]])
def test_an_evaluator_that_returns_other_trials_than_asked_for_is_an_error(wrong: list[Trial]) -> None:
    ledger = TrialLedger()
    with pytest.raises(ValueError, match="asked for"):
        ledger.evaluate("fade", "s", 0, NAMES[:2], lambda _: wrong)
    assert ledger.count("fade") == 0


def test_the_table_shows_each_trial_with_its_parameters_fold_and_scores() -> None:
    ledger = TrialLedger()
    _evaluate(ledger, NAMES, fold=4)
    ledger.evaluate("fade", "s", 5, ["b=0"], lambda _: [Trial("b=0", 5, 0, 0.0, (0.0, 0.0))])
    table = check_frame(ledger.table("fade"), TRIALS)
    assert table["parameters"].to_list() == [*NAMES, "b=0"]
    assert table["fold"].to_list() == [4, 4, 4, 5]
    assert table["mean_net"].to_list()[:2] == pytest.approx([0.1, 0.1])
    daily = np.array([0.2, 0.0, 1 / 3])
    assert table["sharpe"][1] == pytest.approx(daily.mean() / daily.std(ddof=1) * math.sqrt(365))
    assert table.row(3)[4:] == (0, 2, None, None)
    assert ledger.table("fade", "another source").is_empty()


def test_the_file_is_one_json_line_per_trial(tmp_path: Path) -> None:
    _evaluate(TrialLedger(tmp_path), NAMES)
    rows = [json.loads(line) for line in (tmp_path / "fade.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["parameters"] for row in rows] == NAMES
    assert all(row["source"] == "s" for row in rows)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(EnvironmentFailure, match="choose another folder"):
        _evaluate(TrialLedger(tmp_path / "file" / "trials"), NAMES)
