"""What counts as a cascade: the thresholds of a detector, as named presets and as a user's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError, unknown_name
from liqlab.core.time import MS_PER_S


@dataclass(frozen=True)
class CascadePreset:
    """Thresholds of a detector.

    A cluster is a run of liquidations of one symbol with no silence longer than `max_gap_ms`; it becomes a cascade once
    it holds `min_liquidations` and `min_notional_usd`.

    With a `size_quantile` q only liquidations of at least a threshold notional take part. The threshold is the
    q-quantile (linear interpolation) of the last `size_window` liquidations of that symbol strictly before the one at
    hand; while fewer than `size_min_history` came before, it is `size_fallback_usd`. Smaller ones neither join a
    cluster nor keep it alive, but they do enter the window.
    """

    name: str
    max_gap_ms: int = bounded(5_000, 0, 86_400_000)
    min_liquidations: int = bounded(1, 1, 1_000_000)
    min_notional_usd: float = bounded(0.0, 0.0, 1e15)
    size_quantile: float | None = bounded(None, 0.0, 1.0)
    size_window: int = bounded(2_000, 1, 1_000_000)
    size_min_history: int = bounded(200, 1, 1_000_000)
    size_fallback_usd: float = bounded(25_000.0, 0.0, 1e15)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.size_min_history > self.size_window:
            raise ConfigError(
                f"CascadePreset.size_min_history must be at most size_window ({self.size_window}), "
                f"got {self.size_min_history}"
            )


PRESETS = (
    CascadePreset("plan", max_gap_ms=5_000, min_liquidations=3, min_notional_usd=100_000.0),
    CascadePreset("p95", max_gap_ms=60_000, min_liquidations=2, size_quantile=0.95),
)


def get_preset(name: str) -> CascadePreset:
    """The preset called `name`; `UserError` lists those there are.

    >>> get_preset("plan").max_gap_ms
    5000
    """
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise unknown_name("preset", name, [preset.name for preset in PRESETS])


@dataclass(frozen=True)
class CascadeConfig:
    """Which cascades a study looks at: a preset, the thresholds that differ from it, and how fresh a price must be.

    A price that was older than `price_max_age_s` when it was needed counts as none.
    """

    preset: str = "plan"
    max_gap_s: float | None = bounded(None, 0.0, 86_400.0)
    min_liquidations: int | None = bounded(None, 1, 1_000_000)
    min_notional_usd: float | None = bounded(None, 0.0, 1e15)
    price_max_age_s: float = bounded(15.0, 0.0, 86_400.0)

    def __post_init__(self) -> None:
        check_bounds(self)
        get_preset(self.preset)

    def resolve(self) -> CascadePreset:
        """The preset with the overrides applied; its name says which.

        >>> CascadeConfig(min_liquidations=5).resolve().name
        'plan, min_liquidations=5'
        """
        preset = get_preset(self.preset)
        changes: list[str] = []
        if self.max_gap_s is not None:
            preset = replace(preset, max_gap_ms=round(self.max_gap_s * MS_PER_S))
            changes.append(f"max_gap_s={self.max_gap_s:g}")
        if self.min_liquidations is not None:
            preset = replace(preset, min_liquidations=self.min_liquidations)
            changes.append(f"min_liquidations={self.min_liquidations}")
        if self.min_notional_usd is not None:
            preset = replace(preset, min_notional_usd=self.min_notional_usd)
            changes.append(f"min_notional_usd={self.min_notional_usd:g}")
        return replace(preset, name=", ".join([preset.name, *changes]))
