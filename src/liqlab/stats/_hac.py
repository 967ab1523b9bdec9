"""Means of autocorrelated series: standard errors, intervals and p-values that hold under overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
#: In lengths of the overlap, see `choose_cosines`.
SHORTEST_SERIES = 12
MIN_COSINES = 4


@dataclass(frozen=True)
class MeanInference:
    """A mean, its standard error, t against zero, two-sided p and 95 % interval; NaN where undefined."""

    mean: float
    standard_error: float
    t: float
    degrees_of_freedom: float
    p: float
    ci_low: float
    ci_high: float
    n: int


@dataclass(frozen=True)
class MeanInferences:
    """`MeanInference` of many columns: arrays of shape (k,)."""

    mean: Floats
    standard_error: Floats
    t: Floats
    degrees_of_freedom: Floats
    p: Floats
    ci_low: Floats
    ci_high: Floats
    n: npt.NDArray[np.int64]

    def __getitem__(self, column: int) -> MeanInference:
        """The inference of one column."""
        return MeanInference(
            float(self.mean[column]),
            float(self.standard_error[column]),
            float(self.t[column]),
            float(self.degrees_of_freedom[column]),
            float(self.p[column]),
            float(self.ci_low[column]),
            float(self.ci_high[column]),
            int(self.n[column]),
        )


@dataclass(frozen=True)
class LeastSquares:
    """Coefficients of a linear regression with standard errors, t, two-sided p (each of shape (k,)) and rows used."""

    coefficients: Floats
    standard_errors: Floats
    t: Floats
    p: Floats
    n: int


def choose_cosines(n_times: int, overlap: int) -> int | None:
    """How many cosines `fixed_b_mean` may use for `n_times` values of which neighbours share `overlap` steps.

    A forward return over `overlap` steps, known at every step, has a triangular autocovariance and the spectrum
    sinc^2(f overlap), f in cycles per step. Cosine j looks at f = j / (2 n_times). Up to j = n_times / (4 overlap) the
    spectrum stays above 95 % of its value at zero, 98 % on average, so these cosines measure the long-run variance
    almost without bias. From 12 stretches of `overlap` steps on at least 4 cosines are used (91 and 97 % in the worst
    case); with less the answer is None: too short to be tested. Dependence beyond the overlap is met by the cap
    0.4 n_times^(2/3) of Lazarus, Lewis, Stock and Watson (2018), "HAR inference: recommendations for practice", Journal
    of Business and Economic Statistics 36. `overlap` is 1 for values that share nothing; below 1 is a ValueError.

    >>> choose_cosines(155_520, 2_880), choose_cosines(34_560, 2_880), choose_cosines(34_559, 2_880)
    (13, 4, None)
    """
    if overlap < 1:
        raise ValueError(f"overlap must be at least 1 step, got {overlap}")
    if n_times < SHORTEST_SERIES * overlap:
        return None
    return max(MIN_COSINES, min(n_times // (4 * overlap), int(0.4 * n_times ** (2.0 / 3.0))))


def fixed_b_mean(values: npt.ArrayLike, n_cosines: int, present: npt.ArrayLike | None = None) -> MeanInference:
    """The mean of a regular time series (n,), tested with `n_cosines` cosines: `fixed_b_means` of one column."""
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1:
        raise ValueError(f"values must be one-dimensional, got shape {series.shape}")
    if present is not None:
        series = np.where(np.asarray(present, dtype=np.bool_), series, np.nan)
    return fixed_b_means(series[:, None], n_cosines)[0]


def fixed_b_means(matrix: npt.ArrayLike, n_cosines: int | npt.ArrayLike) -> MeanInferences:
    """Means of regular time series, the columns of `matrix` (n, k), with fixed-smoothing inference.

    Null hypothesis: the mean is zero, in a stationary series with short memory; alternative: it is not. The long-run
    variance is the mean of B squared projections on cosines (the type-II discrete cosine transform), which are
    asymptotically independent of each other and of the mean, so t has Student's distribution with B degrees of freedom:

        L_j = sqrt(2 / n) sum_t cos(pi j (t + 1/2) / n) (x_t - mean),   W = sum_j L_j^2 / B,   t = mean / sqrt(W / n).

    Müller (2007), Sun (2013), "A heteroskedasticity and autocorrelation robust F test using an orthonormal series
    variance estimator", Econometrics Journal 16; Lazarus, Lewis, Stock and Watson (2018), JBES 36. `n_cosines` is B,
    one for all or one per column, see `choose_cosines`; below 1, the column is not tested (NaN).

    NaN are missing times. They count as zero deviations, so that time stays calendar time (Parzen 1963, amplitude
    modulation); missing times at both ends are cut off. With a_t = 1 where present and g_j the cosines times a, less
    their mean over the present, G = sum_t g(t) g(t)': the variance of the mean becomes sum L_j^2 / (tr G N), N values
    present, and the degrees of freedom (tr G)^2 / tr(G G) (Satterthwaite 1946): exact scaling for white noise, and
    G the identity when nothing is missing. Fewer than two values, B not below their number, values that are all equal
    and infinite values give NaN beyond the mean.
    """
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"matrix must be two-dimensional, got shape {table.shape}")
    cosines = np.broadcast_to(np.asarray(n_cosines, dtype=np.int64), table.shape[1:])
    mean, error, degrees = (np.full(table.shape[1], np.nan) for _ in range(3))
    count = np.zeros(table.shape[1], np.int64)
    traces: dict[tuple[bytes, int], tuple[float, float]] = {}
    for column, n_used in enumerate(cosines.tolist()):
        series = _trim(table[:, column])
        present = ~np.isnan(series)
        count[column], mean[column] = present.sum(), _mean(series[present])
        if not 1 <= n_used < count[column] or not _varies(series[present]):
            continue
        key = (np.packbits(present).tobytes(), n_used)
        if key not in traces:
            traces[key] = _gram_traces(present, n_used)
        trace, trace_of_square = traces[key]
        projections = _project(np.where(present, series - mean[column], 0.0), n_used)
        error[column] = np.sqrt(projections @ projections / (trace * count[column]))
        degrees[column] = trace**2 / trace_of_square
    return _infer(mean, error, degrees, count)


def newey_west_mean(values: npt.ArrayLike, lags: int) -> MeanInference:
    """The mean of a regular time series (n,) with the standard error of Newey and West.

    Null hypothesis: the mean is zero; alternative: it is not. With deviations u_t and autocovariances c_h =
    sum_t u_t u_{t-h} / n, W = c_0 + 2 sum_{h=1..lags} (1 - h / (lags + 1)) c_h and the standard error is sqrt(W / n),
    without small-sample correction; p and interval are those of the normal distribution. Newey and West (1987), "A
    simple, positive semi-definite, heteroskedasticity and autocorrelation consistent covariance matrix", Econometrica
    55. For comparison with the literature: under overlap it rejects a true null too often; `fixed_b_mean` does not.

    NaN are missing times and count as zero deviations. Without two different finite values all but the mean are NaN.
    `lags` below 0 is a ValueError.
    """
    if lags < 0:
        raise ValueError(f"lags must be at least 0, got {lags}")
    series = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(series)
    count, mean, error = int(present.sum()), _mean(series[present]), float("nan")
    if _varies(series[present]):
        deviations = np.where(present, series - mean, 0.0)
        total = deviations @ deviations
        for lag in range(1, min(lags, series.size - 1) + 1):
            total += 2.0 * (1.0 - lag / (lags + 1.0)) * (deviations[lag:] @ deviations[:-lag])
        error = float(np.sqrt(total)) / count
    return _infer(np.array([mean]), np.array([error]), np.array([np.inf]), np.array([count]))[0]


def newey_west_regression(
    target: npt.ArrayLike, regressors: npt.ArrayLike, lags: int, small_sample: bool = True
) -> LeastSquares:
    """Least squares of `target` (n,) on the columns of `regressors` (n, k), errors by Newey and West (1987).

    Null hypothesis of each t: the coefficient is zero. A constant is a column of ones, given by the caller. The
    covariance is (X'X)^-1 S (X'X)^-1, S with Bartlett weights over `lags`; `small_sample` multiplies it by n / (n - k).
    p is that of the normal distribution. Rows with a NaN or an infinite value are left out and the rest is taken as
    consecutive. Without more rows than columns, or with columns that depend on each other, everything is NaN.
    Computed by statsmodels.
    """
    import statsmodels.api as sm

    y, x = np.asarray(target, dtype=np.float64), np.asarray(regressors, dtype=np.float64)
    complete = np.isfinite(y) & np.isfinite(x).all(axis=1)
    y, x = y[complete], x[complete]
    n_columns = x.shape[1]
    if len(y) <= n_columns or np.linalg.matrix_rank(x) < n_columns:
        unknown = np.full(n_columns, np.nan)
        return LeastSquares(unknown, unknown.copy(), unknown.copy(), unknown.copy(), len(y))
    options = {"maxlags": lags, "use_correction": small_sample}
    fit = sm.OLS(y, x).fit(cov_type="HAC", cov_kwds=options)
    return LeastSquares(fit.params, fit.bse, fit.tvalues, fit.pvalues, len(y))


def _trim(series: Floats) -> Floats:
    """The series without missing times at either end."""
    rows = np.flatnonzero(~np.isnan(series))
    return series[rows[0] : rows[-1] + 1] if rows.size else series[:0]


def _mean(values: Floats) -> float:
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if values.size else float("nan")


def _varies(values: Floats) -> bool:
    return values.size > 1 and bool(np.isfinite(values).all()) and bool(values.max() > values.min())


def _project(deviations: Floats, n_cosines: int) -> Floats:
    """L_1..L_B of `fixed_b_means`."""
    from scipy.fft import dct

    projections: Floats = dct(deviations, type=2)[1 : n_cosines + 1] / np.sqrt(2.0 * deviations.size)
    return projections


def _gram_traces(present: npt.NDArray[np.bool_], n_cosines: int) -> tuple[float, float]:
    """tr G and tr(G G) of `fixed_b_means`.

    Products of cosines are sums of cosines, so with A_m = sum_t a_t cos(pi m (t + 1/2) / n), one transform of a,
    G_ij = (A_|i-j| + A_{i+j} - 2 A_i A_j / A_0) / n.
    """
    from scipy.fft import dct

    size = present.size
    if present.all():
        return float(n_cosines), float(n_cosines)
    half = dct(present.astype(np.float64), type=2) / 2.0
    sums = np.concatenate([half, [0.0], -half[:0:-1]])  # A_{2n-m} = -A_m
    index = np.arange(1, n_cosines + 1)
    trace, trace_of_square = 0.0, 0.0
    for i in index.tolist():
        row = (sums[np.abs(index - i)] + sums[index + i] - 2.0 * sums[i] * sums[index] / sums[0]) / size
        trace += float(row[i - 1])
        trace_of_square += float(row @ row)
    return trace, trace_of_square


def _infer(mean: Floats, error: Floats, degrees: Floats, count: npt.NDArray[np.int64]) -> MeanInferences:
    from scipy.special import stdtr, stdtrit

    degrees = np.where(error > 0.0, degrees, np.nan)
    t = np.divide(mean, error, out=np.full(mean.shape, np.nan), where=error > 0.0)
    half_width = stdtrit(degrees, 0.5 + CONFIDENCE / 2.0) * error
    p = 2.0 * stdtr(degrees, -np.abs(t))
    return MeanInferences(mean, error, t, degrees, p, mean - half_width, mean + half_width, count)
