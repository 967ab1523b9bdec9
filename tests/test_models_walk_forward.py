"""Walk-forward prediction finds what is there, nothing where nothing is, and never sees what comes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scipy.stats import spearmanr

from liqlab.core.errors import UserError
from liqlab.core.schema import PREDICTIONS, TIME, check_frame
from liqlab.core.time import MS_PER_HOUR, MS_PER_S, parse_time
from liqlab.features import FeatureStore
from liqlab.models import (
    COMPARISONS,
    IMPORTANCE,
    MODELS,
    SCORES,
    TRIALS,
    WalkForwardConfig,
    WalkForwardResult,
    run_walk_forward,
)

START_MS = parse_time("2026-02-10")
STEP_MS = 300 * MS_PER_S
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
FEATURES = (
    "liq_volume_5s",
    "liq_imbalance_5m",
    "liq_btc_lead",
    "open_interest_velocity",
    "organic_open_interest_change",
    "funding_rate",
    "realised_volatility_5m",
    "realised_volatility_15m",
    "realised_volatility_1h",
)
LABELS = ("return_300s", "return_3600s", "volatility_300s", "volatility_3600s")
#: Two returns and a volatility, the linear models only: seconds, not minutes.
LINEAR = WalkForwardConfig(
    return_horizons_s=(300, 3_600),
    volatility_horizons_s=(300,),
    splits=("expanding",),
    models=("zero", "mean", "har", "ridge", "ridge_without_liquidations"),
    importance=False,
)
#: Everything, on short windows.
WHOLE = WalkForwardConfig(
    return_horizons_s=(300,),
    volatility_horizons_s=(3_600,),
    refit_hours=12,
    min_train_hours=24.0,
    rolling_days=1.5,
)


def _tables(
    days: float = 5.0, signal: float = 0.0, symbols: Sequence[str] = SYMBOLS, seed: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Features and labels on a 5-minute grid.

    The return after t is noise of the current volatility, and `signal` standard deviations per unit of
    liq_imbalance_5m.
    """
    n = round(days * 288)
    times = pl.Series("time", START_MS + STEP_MS * np.arange(n)).cast(TIME)
    found = []
    for place, symbol in enumerate(symbols):
        random = np.random.default_rng([seed, place])
        log_volatility = np.zeros(n)
        for row in range(1, n):
            log_volatility[row] = 0.95 * log_volatility[row - 1] + 0.1 * random.standard_normal()
        volatility = (place + 1) * 1e-3 * np.exp(log_volatility)
        columns = {name: random.standard_normal(n) for name in FEATURES}
        columns["liq_volume_5s"] = np.where(random.random(n) < 0.8, 0.0, np.abs(columns["liq_volume_5s"]) ** 3)
        for name in FEATURES[-3:]:
            columns[name] = 1e4 * volatility * np.exp(0.2 * columns[name])
        returns = volatility * (random.standard_normal(n) + signal * columns["liq_imbalance_5m"])
        columns["liq_imbalance_5m"][random.random(n) < 0.1] = np.nan
        head = {"symbol": [symbol] * n, "time": times}
        labels = {name: _label(name, returns) for name in LABELS}
        found.append((pl.DataFrame({**head, **columns}), pl.DataFrame({**head, **labels})))
    features, labels = (pl.concat(tables).fill_nan(None) for tables in zip(*found, strict=True))
    return features, labels


def _label(name: str, returns: np.ndarray) -> np.ndarray:
    kind, horizon = name.removesuffix("s").split("_")
    steps = int(horizon) // 300
    values = returns if kind == "return" else returns**2
    sums = np.concatenate([[0.0], np.cumsum(values)])
    label = np.full(returns.size, np.nan)
    label[: returns.size - steps + 1] = sums[steps:] - sums[:-steps]
    return label if kind == "return" else np.sqrt(np.maximum(label, 0.0))


