"""The findings on regimes, features, information coefficients and forecasts say what the results hold, with caution."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from test_report_predictive import FAMILIES, make_daily, make_dictionary, make_ic, prose

from liqlab.core.schema import IC, PREDICTIONS
from liqlab.models import COMPARISONS, IMPORTANCE, SCORES, TRIALS, WalkForwardResult, compare_families
from liqlab.regimes import RegimeConfig, RegimeSummary, compute_regimes, summarise_regimes
from liqlab.report._findings_ic import render_ic_section
from liqlab.report._findings_predictive import render_feature_section, render_regime_section
from liqlab.report._findings_walk_forward import render_walk_forward_section
from liqlab.report._ic_text import render_ic

MODELS = {
    "return": ("zero", "mean", "ridge", "ridge_without_liquidations", "xgboost", "xgboost_without_liquidations"),
    "volatility": ("mean", "har", "ridge", "ridge_without_liquidations", "xgboost", "xgboost_without_liquidations"),
}
BASELINES = {"return": ("zero", "mean"), "volatility": ("mean", "har")}
HORIZONS = (300, 3_600)
SPLITS = ("expanding", "rolling")
MINUTE_MS = 60_000
START_MS = 1_770_595_200_000


def make_walk_forward(gain: float = 0.02, p: float = 0.4, seed: int = 0) -> WalkForwardResult:
    """Scores, comparisons, importance and trials in which every comparison saves `gain` with this p."""
    random = np.random.default_rng(seed)
    keys = [(target, horizon, split) for target in MODELS for horizon in HORIZONS for split in SPLITS]
    scores, comparisons, importance, trials, predictions = ([] for _ in range(5))  # type: list[list[dict[str, Any]]]
    for target, horizon, split in keys:
        key = {"target": target, "horizon_s": horizon, "split": split}
        for model in MODELS[target]:
            for symbol in ("ALL", "BTCUSDT"):
                scores += _score_rows(random, {**key, "symbol": symbol, "model": model}, BASELINES[target])
                comparisons += _comparison_rows({**key, "symbol": symbol, "model": model}, BASELINES[target], gain, p)
            moments = [START_MS, START_MS + 86_400_000]
            predictions += [
                {**key, "symbol": "BTCUSDT", "time": time, "model": model, "fold": fold, "prediction": 0.0}
                for fold, time in enumerate(moments)
            ]
            if model.startswith(("ridge", "xgboost")):
                trial = {**key, "fold": 0, "model": model, "parameters": "x", "inner_score": 1.0, "chosen": True}
                trials += [trial, trial | {"chosen": False}]
        if split == "expanding":
            for model, kind in (("ridge", "permutation"), ("xgboost", "permutation"), ("xgboost", "gain")):
                importance += _importance_rows(random, {**key, "model": model, "kind": kind})
    frames = [
        pl.DataFrame(rows, schema=table.dtypes if table is not PREDICTIONS else table.dtypes | {"time": pl.Int64()})
        for rows, table in (
            (predictions, PREDICTIONS),
            (scores, SCORES),
            (comparisons, COMPARISONS),
            (importance, IMPORTANCE),
            (trials, TRIALS),
        )
    ]
    return WalkForwardResult(*frames, ("constant column left out: liq_cascade_flag (in 1 of 2 fits)",))


def _score_rows(random: np.random.Generator, key: dict[str, Any], baselines: tuple[str, ...]) -> list[dict[str, Any]]:
    metrics = [("r2", baseline) for baseline in baselines if baseline != key["model"]] + [("ic", ""), ("hit_rate", "")]
    rows = []
    for metric, against in metrics:
        value = float(random.normal(0.5 if metric == "hit_rate" else 0.0, 0.03))
        ends = {"ci_low": value - 0.0123, "ci_high": value + 0.0234}
        numbers = {"metric": metric, "against": against, "value": value, "n": 574, "n_times": 287, "note": ""}
        rows.append({**key, **numbers, **ends})
    return rows


def _comparison_rows(key: dict[str, Any], baselines: tuple[str, ...], gain: float, p: float) -> list[dict[str, Any]]:
    model = key["model"]
    others = [baseline for baseline in baselines if baseline != model]
    if model in ("ridge", "xgboost"):
        others.append(f"{model}_without_liquidations")
    numbers = {"gain": gain, "ci_low": gain - 0.01, "ci_high": gain + 0.01, "t": 1.0, "p": p, "p_adjusted": p}
    words = {"null": "", "alternative": "", "note": "", "n_times": 287, "loss": "squared error"}
    return [{**key, **numbers, **words, "against": other} for other in others]


def _importance_rows(random: np.random.Generator, key: dict[str, Any]) -> list[dict[str, Any]]:
    groups = {name: name for name in list(FAMILIES)[9:37]} | {"liq_volume_1m": "liq_volume_1m,liq_rate,atr_bps"}
    agreement = float(random.uniform(-1, 1))
    return [
        {
            **key,
            "group": group,
            "features": features,
            "mean": float(random.exponential(0.02)),
            "spread": float(random.exponential(0.01)),
            "top5_frac": float(random.uniform(0, 1)),
            "folds": 2,
            "rank_agreement": agreement,
        }
        for group, features in groups.items()
    ]


def make_summary(symbol: str = "BTCUSDT", days: int = 3, step: float = 5e-4) -> RegimeSummary:
    random = np.random.default_rng(len(symbol))
    times = START_MS + MINUTE_MS * np.arange(1, days * 1_440 + 1)
    loud = np.where(np.arange(len(times)) // 480 % 2, 5.0, 1.0)
    prices = 70_000 * np.exp(np.cumsum(random.normal(0, step, len(times)) * loud))
    return summarise_regimes(compute_regimes(symbol, times, prices))


def table_rows(text: str) -> list[list[str]]:
    """Cells of all table rows of `text`, headers and rules left out."""
    blocks = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()[2:]]
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines]


def part(text: str, title: str) -> str:
    start = text.index(title)
    stop = text.find("\n###", start + 1)
    return text[start : stop if stop > 0 else len(text)]


# Regimes


def test_regimes_are_reported_for_each_symbol_by_both_methods() -> None:
    summaries = [make_summary("BTCUSDT"), make_summary("ETHUSDT")]
    text = render_regime_section(summaries, RegimeConfig(), ["![regimes](x.png)"])
    rows = table_rows(text)
    assert [row[0] for row in rows] == ["BTCUSDT", "", "ETHUSDT", ""]
    for summary, (quantile, model) in zip(summaries, (rows[:2], rows[2:]), strict=True):
        assert summary.volatile_frac is not None
        assert summary.volatile_hmm_frac is not None
        assert quantile[3] == f"{100 * summary.volatile_frac:.1f} %"
        assert model[3] == f"{100 * summary.volatile_hmm_frac:.1f} %"
        assert int(quantile[4]) == summary.n_transitions
        assert model[7] == f"{summary.n_fits_used} of {summary.n_fits}"
    assert "75 % quantile" in text
    assert "filtered" in text
    assert text.endswith("![regimes](x.png)")


def test_regimes_that_cannot_be_known_are_not_testable_with_the_reason() -> None:
    times = START_MS + MINUTE_MS * np.arange(1, 200)
    coarse = compute_regimes("BTCUSDT", times, np.full(len(times), 70_000.0), ticker_interval_ms=3_600_000)
    text = render_regime_section([summarise_regimes(coarse)])
    assert "**Not testable**: no regime is known at any time: prices come every 3600 s" in text
    assert "|" not in text
    assert "**Not testable**" in render_regime_section([])


def test_the_same_note_of_several_symbols_is_said_once() -> None:
    summary = replace(make_summary(), notes=("the price never moves",))
    text = render_regime_section([summary, replace(summary, symbol="ETHUSDT")])
    assert text.count("the price never moves") == 1
    assert "- the price never moves (BTCUSDT, ETHUSDT)" in text


# Features


def test_features_are_counted_by_family_and_the_dictionary_is_named() -> None:
    dictionary = make_dictionary()
    text = render_feature_section(dictionary)
    assert f"{dictionary.height} features in 6 families" in text
    assert "[liquidations_features.txt](liquidations_features.txt)" in text
    assert {row[0]: int(row[1]) for row in table_rows(text)} == {
        family: list(FAMILIES.values()).count(family) for family in dict.fromkeys(FAMILIES.values())
    }
    assert "- ticker prices come every 300 s; needs 60 s: `liq_volume_1s`" in text
    assert "1 of them has no value at all" in text


def test_no_feature_is_not_testable() -> None:
    assert "**Not testable**" in render_feature_section(make_dictionary().clear())


# Information coefficients


def test_the_size_of_the_family_and_what_chance_would_give_are_said() -> None:
    table = make_ic()
    whole = table.filter(pl.col("regime") == "all")
    text = prose(render_ic_section(table, compare(table), make_dictionary()))
    assert f"make {whole.height:,} cells, {whole.height:,} of them tested" in text
    assert f"about {0.05 * whole.height:,.0f} would have a raw p below 0.05 by chance" in text
    assert f"{int((whole['p'] < 0.05).sum())} have" in text
    assert f"**{int((whole['p_adjusted'] < 0.05).sum())} survive the correction**" in text
    assert "exploratory and in-sample" in text


def compare(table: pl.DataFrame, days: int = 9) -> pl.DataFrame:
    return compare_families(make_daily(table, days), FAMILIES)


def test_the_strongest_five_are_those_with_the_smallest_p() -> None:
    table = make_ic()
    text = render_ic_section(table, compare(table), make_dictionary())
    for target, title in (
        ("return", "### Strongest against forward returns"),
        ("volatility", "### Strongest against forward volatilities"),
    ):
        own = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "all", pl.col("target") == target)
        best = own.sort("p", pl.col("ic").abs(), descending=[False, True]).head(5)
        rows = table_rows(part(text, title))
        assert [row[0] for row in rows] == [f"`{name}`" for name in best["feature"]]
        assert [row[3] for row in rows] == [f"{ic:+.3f}" for ic in best["ic"]]
        assert [row[1] for row in rows] == [FAMILIES[name] for name in best["feature"]]


def test_the_counts_of_liquidation_features_stand_apart() -> None:
    table = make_ic()
    text = render_ic_section(table, compare(table), make_dictionary())
    ours = [name for name, family in FAMILIES.items() if family in ("liquidation", "cross-asset")]
    own = table.filter(
        pl.col("symbol") == "BTCUSDT",
        pl.col("regime") == "all",
        pl.col("target") == "return",
        pl.col("feature").is_in(ours),
    )
    row = next(row for row in table_rows(text) if row[:2] == ["BTCUSDT", "forward return"])
    assert row[-1] == f"{int((own['p_adjusted'] < 0.05).sum())} of {own.height}"


def test_no_survivor_is_said_plainly_in_the_findings() -> None:
    table = make_ic().with_columns(p_adjusted=pl.lit(1.0))
    text = render_ic_section(table, compare(table), make_dictionary())
    assert "**Nothing survives the correction**" in text
    assert "none of 287 cells survives" in text


def test_one_symbol_is_shown_itself_when_nothing_was_pooled() -> None:
    table = make_ic(symbols=("SOLUSDT",))
    text = render_ic_section(table, compare(table), make_dictionary())
    assert "For SOLUSDT," in text
    assert "liquidations_ic_SOLUSDT.txt" in text
    assert "Not testable: there is no daily coefficient to compare." in text


def test_many_symbols_do_not_fill_the_page() -> None:
    table = make_ic({"liq_rate": "liquidation"}, tuple(f"S{i:02d}USDT" for i in range(30)), regimes=("all",))
    text = render_ic_section(table, compare(table), make_dictionary())
    assert "23 more symbols in the table `ic`" in text
    assert "**Not testable**: no regime was known" in text


@pytest.mark.parametrize("table", [IC.empty(), make_ic(missing=1.0)], ids=["no rows", "no value"])
def test_untestable_coefficients_say_why(table: pl.DataFrame) -> None:
    text = render_ic_section(table, pl.DataFrame(), make_dictionary(), ("two days are needed",))
    assert "**Not testable**: no coefficient could be tested" in text
    assert "- two days are needed" in text


def test_the_comparison_stands_with_its_interval_in_findings_and_text() -> None:
    table = make_ic(effect=0.06)
    comparison = compare(table)
    assert comparison["p"].count() > 0
    findings = render_ic_section(table, comparison, make_dictionary())
    page = render_ic(table, make_daily(table), comparison, "ALL", make_dictionary())
    assert max(map(len, page.splitlines())) <= 100
    for row in comparison.iter_rows(named=True):
        interval = f"{signed(row['ci_low'])} to {signed(row['ci_high'])}"
        assert interval in page
        assert interval in findings
        if row["horizon_s"] is None:
            assert f"difference {signed(row['difference'])} ({interval})" in prose(findings)
            assert f"difference {signed(row['difference'])} ({interval})" in prose(page)


def signed(value: float) -> str:
    return f"{value:+.3f}" if round(value, 3) else "0.000"


def test_two_days_cannot_be_compared() -> None:
    table = make_ic()
    comparison = compare(table, days=2)
    (note,) = comparison["note"].unique().to_list()
    assert "needs 3" in note
    assert f"Not testable: {note}." in render_ic_section(table, comparison, make_dictionary())


def test_notes_that_only_sum_up_the_cells_are_not_repeated() -> None:
    table = make_ic(missing=0.2)
    summed = (
        "no coefficient, the feature has no value: liq_rate",
        "37 coefficients with the return over 14,400 s are x",
    )
    text = render_ic_section(table, compare(table), make_dictionary(), (*summed, "one symbol only"))
    assert "- one symbol only" in text
    assert "- the feature has no value: all features; every horizon" in text
    assert not any(note in text for note in summed)


# Walk-forward


def test_scores_stand_with_their_intervals_in_per_cent() -> None:
    result = make_walk_forward()
    text = render_walk_forward_section(result)
    rows = table_rows(part(text, "### Forward returns"))
    assert [row[1] for row in rows] == [model.replace("_", " ") for model in MODELS["return"]] * len(HORIZONS)
    own = result.scores.filter(
        pl.col("target") == "return",
        pl.col("horizon_s") == 300,
        pl.col("split") == "expanding",
        pl.col("symbol") == "ALL",
        pl.col("model") == "ridge",
    )
    found = {(row["metric"], row["against"]): row for row in own.iter_rows(named=True)}
    ridge = next(row for row in rows if row[1] == "ridge")
    r2, hits, ic = found["r2", "zero"], found["hit_rate", ""], found["ic", ""]
    assert ridge[2] == f"{100 * r2['value']:+.2f} % ({100 * r2['ci_low']:+.2f} to {100 * r2['ci_high']:+.2f})"
    assert ridge[5] == f"{100 * hits['value']:.1f} % ({100 * hits['ci_low']:.1f} to {100 * hits['ci_high']:.1f})"
    assert ridge[4] == f"{ic['value']:+.3f} ({ic['ci_low']:+.3f} to {ic['ci_high']:+.3f})"
    assert ridge[6] == "574"
    assert "R² against HAR" in part(text, "### Forward volatilities")


@pytest.mark.parametrize(
    ("gain", "p", "words"),
    [
        (0.02, 0.4, "**None of 8 tested comparisons survives the correction**"),
        (0.02, 0.001, "8 survive the correction as better and none as worse"),
        (-0.02, 0.001, "none survive the correction as better and 8 as worse"),
    ],
)
def test_whether_liquidations_add_anything_is_said_in_words(gain: float, p: float, words: str) -> None:
    text = render_walk_forward_section(make_walk_forward(gain, p))
    assert words in text[: text.index("### Forward returns")]
    assert words in part(text, "### Do liquidations add anything?")
    rows = table_rows(part(text, "### Do liquidations add anything?"))
    assert len(rows) == 8
    assert {row[4] for row in rows} == {f"{100 * gain:+.2f} % ({100 * gain - 1:+.2f} to {100 * gain + 1:+.2f})"}


def test_comparisons_without_a_p_are_not_testable() -> None:
    result = make_walk_forward()
    nothing = result.comparisons.with_columns(p=pl.lit(None, pl.Float64), p_adjusted=pl.lit(None, pl.Float64))
    text = render_walk_forward_section(replace(result, comparisons=nothing))
    assert "**Not testable**: none of 8 comparisons has a p" in text


def test_importance_trials_and_notes_are_reported() -> None:
    result = make_walk_forward()
    text = render_walk_forward_section(result, ["![x](x.png)"])
    best = result.importance.filter(
        pl.col("target") == "return", pl.col("horizon_s") == 300, pl.col("model") == "ridge"
    ).sort("mean", descending=True)
    row = table_rows(part(text, "### What the forecasts rest on"))[0]
    assert row[:3] == ["return, 5 min", "ridge", "permutation"]
    assert row[3].startswith(f"`{best['group'][0]}")
    assert f"{100 * best['mean'][0]:.1f} %" in row[3]
    assert row[4] == f"{best['rank_agreement'][0]:+.2f}"
    assert f"{result.trials.height} configurations tried in all" in text
    assert "- constant column left out: liq_cascade_flag" in text
    assert "none is a verdict" in text
    assert text.endswith("![x](x.png)")


def test_without_a_forecast_the_missing_minimum_is_named() -> None:
    note = "not testable: 0 folds where two are needed; the data spans 21.0 h"
    empty = WalkForwardResult(
        PREDICTIONS.empty(), SCORES.empty(), COMPARISONS.empty(), IMPORTANCE.empty(), TRIALS.empty(), (note,)
    )
    text = render_walk_forward_section(empty)
    assert "**Not testable**: there is no forecast." in text
    assert f"- {note}" in text


def test_every_table_is_well_formed() -> None:
    table = make_ic()
    text = "\n\n".join(
        [
            render_regime_section([make_summary()]),
            render_feature_section(make_dictionary()),
            render_ic_section(table, compare(table), make_dictionary()),
            render_walk_forward_section(make_walk_forward()),
        ]
    )
    blocks = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert len(blocks) >= 9
    for block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    for before in re.findall(r"(.*)\n\|[^\n]*\n\|[:-]", text):
        assert before == ""
    assert "None" not in re.sub(r"\*\*None of", "", text)
    assert "nan" not in re.findall(r"[a-z]+", text)
