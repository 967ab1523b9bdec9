"""The published block: the literal definitions of one published table, used nowhere else.

Whole sample, gaps included, order by the exchange's `T`, quantiles with linear interpolation, shares of all events,
cascades by the whole-sample 95th percentile. These look ahead on purpose: they repeat a publication. Whatever is
tested or traded uses the coverage-adjusted figures and the causal detector instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.panel._coverage import EVERY_SYMBOL
from liqlab.stats import autocorrelation, group_sums, linear_quantile

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_LARGE_PROBABILITY = 0.95
_CASCADE_GAP_MS = 60_000
_CASCADE_EVENTS = 2
_RAPID_MS = 1_000
_EXTREME_IMBALANCE = 0.7
AUTOCORRELATION_LAGS = (5, 15, 60)
_HOURS = 24
_SIZE_PERCENTS = (50, 75, 90, 95, 99)

_POOLED_NOTES = (
    "volume: base units of different symbols cannot be added, so volume, its Buy share and the imbalance are in USD",
    "cascades: found in each symbol with its own 95th percentile of volume, then pooled",
    "gaps, rapid share and 1-minute bars: events of all symbols in one sequence",
)


@dataclass(frozen=True)
class PublishedBlock:
    """One column of the published table. `None`: undefined for so few events. Shares are fractions of 1.

    Buy means Bybit's `Buy`: a liquidated long. For `ALL`, `notes` says what pooling changes.
    """

    symbol: str
    hourly_files: int
    events: int
    volume: float
    volume_unit: str
    notional_usd: float
    mean_size_usd: float | None
    p50_size_usd: float | None
    p75_size_usd: float | None
    p90_size_usd: float | None
    p95_size_usd: float | None
    p99_size_usd: float | None
    buy_events_frac: float | None
    buy_volume_frac: float | None
    most_active_hour: int | None
    most_active_hour_events: int | None
    least_active_hour: int | None
    least_active_hour_events: int | None
    mean_gap_s: float | None
    median_gap_s: float | None
    longest_gap_s: float | None
    rapid_frac: float | None
    cascades: int
    mean_cascade_duration_s: float | None
    mean_cascade_events: float | None
    mean_cascade_notional_usd: float | None
    buy_cascades_frac: float | None
    bars: int
    nonempty_bars_frac: float | None
    imbalance_mean: float | None
    imbalance_sd: float | None
    bars_imbalance_below: int
    bars_imbalance_above: int
    imbalance_autocorrelation: tuple[float | None, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Events:
    """Liquidations as arrays of shape (n,), in stable order of event time; volume in base units."""

    event_ms: IntArray
    volume: FloatArray
    notional_usd: FloatArray
    is_long: BoolArray

    @classmethod
    def from_frame(cls, liquidations: pl.DataFrame) -> Events:
        """From rows of the liquidations table, of one symbol or several."""
        rows = liquidations.sort("event_time", maintain_order=True)
        return cls(
            rows["event_time"].to_physical().to_numpy(),
            rows["quantity"].to_numpy(),
            rows["notional_usd"].to_numpy(),
            (rows["liquidated_side"] == LONG).to_numpy(),
        )


@dataclass(frozen=True)
class _Cascades:
    """One element per cascade."""

    duration_s: FloatArray
    events: IntArray
    notional_usd: FloatArray
    long_notional_usd: FloatArray


def select_symbol(liquidations: pl.DataFrame, symbol: str | None) -> tuple[pl.DataFrame, str]:
    """The rows that `symbol` asks for, and its name: None is the only symbol present, or `ALL`."""
    if symbol is not None and symbol != EVERY_SYMBOL:
        return liquidations.filter(pl.col("symbol") == symbol), symbol
    present = liquidations["symbol"].unique()
    return liquidations, present[0] if symbol is None and len(present) == 1 else EVERY_SYMBOL


def compute_published(liquidations: pl.DataFrame, n_files: int, symbol: str | None = None) -> PublishedBlock:
    """The published table's column for one symbol, or for all of them pooled.

    `n_files` is the number of hourly files with liquidation rows. `symbol` picks one, or `ALL`; by default it is the
    symbol of the rows when they have only one, else `ALL`.

    Definitions. Sizes: notional in USD. Gaps: between consecutive events by `T`; rapid: gap below 1 s, as a share of
    all events. Hours: UTC, by `T`, ties to the earlier hour, the least active one among all 24. Large: base-unit
    quantity at or above the sample's 95th percentile. Cascade: at least 2 large events, consecutive ones at most 60 s
    apart; its size and its Buy share (the larger notional, a tie counts as Buy) come from its large events. Bars: 1
    minute by `T`, from the first event's to the last's; imbalance = (sell - buy) / total volume, 0 in an empty bar; its
    sd has n - 1, its autocorrelation is Pearson's of lagged pairs.
    """
    rows, name = select_symbol(liquidations, symbol)
    pooled = name == EVERY_SYMBOL
    events = Events.from_frame(rows)
    volume = events.notional_usd if pooled else events.volume
    return PublishedBlock(
        symbol=name,
        hourly_files=n_files,
        events=len(events.event_ms),
        volume=float(volume.sum()),
        volume_unit="USD" if pooled else "base units",
        notional_usd=float(events.notional_usd.sum()),
        **_sizes(events),
        **_shares(events, volume),
        **_hours(events),
        **_gaps(events),
        **_describe_cascades(_find_all_cascades(rows)),
        **_describe_bars(events, volume),
        notes=_POOLED_NOTES if pooled else (),
    )


def large_threshold(quantity: FloatArray) -> float:
    """The sample's 95th percentile of base-unit quantity; NaN for an empty sample."""
    return linear_quantile(quantity, _LARGE_PROBABILITY)


