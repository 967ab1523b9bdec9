"""The chain under audit: raw captures in, every table that claims to be known at its time out."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from liqlab.audit._planted import Planting, get_planted_bug
from liqlab.cascades import CascadeConfig, attach_prices, detect_cascades
from liqlab.core.schema import BAR_WIDTHS_MS
from liqlab.core.time import MS_PER_HOUR, MS_PER_MINUTE, MS_PER_S
from liqlab.features import FeatureConfig, FeatureStore, iterate_features
from liqlab.lake import Lake, ingest
from liqlab.models import WalkForwardConfig, run_walk_forward
from liqlab.panel import CoverageConfig, DatasetConfig, Scope, find_scope, read_known_liquidations
from liqlab.regimes import RegimeConfig, compute_regimes

_AT_CONFIRMATION = (
    "n_at_confirmation",
    "notional_at_confirmation_usd",
    "pre_price",
    "displacement_at_confirmation_bps",
)

#: A label's price may come this late, however fast the ticker.
_LEAST_TOLERANCE_S = 15.0
#: Small, but with scalers, fits and refits of a linear model and of trees, both within two days of data.
_WALK_FORWARD = WalkForwardConfig(
    return_horizons_s=(300,),
    volatility_horizons_s=(300,),
    models=("har", "ridge", "xgboost"),
    refit_hours=6,
    min_train_hours=24.0,
    rolling_days=1.0,
    importance=False,
)


@dataclass(frozen=True)
class ChainConfig:
    """What the chain is run with: symbols (None: all), span, the configuration of each step, bugs to plant.

    `planted` names bugs of `PLANTED_BUGS`, whose tables are added.
    """

    symbols: tuple[str, ...] | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    coverage: CoverageConfig = field(default_factory=CoverageConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    cascades: CascadeConfig = field(default_factory=CascadeConfig)
    regimes: RegimeConfig = field(default_factory=RegimeConfig)
    features: FeatureConfig = field(default_factory=FeatureConfig)
    walk_forward: WalkForwardConfig = _WALK_FORWARD
    planted: tuple[str, ...] = ()

    @property
    def publication_lags_ms(self) -> dict[str, int]:
        """By table of the lake, how long after its known time a row may not be used yet."""
        return {"long_short_ratio": round(self.dataset.ratio_lag_s * MS_PER_S)}


def compute_chain(
    captures: Path, now_ms: int | None = None, config: ChainConfig | None = None
) -> dict[str, pl.DataFrame]:
    """Captures into a temporary lake, and from there every table whose rows claim to be known at their `time`.

    `liquidations` and `ticker` (known time), bars of all widths and `dataset` (right edge), `cascades_confirmed` (what
    is known of a cascade when it is confirmed), `cascades` (all of it, when it has ended), `regimes`, `features`,
    `predictions`, and a table for each planted bug. Each has the columns symbol and time.

    With `now_ms` the tables reach to the first whole hour at or after it, as if it were that moment; otherwise to the
    end of the data. Raises what `ingest` and `find_scope` raise.
    """
    config = config or ChainConfig()
    with tempfile.TemporaryDirectory(prefix="liqlab-chain-") as place:
        ingest(captures, place, workers=1)
        with Lake(place) as lake:
            scope = _find_scope(lake, config, now_ms)
            return _compute_tables(lake, scope, config)


def _find_scope(lake: Lake, config: ChainConfig, now_ms: int | None) -> Scope:
    scope = find_scope(lake, config.symbols, config.start_ms, config.end_ms, config.coverage)
    if now_ms is None:
        return scope
    return replace(scope, end_ms=-(-now_ms // MS_PER_HOUR) * MS_PER_HOUR)


def _compute_tables(lake: Lake, scope: Scope, config: ChainConfig) -> dict[str, pl.DataFrame]:
    liquidations = pl.concat([read_known_liquidations(lake, symbol, scope) for symbol in scope.symbols])
    ratio = pl.concat([lake.read_long_short_ratio(symbol) for symbol in scope.symbols])
    days = list(
        iterate_features(lake, scope, preset=config.cascades.resolve(), config=config.features, dataset=config.dataset)
    )
    ticker = pl.concat([day.panel.ticker for day in days])
    dataset = pl.concat([day.panel.dataset for day in days])
    features, labels = pl.concat([day.features for day in days]), pl.concat([day.labels for day in days])
    tables = {
        "liquidations": liquidations.rename({"known_time": "time"}),
        "ticker": ticker.rename({"known_time": "time"}),
        **{f"bars_{width}": pl.concat([day.panel.bars[width] for day in days]) for width in BAR_WIDTHS_MS},
        "dataset": dataset,
        **_compute_cascades(liquidations, ticker, scope, config),
        "regimes": pl.concat([_compute_regimes(symbol, dataset, scope, config) for symbol in scope.symbols]),
        "features": features,
        "predictions": run_walk_forward(
            FeatureStore.from_frames(features, labels), _walk_forward_config(scope, config), workers=1
        ).predictions,
    }
    planting = Planting(scope, tables, liquidations, ticker, ratio, labels)
    return tables | {bug.table: bug.plant(planting) for bug in map(get_planted_bug, config.planted)}


def _compute_cascades(
    liquidations: pl.DataFrame, ticker: pl.DataFrame, scope: Scope, config: ChainConfig
) -> dict[str, pl.DataFrame]:
    found = detect_cascades(liquidations, config.cascades.resolve())
    known = found.select("cascade_id", "first_known", "last_known")
    cascades = attach_prices(found, ticker, scope.coverage, config.cascades).join(
        known, on="cascade_id", how="left", maintain_order="left"
    )
    return {
        "cascades_confirmed": cascades.select(
            "cascade_id", "symbol", "first_known", *_AT_CONFIRMATION, time="confirmed"
        ),
        "cascades": cascades.with_columns(time="ended"),
    }


def _walk_forward_config(scope: Scope, config: ChainConfig) -> WalkForwardConfig:
    """Delay and tolerance of the labels are those of the features, so that no label reaches past its purge."""
    slowest_ms = max((interval or 0 for interval in scope.ticker_interval_ms.values()), default=0)
    return replace(
        config.walk_forward,
        decision_delay_s=config.features.decision_delay_s,
        label_tolerance_s=max(_LEAST_TOLERANCE_S, config.features.label_tolerance_intervals * slowest_ms / MS_PER_S),
    )


def _compute_regimes(symbol: str, dataset: pl.DataFrame, scope: Scope, config: ChainConfig) -> pl.DataFrame:
    """Regimes from the price known at each whole minute."""
    on_minute = (pl.col("symbol") == symbol) & (pl.col("time").to_physical() % MS_PER_MINUTE == 0)
    minutes = dataset.filter(on_minute).select(
        pl.col("time").to_physical(), price=pl.coalesce("mark_price", "last_price")
    )
    interval_ms = scope.ticker_interval_ms.get(symbol)
    prices = minutes["price"].cast(pl.Float64).fill_null(math.nan).to_numpy()
    return compute_regimes(symbol, minutes["time"].to_numpy(), prices, config.regimes, interval_ms).table
