"""What surrounds question 2: plain returns by group, regimes, other inputs, a simple strategy, cumulative volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from liqlab.core.schema import TIME, Table, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from liqlab.stats import Estimate, adjust_benjamini_hochberg, estimate_by_influence, make_estimate
from liqlab.study._evidence import STEPS_PER_MINUTE, Booleans, Evidence, Floats, Integers, SymbolEvidence
from liqlab.study._q2_imbalance_rows import EXTREME, MinuteRows
from liqlab.study._q2_imbalance_tables import CUMULATIVE, HORSE_RACE, REGIMES, RETURNS, STRATEGY
from liqlab.study._regression import fit_least_squares

ALL = "ALL"
LOOKBACKS_MIN = (5, 15, 60)
HORIZONS_MIN = (5, 15, 60, 240)
TAKER_BPS = 5.5
_RACE_HORIZONS_MIN = (15, 60)
_LOOKBACK_MIN = 15
#: Fewer blocks than this tell nothing of an interval.
_LEAST_BLOCKS = 8
_LEAST_DAYS = 3
_DAYS_PER_YEAR = 365
_NAN = float("nan")


def describe_returns(rows: MinuteRows) -> pl.DataFrame:
    """Mean forward return against the pressure, by lookback, horizon, symbol and group."""
    records = []
    for lookback in LOOKBACKS_MIN:
        imbalance, side = rows.window(lookback).imbalance, -np.sign(rows.window(lookback).imbalance)
        moderate = rows.window(lookback).lean != 0.0
        groups = {
            "extreme long": imbalance < -EXTREME,
            "extreme short": imbalance > EXTREME,
            "extreme": np.abs(imbalance) > EXTREME,
            "moderate": moderate & np.isfinite(imbalance),
        }
        for horizon in HORIZONS_MIN:
            forward = rows.forward_bps(horizon)
            known = np.isfinite(forward) & np.isfinite(imbalance)
            sums = _Sums(rows, side * forward, known, groups, horizon)
            for code, symbol in enumerate((*rows.symbols, ALL)):
                for group, n, share, found in sums.estimates(code):
                    records.append((lookback, horizon, symbol, group, n, share, *_numbers(found)))
    return _frame(RETURNS, records)


def describe_regimes(rows: MinuteRows) -> pl.DataFrame:
    """Reversal after extreme imbalances over 15 min, by what the regime had just done."""
    fade = rows.window(_LOOKBACK_MIN).fade
    lasting = ~(rows.turned_volatile | rows.turned_quiet)
    states = {
        "turned volatile": rows.turned_volatile,
        "turned quiet": rows.turned_quiet & ~rows.turned_volatile,
        "quiet": lasting & (rows.regime == 0),
        "volatile": lasting & (rows.regime == 1),
    }
    records = []
    for horizon in HORIZONS_MIN:
        values = fade * rows.forward_bps(horizon)
        for state, where in states.items():
            used = where & (fade != 0.0) & np.isfinite(values)
            found = _estimate_mean(values[used], _blocks(rows.times_ms[used], horizon))
            records.append((horizon, state, int(used.sum()), *_numbers(found)))
    return _frame(REGIMES, records)


def describe_horse_race(rows: MinuteRows) -> pl.DataFrame:
    """Imbalance, OI change and funding, alone and together, on the forward return given price."""
    lookback = _LOOKBACK_MIN * STEPS_PER_MINUTE
    terms = {
        "imbalance": rows.window(_LOOKBACK_MIN).imbalance,
        "open interest change": rows.gather(lambda one, at: _relative_change(one, lookback)[at]),
        "funding rate": rows.gather(lambda one, at: 100.0 * one.grid["funding_rate"][at]),
    }
    present = {name: term for name, term in terms.items() if np.isfinite(term).any()}
    records = []
    for horizon in _RACE_HORIZONS_MIN:
        for name in present:
            records.append(_race(rows, horizon, "price", [(name, present[name])])[0])
        if len(present) > 1:
            records += _race(rows, horizon, "price and the other terms", list(present.items()))
    return _frame(HORSE_RACE, records)


def describe_strategy(rows: MinuteRows) -> pl.DataFrame:
    """Market orders against extreme imbalances, looked for once every holding period."""
    records = []
    for lookback in LOOKBACKS_MIN:
        fade = rows.window(lookback).fade
        for holding in HORIZONS_MIN:
            gross = fade * rows.forward_bps(holding)
            on_time = (rows.times_ms // MS_PER_MINUTE) % holding == 0
            traded = on_time & (fade != 0.0) & np.isfinite(gross)
            for code, symbol in enumerate((*rows.symbols, ALL)):
                own = np.ones(traded.shape, dtype=bool) if symbol == ALL else rows.codes == code
                books = len(rows.symbols) if symbol == ALL else 1
                records.append((lookback, holding, symbol, *_trade(rows.times_ms, gross, traded & own, own, books)))
    return _frame(STRATEGY, records)


def describe_cumulative(evidence: Evidence) -> pl.DataFrame:
    """Liquidated notional by side since the start, at each full hour."""
    frames = [CUMULATIVE.empty()]
    for name, symbol in evidence.symbols.items():
        long, short = (
            np.cumsum(np.nan_to_num(symbol.grid[column])) for column in ("liq_buy_notional", "liq_sell_notional")
        )
        at = np.flatnonzero(symbol.times_ms % MS_PER_HOUR == 0)
        total = (long + short)[at]
        columns = {
            "symbol": pl.repeat(name, at.size, dtype=pl.String, eager=True),
            "time": pl.Series(symbol.times_ms[at], dtype=pl.Int64).cast(TIME),
            "long_notional_usd": long[at],
            "short_notional_usd": short[at],
            "imbalance": np.divide((short - long)[at], total, out=np.full(at.size, np.nan), where=total > 0.0),
        }
        frames.append(pl.DataFrame(columns, nan_to_null=True))
    return check_frame(pl.concat(frames), CUMULATIVE)


class _Sums:
    """Sums of the values of each group by symbol and block, once for all symbols and for ALL."""

    def __init__(
        self, rows: MinuteRows, values: Floats, known: Booleans, groups: dict[str, Booleans], horizon_min: int
    ) -> None:
        self._n_symbols = len(rows.symbols)
        names, blocks = np.unique(_blocks(rows.times_ms, horizon_min), return_inverse=True)
        self._shape = (self._n_symbols, names.size)
        cells = rows.codes * names.size + blocks
        self._known = self._add(cells[known], None)
        self._groups = {}
        for name, group in groups.items():
            used = group & known
            self._groups[name] = self._add(cells[used], values[used]), self._add(cells[used], None)

    def estimates(self, code: int) -> Iterator[tuple[str, int, float, Estimate]]:
        """Group, minutes, their share, mean with interval; a code past the symbols stands for all of them."""
        own = slice(None) if code == self._n_symbols else slice(code, code + 1)
        all_minutes = float(self._known[own].sum())
        found = {}
        for name, (sums, counts) in self._groups.items():
            total, n = sums[own].sum(axis=0), counts[own].sum(axis=0)
            count = float(n.sum())
            mean = float(total.sum()) / count if count else _NAN
            found[name] = mean, (total - mean * n) / count if count else np.full(n.shape, _NAN), n > 0.0, count
            share = count / all_minutes if all_minutes else _NAN
            yield name, int(count), share, _make(*found[name][:3], n_values=int(count))
        extreme, moderate = found["extreme"], found["moderate"]
        either = extreme[2] | moderate[2]
        n_both = int(extreme[3] + moderate[3])
        share = n_both / all_minutes if all_minutes else _NAN
        contrast = _make(extreme[0] - moderate[0], extreme[1] - moderate[1], either, n_both)
        yield "extreme less moderate", n_both, share, contrast

    def _add(self, cells: Integers, values: Floats | None) -> Floats:
        size = self._shape[0] * self._shape[1]
        return np.bincount(cells, weights=values, minlength=size).astype(np.float64).reshape(self._shape)


def _make(mean: float, influence: Floats, present: Booleans, n_values: int) -> Estimate:
    """A mean with interval by t over the blocks, given the influence (G,) of each block."""
    n_blocks = int(present.sum())
    if n_blocks < _LEAST_BLOCKS or not np.isfinite(mean):
        return Estimate(mean, _NAN, _NAN, _NAN, _NAN, _NAN, n_values, n_blocks)
    error = float(np.sqrt(n_blocks / (n_blocks - 1) * (influence[present] ** 2).sum()))
    return make_estimate(mean, error, n_blocks - 1.0, n_values, n_blocks)


def _estimate_mean(values: Floats, blocks: Integers) -> Estimate:
    if np.unique(blocks).size < _LEAST_BLOCKS:
        mean = float(values.mean()) if values.size else _NAN
        return Estimate(mean, _NAN, _NAN, _NAN, _NAN, _NAN, values.size, 0)
    mean = float(values.mean())
    return estimate_by_influence(mean, (values - mean) / values.size, blocks)


def _blocks(times_ms: Integers, horizon_min: int) -> Integers:
    """Calendar blocks of an hour, or of two horizons."""
    blocks: Integers = times_ms // max(MS_PER_HOUR, 2 * horizon_min * MS_PER_MINUTE)
    return blocks


def _numbers(found: Estimate) -> tuple[float, float, float, float, float]:
    """Estimate, interval, p, and room for the adjusted p."""
    return found.estimate, found.ci_low, found.ci_high, found.p, _NAN


def _frame(table: Table, records: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    """The table, its p-values adjusted over all of it."""
    frame = pl.DataFrame(list(records), schema=table.dtypes, orient="row").fill_nan(None)
    if "p" in frame.columns:
        p = frame["p"].fill_null(_NAN).to_numpy()
        frame = frame.with_columns(p_adjusted=pl.Series(adjust_benjamini_hochberg(p)).fill_nan(None))
    return check_frame(frame, table)


def _relative_change(symbol: SymbolEvidence, steps: int) -> Floats:
    """Change of the open interest over so many rows of the grid, in %."""
    held = symbol.grid["open_interest"]
    change = np.full(held.shape, np.nan)
    if steps < held.size:
        before = np.where(held[:-steps] > 0.0, held[:-steps], np.nan)
        change[steps:] = 100.0 * (held[steps:] / before - 1.0)
    return change


def _race(rows: MinuteRows, horizon: int, given: str, terms: list[tuple[str, Floats]]) -> list[tuple[object, ...]]:
    """One regression; each term's effect per standard deviation of the term."""
    columns = np.column_stack([rows.controls, *(term for _, term in terms)])
    moving = np.where(rows.volatility_bps > 0.0, rows.volatility_bps, np.nan)
    fit = fit_least_squares(rows.forward_bps(horizon), columns, weights=1.0 / moving)
    blocks = _blocks(rows.times_ms[fit.used], horizon)
    enough = np.unique(blocks).size >= _LEAST_BLOCKS
    records: list[tuple[object, ...]] = []
    for number, (name, term) in enumerate(terms, start=rows.controls.shape[1]):
        deviation = float(term[fit.used].std()) if fit.n else _NAN
        effect = deviation * float(fit.coefficients[number])
        influence = deviation * fit.influence[:, number] / max(fit.n, 1)
        tested = enough and np.isfinite(effect)
        found = estimate_by_influence(effect, influence, blocks) if tested else _untested(effect)
        records.append((horizon, given, name, fit.n, deviation, *_numbers(found)))
    return records


