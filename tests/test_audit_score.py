"""The detector's score: pairing, causal cascades, delays, and the answer to the wrong files."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqlab.audit import (
    ALL,
    list_causal_cascades,
    match_cascades,
    read_detector_input,
    score_detector,
)
from liqlab.cascades import PRESETS, CascadePreset, detect_cascades, get_preset, label_liquidations
from liqlab.core.errors import UserError
from liqlab.core.schema import LIQUIDATIONS, TIME
from liqlab.lake import ingest
from liqlab.stats import compute_wilson
from liqlab.worlds import TRUTH_LIQUIDATIONS, Truth, load_truth, simulate

PLAN = get_preset("plan")
START_MS = 1_770_595_200_000


def make_truth(rows: list[dict[str, Any]]) -> Truth:
    """A truth from rows of symbol, number, ms and root (a number of the same symbol, or (symbol, number))."""
    defaults = {"side": "long", "usd": 50_000.0, "price": 100.0, "captured": True, "delay": 300}
    columns: dict[str, list[Any]] = defaultdict(list)
    for given_row in rows:
        row = defaults | given_row
        root = row["root"] if isinstance(row["root"], tuple) else (row["symbol"], row["root"])
        triggered = root != (row["symbol"], row["number"])
        values = {
            "symbol": row["symbol"],
            "event_time": START_MS + row["ms"],
            "known_time": START_MS + row["ms"] + row["delay"],
            "liquidated_side": row["side"],
            "quantity": row["usd"] / row["price"],
            "price": row["price"],
            "notional_usd": row["usd"],
            "number": row["number"],
            "cause_symbol": root[0] if triggered else None,
            "cause": root[1] if triggered else None,
            "root_symbol": root[0],
            "root": root[1],
            "market_price": row["price"],
            "impact_bps": 0.0,
            "closing": False,
            "captured": row["captured"],
        }
        for name, value in values.items():
            columns[name].append(value)
    integers = {name: pl.Int64() if dtype == TIME else dtype for name, dtype in TRUTH_LIQUIDATIONS.dtypes.items()}
    frame = pl.DataFrame(columns, schema=integers).cast(TRUTH_LIQUIDATIONS.dtypes)  # type: ignore[arg-type]
    symbols = sorted({row["symbol"] for row in rows})
    return Truth({"symbols": symbols, "world": "hand-made", "seed": 0}, frame)


def recorded(truth: Truth) -> pl.DataFrame:
    """What a results folder would hold of the captured liquidations."""
    rows = truth.liquidations.filter("captured").sort("symbol", "known_time", "event_time", "number")
    return rows.with_columns(
        exchange=pl.lit("bybit"),
        push_time=pl.col("known_time"),
        source_file=pl.lit("file"),
        source_line=pl.lit(1, pl.Int64),
        position=pl.int_range(pl.len()).over("symbol", "known_time").cast(pl.Int64),
    ).select(LIQUIDATIONS.names)


def burst(symbol: str, first: int, ms: int, n: int, root: int | tuple[str, int], **more: Any) -> list[dict[str, Any]]:
    return [
        {"symbol": symbol, "number": first + i, "ms": ms + 400 * i, "root": root, "price": 100.0 + first + i, **more}
        for i in range(n)
    ]


def test_a_detector_that_finds_exactly_the_trees_scores_one() -> None:
    truth = make_truth(burst("AAA", 0, 0, 4, 0) + burst("AAA", 4, 60_000, 3, 4) + burst("BBB", 0, 5_000, 3, 0))
    for score in score_detector(recorded(truth), truth, [PLAN])["plan"]:
        assert (score.precision, score.recall, score.f1, score.notional_found_frac) == (1.0, 1.0, 1.0, 1.0)
        assert score.n_lost == 0
    pooled, first, second = score_detector(recorded(truth), truth, [PLAN])["plan"]
    assert [row.symbol for row in (pooled, first, second)] == [ALL, "AAA", "BBB"]
    assert [row.n_matched for row in (pooled, first, second)] == [3, 2, 1]


def test_delays_run_from_the_crossing_and_from_the_root_to_the_known_time_of_the_confirmation() -> None:
    truth = make_truth(burst("AAA", 0, 0, 4, 0))
    (pooled, _) = score_detector(recorded(truth), truth, [PLAN])["plan"]
    # Crossed with the third order at 0.8 s, known 0.3 s later.
    assert pooled.delay_median_s == pytest.approx(0.3)
    assert pooled.delay_p95_s == pytest.approx(0.3)
    assert pooled.delay_from_root_median_s == pytest.approx(1.1)
    assert pooled.delay_from_root_p95_s == pytest.approx(1.1)


def test_nothing_detected_and_nothing_there_gives_no_shares_instead_of_zero() -> None:
    truth = make_truth([{"symbol": "AAA", "number": 0, "ms": 0, "root": 0}])
    (pooled, _) = score_detector(recorded(truth), truth, [PLAN])["plan"]
    assert (pooled.n_detected, pooled.n_causal, pooled.n_matched) == (0, 0, 0)
    for value in (pooled.precision, pooled.recall, pooled.f1, pooled.notional_found_frac, pooled.delay_median_s):
        assert value is None


def test_independent_orders_that_come_together_are_a_false_alarm() -> None:
    rows = [{"symbol": "AAA", "number": i, "ms": 100 * i, "root": i} for i in range(5)]
    (pooled, _) = score_detector(recorded(make_truth(rows)), make_truth(rows), [PLAN])["plan"]
    assert (pooled.n_detected, pooled.n_causal, pooled.precision, pooled.recall, pooled.f1) == (1, 0, 0.0, None, 0.0)


def test_a_tree_with_silences_longer_than_the_gap_is_missed() -> None:
    rows = [{"symbol": "AAA", "number": i, "ms": 30_000 * i, "root": 0} for i in range(3)]
    (pooled, _) = score_detector(recorded(make_truth(rows)), make_truth(rows), [PLAN])["plan"]
    assert (pooled.n_detected, pooled.n_causal, pooled.precision, pooled.recall, pooled.f1) == (0, 1, None, 0.0, 0.0)
    assert pooled.notional_found_frac == 0.0


def test_two_halves_of_one_detected_cascade_count_once() -> None:
    rows = burst("AAA", 0, 0, 3, 0) + burst("AAA", 3, 1_300, 3, 3)
    (pooled, _) = score_detector(recorded(make_truth(rows)), make_truth(rows), [PLAN])["plan"]
    assert (pooled.n_detected, pooled.n_causal, pooled.n_matched) == (1, 2, 1)
    assert (pooled.precision, pooled.recall) == (1.0, 0.5)


def test_less_than_half_shared_is_no_match() -> None:
    strangers = [{"symbol": "AAA", "number": 3 + i, "ms": 1_300 + i, "root": 3 + i, "price": 90.0} for i in range(4)]
    rows = burst("AAA", 0, 0, 3, 0) + strangers
    (pooled, _) = score_detector(recorded(make_truth(rows)), make_truth(rows), [PLAN])["plan"]
    assert (pooled.n_detected, pooled.n_causal, pooled.n_matched) == (1, 1, 0)


def test_a_tree_is_cut_where_it_spills_over_into_another_symbol() -> None:
    rows = burst("AAA", 0, 0, 3, 0) + burst("BBB", 0, 9_000, 3, ("AAA", 0)) + burst("CCC", 0, 9_000, 2, ("AAA", 0))
    truth = make_truth(rows)
    cascades, members = list_causal_cascades(truth.liquidations, PLAN)
    assert cascades.select("symbol", "root_symbol", "root", "n_liquidations").rows() == [
        ("AAA", "AAA", 0, 3),
        ("BBB", "AAA", 0, 3),
    ]
    assert members.group_by("symbol").len().sort("symbol").rows() == [("AAA", 3), ("BBB", 3)]
    pooled = score_detector(recorded(truth), truth, [PLAN])["plan"][0]
    assert (pooled.n_detected, pooled.n_causal, pooled.n_matched) == (2, 2, 2)


def test_what_the_recording_lost_counts_as_missed_and_is_told() -> None:
    seen = burst("AAA", 0, 0, 3, 0) + burst("AAA", 3, 60_000, 3, 3, captured=False) + burst("AAA", 6, 90_000, 3, 6)
    truth = make_truth(seen)
    (pooled, _) = score_detector(recorded(truth), truth, [PLAN])["plan"]
    assert (pooled.n_causal, pooled.n_lost, pooled.n_matched, pooled.recall) == (3, 1, 2, pytest.approx(2 / 3))


def test_cascades_outside_the_span_of_the_results_are_not_asked_for() -> None:
    truth = make_truth(burst("AAA", 0, 0, 3, 0) + burst("AAA", 3, 60_000, 3, 3))
    later = recorded(truth).filter(pl.col("known_time").dt.epoch("ms") > START_MS + 30_000)
    (pooled, _) = score_detector(later, truth, [PLAN])["plan"]
    assert (pooled.n_causal, pooled.recall) == (1, 1.0)


def test_symbols_that_the_results_leave_out_are_not_asked_for() -> None:
    truth = make_truth(burst("AAA", 0, 0, 3, 0) + burst("BBB", 0, 0, 3, 0))
    scores = score_detector(recorded(truth).filter(pl.col("symbol") == "AAA"), truth, [PLAN])["plan"]
    assert [(score.symbol, score.n_causal) for score in scores] == [(ALL, 1), ("AAA", 1)]


def test_equal_liquidations_are_told_apart_by_their_order() -> None:
    same = {"symbol": "AAA", "ms": 0, "price": 100.0}
    rows = [same | {"number": i, "root": 0 if i < 3 else i} for i in range(4)]
    truth = make_truth(rows)
    (pooled, _) = score_detector(recorded(truth), truth, [PLAN])["plan"]
    assert (pooled.n_detected, pooled.n_matched) == (1, 1)


def test_with_a_size_quantile_only_large_liquidations_make_a_causal_cascade() -> None:
    preset = CascadePreset("large", min_liquidations=2, size_quantile=0.95, size_fallback_usd=10_000.0)
    rows = [
        {"symbol": "AAA", "number": i, "ms": 100 * i, "root": 0, "usd": 50_000.0 if i in (1, 3) else 10.0}
        for i in range(5)
    ]
    cascades, members = list_causal_cascades(make_truth(rows).liquidations, preset)
    assert cascades["n_liquidations"].to_list() == [2]
    assert members["number"].to_list() == [1, 3]
    assert cascades["met_time"].dt.epoch("ms").to_list() == [START_MS + 300]


def test_the_notional_threshold_is_met_where_count_and_notional_both_are() -> None:
    usd = [90_000.0, 5_000.0, 4_999.0, 1.0, 7.0]
    rows = [{"symbol": "AAA", "number": i, "ms": 100 * i, "root": 0, "usd": usd[i]} for i in range(5)]
    cascades, _ = list_causal_cascades(make_truth(rows).liquidations, PLAN)
    assert cascades["met_time"].dt.epoch("ms").to_list() == [START_MS + 300]
    assert list_causal_cascades(make_truth(rows[:3]).liquidations, PLAN)[0].is_empty()


def largest_matching(candidates: list[tuple[int, int, float]], least: float) -> int:
    """By trying every subset."""
    edges = [(a, b) for a, b, jaccard in candidates if jaccard >= least]
    for size in range(len(edges), 0, -1):
        for chosen in combinations(edges, size):
            if len({a for a, _ in chosen}) == len({b for _, b in chosen}) == size:
                return size
    return 0


def candidates_of(left: list[int], right: list[int]) -> list[tuple[int, int, float]]:
    """All pairs of blocks of two partitions of 0..n-1 that share something; block -1 is outside of any."""
    found = []
    for a in sorted(set(left) - {-1}):
        for b in sorted(set(right) - {-1}):
            one = {i for i, block in enumerate(left) if block == a}
            other = {i for i, block in enumerate(right) if block == b}
            if one & other:
                found.append((a, b, len(one & other) / len(one | other)))
    return found


BLOCKS = st.integers(1, 10).flatmap(
    lambda n: st.tuples(*(st.lists(st.integers(-1, 4), min_size=n, max_size=n) for _ in range(2)))
)


@given(BLOCKS)
def test_no_one_to_one_matching_has_more_pairs(blocks: tuple[list[int], list[int]]) -> None:
    candidates = candidates_of(*blocks)
    pairs = match_cascades(candidates, 0.5)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert set(pairs) <= {(a, b) for a, b, jaccard in candidates if jaccard >= 0.5}
    assert len(pairs) == largest_matching(candidates, 0.5)


@given(BLOCKS, st.randoms())
def test_the_matching_does_not_depend_on_the_order_of_candidates(
    blocks: tuple[list[int], list[int]], random: Any
) -> None:
    candidates = candidates_of(*blocks)
    shuffled = random.sample(candidates, len(candidates))
    assert match_cascades(shuffled, 0.5) == match_cascades(candidates, 0.5)


def test_of_two_halves_the_one_with_the_lower_number_is_taken() -> None:
    assert match_cascades([(0, 1, 0.5), (0, 0, 0.5)], 0.5) == [(0, 0)]


def test_a_threshold_below_one_half_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 0\.5"):
        match_cascades([], 0.4)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0)]
)
def test_the_wilson_interval_has_its_known_values(successes: int, trials: int, low: float, high: float) -> None:
    share, found_low, found_high = compute_wilson(successes, trials)
    assert share == successes / trials
    assert found_low == pytest.approx(low, abs=1e-4)
    assert found_high == pytest.approx(high, abs=1e-4)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("score")
    simulate(folder / "captures", days=1, seed=21, symbols=["BTCUSDT", "ETHUSDT"], dirt=True, workers=1)
    ingest(folder / "captures", folder / "lake")
    return folder / "lake", folder / "captures"


def slow_counts(liquidations: pl.DataFrame, truth: Truth, preset: CascadePreset) -> tuple[int, int, int]:
    """Detected, causal and matched, with sets and loops; for presets without a size quantile."""
    trees: dict[tuple[Any, ...], set[tuple[Any, ...]]] = defaultdict(set)
    usd: dict[tuple[Any, ...], float] = defaultdict(float)
    identity = ["symbol", "event_time", "liquidated_side", "quantity", "price"]
    seen: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in truth.liquidations.sort("symbol", "number").iter_rows(named=True):
        key = tuple(row[name] for name in identity)
        seen[key] += 1
        tree = (row["symbol"], row["root_symbol"], row["root"])
        trees[tree].add((*key, seen[key]))
        usd[tree] += row["notional_usd"]
    causal = [
        members
        for tree, members in trees.items()
        if len(members) >= preset.min_liquidations and usd[tree] >= preset.min_notional_usd
    ]
    detected: dict[str, set[tuple[Any, ...]]] = defaultdict(set)
    seen.clear()
    labelled = label_liquidations(liquidations, preset).sort("symbol", "known_time", "event_time", "position")
    for row in labelled.iter_rows(named=True):
        key = tuple(row[name] for name in identity)
        seen[key] += 1
        if row["cascade_id"] is not None:
            detected[row["cascade_id"]].add((*key, seen[key]))
    edges = [(i, j) for i, a in detected.items() for j, b in enumerate(causal) if 2 * len(a & b) >= len(a | b)]
    # Each connected part of this graph is a star, and one pair of it can be taken: vertices less edges.
    matched = len({i for i, _ in edges}) + len({j for _, j in edges}) - len(edges)
    return len(detected), len(causal), matched


@pytest.mark.parametrize("preset", [PLAN, CascadePreset("small", max_gap_ms=1_000, min_liquidations=2)])
def test_the_counts_are_those_of_plain_sets(simulated: tuple[Path, Path], preset: CascadePreset) -> None:
    liquidations, truth = read_detector_input(simulated[0]), load_truth(simulated[1])
    pooled = score_detector(liquidations, truth, [preset])[preset.name][0]
    detected, causal, matched = slow_counts(liquidations, truth, preset)
    assert detected > 10
    assert causal > 10
    assert (pooled.n_detected, pooled.n_causal, pooled.n_matched) == (detected, causal, matched)
    assert pooled.n_matched > 0


def test_symbols_add_up_to_the_pooled_counts(simulated: tuple[Path, Path]) -> None:
    scores = score_detector(read_detector_input(simulated[0]), load_truth(simulated[1]), PRESETS)
    assert list(scores) == ["plan", "p95"]
    for pooled, *parts in scores.values():
        for name in ("n_detected", "n_causal", "n_lost", "n_matched"):
            assert getattr(pooled, name) == sum(getattr(part, name) for part in parts)


def test_the_detected_cascades_are_those_of_the_detector(simulated: tuple[Path, Path]) -> None:
    liquidations = read_detector_input(simulated[0])
    scores = score_detector(liquidations, load_truth(simulated[1]), PRESETS)
    for preset in PRESETS:
        assert scores[preset.name][0].n_detected == detect_cascades(liquidations, preset).height


def test_the_order_of_the_rows_changes_nothing(simulated: tuple[Path, Path]) -> None:
    liquidations, truth = read_detector_input(simulated[0]), load_truth(simulated[1])
    order = np.random.default_rng(1).permutation(liquidations.height)
    assert score_detector(liquidations[order], truth, PRESETS) == score_detector(liquidations, truth, PRESETS)


def test_results_of_other_data_are_refused(simulated: tuple[Path, Path], tmp_path: Path) -> None:
    simulate(tmp_path / "other", days=0.25, seed=22, symbols=["BTCUSDT"], workers=1)
    with pytest.raises(UserError, match=r"only 0\.0 % of the .* stand in the truth .*seed 22.*other data"):
        score_detector(read_detector_input(simulated[0]), load_truth(tmp_path / "other"), [PLAN])


def test_results_of_other_symbols_are_refused(simulated: tuple[Path, Path]) -> None:
    truth = make_truth(burst("AAA", 0, 0, 3, 0))
    with pytest.raises(UserError, match=r"the results hold BTCUSDT, ETHUSDT, the truth AAA: nothing in common"):
        score_detector(read_detector_input(simulated[0]), truth, [PLAN])


def test_a_folder_that_is_neither_results_nor_lake_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"neither a results folder nor a lake.*tables/liquidations\.parquet"):
        read_detector_input(tmp_path)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "liquidations.parquet").write_bytes(b"junk")
    with pytest.raises(UserError, match="cannot read"):
        read_detector_input(tmp_path)
