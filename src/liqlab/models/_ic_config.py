"""What the analysis of information coefficients looks at, and how sure it wants to be."""

from __future__ import annotations

from dataclasses import dataclass

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError
from liqlab.core.schema import LABEL_HORIZONS_S, VOLATILITY_HORIZONS_S
from liqlab.core.time import MS_PER_S

RETURN = "return"
VOLATILITY = "volatility"
ALL_REGIMES = "all"
ALL_SYMBOLS = "ALL"


@dataclass(frozen=True)
class IcConfig:
    """How information coefficients are measured.

    `decision_delay_s` is that of the labels: a label of horizon h at t ends at t + delay + h. Times are summed into
    blocks of `block_s` for the inference, or longer ones where the span would have more than `max_blocks`.
    `volatility_memory_s` is how long volatility is taken to depend on its own past, beyond the horizon. The bootstrap
    cuts time into `bootstrap_blocks` blocks, or as many of at least twice the horizon as fit, and needs `min_blocks` of
    them. `n_fifths` is the number of equal groups of the feature whose mean label is reported. Below `min_pairs` there
    is no inference, below `min_day_pairs` no correlation of the day, below `min_days` no spread of daily ones.
    `features_at_once` bounds memory.
    """

    return_horizons_s: tuple[int, ...] = LABEL_HORIZONS_S
    volatility_horizons_s: tuple[int, ...] = VOLATILITY_HORIZONS_S
    decision_delay_s: float = bounded(5.0, 0.0, 3_600.0)
    regimes: bool = True
    n_resamples: int = bounded(4_999, 99, 1_000_000)
    bootstrap_blocks: int = bounded(128, 8, 10_000)
    min_blocks: int = bounded(8, 4, 1_000)
    block_s: int = bounded(60, 1, 3_600)
    max_blocks: int = bounded(16_384, 256, 1_000_000)
    volatility_memory_s: int = bounded(14_400, 0, 864_000)
    n_fifths: int = bounded(5, 2, 100)
    min_pairs: int = bounded(100, 4, 1_000_000)
    min_day_pairs: int = bounded(30, 3, 1_000_000)
    min_days: int = bounded(2, 2, 10_000)
    features_at_once: int = bounded(12, 1, 10_000)
    seed: int = bounded(0, 0, 2**63 - 1)

    def __post_init__(self) -> None:
        check_bounds(self)
        for name, allowed in (
            ("return_horizons_s", LABEL_HORIZONS_S),
            ("volatility_horizons_s", VOLATILITY_HORIZONS_S),
        ):
            horizons = getattr(self, name)
            if not set(horizons) <= set(allowed) or len(set(horizons)) < len(horizons):
                raise ConfigError(
                    f"IcConfig.{name} must be different ones of {', '.join(map(str, allowed))}, got {horizons!r}"
                )
        if not self.targets:
            raise ConfigError("IcConfig needs at least one of return_horizons_s and volatility_horizons_s")

    @property
    def targets(self) -> tuple[Target, ...]:
        """The labels, returns before volatilities."""
        return tuple(Target(RETURN, horizon) for horizon in self.return_horizons_s) + tuple(
            Target(VOLATILITY, horizon) for horizon in self.volatility_horizons_s
        )


@dataclass(frozen=True)
class Target:
    """A label: `return` or `volatility`, and its forward length."""

    kind: str
    horizon_s: int

    @property
    def column(self) -> str:
        """Its name in the table of labels."""
        return f"{self.kind}_{self.horizon_s}s"

    def dependence_s(self, config: IcConfig) -> int:
        """How far apart two times must be before their labels are taken to be independent."""
        return max(self.horizon_s, config.volatility_memory_s) if self.kind == VOLATILITY else self.horizon_s


def block_ms(config: IcConfig, span_ms: int) -> int:
    """The length of a block of time: `block_s`, or the multiple of it that keeps within `max_blocks`."""
    shortest = config.block_s * MS_PER_S
    return shortest * max(1, -(-span_ms // (shortest * config.max_blocks)))
