"""What features and labels are computed with."""

from __future__ import annotations

from dataclasses import dataclass

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError
from liqlab.core.schema import BAR_WIDTHS_MS
from liqlab.core.time import MS_PER_S

#: The grid of features and labels, in milliseconds.
STEP_MS = BAR_WIDTHS_MS["5s"]
STEP_S = STEP_MS // MS_PER_S
ROWS_PER_MINUTE = 60 // STEP_S
#: A ticker polled every minute has a median interval a little off 60 s; this much is not coarser.
_JITTER_FRAC = 0.05


@dataclass(frozen=True)
class FeatureConfig:
    """Which features, how much of a window must be there, and from when on labels count.

    `features` None means all of the catalogue. At least `min_covered_frac` of a lookback, and of the future that a
    label spans, must be covered. `decision_delay_s` is a whole multiple of the 5 s grid. A label's price must come
    within `label_tolerance_intervals` typical ticker intervals, or 15 s where that is more.
    """

    features: tuple[str, ...] | None = None
    min_covered_frac: float = bounded(0.8, 0.05, 1.0)
    decision_delay_s: float = bounded(5.0, 0.0, 3_600.0)
    label_tolerance_intervals: int = bounded(3, 1, 100)

    def __post_init__(self) -> None:
        check_bounds(self)
        if self.decision_delay_s % STEP_S:
            raise ConfigError(
                f"FeatureConfig.decision_delay_s must be a multiple of {STEP_S} s, the grid of the features, "
                f"got {self.decision_delay_s!r}"
            )


def is_coarser(ticker_interval_ms: int, step_s: int) -> bool:
    """Whether a ticker with this typical interval cannot show what happens within `step_s`."""
    return ticker_interval_ms > step_s * MS_PER_S * (1.0 + _JITTER_FRAC)


def describe_coarseness(ticker_interval_ms: int, step_s: int) -> str:
    """The note of a column that such a ticker cannot give."""
    return f"ticker prices come every {ticker_interval_ms / MS_PER_S:.3g} s; needs {step_s:g} s"
