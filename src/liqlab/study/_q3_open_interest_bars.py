"""Changes of open interest beside liquidated quantity, bar by bar, and how much of the one goes with the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liqlab.core.time import MS_PER_MINUTE, MS_PER_S
from liqlab.stats import Estimate, estimate_by_influence, linear_quantile
from liqlab.study._evidence import STEP_MS, Evidence, SymbolEvidence
from liqlab.study._inference import BlockInference, QuestionConfig, infer_from_influence

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

QUIET, VOLATILE = 0, 1
_NAN = float("nan")
#: A correlation of one has no interval on the scale of Fisher.
_HIGHEST_CORRELATION = 1.0 - 1e-9
_EXPLORATORY_BLOCK_MIN = 360
#: Beyond this quantile of its symbol's bars a change, or a liquidated quantity, counts as that quantile.
KEPT_FRAC = 0.99


@dataclass(frozen=True)
class Bars:
    """Bars of several symbols, symbol after symbol: arrays of shape (n,), NaN where open interest is not known.

    `time_ms` is the right edge. `change` and `liquidated` are the change of open interest and the total quantity
    liquidated as shares of the open interest at the beginning, `open_interest` (base units). `regime` is that known at
    the beginning: `QUIET`, `VOLATILE`, else -1. Only covered bars are listed.
    """

    code: Integers
    time_ms: Integers
    open_interest: Floats
    change: Floats
    liquidated: Floats
    regime: npt.NDArray[np.int8]
    width_ms: int

    @property
    def is_known(self) -> Booleans:
        """Bars with open interest at both ends."""
        return np.isfinite(self.change)


@dataclass(frozen=True)
class SharedVariance:
    """Least squares of OI changes on liquidated quantity with a mean for each symbol.

    `correlation` is theirs within symbols, its square the share explained; `slope` what open interest changes by for
    each unit liquidated. Influences have shape (n,) and mean zero; `shares` (n,), of mean one, is how much of what the
    correlation is divided by comes from each bar: few large liquidations make most of it. NaN without spread on either
    side.
    """

    correlation: float
    slope: float
    time_ms: Integers
    of_correlation: Floats
    of_slope: Floats
    shares: Floats
    width_ms: int

    @property
    def n(self) -> int:
        """Bars used."""
        return len(self.time_ms)

    @property
    def r2(self) -> float:
        """Share of the variance of OI changes that goes with liquidated quantity."""
        return self.correlation**2

    def infer(self, config: QuestionConfig, null_r2: float) -> BlockInference:
        """|Fisher's z| of the correlation with interval and p against that of `null_r2`; see `to_share`."""
        if not np.isfinite(self.correlation):
            return BlockInference.unknown(self.n)
        z, influence = self._on_fisher_scale()
        null = float(np.arctanh(np.sqrt(null_r2)))
        return infer_from_influence(self.time_ms, influence, z, self.width_ms, config, null, self.shares)

    def describe(self) -> tuple[float, float, float]:
        """R2 with a 95 % interval by Student's t over blocks of 6 h, for exploratory tables."""
        if not np.isfinite(self.correlation):
            return _NAN, _NAN, _NAN
        z, influence = self._on_fisher_scale()
        found = estimate_by_influence(z, influence / self.n, self._blocks)
        return (self.r2, *to_share(found.ci_low, found.ci_high))

    def describe_slope(self, null: float) -> Estimate:
        """The slope with p against `null`, likewise."""
        if not np.isfinite(self.correlation):
            return Estimate(*(_NAN,) * 6, self.n, 0)
        return estimate_by_influence(self.slope, self.of_slope / self.n, self._blocks, null)

    @property
    def _blocks(self) -> Integers:
        return np.asarray(self.time_ms // (_EXPLORATORY_BLOCK_MIN * MS_PER_MINUTE))

    def _on_fisher_scale(self) -> tuple[float, Floats]:
        """|atanh r| and its influence: there the error hardly depends on r, and ends stay within a share's bounds."""
        r = float(np.clip(self.correlation, -_HIGHEST_CORRELATION, _HIGHEST_CORRELATION))
        return abs(float(np.arctanh(r))), np.copysign(1.0, r) * self.of_correlation / (1.0 - r * r)


def to_share(z_low: float, z_high: float) -> tuple[float, float]:
    """The interval of R2 from that of |z|: tanh^2 of its ends, from zero on where it reaches below.

    >>> [round(end, 3) for end in to_share(-0.1, 0.5)]
    [0.0, 0.214]
    """
    low = np.tanh(max(z_low, 0.0)) ** 2 if np.isfinite(z_low) else _NAN
    return float(low), float(np.tanh(max(abs(z_low), abs(z_high))) ** 2)


def has_open_interest(symbol: SymbolEvidence) -> bool:
    """Whether the ticker told open interest at all."""
    return bool(np.isfinite(symbol.grid["open_interest"]).any())


def make_bars(evidence: Evidence, symbols: Sequence[str], width_min: int, lag_s: int = 0) -> Bars:
    """Bars of `width_min` of the symbols, aligned to the start of the span.

    With a publication lag the open interest of an edge is taken `lag_s` (a multiple of 5 s) after it.
    """
    width_ms = width_min * MS_PER_MINUTE
    parts = [
        _bars_of(evidence.symbols[name], width_ms // STEP_MS, lag_s * MS_PER_S // STEP_MS, width_ms) for name in symbols
    ]
    return Bars(
        code=np.repeat(np.arange(len(parts)), [len(part.time_ms) for part in parts]),
        time_ms=np.concatenate([np.empty(0, np.int64), *(part.time_ms for part in parts)]),
        open_interest=np.concatenate([np.empty(0), *(part.open_interest for part in parts)]),
        change=np.concatenate([np.empty(0), *(part.change for part in parts)]),
        liquidated=np.concatenate([np.empty(0), *(part.liquidated for part in parts)]),
        regime=np.concatenate([np.empty(0, np.int8), *(part.regime for part in parts)]),
        width_ms=width_ms,
    )


def fit_shared_variance(bars: Bars, where: Booleans, kept_frac: float = KEPT_FRAC) -> SharedVariance:
    """The fit on the bars of `where` (n,) that are known.

    What is larger than the quantile `kept_frac` of its symbol in these bars is cut to it, be it liquidated or changed:
    in plain squares the few largest bars decide, and no interval from nine days holds. 1 cuts nothing.
    """
    rows = np.flatnonzero(where & bars.is_known)
    code = bars.code[rows]
    values = [bars.liquidated[rows], bars.change[rows]]
    limits = [_list_limits(own, code, kept_frac) for own in values]
    x, y = (_centre(np.clip(own, -limit, limit), code) for own, limit in zip(values, limits, strict=True))
    sxx, sxy, syy = (float((a * b).mean()) if len(rows) else 0.0 for a, b in ((x, x), (x, y), (y, y)))
    if not (sxx > 0.0 and syy > 0.0):
        nothing = np.full(len(rows), np.nan)
        return SharedVariance(_NAN, _NAN, bars.time_ms[rows], nothing, nothing, nothing, bars.width_ms)
    correlation, slope = sxy / np.sqrt(sxx * syy), sxy / sxx
    shares = (x * x / sxx + y * y / syy) / 2.0
    of_correlation = x * y / np.sqrt(sxx * syy) - correlation * shares
    if kept_frac < 1.0:
        of_correlation += _trace_limits(values, code, limits, kept_frac)
    of_slope = x * (y - slope * x) / sxx
    return SharedVariance(
        float(correlation), slope, bars.time_ms[rows], of_correlation, of_slope, shares, bars.width_ms
    )


def _list_limits(values: Floats, code: Integers, kept_frac: float) -> Floats:
    """The quantile `kept_frac` of the sizes of each value's symbol, (n,)."""
    limits = np.full(len(values), np.inf)
    for symbol in np.unique(code) if kept_frac < 1.0 else ():
        own = code == symbol
        limits[own] = linear_quantile(np.abs(values[own]), kept_frac)
    return limits


def _trace_limits(values: list[Floats], code: Integers, limits: list[Floats], kept_frac: float) -> Floats:
    """What each bar adds to the correlation by moving the limits, (n,) of mean zero.

    The influence of a bar on the p-quantile L of its symbol is (p - 1{size <= L}) dL / dp; so that on the correlation
    is (p - 1{size <= L}) times the change of the correlation with p, which is measured.
    """
    step = (1.0 - kept_frac) / 2.0
    total = np.zeros(len(code))
    for place in range(len(values)):
        for symbol in np.unique(code):
            own = code == symbol
            ends = []
            for level in (kept_frac - step, kept_frac + step):
                moved = [limit.copy() for limit in limits]
                moved[place][own] = linear_quantile(np.abs(values[place][own]), level)
                ends.append(_correlate(values, code, moved))
            beyond = (np.abs(values[place][own]) > limits[place][own]).astype(np.float64)
            total[own] += (ends[1] - ends[0]) / (2.0 * step) * (beyond - beyond.mean()) * (len(code) / own.sum())
    return total


def _correlate(values: list[Floats], code: Integers, limits: list[Floats]) -> float:
    """The correlation of both within symbols, cut at the limits; zero without spread."""
    x, y = (_centre(np.clip(own, -limit, limit), code) for own, limit in zip(values, limits, strict=True))
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / spread if spread > 0.0 else 0.0


def _bars_of(symbol: SymbolEvidence, steps: int, lag_steps: int, width_ms: int) -> Bars:
    n_bars = len(symbol.times_ms) // steps
    used = n_bars * steps
    covered = symbol.covered[:used].reshape(n_bars, steps).all(axis=1)
    volume = symbol.grid["liq_buy_volume"][:used] + symbol.grid["liq_sell_volume"][:used]
    # Edge k of the grid is row k - 1; the first edge of the span is no row.
    edges = np.arange(n_bars + 1) * steps - 1 + lag_steps
    inside = (edges >= 0) & (edges < len(symbol.times_ms))
    level = np.full(n_bars + 1, np.nan)
    level[inside] = symbol.grid["open_interest"][edges[inside]]
    level[~(level > 0.0)] = np.nan
    starts = np.arange(n_bars) * steps - 1
    regime = np.where(starts >= 0, symbol.regime[np.maximum(starts, 0)], -1) if n_bars else symbol.regime[:0]
    return Bars(
        np.zeros(int(covered.sum()), dtype=np.int64),
        symbol.times_ms[steps - 1 : used : steps][covered],
        level[:-1][covered],
        (np.diff(level) / level[:-1])[covered],
        (volume.reshape(n_bars, steps).sum(axis=1) / level[:-1])[covered],
        regime[covered].astype(np.int8),
        width_ms,
    )


def _centre(values: Floats, code: Integers) -> Floats:
    """Values less the mean of their symbol."""
    if not len(values):
        return values
    count = np.bincount(code)
    means = np.divide(np.bincount(code, values), count, out=np.zeros(len(count)), where=count > 0)
    return np.asarray(values - means[code])
