"""The trailing size threshold of one symbol, a liquidation at a time."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

from liqlab.cascades._presets import CascadePreset


class TrailingThreshold:
    """The notional from which a liquidation takes part, told from those before it.

    The window is kept sorted beside its order of arrival, so that a new value costs one insertion and one removal.
    """

    def __init__(self, preset: CascadePreset) -> None:
        self._quantile = preset.size_quantile if preset.size_quantile is not None else 0.0
        self._window = preset.size_window
        self._min_history = preset.size_min_history
        self._fallback_usd = preset.size_fallback_usd
        self._arrived: deque[float] = deque()
        self._sorted: list[float] = []

    def current_usd(self) -> float:
        """The threshold for the next liquidation."""
        count = len(self._sorted)
        if count < self._min_history:
            return self._fallback_usd
        place = self._quantile * (count - 1)
        low = int(place)
        if low + 1 >= count:
            return self._sorted[-1]
        # The two forms of the interpolation are NumPy's: each is exact at the end that it is used near.
        below, above, weight = self._sorted[low], self._sorted[low + 1], place - low
        if weight < 0.5:
            return below + (above - below) * weight
        return above - (above - below) * (1.0 - weight)

    def add(self, notional_usd: float) -> None:
        """Take a liquidation into the window; the oldest leaves when it is full."""
        if len(self._arrived) == self._window:
            del self._sorted[bisect_left(self._sorted, self._arrived.popleft())]
        self._arrived.append(notional_usd)
        insort(self._sorted, notional_usd)
