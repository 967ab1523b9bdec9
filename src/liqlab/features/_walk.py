"""Features of one symbol, day after day, with no more history in memory than the longest lookback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.cascades import CascadePreset
from liqlab.core.schema import SYMBOL, TIME
from liqlab.core.time import MS_PER_HOUR, MS_PER_S
from liqlab.features._catalogue import select_features
from liqlab.features._config import STEP_MS, FeatureConfig, describe_coarseness, is_coarser
from liqlab.features._feature import Feature
from liqlab.features._inputs import COLUMNS, FINITE_COLUMNS, FeatureInputs
from liqlab.features._market import Market
from liqlab.features._notes import ColumnNote, Tally
from liqlab.panel import PanelDay, Scope

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_EITHER_PRICE = {"mark_price", "last_price"}
_NEVER_ENOUGH = "no value: never enough of its lookback covered and present"


class FeatureWalk:
    """The features of one symbol; feed it the days of `walk_days` in order.

    A value at t is computed from rows with known_time < t (bars) or <= t (joins), and depends on no other: a feature is
    null where the recorder did not listen at t, or listened for less than `min_covered_frac` of its lookback; inside a
    window only covered bars and present values enter. A stretch begins on a whole hour at least the longest lookback
    before the day, so that the same rows give the same bits wherever the days are cut and wherever the data ends.

    `liquidations_by_symbol` holds every symbol of the scope, the walk's own included. `UserError` for an unknown
    feature name.
    """

    def __init__(
        self,
        symbol: str,
        liquidations_by_symbol: Mapping[str, pl.DataFrame],
        scope: Scope,
        cascade_preset: CascadePreset,
        config: FeatureConfig | None = None,
    ) -> None:
        self.symbol = symbol
        self.config = config or FeatureConfig()
        self.features = select_features(self.config.features)
        self._market = Market.from_liquidations(symbol, liquidations_by_symbol, scope, cascade_preset)
        interval_ms = scope.ticker_interval_ms.get(symbol)
        self._missing = {
            feature.name: reason
            for feature in self.features
            if (reason := _why_missing(feature, self._market, interval_ms)) is not None
        }
        longest_s = max((feature.lookback_s for feature in self.features), default=0)
        self._carry_ms = -(-longest_s * MS_PER_S // MS_PER_HOUR) * MS_PER_HOUR
        self._until_ms: int | None = None
        self._times_ms: Integers = np.empty(0, np.int64)
        self._covered: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._columns: dict[str, Floats] = {name: np.empty(0) for name in COLUMNS}
        self._tallies = {feature.name: Tally() for feature in self.features}
        self._present: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()

    def add(self, day: PanelDay) -> pl.DataFrame:
        """symbol, time and one Float64 column per feature, for each time of the day's 5 s grid; null, never NaN."""
        self._check_order(day)
        times = self._append(day)
        inputs = FeatureInputs(self._times_ms, self._covered, self._columns, self._market, self.config.min_covered_frac)
        series = [pl.repeat(self.symbol, len(times), dtype=SYMBOL, eager=True).alias("symbol")]
        series.append(pl.Series("time", times).cast(TIME))
        for feature in self.features:
            values = self._compute(feature, inputs)[len(self._times_ms) - len(times) :]
            values = self._tallies[feature.name].add(times, values)
            series.append(pl.Series(feature.name, values, nan_to_null=True))
        return pl.DataFrame(series)

    @property
    def notes(self) -> tuple[ColumnNote, ...]:
        """What there is to say of each feature over the days walked so far."""
        return tuple(self._describe(feature) for feature in self.features)

    def _compute(self, feature: Feature, inputs: FeatureInputs) -> Floats:
        if feature.name in self._missing or not len(inputs.times_ms):
            return np.full(len(inputs.times_ms), np.nan)
        return np.where(inputs.is_ready(feature.lookback_s), feature.compute(inputs), np.nan)

    def _check_order(self, day: PanelDay) -> None:
        if day.symbol != self.symbol:
            raise ValueError(f"this walk is of {self.symbol}, the day is of {day.symbol}")
        if self._until_ms is not None and day.start_ms < self._until_ms:
            raise ValueError(f"days must come in order: {day.start_ms} lies before {self._until_ms}")

    def _append(self, day: PanelDay) -> Integers:
        """Make the stretch that ends with the day; gives the times of the day."""
        times: Integers = np.arange(day.start_ms + STEP_MS, day.end_ms + 1, STEP_MS, dtype=np.int64)
        start_ms = (day.start_ms - self._carry_ms) // MS_PER_HOUR * MS_PER_HOUR
        stretch: Integers = np.arange(start_ms + STEP_MS, day.end_ms + 1, STEP_MS, dtype=np.int64)
        covered = np.zeros(len(stretch), np.bool_)
        own = np.searchsorted(stretch, day.dataset["time"].to_physical().to_numpy())
        covered[own] = day.dataset["covered"].fill_null(value=False).to_numpy()
        kept = self._times_ms > start_ms
        before = np.searchsorted(stretch, self._times_ms[kept])
        covered[before] = self._covered[kept]
        columns = {}
        for name, values in self._read(day).items():
            column = np.full(len(stretch), np.nan)
            column[own] = values
            column[~covered] = np.nan
            column[before] = self._columns[name][kept]
            columns[name] = column
        self._times_ms, self._covered, self._columns = stretch, covered, columns
        self._until_ms = day.end_ms
        return times

    def _read(self, day: PanelDay) -> dict[str, Floats]:
        """The day's own columns, NaN where null, and where what is there cannot be used."""
        last_second = day.bars["1s"].filter(pl.col("time").to_physical() % STEP_MS == 0)["liq_volume"]
        columns = {"liq_volume_1s": last_second, **{n: day.dataset[n] for n in COLUMNS if n != "liq_volume_1s"}}
        found = {}
        for name, column in columns.items():
            values = column.cast(pl.Float64).to_numpy()
            usable = np.isfinite(values) if name in FINITE_COLUMNS else np.isfinite(values) & (values > 0)
            self._present[name] += int(usable.sum())
            self._dropped[name] += int((~usable).sum()) - column.null_count()
            found[name] = np.where(usable, values, np.nan)
        return found

    def _describe(self, feature: Feature) -> ColumnNote:
        names = [name.split(".")[1] for name in feature.inputs]
        absent = [name for name in names if name in COLUMNS and not self._present[name]]
        if not set(absent) >= _EITHER_PRICE:
            absent = [name for name in absent if name not in _EITHER_PRICE]
        why_empty = self._missing.get(feature.name) or (
            f"no value: no {' or '.join(absent)} in the data" if absent else _NEVER_ENOUGH
        )
        remarks = [
            f"{'infinite' if name in FINITE_COLUMNS else 'infinite or non-positive'} values of {name} left out: "
            f"{self._dropped[name]:,}"
            for name in names
            if self._dropped[name]
        ]
        return self._tallies[feature.name].describe(self.symbol, feature.name, why_empty, remarks)


def _why_missing(feature: Feature, market: Market, interval_ms: int | None) -> str | None:
    if feature.price_step_s is not None:
        if interval_ms is None:
            return "no ticker prices"
        if is_coarser(interval_ms, feature.price_step_s):
            return describe_coarseness(interval_ms, feature.price_step_s)
    return feature.find_missing(market)