def _run(
    tables: tuple[pl.DataFrame, pl.DataFrame], config: WalkForwardConfig, workers: int | None = 1
) -> WalkForwardResult:
    return run_walk_forward(FeatureStore.from_frames(*tables), config, workers=workers)


@pytest.fixture(scope="module")
def strong() -> WalkForwardResult:
    return _run(_tables(signal=0.5), LINEAR)


@pytest.fixture(scope="module")
def noise() -> WalkForwardResult:
    return _run(_tables(signal=0.0, seed=2), LINEAR)


@pytest.fixture(scope="module")
def whole() -> WalkForwardResult:
    return _run(_tables(days=3.0, signal=0.5), WHOLE)


def _score(
    result: WalkForwardResult, model: str, metric: str, against: str, target: str = "return"
) -> dict[str, float]:
    found = result.scores.filter(
        (pl.col("symbol") == "ALL")
        & (pl.col("model") == model)
        & (pl.col("metric") == metric)
        & (pl.col("against") == against)
        & (pl.col("target") == target)
        & (pl.col("horizon_s") == 300)
        & (pl.col("split") == "expanding")
    )
    return found.row(0, named=True)


def _compared(result: WalkForwardResult, model: str, against: str) -> dict[str, float]:
    found = result.comparisons.filter(
        (pl.col("symbol") == "ALL")
        & (pl.col("model") == model)
        & (pl.col("against") == against)
        & (pl.col("target") == "return")
        & (pl.col("horizon_s") == 300)
    )
    return found.row(0, named=True)


def test_a_planted_linear_relation_is_found(strong: WalkForwardResult) -> None:
    for against in ("zero", "mean"):
        r2 = _score(strong, "ridge", "r2", against)
        assert 0.05 < r2["ci_low"] < r2["value"] < r2["ci_high"] < 0.35
        assert _compared(strong, "ridge", against)["p_adjusted"] < 1e-3
    assert _score(strong, "ridge", "ic", "")["ci_low"] > 0.2
    assert _score(strong, "ridge", "hit_rate", "")["ci_low"] > 0.55


def test_a_signal_in_liquidation_columns_is_lost_without_them(strong: WalkForwardResult) -> None:
    compared = _compared(strong, "ridge", "ridge_without_liquidations")
    assert compared["gain"] > 0.05
    assert compared["p_adjusted"] < 1e-3
    assert "equals that of ridge_without_liquidations" in str(compared["null"])
    assert abs(_score(strong, "ridge_without_liquidations", "ic", "")["value"]) < 0.1


def test_pure_noise_is_not_predicted(noise: WalkForwardResult) -> None:
    returns = noise.comparisons.filter(pl.col("target") == "return")
    better = returns.filter((pl.col("gain") > 0) & ~pl.col("model").is_in(["mean", "zero"]))
    assert returns.height > 0
    assert better.filter(pl.col("p") < 0.001).height == 0
    assert _score(noise, "ridge", "r2", "zero")["value"] < 0.005
    assert _score(noise, "ridge", "ic", "")["ci_low"] < 0.0 < _score(noise, "ridge", "ic", "")["ci_high"]


def test_past_volatility_predicts_volatility_and_every_forecast_is_positive(strong: WalkForwardResult) -> None:
    assert _score(strong, "har", "r2", "mean", "volatility")["value"] > 0.05
    volatility = strong.predictions.filter(pl.col("target") == "volatility")
    assert volatility["prediction"].min() > 0.0  # type: ignore[operator]
    assert "zero" not in volatility["model"].unique().to_list()


def test_every_forecast_stands_once_and_tables_are_as_declared(whole: WalkForwardResult) -> None:
    for frame, table in (
        (whole.predictions, PREDICTIONS),
        (whole.scores, SCORES),
        (whole.comparisons, COMPARISONS),
        (whole.importance, IMPORTANCE),
        (whole.trials, TRIALS),
    ):
        assert check_frame(frame, table).columns == table.names
        assert frame.height > 0
        assert (
            not frame.select((pl.selectors.float().is_nan() | pl.selectors.float().is_infinite()).any())
            .row(0)
            .count(True)
        )
    keys = ["symbol", "time", "target", "horizon_s", "split", "model"]
    assert whole.predictions.select(keys).is_duplicated().sum() == 0
    assert set(whole.predictions["model"]) == {model.name for model in MODELS}
    assert whole.notes == ()


