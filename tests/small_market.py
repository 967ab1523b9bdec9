"""A small simulated market with faults, from captures to a study with every part of the predictive analysis in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from liqlab.lake import Lake, ingest
from liqlab.study import Study, load_study_config, run_study
from liqlab.worlds import simulate

SYMBOLS = ("BTCUSDT", "ETHUSDT")

#: Regimes and folds that fit into some hours, and no more resamples than a test needs.
HOURS: dict[str, Any] = {
    "regimes": {"quantile_min_history_hours": 1.0},
    "ic": {"n_resamples": 99},
    "questions": {"n_resamples": 999},
    "walk_forward": {
        "return_horizons_s": (300,),
        "volatility_horizons_s": (300,),
        "step_s": 60,
        "refit_hours": 2,
        "min_train_hours": 3.0,
        "min_train_rows": 100,
    },
}
#: No claims and next to no predictive analysis, for tests of everything else.
QUICK: dict[str, Any] = {
    "test_claims": False,
    "ic": {"return_horizons_s": (60,), "volatility_horizons_s": (), "n_resamples": 99},
}


@dataclass(frozen=True)
class Market:
    """Captures, the lake made from them, and a study whose tables lie in `folder/results/tables`."""

    folder: Path
    study: Study

    @property
    def captures(self) -> Path:
        """Where the captures are."""
        return self.folder / "captures"

    @property
    def lake(self) -> Path:
        """Where the lake is."""
        return self.folder / "lake"

    @property
    def results(self) -> Path:
        """A results folder that holds its tables and nothing else."""
        return self.folder / "results"

    @property
    def tables(self) -> Path:
        """Where the tables of the study are."""
        return self.results / "tables"


def make_market(folder: Path) -> Market:
    """Some hours of two symbols with gaps, repeats and corrupt lines."""
    simulate(folder / "captures", days=0.3, seed=3, symbols=SYMBOLS, dirt=True, workers=1)
    return Market(folder, study_captures(folder / "captures", folder / "lake", folder / "results" / "tables", **HOURS))


def study_captures(captures: Path, lake: Path, tables: Path | None = None, **overrides: Any) -> Study:
    """The study of a folder of captures by way of a lake."""
    ingest(captures, lake, workers=1)
    return study_lake(lake, tables, **overrides)


def study_lake(lake: Path, tables: Path | None = None, **overrides: Any) -> Study:
    """The study of a lake, with the configuration's values given."""
    with Lake(lake) as opened:
        return run_study(opened, load_study_config(**overrides), tables)
