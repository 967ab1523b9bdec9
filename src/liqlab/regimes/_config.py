"""What counts as quiet or volatile, and how the hidden Markov model is refitted."""

from __future__ import annotations

from dataclasses import dataclass

from liqlab.core.config import bounded, check_bounds
from liqlab.core.errors import ConfigError

_S_PER_MINUTE = 60
_WHOLE_MINUTES = ("return_step_s", "volatility_window_s", "hmm_step_s")
_HOURS_PER_DAY = 24


@dataclass(frozen=True)
class RegimeConfig:
    """How both regimes are found; every window is trailing.

    By quantile: volatility from returns over `return_step_s` within `volatility_window_s` is compared with the
    `quantile` of the volatilities of the last `quantile_window_days`, once there are `quantile_min_history_hours` of
    them; above it is volatile. A volatility needs `min_present_frac` of its returns.

    By hidden Markov model: two states of log volatility over stretches of `hmm_step_s`, fitted each `hmm_refit_hours`
    (counted from 1970) on the last `hmm_window_days`, once there are `hmm_min_history_hours` of stretches, from
    `hmm_starts` random starting points (drawn with `seed`) and one that splits at `quantile`.
    """

    return_step_s: int = bounded(60, 60, 3_600)
    volatility_window_s: int = bounded(3_600, 300, 86_400)
    quantile: float = bounded(0.75, 0.5, 0.99)
    quantile_window_days: float = bounded(3.0, 0.25, 90.0)
    quantile_min_history_hours: float = bounded(6.0, 1.0, 720.0)
    min_present_frac: float = bounded(0.8, 0.1, 1.0)
    hmm_step_s: int = bounded(300, 60, 7_200)
    hmm_refit_hours: int = bounded(24, 1, 720)
    hmm_window_days: float = bounded(14.0, 0.5, 365.0)
    hmm_min_history_hours: float = bounded(24.0, 6.0, 2_160.0)
    hmm_starts: int = bounded(5, 0, 100)
    seed: int = bounded(0, 0, 2**32 - 1)

    def __post_init__(self) -> None:
        check_bounds(self)
        for name in _WHOLE_MINUTES:
            if getattr(self, name) % _S_PER_MINUTE:
                raise ConfigError(f"RegimeConfig.{name} must be whole minutes in seconds, got {getattr(self, name)}")
        self._check_history("quantile_min_history_hours", "quantile_window_days")
        self._check_history("hmm_min_history_hours", "hmm_window_days")

    def _check_history(self, history: str, window: str) -> None:
        longest = _HOURS_PER_DAY * getattr(self, window)
        if getattr(self, history) > longest:
            raise ConfigError(
                f"RegimeConfig.{history} must be at most {window} ({longest:g} h), got {getattr(self, history)}"
            )
