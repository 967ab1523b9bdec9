"""The truth of information coefficients: measured as in a run, kept seed by seed, judged by counting."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import polars as pl
import pytest
from small_market import study_captures

from liqlab.audit import (
    PLANTED_RELATIONS,
    IcTruth,
    SeedIc,
    check_ic_truth,
    measure_ic_truth,
    render_ic_truth,
)
from liqlab.cli import main
from liqlab.core.errors import ConfigError
from liqlab.features import FEATURES, LIQUIDATION_FAMILIES
from liqlab.models import IcConfig
from liqlab.worlds import load_world, simulate

WORLD = "planted-strong"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
#: Seconds and minutes alone: the relations that the world plants.
CONFIG = IcConfig(return_horizons_s=(10, 30, 60), volatility_horizons_s=(), regimes=False, n_resamples=99)


class Steps:
    """Counts what it is told, and may interrupt."""

    def __init__(self, most: int | None = None) -> None:
        self.advanced: list[int] = []
        self.most = most

    def start(self, stage: str, total: int) -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """Count; interrupt when that was enough."""
        self.advanced.append(steps)
        if self.most is not None and sum(self.advanced) >= self.most:
            raise KeyboardInterrupt

    def finish(self, note: str = "") -> None:
        """Ignore."""


def measure(work: Path | None, n_seeds: int, config: IcConfig = CONFIG, progress: Steps | None = None) -> IcTruth:
    return measure_ic_truth(
        load_world(WORLD),
        n_seeds,
        days=1,
        symbols=SYMBOLS,
        config=config,
        work=work,
        workers=1,
        progress=progress or Steps(),
    )


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two seeds were asked for and the work was interrupted after the first."""
    folder = tmp_path_factory.mktemp("work")
    with pytest.raises(KeyboardInterrupt):
        measure(folder, 2, progress=Steps(most=1))
    return folder


@pytest.fixture(scope="module")
def truth(work: Path) -> IcTruth:
    """Both seeds, the second of them computed after the interruption."""
    steps = Steps()
    found = measure(work, 2, progress=steps)
    assert steps.advanced == [1, 1]
    return found


def test_each_seed_has_a_table_with_the_planted_relations_in_it(truth: IcTruth) -> None:
    first, second = truth.seeds
    assert (truth.world, truth.days, truth.symbols) == (WORLD, 1, SYMBOLS)
    assert second.seed == first.seed + 1
    own = {feature.name for feature in FEATURES if feature.family in LIQUIDATION_FAMILIES}
    for seed in truth.seeds:
        assert seed.tested > len(own)
        assert {(name, horizon) for name, horizon, *_ in seed.planted} == {
            (relation.feature, relation.horizon_s) for relation in PLANTED_RELATIONS
        }
        assert {name for name, *_ in seed.survivors} <= own
    assert first.planted != second.planted


def test_a_seed_says_what_a_run_over_the_captures_of_its_market_says(truth: IcTruth, tmp_path: Path) -> None:
    seed = truth.seeds[0]
    simulate(tmp_path / "captures", world=WORLD, days=1, seed=seed.seed, symbols=SYMBOLS, workers=1)
    table = study_captures(tmp_path / "captures", tmp_path / "lake", test_claims=False, ic=asdict(CONFIG)).ic.table
    assert seed.tested == table["p"].count()
    for name, horizon_s, ic, p in seed.planted:
        row = table.row(
            by_predicate=(pl.col("feature") == name) & (pl.col("horizon_s") == horizon_s) & (pl.col("symbol") == "ALL"),
            named=True,
        )
        assert (row["ic"], row["p_adjusted"]) == (ic, p)
    own = [feature.name for feature in FEATURES if feature.family in LIQUIDATION_FAMILIES]
    survivors = table.filter(pl.col("feature").is_in(own), pl.col("p_adjusted") < 0.05)
    assert set(survivors.select("feature", "symbol", "horizon_s", "ic").iter_rows()) == set(seed.survivors)


def test_what_is_in_the_log_is_not_computed_again(work: Path, truth: IcTruth, tmp_path: Path) -> None:
    (path,) = work.iterdir()
    lines = path.read_text(encoding="utf-8").splitlines()
    marked = json.loads(lines[1])
    marked["value"]["tested"] = 123_456
    (tmp_path / path.name).write_text("\n".join([lines[0], json.dumps(marked), *lines[2:]]) + "\n", encoding="utf-8")
    steps = Steps()
    found = measure(tmp_path, 2, progress=steps)
    assert steps.advanced == [2]
    assert found.seeds[0].tested == 123_456
    assert found.seeds[1] == truth.seeds[1]


def test_fewer_seeds_than_the_log_holds_are_the_first_of_them(work: Path, truth: IcTruth) -> None:
    assert measure(work, 1).seeds == truth.seeds[:1]


def test_other_settings_do_not_take_what_was_computed_with_these(work: Path, truth: IcTruth, tmp_path: Path) -> None:
    (path,) = work.iterdir()
    (tmp_path / path.name).write_bytes(path.read_bytes())
    steps = Steps(most=1)
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, len(truth.seeds), IcConfig(**{**asdict(CONFIG), "seed": 1}), steps)
    assert steps.advanced == [0, 1]