def test_measures_agree_with_their_definitions(strong: WalkForwardResult) -> None:
    labels = _tables(signal=0.5)[1]
    own = strong.predictions.filter(
        (pl.col("symbol") == "ETHUSDT") & (pl.col("target") == "return") & (pl.col("horizon_s") == 300)
    ).pivot("model", index=["symbol", "time"], values="prediction")
    rows = own.join(labels, on=["symbol", "time"]).drop_nulls("return_300s")
    y, ridge, mean = (rows[name].to_numpy() for name in ("return_300s", "ridge", "mean"))
    scores = strong.scores.filter(
        (pl.col("symbol") == "ETHUSDT") & (pl.col("model") == "ridge") & (pl.col("horizon_s") == 300)
    ).filter(pl.col("target") == "return")
    value = {(metric, against): number for metric, against, number in scores["metric", "against", "value"].rows()}
    assert value["ic", ""] == pytest.approx(spearmanr(ridge, y).statistic, abs=1e-12)
    assert value["r2", "zero"] == pytest.approx(1 - ((y - ridge) ** 2).sum() / (y**2).sum(), abs=1e-12)
    assert value["r2", "mean"] == pytest.approx(1 - ((y - ridge) ** 2).sum() / ((y - mean) ** 2).sum(), abs=1e-12)
    assert value["hit_rate", ""] == pytest.approx((np.sign(ridge) == np.sign(y)).mean(), abs=1e-12)
    assert scores["n"].to_list() == [y.size] * scores.height


def test_the_mean_is_that_of_labels_final_before_the_refit(strong: WalkForwardResult) -> None:
    labels = _tables(signal=0.5)[1]
    refit_ms = START_MS + 72 * MS_PER_HOUR
    final = pl.col("time").to_physical() + (5 + 3_600 + 15) * MS_PER_S <= refit_ms
    expected = labels.filter(final & (pl.col("symbol") == "SOLUSDT"))["return_3600s"].mean()
    found = strong.predictions.filter(
        (pl.col("symbol") == "SOLUSDT") & (pl.col("horizon_s") == 3_600) & (pl.col("model") == "mean")
    ).filter(pl.col("fold") == 1)["prediction"]
    assert found.unique().to_list() == [pytest.approx(expected, rel=1e-12)]


@pytest.mark.parametrize("hours", [24.0, 36.0, 37.5, 49.75, 60.0])
def test_data_cut_at_any_moment_give_the_same_forecasts_up_to_it(whole: WalkForwardResult, hours: float) -> None:
    cut_ms = START_MS + round(hours * MS_PER_HOUR)
    features, labels = _tables(days=3.0, signal=0.5)
    known = pl.col("time").to_physical() <= cut_ms
    values = [
        pl.when(pl.col("time").to_physical() + (5 + int(name.rstrip("s").split("_")[1])) * MS_PER_S <= cut_ms).then(
            name
        )
        for name in LABELS
    ]
    cut = _run((features.filter(known), labels.filter(known).with_columns(values)), WHOLE)
    assert cut.predictions.height > 0
    keys = ["split", "target", "model", "time", "symbol"]
    assert_frame_equal(
        cut.predictions.sort(keys), whole.predictions.filter(known).sort(keys), check_exact=True, abs_tol=0, rel_tol=0
    )


