"""What there is to say of a column once it has been computed: how much of it there is, since when, what was wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ColumnNote:
    """One column of one symbol: values among times, the time of the first one (ms UTC), remarks ("" when none)."""

    symbol: str
    column: str
    n_times: int
    n_values: int
    first_ms: int | None
    note: str

    @property
    def non_null_frac(self) -> float:
        """Share of the times with a value; 0.0 without times."""
        return self.n_values / self.n_times if self.n_times else 0.0


class Tally:
    """Counts a column piece by piece."""

    def __init__(self) -> None:
        self.n_times = 0
        self.n_values = 0
        self.n_infinite = 0
        self.first_ms: int | None = None
        self._low = np.inf
        self._high = -np.inf

    def add(self, times_ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Count one piece, times ascending; gives `values` with NaN for what is infinite."""
        infinite = np.isinf(values)
        if infinite.any():
            self.n_infinite += int(infinite.sum())
            values = np.where(infinite, np.nan, values)
        present = ~np.isnan(values)
        self.n_times += len(values)
        if present.any():
            self.n_values += int(present.sum())
            self.first_ms = int(times_ms[np.argmax(present)]) if self.first_ms is None else self.first_ms
            self._low = min(self._low, float(np.nanmin(values)))
            self._high = max(self._high, float(np.nanmax(values)))
        return values

    def describe(self, symbol: str, column: str, why_empty: str, remarks: list[str]) -> ColumnNote:
        """The note; `why_empty` is said when there is no value, `remarks` always."""
        texts = [why_empty] if not self.n_values and self.n_times else []
        if self.n_values > 1 and self._low == self._high:
            texts.append(f"constant: {self._low:g} throughout")
        if self.n_infinite:
            texts.append(f"infinite results left out: {self.n_infinite:,}")
        return ColumnNote(symbol, column, self.n_times, self.n_values, self.first_ms, "; ".join([*texts, *remarks]))
