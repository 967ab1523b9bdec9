"""Walk-forward least squares on minutes: each day's forecasts come from a fit on the days before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE
from liqlab.study._evidence import Booleans, Floats, Integers
from liqlab.study._q5_volatility_rows import VolatilityRows

#: From the first to the last minute of a fit at least so many, so many of them in use, so many of each symbol.
_LEAST_SPAN, _LEAST_MINUTES, _LEAST_OF_SYMBOL = 2_100, 720, 180
#: Against columns that say the same; of no effect on others.
_RIDGE = 1e-9
#: A price ahead may come a little late: a target counts as known so many minutes after its end.
_LATE_MIN = 1


@dataclass(frozen=True)
class Design:
    """Columns known at each minute, (S, m, k): a constant for each symbol, then blocks of columns by name."""

    values: Floats
    blocks: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, rows: VolatilityRows, blocks: Mapping[str, Floats]) -> Design:
        """From blocks (S, m, j) by name, in order."""
        n = len(rows.symbols)
        shape = (n, len(rows.times_ms), n)
        parts = [np.broadcast_to(np.eye(n)[:, None, :], shape), *blocks.values()]
        ends = np.cumsum([part.shape[2] for part in parts]).tolist()
        named = {name: tuple(range(ends[i], ends[i + 1])) for i, name in enumerate(blocks)}
        return cls(np.concatenate(parts, axis=2), named)

    def columns(self, *names: str) -> tuple[int, ...]:
        """The constants, and the columns of the blocks named."""
        constants = tuple(range(self.values.shape[0]))
        return constants + tuple(column for name in names for column in self.blocks[name])


@dataclass(frozen=True)
class Forecasts:
    """One model's forecasts (S, m), NaN before the first fit, and the fit of each of D days.

    `day` (m,) numbers the days from 0. `coefficients` (D, k) are of `columns` and NaN where there was no fit; `smear`
    (D,) is the mean of exp(residual) in the fit's own sample: what turns the forecast of a logarithm into one of the
    mean (Duan 1983).
    """

    values: Floats
    day: Integers
    columns: tuple[int, ...]
    coefficients: Floats
    smear: Floats

    @property
    def of_mean(self) -> Floats:
        """Log of the forecast of exp(target), (S, m)."""
        found: Floats = self.values + np.log(self.smear)[self.day]
        return found


def forecast_days(
    rows: VolatilityRows,
    design: Design,
    target: Floats,
    horizon_min: int,
    models: Mapping[str, Sequence[int]],
    where: Booleans | None = None,
) -> dict[str, Forecasts]:
    """Forecasts of `target` (S, m) by least squares on each model's columns, refitted at every midnight (UTC).

    All models are fitted on the same minutes: those in `where` (all by default) whose columns are known, and whose
    target, which takes `horizon_min`, was known when the day began. They forecast the minutes of the day in `where`. No
    fit from less than a day and a half, or 12 h of minutes within it, no forecast for a symbol with less than 3 h.
    """
    usable: Booleans = np.all(np.isfinite(design.values), axis=2)
    if where is not None:
        usable = usable & where
    sample = _Sample.of(rows, design.values, target, usable & np.isfinite(target), horizon_min)
    return {name: _fit_days(tuple(columns), sample, usable) for name, columns in models.items()}


@dataclass(frozen=True)
class _Sample:
    """What the fits are made of; X'X (D, 2, k, k) and X'y (D, 2, k) by day.

    Apart for minutes whose target is known by the end of their day, and for the rest, which the next fit lacks.
    """

    x: Floats
    y: Floats
    trained: Booleans
    day: Integers
    in_time: Booleans
    gram: Floats
    product: Floats

    @classmethod
    def of(cls, rows: VolatilityRows, x: Floats, y: Floats, trained: Booleans, horizon_min: int) -> _Sample:
        days, day = np.unique(rows.day, return_inverse=True)
        in_time = rows.times_ms + (horizon_min + _LATE_MIN) * MS_PER_MINUTE <= (rows.day + 1) * MS_PER_DAY
        k = x.shape[2]
        gram, product = np.zeros((days.size, 2, k, k)), np.zeros((days.size, 2, k))
        for number, late in np.ndindex(days.size, 2):
            at = np.flatnonzero((day == number) & (in_time != bool(late)))
            if at.size:
                part = slice(at[0], at[-1] + 1)
                used = trained[:, part]
                columns = x[:, part][used]
                gram[number, late], product[number, late] = columns.T @ columns, columns.T @ y[:, part][used]
        return cls(x, y, trained, day, in_time, gram, product)

    def before(self, number: int) -> Booleans:
        """The minutes whose target was known when the day began, (S, m)."""
        found: Booleans = self.trained & ((self.day < number - 1) | ((self.day == number - 1) & self.in_time))
        return found

    def moments(self, number: int) -> tuple[Floats, Floats]:
        """X'X and X'y of these."""
        early, late = slice(0, number), slice(0, max(number - 1, 0))
        gram = self.gram[early, 0].sum(axis=0) + self.gram[late, 1].sum(axis=0)
        return gram, self.product[early, 0].sum(axis=0) + self.product[late, 1].sum(axis=0)


def _fit_days(columns: tuple[int, ...], sample: _Sample, usable: Booleans) -> Forecasts:
    n_days, n_symbols = len(sample.gram), len(sample.x)
    chosen = list(columns)
    values = np.full(sample.y.shape, np.nan)
    coefficients, smear = np.full((n_days, len(chosen)), np.nan), np.full(n_days, np.nan)
    x = sample.x[:, :, chosen]
    for number in range(1, n_days):
        earlier = sample.before(number)
        if not _is_enough(earlier):
            continue
        gram, product = sample.moments(number)
        coefficients[number] = _solve(gram[np.ix_(chosen, chosen)], product[chosen])
        residuals = sample.y[earlier] - x[earlier] @ coefficients[number]
        smear[number] = float(np.exp(residuals).mean())
        at = np.flatnonzero(sample.day == number)
        today = slice(at[0], at[-1] + 1)
        known = usable[:, today] & (np.diag(gram)[:n_symbols, None] >= _LEAST_OF_SYMBOL)
        values[:, today] = np.where(known, x[:, today] @ coefficients[number], np.nan)
    return Forecasts(values, sample.day, columns, coefficients, smear)


def _is_enough(trained: Booleans) -> bool:
    minutes = np.flatnonzero(trained.any(axis=0))
    return minutes.size >= _LEAST_MINUTES and int(minutes[-1] - minutes[0]) >= _LEAST_SPAN


def _solve(gram: Floats, product: Floats) -> Floats:
    """Least squares from the moments; a column without any value gets no coefficient."""
    scale = np.sqrt(np.diag(gram))
    scale = np.where(scale > 0.0, scale, 1.0)
    scaled = gram / np.outer(scale, scale) + _RIDGE * np.eye(len(gram))
    solution: Floats = np.linalg.solve(scaled, product / scale) / scale
    return solution