def test_labels_that_reach_into_the_test_do_not_train() -> None:
    features, labels = _tables(days=3.0, signal=0.5)
    config = replace(LINEAR, volatility_horizons_s=())
    refit_ms = START_MS + 48 * MS_PER_HOUR
    spoiled = labels.with_columns(
        pl.when(pl.col("time").to_physical() + (20 + int(name.rstrip("s").split("_")[1])) * MS_PER_S > refit_ms)
        .then(1e3)
        .otherwise(name)
        .alias(name)
        for name in LABELS
    )
    assert_frame_equal(_run((features, labels), config).predictions, _run((features, spoiled), config).predictions)


def test_what_happens_at_one_tested_row_changes_the_forecast_of_that_row_alone() -> None:
    features, labels = _tables(days=3.0, signal=0.5)
    config = replace(WHOLE, refit_hours=24, importance=False, min_train_hours=48.0, splits=("expanding",))
    moment = pl.lit(START_MS + 50 * MS_PER_HOUR).cast(TIME)
    hit = (pl.col("time") == moment) & (pl.col("symbol") == "ETHUSDT")
    shifted = features.with_columns(
        pl.when(hit).then(pl.col(name) + 1.5).otherwise(name).alias(name) for name in FEATURES[:6]
    )
    before, after = (_run((table, labels), config).predictions for table in (features, shifted))
    changed = before.filter(before["prediction"] != after["prediction"])
    assert changed.height > 0
    assert changed.select((hit).all()).item()


def test_any_number_of_workers_gives_the_same_result(whole: WalkForwardResult) -> None:
    other = _run(_tables(days=3.0, signal=0.5), WHOLE, workers=3)
    for name in ("predictions", "scores", "comparisons", "importance", "trials"):
        assert_frame_equal(getattr(other, name), getattr(whole, name), check_exact=True)


def test_every_configuration_tried_is_counted_and_the_best_chosen(whole: WalkForwardResult) -> None:
    keys = ["target", "horizon_s", "split", "fold", "model"]
    sizes = {model.name: len(model.grid) for model in MODELS}
    for key, rows in whole.trials.group_by(keys, maintain_order=True):
        assert rows.height == sizes[str(key[-1])]
        assert rows.filter("chosen")["inner_score"].to_list() == [rows["inner_score"].min()]
    assert set(whole.trials["model"]) == {name for name, size in sizes.items() if size}


def test_the_planted_column_matters_most_in_every_fold(whole: WalkForwardResult) -> None:
    returns = whole.importance.filter(pl.col("target") == "return")
    assert returns.select("model", "kind").unique().height == 3
    for _, rows in returns.group_by("model", "kind"):
        first = rows.sort("mean", descending=True).row(0, named=True)
        assert first["group"] == "liq_imbalance_5m"
        assert first["top5_frac"] == 1.0


def test_correlated_columns_are_judged_together(whole: WalkForwardResult) -> None:
    group = whole.importance.filter(pl.col("features").str.contains("realised_volatility_5m"))["features"].unique()
    assert group.to_list() == ["realised_volatility_5m,log_realised_volatility_5m"]
    gains = whole.importance.filter((pl.col("kind") == "gain") & (pl.col("target") == "return"))["mean"]
    assert gains.sum() == pytest.approx(1.0)


def test_a_model_without_liquidations_takes_no_notice_of_what_holds_them() -> None:
    features, labels = _tables(days=3.0, signal=0.5)
    scrambled = features.with_columns(
        pl.col("liq_volume_5s", "liq_imbalance_5m", "liq_btc_lead", "organic_open_interest_change").reverse()
    )
    config = replace(LINEAR, models=("ridge_without_liquidations",), volatility_horizons_s=())
    assert_frame_equal(_run((features, labels), config).predictions, _run((scrambled, labels), config).predictions)


def test_two_days_only_are_not_testable_and_say_so() -> None:
    result = _run(_tables(days=2.0), LINEAR)
    assert result.predictions.height == result.scores.height == 0
    assert result.notes[0].startswith("not testable: 0 folds where two are needed; the data spans 47.9 h")


