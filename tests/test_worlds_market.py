"""The simulated market as the captures show it: sides, prices, sizes, delays, layout."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liqlab.core.errors import EnvironmentFailure, UserError
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, parse_time
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, SimulationSummary, simulate

BUSY_DAY_MS = parse_time("2026-02-09")

LIQUIDATION_KEYS = ["ts", "exchange", "source", "stream", "symbol", "result"]
REST_KEYS = ["ts", "source", "stream", "symbol", "result"]
STATE_KEYS = {
    *("symbol", "lastPrice", "markPrice", "indexPrice", "openInterest", "openInterestValue", "fundingRate"),
    *("nextFundingTime", "fundingIntervalHour", "bid1Price", "ask1Price", "bid1Size", "ask1Size"),
    *("volume24h", "turnover24h"),
}


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="ascii") as file:
        return [json.loads(line) for line in file]


@cache
def read_stream(folder: Path, prefix: str) -> list[dict[str, Any]]:
    return [line for path in sorted(folder.glob(f"{prefix}_*.jsonl.gz")) for line in read_lines(path)]


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulationSummary]:
    output = tmp_path_factory.mktemp("worlds") / "busy"
    return output, simulate(output, days=2, seed=1, symbols=["BTCUSDT", "DOGEUSDT"], workers=1)


@pytest.fixture(scope="module")
def btc_liquidations(busy: tuple[Path, SimulationSummary]) -> list[dict[str, Any]]:
    return read_stream(busy[0] / "BTCUSDT", "liquidation")


def test_every_file_stands_in_its_symbol_folder_and_has_a_planned_name(busy: tuple[Path, SimulationSummary]) -> None:
    output, summary = busy
    files = list(output.rglob("*.jsonl.gz"))
    assert len(files) == summary.files
    assert sum(path.stat().st_size for path in files) == summary.bytes_written
    assert {path.parent.name for path in files} == {"BTCUSDT", "DOGEUSDT"}
    assert (output / "BTCUSDT" / "liquidation_2026-02-09_15.jsonl.gz").exists()
    assert (output / "BTCUSDT" / "ticker_2026-02-10_hr23.jsonl.gz").exists()
    assert (output / "DOGEUSDT" / "longshort_ratio_2026-02-09_to_2026-02-10.jsonl.gz").exists()


def test_lines_have_exactly_the_keys_of_the_recorder(busy: tuple[Path, SimulationSummary]) -> None:
    folder = busy[0] / "DOGEUSDT"
    for line in read_stream(folder, "liquidation"):
        assert list(line) == LIQUIDATION_KEYS
        assert (line["exchange"], line["source"], line["stream"]) == ("bybit", "ws", "liquidation")
        assert list(line["result"]) == ["ts", "data"]
        assert all(list(entry) == ["T", "s", "S", "v", "p"] for entry in line["result"]["data"])
    for line in read_stream(folder, "ticker"):
        assert list(line) == REST_KEYS
        (state,) = line["result"]["list"]
        assert set(state) == STATE_KEYS
    for line in read_stream(folder, "longshort_ratio"):
        assert list(line) == ["symbol", "buyRatio", "sellRatio", "timestamp", "stream"]
        assert float(line["buyRatio"]) + float(line["sellRatio"]) == pytest.approx(1.0)


def test_the_summary_counts_what_the_files_hold(busy: tuple[Path, SimulationSummary]) -> None:
    output, summary = busy
    messages = [line for symbol in summary.symbols for line in read_stream(output / symbol, "liquidation")]
    assert len(messages) == summary.liquidation_messages
    assert sum(len(line["result"]["data"]) for line in messages) == summary.liquidations
    tickers = [read_stream(output / symbol, "ticker") for symbol in summary.symbols]
    assert [len(lines) for lines in tickers] == [2 * MS_PER_DAY // 5_000] * 2
    assert summary.ticker_rows == 2 * 2 * MS_PER_DAY // 5_000
    assert summary.ratio_rows == sum(len(read_stream(output / symbol, "longshort")) for symbol in summary.symbols) == 96
    assert summary.start_ms == DEFAULT_START_MS
    assert summary.end_ms == DEFAULT_START_MS + 2 * MS_PER_DAY


def test_a_file_holds_the_lines_of_its_hour_in_order(busy: tuple[Path, SimulationSummary]) -> None:
    for path in (busy[0] / "BTCUSDT").glob("[lt]i*_2026-02-*.jsonl.gz"):
        day, hour = path.name.removesuffix(".jsonl.gz").split("_")[1:]
        start = parse_time(f"{day}T{hour.removeprefix('hr')}:00")
        known = [line["ts"] for line in read_lines(path)]
        assert known == sorted(known)
        assert start <= known[0] <= known[-1] < start + MS_PER_HOUR


def test_a_silent_hour_has_no_file(busy: tuple[Path, SimulationSummary]) -> None:
    paths = list((busy[0] / "DOGEUSDT").glob("liquidation_*"))
    assert 0 < len(paths) < 48
    assert all(read_lines(path) for path in paths)


def test_pushes_lie_on_a_grid_of_half_seconds_and_hold_what_happened_since_the_last(
    btc_liquidations: list[dict[str, Any]],
) -> None:
    for line in btc_liquidations:
        push = line["result"]["ts"]
        assert push % 500 == 0
        assert all(push - 500 <= entry["T"] < push for entry in line["result"]["data"])
    pushes = [line["result"]["ts"] for line in btc_liquidations]
    assert len(set(pushes)) == len(pushes)
    assert max(len(line["result"]["data"]) for line in btc_liquidations) > 1


def test_delivery_takes_about_as_long_as_published(btc_liquidations: list[dict[str, Any]]) -> None:
    pairs = [(line, entry) for line in btc_liquidations for entry in line["result"]["data"]]
    assert len(pairs) > 2_000
    to_push = [line["result"]["ts"] - entry["T"] for line, entry in pairs]
    to_capture = [line["ts"] - entry["T"] for line, entry in pairs]
    assert np.percentile(to_push, [50, 99]) == pytest.approx([250, 497], abs=25)
    assert np.percentile(to_capture, [50, 90, 99]) == pytest.approx([303, 505, 588], abs=30)
    assert np.percentile(to_capture, 1) == pytest.approx(30, abs=15)


def mark_prices(lines: list[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    times = np.array([line["ts"] for line in lines])
    return times, np.array([float(line["result"]["list"][0]["markPrice"]) for line in lines])


@pytest.mark.parametrize("symbol", ["BTCUSDT", "DOGEUSDT"])
def test_longs_are_liquidated_after_a_fall_and_shorts_after_a_rise(
    busy: tuple[Path, SimulationSummary], symbol: str
) -> None:
    folder = busy[0] / symbol
    times, prices = mark_prices(read_stream(folder, "ticker"))
    moves = defaultdict(list)
    for line in read_stream(folder, "liquidation"):
        for entry in line["result"]["data"]:
            before, after = np.searchsorted(times, [entry["T"] - 60_000, entry["T"]])
            moves[entry["S"]].append(np.log(prices[max(after - 1, 0)] / prices[max(before - 1, 0)]))
    assert np.mean(moves["Buy"]) < -2e-4
    assert np.mean(moves["Sell"]) > 2e-4


def test_a_liquidation_carries_its_bankruptcy_price_below_the_market_for_longs_and_above_for_shorts(
    busy: tuple[Path, SimulationSummary], btc_liquidations: list[dict[str, Any]]
) -> None:
    times, prices = mark_prices(read_stream(busy[0] / "BTCUSDT", "ticker"))
    for line in btc_liquidations:
        for entry in line["result"]["data"]:
            market = prices[max(np.searchsorted(times, entry["T"]) - 1, 0)]
            distance = float(entry["p"]) / market - 1.0
            assert distance * (-1 if entry["S"] == "Buy" else 1) > 0
            assert abs(distance) < 0.02


def test_liquidations_come_in_bursts_with_heavy_tailed_sizes(btc_liquidations: list[dict[str, Any]]) -> None:
    entries = [entry for line in btc_liquidations for entry in line["result"]["data"]]
    gaps = np.diff(sorted(entry["T"] for entry in entries))
    assert np.mean(gaps < 1_000) > 0.6
    assert np.mean(gaps) > 20 * np.median(gaps)
    sizes = [float(entry["v"]) * float(entry["p"]) for entry in entries]
    median, high = np.quantile(sizes, [0.5, 0.95])
    assert 600 < median < 1_400
    assert high > 15 * median
    assert all(float(entry["v"]) > 0 for entry in entries)


def test_open_interest_is_published_double_sided_and_funding_points_ahead(
    busy: tuple[Path, SimulationSummary],
) -> None:
    lines = read_stream(busy[0] / "BTCUSDT", "ticker")
    for line in lines[:: len(lines) // 500]:
        (state,) = line["result"]["list"]
        number = {key: float(value) for key, value in state.items() if key != "symbol"}
        assert 1.5 * 29_946 < number["openInterest"] < 2.5 * 29_946
        assert number["openInterestValue"] == pytest.approx(number["openInterest"] * number["markPrice"], rel=1e-6)
        assert number["bid1Price"] < number["ask1Price"]
        assert min(number["bid1Size"], number["ask1Size"], number["volume24h"], number["turnover24h"]) > 0
        assert number["nextFundingTime"] % (8 * MS_PER_HOUR) == 0
        assert 0 < number["nextFundingTime"] - line["ts"] <= 8 * MS_PER_HOUR


def test_minute_returns_of_two_symbols_share_a_factor_and_are_not_autocorrelated(
    busy: tuple[Path, SimulationSummary],
) -> None:
    returns = []
    for symbol in ("BTCUSDT", "DOGEUSDT"):
        _times, prices = mark_prices(read_stream(busy[0] / symbol, "ticker"))
        returns.append(np.diff(np.log(prices[::12])))
    assert 0.5 < np.corrcoef(returns)[0, 1] < 0.95
    for series in returns:
        standard_error = np.sqrt(np.mean(series[1:] ** 2 * series[:-1] ** 2) / len(series)) / np.var(series)
        assert abs(np.corrcoef(series[1:], series[:-1])[0, 1]) < 4 * standard_error


def test_the_price_goes_on_at_midnight_where_it_stood(busy: tuple[Path, SimulationSummary]) -> None:
    times, prices = mark_prices(read_stream(busy[0] / "BTCUSDT", "ticker"))
    midnight = int(np.searchsorted(times, BUSY_DAY_MS + MS_PER_DAY))
    moves = np.abs(np.diff(np.log(prices)))
    assert moves[midnight - 1] < np.quantile(moves, 0.999)


def file_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_workers(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"days": 0.3, "seed": 3, "start_ms": BUSY_DAY_MS + 20 * MS_PER_HOUR, "dirt": True}
    simulate(tmp_path / "one", symbols=["BTCUSDT", "XRPUSDT"], workers=1, **settings)
    simulate(tmp_path / "two", symbols=["XRPUSDT", "BTCUSDT", "XRPUSDT"], workers=2, **settings)
    one, two = file_bytes(tmp_path / "one"), file_bytes(tmp_path / "two")
    assert len(one) > 10
    assert one == two


def test_another_seed_gives_another_market(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(tmp_path / str(seed), days=0.02, seed=seed, symbols=["BTCUSDT"], workers=1)
    name = "BTCUSDT/ticker_2026-02-09_hr00.jsonl.gz"
    assert (tmp_path / "1" / name).read_bytes() != (tmp_path / "2" / name).read_bytes()


def test_a_longer_simulation_begins_with_the_shorter_one(tmp_path: Path) -> None:
    simulate(tmp_path / "short", days=1, symbols=["SOLUSDT"], workers=1)
    simulate(tmp_path / "long", days=1.5, symbols=["SOLUSDT"], workers=1)
    short, longer = file_bytes(tmp_path / "short"), file_bytes(tmp_path / "long")
    shared = [name for name in short if name.endswith(".jsonl.gz") and "longshort" not in name]
    assert shared
    assert all(short[name] == longer[name] for name in shared)


def test_an_unknown_symbol_is_simulated_with_generic_dials(tmp_path: Path) -> None:
    summary = simulate(tmp_path / "out", days=0.05, symbols=["1000PEPEUSDT"], workers=1)
    assert summary.ticker_rows == 864
    assert len(read_stream(tmp_path / "out" / "1000PEPEUSDT", "ticker")) == 864


def test_the_default_symbols_are_those_of_the_plan() -> None:
    assert DEFAULT_SYMBOLS == ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")


@pytest.mark.parametrize("symbol", ["../../etc", "btcusdt", "", "BTC-USDT", "BTCUSDT\n"])
def test_a_malformed_symbol_is_refused_and_nothing_is_made(tmp_path: Path, symbol: str) -> None:
    with pytest.raises(UserError, match="symbol"):
        simulate(tmp_path / "out", days=0.01, symbols=[symbol], workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"days": 0}, {"days": -1}, {"days": float("nan")}, {"seed": -1}, {"ticker": "fix"}, {"start_ms": 1_770_595_200}],
)
def test_an_argument_out_of_range_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        simulate(tmp_path / "out", workers=1, **wrong)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match=r"not empty.*mine\.txt"):
        simulate(tmp_path, days=0.01, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_way_is_the_users_mistake(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    for output in (tmp_path / "out", tmp_path / "out" / "below"):
        with pytest.raises(UserError, match="file is in the way"):
            simulate(output, days=0.01, workers=1)


def test_a_place_that_cannot_be_written_is_a_failure_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_settings: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(EnvironmentFailure, match=r"cannot make the folder .*out: Permission denied"):
        simulate(tmp_path / "out", days=0.01, workers=1)


def test_progress_reports_every_day_of_every_symbol(tmp_path: Path) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.total, self.done, self.finished = 0, 0, False

        def start(self, stage: str, total: int) -> None:
            assert stage == "simulate"
            self.total = total

        def advance(self, steps: int = 1) -> None:
            self.done += steps

        def finish(self, note: str = "") -> None:
            assert note == ""
            self.finished = True

    progress = Recorder()
    start_ms = BUSY_DAY_MS + 23 * MS_PER_HOUR
    simulate(
        tmp_path / "out", days=0.1, symbols=["BTCUSDT", "ETHUSDT"], start_ms=start_ms, workers=1, progress=progress
    )
    assert progress.done == progress.total == 2 * 2 + 2
    assert progress.finished
