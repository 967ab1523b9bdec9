"""What a walk-forward prediction is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError, unknown_name
from liqlab.core.schema import LABEL_HORIZONS_S, VOLATILITY_HORIZONS_S
from liqlab.core.time import MS_PER_HOUR, MS_PER_S
from liqlab.models._ic_config import RETURN, VOLATILITY, Target

Split = Literal["expanding", "rolling"]


@dataclass(frozen=True)
class WalkForwardConfig:
    """Settings of `run_walk_forward`.

    Models are refitted at every multiple of `refit_hours` since 1970, first when `min_train_hours` have passed since
    the data begins. `label_tolerance_s` is how long after the end of its horizon a label's last price may come: it
    belongs to the reach of a label, and must be that of the labels (three ticker intervals, at least 15 s). `models`
    and `features` are names, None for all. `inner_frac` is the share of a training window, its end, on which parameters
    are chosen. `volatility_memory_s` is how long losses of volatility forecasts are taken to depend on their past,
    beyond the horizon. Columns whose rank correlation reaches `correlation_threshold` are judged together.
    """

    return_horizons_s: tuple[int, ...] = (300, 900, 3_600)
    volatility_horizons_s: tuple[int, ...] = (300, 900, 3_600)
    splits: tuple[str, ...] = ("expanding", "rolling")
    models: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None
    step_s: int = bounded(300, 5, 86_400)
    refit_hours: int = bounded(24, 1, 24 * 366)
    min_train_hours: float = bounded(48.0, 1.0, 24.0 * 3_660)
    rolling_days: float = bounded(4.0, 1 / 24, 3_660.0)
    decision_delay_s: float = bounded(5.0, 0.0, 3_600.0)
    label_tolerance_s: float = bounded(15.0, 0.0, 86_400.0)
    min_train_rows: int = bounded(200, 20)
    inner_frac: float = bounded(1 / 3, 0.05, 0.8)
    volatility_memory_s: int = bounded(14_400, 0, 864_000)
    importance: bool = True
    correlation_threshold: float = bounded(0.7, 0.0, 1.0)
    permutation_block_s: int = bounded(3_600, 5, 7 * 86_400)
    n_permutations: int = bounded(1, 1, 1_000)
    seed: int = bounded(0, 0, 2**31 - 1)

    def __post_init__(self) -> None:
        check_bounds(self)
        _check_horizons("return_horizons_s", self.return_horizons_s, LABEL_HORIZONS_S)
        _check_horizons("volatility_horizons_s", self.volatility_horizons_s, VOLATILITY_HORIZONS_S)
        for split in self.splits:
            if split not in get_args(Split):
                raise unknown_name("split", split, list(get_args(Split)))
        if not self.splits or len(set(self.splits)) != len(self.splits):
            raise ConfigError(
                f"WalkForwardConfig.splits must name each of its splits once, at least one, got {self.splits}"
            )

    @property
    def targets(self) -> tuple[Target, ...]:
        """Returns, then volatilities, in the order of their horizons as given."""
        returns = tuple(Target(RETURN, horizon) for horizon in self.return_horizons_s)
        return returns + tuple(Target(VOLATILITY, horizon) for horizon in self.volatility_horizons_s)

    @property
    def refit_ms(self) -> int:
        """Milliseconds between refits."""
        return self.refit_hours * MS_PER_HOUR

    def step_ms(self, target: Target) -> int:
        """Milliseconds between decision times: `step_s`, or the horizon where that is shorter."""
        return min(self.step_s, target.horizon_s) * MS_PER_S

    def overlap_steps(self, target: Target) -> int:
        """Over how many decision times the losses of a target depend on one another."""
        memory_s = self.volatility_memory_s if target.kind == VOLATILITY else 0
        return -(-max(target.horizon_s, memory_s) * MS_PER_S // self.step_ms(target))

    def reach_ms(self, target: Target) -> int:
        """Milliseconds after its decision time at which a label is final: delay, horizon and tolerance."""
        return round((self.decision_delay_s + target.horizon_s + self.label_tolerance_s) * MS_PER_S)


def _check_horizons(name: str, horizons: tuple[int, ...], declared: tuple[int, ...]) -> None:
    if len(set(horizons)) != len(horizons) or not set(horizons) <= set(declared):
        raise ConfigError(
            f"WalkForwardConfig.{name} must be different ones of {', '.join(map(str, declared))}, got {horizons!r}"
        )