@pytest.mark.parametrize(("seeds", "days"), [(0, 1), (1, 0)])
def test_no_seeds_or_no_days_are_refused(seeds: int, days: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 1, got {seeds} and {days}"):
        measure_ic_truth(load_world("null"), seeds, days=days)


def seed_of(number: int, n_survivors: int = 0, ic: float | None = 0.1, p: float | None = 0.001) -> SeedIc:
    """A seed whose relations all have `ic` and `p`."""
    survivors = tuple((f"liq_{place}", "ALL", 10, 0.2) for place in range(n_survivors))
    planted = tuple((relation.feature, relation.horizon_s, ic, p) for relation in PLANTED_RELATIONS)
    return SeedIc(number, 1_000 + number, survivors, planted)


def truth_of(world: str, *seeds: SeedIc) -> IcTruth:
    return IcTruth(world, 9, SYMBOLS, seeds)


@pytest.mark.parametrize(("n_with", "holds"), [(0, True), (10, True), (11, False), (100, False)])
@pytest.mark.parametrize("world", ["null", "random-walk"])
def test_where_there_is_nothing_a_tenth_of_the_seeds_may_hold_a_false_discovery(
    world: str, n_with: int, holds: bool
) -> None:
    truth = truth_of(world, *(seed_of(number, 3 if number < n_with else 0) for number in range(100)))
    assert truth.n_with_survivors == n_with
    failures = check_ic_truth(truth)
    assert (not failures) is holds
    if failures:
        assert failures == (f"a liquidation feature survives in {n_with} of 100 seeds",)


@pytest.mark.parametrize(("n_found", "holds"), [(10, True), (8, True), (7, False), (0, False)])
@pytest.mark.parametrize("world", ["planted", "planted-strong"])
def test_where_it_was_planted_a_relation_must_be_found_in_four_of_five_seeds(
    world: str, n_found: int, holds: bool
) -> None:
    truth = truth_of(world, *(seed_of(number, p=0.001 if number < n_found else 0.05) for number in range(10)))
    failures = check_ic_truth(truth)
    assert (not failures) is holds
    assert len(failures) == (0 if holds else len(PLANTED_RELATIONS))


def test_one_relation_with_the_wrong_sign_is_a_failure_that_names_it() -> None:
    truth = truth_of("planted", *(seed_of(number) for number in range(9)), seed_of(9, ic=-0.1))
    failures = check_ic_truth(truth)
    assert len(failures) == len(PLANTED_RELATIONS)
    assert "liq_imbalance over 10 s is found with its sign in 9 and with the other in 1 of 10 seeds" in failures


def test_a_relation_without_a_number_is_not_found() -> None:
    truth = truth_of("planted", seed_of(0), seed_of(1, ic=None, p=None), seed_of(2, p=None))
    assert {truth.count_found(relation) for relation in PLANTED_RELATIONS} == {(1, 0)}


def test_nothing_is_asked_of_a_world_without_a_known_answer() -> None:
    assert check_ic_truth(truth_of("plan", seed_of(0, 5, ic=-0.1))) == ()


def test_the_share_of_seeds_has_wilsons_interval() -> None:
    truth = truth_of("null", *(seed_of(number, int(number < 5)) for number in range(100)))
    # Wilson (1927) for 5 of 100: 0.0215 to 0.1118.
    assert truth.share_with_survivors() == pytest.approx((0.05, 0.02154, 0.11175), abs=1e-5)


def test_the_text_says_what_was_counted() -> None:
    seeds = (seed_of(0, 3), seed_of(1), seed_of(2, 1, ic=-0.1), seed_of(3, p=0.9))
    lines = render_ic_truth(truth_of("planted", *seeds)).splitlines()
    assert lines[0] == (
        "world planted: 4 seeds of 9 days, 2 symbols, 1,002 coefficients with forward returns tested in each (median)"
    )
    assert "forward return: 2 (50 %, 95 % interval 15 to 85 %), 4 cells in all" in lines[1]
    assert len(lines) == 2 + len(PLANTED_RELATIONS)
    for line, relation in zip(lines[2:], PLANTED_RELATIONS, strict=True):
        sign = "+" if relation.sign > 0 else "-"
        assert line.startswith(f"{relation.feature} with the return over {relation.horizon_s} s (planted sign {sign})")
        assert line.endswith("found with this sign in 2, with the other in 1 seeds")


def test_the_command_prints_and_writes_what_it_measured_and_its_exit_code_says_whether_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "truth.json"
    market = ["--world", WORLD, "--seeds", "1", "--days", "1", "--symbols", "BTCUSDT", "--workers", "1"]
    code = main(["audit", "ic", *market, "--work", str(tmp_path / "work"), "-o", str(output), "--quiet"])
    quiet = capsys.readouterr()
    assert main(["audit", "ic", *market, "--work", str(tmp_path / "work")]) == code
    shown = capsys.readouterr().out.splitlines()
    content = json.loads(output.read_text(encoding="utf-8"))
    assert shown[0].startswith(f"world {WORLD}: 1 seeds of 1 days, 1 symbols, {content['seeds'][0]['tested']:,} ")
    failures = [line for line in shown if line.startswith("does not hold: ")]
    assert quiet.out.splitlines() == failures
    assert quiet.err == ""
    assert code == int(bool(failures))
