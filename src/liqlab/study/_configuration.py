"""The configuration of a study: what each part owns, put together, read from one TOML file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liqlab.cascades import CascadeConfig
from liqlab.core.config import bounded, build, check_bounds, load_toml
from liqlab.core.errors import UserError
from liqlab.core.time import parse_time
from liqlab.features import FeatureConfig
from liqlab.models import IcConfig, WalkForwardConfig
from liqlab.panel import CoverageConfig, DatasetConfig, SideCheckConfig
from liqlab.regimes import RegimeConfig


@dataclass(frozen=True)
class StudyConfig:
    """Everything that decides what a study computes, beside its data.

    `symbols` None means all in the data; `start` (included) and `end` (excluded) are ISO texts in UTC and select by
    known time, None means as far as the data goes. With `assumed_delay_s` liquidations count as known that long after
    their event whatever the capture says: for recordings that kept no capture time.
    """

    symbols: tuple[str, ...] | None = None
    start: str | None = None
    end: str | None = None
    assumed_delay_s: float | None = bounded(None, 0.0, 3_600.0)
    coverage: CoverageConfig = field(default_factory=CoverageConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    cascades: CascadeConfig = field(default_factory=CascadeConfig)
    side_check: SideCheckConfig = field(default_factory=SideCheckConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    regimes: RegimeConfig = field(default_factory=RegimeConfig)
    ic: IcConfig = field(default_factory=IcConfig)
    walk_forward: WalkForwardConfig = field(default_factory=WalkForwardConfig)

    def __post_init__(self) -> None:
        check_bounds(self)
        start, end = self.start_ms, self.end_ms
        if start is not None and end is not None and start >= end:
            raise UserError(f"the span is empty: start {self.start} is not before end {self.end}")

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
    values = {} if path is None else load_toml(path)
    for key, value in overrides.items():
        if isinstance(value, dict):
            given = {name: item for name, item in value.items() if item is not None}
            values[key] = {**values.get(key, {}), **given}
        elif value is not None:
            values[key] = value
    return build(StudyConfig, values)