def _untested(estimate: float) -> Estimate:
    return Estimate(estimate, _NAN, _NAN, _NAN, _NAN, _NAN, 0, 0)


def _trade(
    times_ms: Integers, gross: Floats, traded: Booleans, own: Booleans, n_books: int
) -> tuple[int, float, float, float, int, float, float, float]:
    """Trades, mean gross and net, share won, days, Sharpe ratio with interval; capital is split over `n_books`."""
    days, day_of = np.unique((times_ms[own] - 1) // MS_PER_DAY, return_inverse=True)
    net = np.where(traded, gross - 2.0 * TAKER_BPS, 0.0)[own] / n_books
    daily = np.bincount(day_of, weights=net, minlength=days.size) if days.size else np.empty(0)
    trades = gross[traded]
    if not trades.size:
        return 0, _NAN, _NAN, _NAN, days.size, _NAN, _NAN, _NAN
    mean = float(trades.mean())
    won = float((trades > 2.0 * TAKER_BPS).mean())
    return trades.size, mean, mean - 2.0 * TAKER_BPS, won, days.size, *_sharpe(np.asarray(daily, dtype=np.float64))


def _sharpe(daily: Floats) -> tuple[float, float, float]:
    """The yearly Sharpe ratio of daily returns with its 95 % interval: Lo (2002), error sqrt((1 + S^2 / 2) / n)."""
    from scipy.special import stdtrit

    if daily.size < _LEAST_DAYS or not daily.std() > 0.0:
        return _NAN, _NAN, _NAN
    ratio = float(daily.mean() / daily.std(ddof=1))
    reach = float(stdtrit(daily.size - 1, 0.975)) * float(np.sqrt((1.0 + ratio**2 / 2.0) / daily.size))
    year = float(np.sqrt(_DAYS_PER_YEAR))
    return year * ratio, year * (ratio - reach), year * (ratio + reach)
