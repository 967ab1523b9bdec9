"""The trial ledger: every combination that was ever evaluated for a strategy, counted by whoever evaluates it.

A result that was chosen among N is worth less than one that was not, and N is what people forget. So the evaluation
itself records: `TrialLedger.evaluate` is the only way to a trial's result, and it returns what it has written down. In
a folder the ledger is one file per strategy, a JSON line per trial, appended as they come: an interrupted search finds
there what it had done, and a later search adds to the same count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.errors import EnvironmentFailure
from liqlab.core.schema import COUNT, FLOAT, Column, Table
from liqlab.stats import sharpe_ratio

Floats = npt.NDArray[np.float64]

DAYS_PER_YEAR = 365.0

TRIALS = Table(
    "search_trials",
    "one combination of parameters evaluated on one stretch of time",
    (
        Column("strategy", pl.String(), "", "the strategy"),
        Column("source", pl.String(), "", "fingerprint of data, costs and code"),
        Column("fold", COUNT, "", "the stretch: -1 the first training time, k the test time of fold k"),
        Column("parameters", pl.String(), "", "the combination"),
        Column("n_trades", COUNT, "", "trades"),
        Column("n_days", COUNT, "", "days of the stretch"),
        Column("mean_net", FLOAT, "fraction", "mean net return per trade; null without trades"),
        Column("sharpe", FLOAT, "per sqrt(year)", "daily Sharpe ratio, zero days included; null without spread"),
    ),
)


@dataclass(frozen=True)
class Trial:
    """One combination on one stretch: trades, sum of their net returns, net result of each day (in fractions)."""

    parameters: str
    fold: int
    n_trades: int
    net_sum: float
    daily: tuple[float, ...]

    @property
    def sharpe(self) -> float:
        """Daily Sharpe ratio of the stretch, annualised; NaN without spread."""
        return sharpe_ratio(self.daily, DAYS_PER_YEAR)


class TrialLedger:
    """The trials of strategies, in `folder` when given, else in memory. `EnvironmentFailure` when the disk refuses.

    Trials of one `source` (fingerprint of data, costs and code) are found again and not evaluated twice; those of all
    sources count, by strategy and parameters, each combination once.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._trials: dict[str, dict[tuple[str, str, int], Trial]] = {}

    def evaluate(
        self,
        strategy: str,
        source: str,
        fold: int,
        parameters: Sequence[str],
        evaluator: Callable[[Sequence[int]], Iterable[Trial]],
    ) -> list[Trial]:
        """The trials of the combinations named by `parameters` on a stretch, in their order, each once recorded.

        `evaluator` is given the places in `parameters` that were not evaluated before, and returns a trial for each
        of them in that order, with its parameters and fold. They are on disk when this returns.
        """
        known = self._read(strategy)
        missing = [i for i, text in enumerate(parameters) if (source, text, fold) not in known]
        if missing:
            self._record(strategy, source, [parameters[i] for i in missing], fold, list(evaluator(missing)))
        return [known[source, text, fold] for text in parameters]

    def count(self, strategy: str) -> int:
        """How many different combinations were ever evaluated for the strategy: the N of the deflated Sharpe ratio."""
        return len({text for _, text, _ in self._read(strategy)})

    def count_evaluations(self, strategy: str) -> int:
        """How many trials there are: combinations times stretches times sources."""
        return len(self._read(strategy))

    def table(self, strategy: str, source: str | None = None) -> pl.DataFrame:
        """The frame TRIALS of a strategy in the order of evaluation; of one source when it is given."""
        rows = [
            (strategy, name, fold, text, trial.n_trades, len(trial.daily), _mean(trial), _known(trial.sharpe))
            for (name, text, fold), trial in self._read(strategy).items()
            if source in (None, name)
        ]
        return pl.DataFrame(rows, schema=TRIALS.dtypes, orient="row")

    def _record(self, strategy: str, source: str, expected: Sequence[str], fold: int, trials: Sequence[Trial]) -> None:
        found = [trial.parameters for trial in trials]
        if found != list(expected) or any(trial.fold != fold for trial in trials):
            raise ValueError(f"{strategy}: {len(expected)} trials of fold {fold} were asked for, others came back")
        lines = [json.dumps({"source": source, **_as_row(trial)}) + "\n" for trial in trials]
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with self._path(strategy).open("a", encoding="utf-8") as file:
                    file.write("".join(lines))
            except OSError as error:
                raise self._failure(strategy, error) from error
        self._trials[strategy].update({(source, trial.parameters, fold): trial for trial in trials})

    def _read(self, strategy: str) -> dict[tuple[str, str, int], Trial]:
        if strategy not in self._trials:
            self._trials[strategy] = {} if self.folder is None else self._load(strategy)
        return self._trials[strategy]

    def _load(self, strategy: str) -> dict[tuple[str, str, int], Trial]:
        path = self._path(strategy)
        try:
            text = path.read_text(encoding="utf-8")
            if text and not text.endswith("\n"):
                # What is appended next must not continue the line that an interruption cut off.
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._failure(strategy, error) from error
        rows = [row for row in map(_parse, text.splitlines()) if row is not None]
        return {(source, trial.parameters, trial.fold): trial for source, trial in rows}

    def _path(self, strategy: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{strategy}.jsonl"

    def _failure(self, strategy: str, error: OSError) -> EnvironmentFailure:
        return EnvironmentFailure(
            f"cannot use {self._path(strategy)}: {error.strerror}; choose another folder for trials"
        )


def _as_row(trial: Trial) -> Mapping[str, Any]:
    return {
        "parameters": trial.parameters,
        "fold": trial.fold,
        "n_trades": trial.n_trades,
        "net_sum": trial.net_sum,
        "daily": trial.daily,
    }


def _parse(line: str) -> tuple[str, Trial] | None:
    """The source and trial of a line; None for one that an interruption cut off."""
    try:
        row = json.loads(line)
        trial = Trial(row["parameters"], row["fold"], row["n_trades"], row["net_sum"], tuple(row["daily"]))
        return row["source"], trial
    except (ValueError, KeyError, TypeError):
        return None


def _mean(trial: Trial) -> float | None:
    return trial.net_sum / trial.n_trades if trial.n_trades else None


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
