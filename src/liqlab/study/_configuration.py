"""The configuration of a study: what each part owns, put together, read from one TOML file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liqlab.backtest import BacktestConfig, resolve_strategies
from liqlab.cascades import CascadeConfig
from liqlab.core.config import bounded, build, check_bounds, load_toml
from liqlab.core.errors import UserError, unknown_name
from liqlab.core.time import parse_time
from liqlab.features import FeatureConfig, select_features
from liqlab.models import MODELS, IcConfig, WalkForwardConfig
from liqlab.panel import CoverageConfig, DatasetConfig, SideCheckConfig
from liqlab.regimes import RegimeConfig
from liqlab.study._inference import QuestionConfig


@dataclass(frozen=True)
class StudyConfig:
    """Everything that decides what a study computes, beside its data.

    `symbols` None means all in the data; `start` (included) and `end` (excluded) are ISO texts in UTC and select by
    known time, None means as far as the data goes. With `assumed_delay_s` liquidations count as known that long after
    their event whatever the capture says: for recordings that kept no capture time. Without `test_claims` the seven
    questions stay unanswered, without `test_strategies` there is no backtest.
    """

    symbols: tuple[str, ...] | None = None
    start: str | None = None
    end: str | None = None
    assumed_delay_s: float | None = bounded(None, 0.0, 3_600.0)
    test_claims: bool = True
    test_strategies: bool = True
    coverage: CoverageConfig = field(default_factory=CoverageConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    cascades: CascadeConfig = field(default_factory=CascadeConfig)
    side_check: SideCheckConfig = field(default_factory=SideCheckConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    regimes: RegimeConfig = field(default_factory=RegimeConfig)
    ic: IcConfig = field(default_factory=IcConfig)
    walk_forward: WalkForwardConfig = field(default_factory=WalkForwardConfig)
    questions: QuestionConfig = field(default_factory=QuestionConfig)
    backtest: BacktestConfig = field(default_factory=BacktestConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
        start, end = self.start_ms, self.end_ms
        if start is not None and end is not None and start >= end:
            raise UserError(f"the span is empty: start {self.start} is not before end {self.end}")
        self._check_names()

        # One delay for all: what a label waits for is what its readers must know of.
        delay_s = self.features.decision_delay_s
        object.__setattr__(self, "ic", replace(self.ic, decision_delay_s=delay_s))
        object.__setattr__(self, "walk_forward", replace(self.walk_forward, decision_delay_s=delay_s))

    def _check_names(self) -> None:
        """Unknown names are found here, not after an hour of work."""
        features = [feature.name for feature in select_features(self.features.features)]
        models = [model.name for model in MODELS]
        resolve_strategies(self.backtest.strategies)
        for kind, names, known in (
            ("feature", self.walk_forward.features, features),
            ("model", self.walk_forward.models, models),
        ):
            for name in names or ():
                if name not in known:
                    raise unknown_name(kind, name, known)

    @property
    def start_ms(self) -> int | None:
        """Start in milliseconds UTC."""
        return None if self.start is None else parse_time(self.start)

    @property
    def end_ms(self) -> int | None:
        """End in milliseconds UTC."""
        return None if self.end is None else parse_time(self.end)

    def as_dict(self) -> dict[str, Any]:
        """The configuration as plain values, for the manifest of a run."""
        return dataclasses.asdict(self)


def load_study_config(path: Path | None = None, **overrides: Any) -> StudyConfig:
    """The configuration in the TOML file `path` (defaults without one); overrides that are not None win.

    Nested overrides are dictionaries: `cascades={"preset": "p95"}`. Raises `ConfigError` for unknown keys, wrong types
    and values out of range.
    """
    return build(StudyConfig, _merge({} if path is None else load_toml(path), overrides))


def _merge(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The values with those overrides that are not None, table by table."""
    merged = dict(values)
    for key, value in overrides.items():
        if isinstance(value, Mapping):
            own = merged.get(key, {})
            merged[key] = _merge(own, value) if isinstance(own, Mapping) else own
        elif value is not None:
            merged[key] = value
    return merged