def defined(value: float) -> float | None:
    """`value`, or None for NaN."""
    return None if np.isnan(value) else float(value)


def mean_or_none(values: npt.NDArray[np.float64] | IntArray | BoolArray) -> float | None:
    """The mean, or None without values."""
    return float(values.mean()) if values.size else None


def _sizes(events: Events) -> dict[str, Any]:
    sizes = events.notional_usd
    quantiles = {f"p{percent}_size_usd": defined(linear_quantile(sizes, percent / 100)) for percent in _SIZE_PERCENTS}
    return {"mean_size_usd": mean_or_none(sizes), **quantiles}


def _shares(events: Events, volume: FloatArray) -> dict[str, Any]:
    total = float(volume.sum())
    return {
        "buy_events_frac": mean_or_none(events.is_long),
        "buy_volume_frac": float(volume[events.is_long].sum()) / total if total > 0 else None,
    }


def _hours(events: Events) -> dict[str, Any]:
    names = ("most_active_hour", "most_active_hour_events", "least_active_hour", "least_active_hour_events")
    if not events.event_ms.size:
        return dict.fromkeys(names)
    counts = np.bincount(events.event_ms // MS_PER_HOUR % _HOURS, minlength=_HOURS)
    most, least = int(counts.argmax()), int(counts.argmin())
    return dict(zip(names, (most, int(counts[most]), least, int(counts[least])), strict=True))


def _gaps(events: Events) -> dict[str, Any]:
    gaps_ms = np.diff(events.event_ms)
    gaps_s = gaps_ms / MS_PER_S
    n_events = len(events.event_ms)
    return {
        "mean_gap_s": mean_or_none(gaps_s),
        "median_gap_s": defined(linear_quantile(gaps_s, 0.5)),
        "longest_gap_s": float(gaps_s.max()) if gaps_s.size else None,
        "rapid_frac": int((gaps_ms < _RAPID_MS).sum()) / n_events if n_events else None,
    }


def _find_all_cascades(liquidations: pl.DataFrame) -> _Cascades:
    """Cascades of each symbol by itself, symbols sorted."""
    parts = sorted(liquidations.partition_by("symbol", as_dict=True).items())
    found = [_find_cascades(Events.from_frame(rows)) for _, rows in parts]
    none = np.empty(0)
    return _Cascades(
        np.concatenate([none, *(part.duration_s for part in found)]),
        np.concatenate([none.astype(np.int64), *(part.events for part in found)]),
        np.concatenate([none, *(part.notional_usd for part in found)]),
        np.concatenate([none, *(part.long_notional_usd for part in found)]),
    )


def _find_cascades(events: Events) -> _Cascades:
    """Cascades of one symbol with at least one event."""
    large = events.volume >= large_threshold(events.volume)
    times, notional = events.event_ms[large], events.notional_usd[large]
    long_notional = np.where(events.is_long[large], notional, 0.0)
    first = np.flatnonzero(np.concatenate([[True], np.diff(times) > _CASCADE_GAP_MS]))
    sizes = np.diff(np.append(first, len(times)))
    durations_s = (times[first + sizes - 1] - times[first]) / MS_PER_S
    kept = sizes >= _CASCADE_EVENTS
    return _Cascades(
        durations_s[kept],
        sizes[kept],
        np.add.reduceat(notional, first)[kept],
        np.add.reduceat(long_notional, first)[kept],
    )


def _describe_cascades(cascades: _Cascades) -> dict[str, Any]:
    is_buy = cascades.long_notional_usd >= cascades.notional_usd - cascades.long_notional_usd
    return {
        "cascades": len(cascades.events),
        "mean_cascade_duration_s": mean_or_none(cascades.duration_s),
        "mean_cascade_events": mean_or_none(cascades.events),
        "mean_cascade_notional_usd": mean_or_none(cascades.notional_usd),
        "buy_cascades_frac": mean_or_none(is_buy),
    }


def _describe_bars(events: Events, volume: FloatArray) -> dict[str, Any]:
    total, imbalance = _minute_imbalance(events, volume)
    return {
        "bars": len(imbalance),
        "nonempty_bars_frac": mean_or_none(total > 0),
        "imbalance_mean": mean_or_none(imbalance),
        "imbalance_sd": float(imbalance.std(ddof=1)) if len(imbalance) > 1 else None,
        "bars_imbalance_below": int((imbalance < -_EXTREME_IMBALANCE).sum()),
        "bars_imbalance_above": int((imbalance > _EXTREME_IMBALANCE).sum()),
        "imbalance_autocorrelation": tuple(defined(autocorrelation(imbalance, lag)) for lag in AUTOCORRELATION_LAGS),
    }


def _minute_imbalance(events: Events, volume: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Total volume and imbalance of each minute from the first event's to the last's."""
    minute = events.event_ms // MS_PER_MINUTE
    bar = minute - minute[0] if minute.size else minute
    total = group_sums(bar, volume, 0)
    signed = group_sums(bar, np.where(events.is_long, -volume, volume), 0)
    return total, np.divide(signed, total, out=np.zeros_like(total), where=total > 0)