def test_one_fold_gives_forecasts_and_no_verdict() -> None:
    result = _run(_tables(days=3.0), LINEAR)
    assert result.predictions.height > 0
    assert "not testable: 1 fold where two are needed" in result.notes[0]
    assert result.scores["ci_low"].null_count() == result.scores.height
    assert result.comparisons["p"].null_count() == result.comparisons.height


def test_too_few_labels_are_said_and_nothing_is_fitted() -> None:
    features, labels = _tables()
    kept = pl.col("time").rank("dense") % 40 == 0
    result = _run((features, labels.with_columns(pl.when(kept).then(pl.col(*LABELS)))), LINEAR)
    assert result.predictions.height == 0
    assert any(note.startswith("not testable: no forecast of return_300s (expanding)") for note in result.notes)


def test_useless_columns_and_infinite_values_are_said_once_and_harm_nothing() -> None:
    features, labels = _tables(signal=0.5)
    random = np.random.default_rng(3)
    spikes = pl.Series(np.where(random.random(features.height) < 0.01, np.inf, 0.0))
    spoiled = features.with_columns(
        funding_rate=pl.lit(0.0001),
        open_interest_velocity=pl.lit(None, dtype=pl.Float64),
        liq_btc_lead=pl.col("liq_btc_lead") + spikes,
    )
    result = _run((spoiled, labels), LINEAR)
    assert _score(result, "ridge", "r2", "zero")["value"] > 0.05
    assert any("infinite feature values count as missing" in note for note in result.notes)
    dropped = [note for note in result.notes if note.startswith("constant or empty in training, dropped")]
    assert len(dropped) == 1
    assert "column funding_rate" in dropped[0]
    assert "column open_interest_velocity" in dropped[0]


def test_gaps_longer_than_the_window_and_a_lone_symbol_are_survived() -> None:
    features, labels = _tables(days=6.0, signal=0.5, symbols=("BTCUSDT",))
    hours = (pl.col("time").to_physical() - START_MS) // MS_PER_HOUR
    recorded = (hours < 60) | (hours >= 100)
    config = replace(LINEAR, splits=("expanding", "rolling"), rolling_days=1.0)
    result = _run((features.filter(recorded), labels.filter(recorded)), config)
    assert result.notes[0].startswith("one symbol only (BTCUSDT)")
    assert any("training rows with a label" in note for note in result.notes)
    assert _score(result, "ridge", "r2", "zero")["value"] > 0.05


def test_constant_prices_and_empty_features_are_survived() -> None:
    features, labels = _tables(days=4.0)
    flat = labels.with_columns(pl.lit(0.0).alias(name) for name in LABELS)
    result = _run((features, flat), LINEAR)
    assert result.predictions["prediction"].null_count() == 0
    empty = features.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in FEATURES)
    assert _run((empty, labels), LINEAR).notes[0].startswith("not testable: no row has a feature")


def test_volatility_without_past_volatility_has_no_autoregression_and_says_so() -> None:
    features, labels = _tables(days=4.0)
    config = replace(LINEAR, features=FEATURES[:6], return_horizons_s=())
    result = _run((features, labels), config)
    assert "har" not in result.predictions["model"].unique().to_list()
    assert any(note.startswith("no usable column: model har") for note in result.notes)


def test_a_symbol_that_appears_late_is_forecast_once_it_has_history() -> None:
    features, labels = _tables()
    late = (pl.col("symbol") != "SOLUSDT") | (pl.col("time").to_physical() >= START_MS + 70 * MS_PER_HOUR)
    result = _run((features.filter(late), labels), LINEAR)
    folds = result.predictions.filter(pl.col("symbol") == "SOLUSDT")["fold"]
    assert folds.min() == 2


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match="unknown model 'lstm'; available: har, mean, ridge"):
        _run(_tables(days=1.0), replace(LINEAR, models=("lstm",)))
    with pytest.raises(UserError, match="unknown feature 'luck'"):
        _run(_tables(days=1.0), replace(LINEAR, features=("luck",)))
