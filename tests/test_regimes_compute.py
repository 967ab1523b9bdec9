"""Both regimes against definitions and known truth; nothing at t depends on what comes after t."""

from __future__ import annotations

import dataclasses
import logging
from functools import cache

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from liqlab.core.errors import ConfigError
from liqlab.core.schema import REGIMES, check_frame
from liqlab.regimes import QUIET, VOLATILE, RegimeConfig, RegimeResult, compute_regimes, summarise_regimes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

START_MS = 1_770_595_200_000  # 2026-02-09
MINUTE_MS = 60_000
DAY = 1_440
#: One-minute volatility of the quiet state, and how many times that the volatile one has.
QUIET_STD, RATIO = 3e-4, 4.0


def minutes(n: int, start_ms: int = START_MS) -> IntArray:
    return start_ms + MINUTE_MS * np.arange(n)


def prices_of(volatile: npt.NDArray[np.bool_], seed: int, quiet_std: float = QUIET_STD) -> FloatArray:
    steps = np.random.default_rng(seed).standard_normal(len(volatile)) * np.where(volatile, RATIO, 1.0) * quiet_std
    return 70_000.0 * np.exp(np.cumsum(steps))


@cache
def two_states(days: int, seed: int) -> npt.NDArray[np.bool_]:
    """Six volatile hours in a row each day, from a random minute on: a quarter of the time, as the quantile has it."""
    random = np.random.default_rng([seed, 1])
    volatile = np.zeros(days * DAY, np.bool_)
    for day in range(days):
        first = day * DAY + random.integers(0, DAY - 360)
        volatile[first : first + 360] = True
    return volatile


@cache
def of_two_states(days: int = 6, seed: int = 3) -> RegimeResult:
    return compute_regimes("BTCUSDT", minutes(days * DAY), prices_of(two_states(days, seed), seed))


@cache
def of_constant_volatility() -> RegimeResult:
    return compute_regimes("BTCUSDT", minutes(5 * DAY), prices_of(np.zeros(5 * DAY, np.bool_), 8))


def accuracy(result: RegimeResult, truth: npt.NDArray[np.bool_], column: str) -> float:
    labels = result.table[column]
    known = labels.is_not_null().to_numpy()
    return float(((labels == VOLATILE).to_numpy()[known] == truth[known]).mean())


@pytest.mark.parametrize("seed", [3, 4, 5])
def test_both_methods_find_the_two_states_of_a_simulated_path(seed: int) -> None:
    result, truth = of_two_states(6, seed), two_states(6, seed)
    check_frame(result.table, REGIMES)
    assert accuracy(result, truth, "regime") > 0.9
    assert accuracy(result, truth, "regime_hmm") > 0.9
    summary = summarise_regimes(result)
    assert summary.agreement_frac is not None
    assert summary.agreement_frac > 0.85
    assert summary.worst_refit_agreement_frac is not None
    assert summary.worst_refit_agreement_frac > 0.95


def test_the_fits_recover_the_parameters_of_the_path() -> None:
    fit = of_two_states().fits[-1]
    assert fit.used
    assert fit.means is not None
    assert fit.transitions is not None
    hourly_bps = 1e4 * QUIET_STD * np.sqrt(60.0)
    # ln of a five-return volatility lies 0.11 below the truth on average: (digamma(5/2) + ln(2/5)) / 2.
    assert fit.means[0] == pytest.approx(np.log(hourly_bps) - 0.107, abs=0.05)
    assert fit.means[1] - fit.means[0] == pytest.approx(np.log(RATIO), abs=0.08)
    # The states last 18 and 6 hours: 216 and 72 stretches.
    assert fit.transitions[0][1] == pytest.approx(1 / 216, rel=0.6)
    assert fit.transitions[1][0] == pytest.approx(1 / 72, rel=0.6)
    assert fit.starts_at_best == fit.n_starts == 6
    assert np.sum(fit.transitions, axis=1) == pytest.approx([1.0, 1.0])


def test_states_are_labelled_by_their_mean_at_every_refit() -> None:
    used = [fit for result in (of_two_states(), of_constant_volatility()) for fit in result.fits if fit.used]
    assert len(used) > 6
    for fit in used:
        assert fit.means is not None
        assert fit.means[0] < fit.means[1]


def _gappy(days: int, seed: int) -> FloatArray:
    prices = prices_of(two_states(days, seed), seed).copy()
    random = np.random.default_rng(seed)
    prices[random.integers(0, len(prices), 200)] = np.nan
    prices[2 * DAY + 100 : 2 * DAY + 400] = np.nan
    prices[3 * DAY] = np.inf
    return prices


#: Just after a refit, on one, before one, in a gap, inside a volatile spell, on odd minutes.
CUTS = (1, 61, 400, DAY, DAY + 1, DAY + 7, 2 * DAY, 2 * DAY + 250, 3 * DAY - 1, 3 * DAY, 3 * DAY + 3, 4 * DAY + 777)


@cache
def _full() -> RegimeResult:
    return compute_regimes("BTCUSDT", minutes(5 * DAY), _gappy(5, 3))


@pytest.mark.parametrize("cut", CUTS)
def test_the_table_up_to_a_cut_is_that_of_the_prices_up_to_it_bit_for_bit(cut: int) -> None:
    full, before = _full(), compute_regimes("BTCUSDT", minutes(cut), _gappy(5, 3)[:cut])
    assert_frame_equal(before.table, full.table.head(cut), check_exact=True)
    for column in ("volatility_bps", "threshold_bps", "volatile_probability"):
        bits = [table[column].fill_null(-1.0).to_numpy().view(np.int64) for table in (before.table, full.table)]
        np.testing.assert_array_equal(bits[0], bits[1][:cut])
    assert before.fits == full.fits[: len(before.fits)]
    assert len(before.fits) == sum(fit.time_ms <= START_MS + (cut - 1) * MINUTE_MS for fit in full.fits)


def test_the_prefix_test_looks_at_values_and_not_at_nulls() -> None:
    known = [_full().table[column].is_not_null().mean() for column in ("regime", "regime_hmm", "fitted")]
    assert min(float(str(share)) for share in known) > 0.7


def test_smoothed_probabilities_would_fail_the_prefix_test() -> None:
    """What the filter says right after a change differs from what is said of it once the change is over."""
    from liqlab.stats import filter_states

    densities = np.log([[0.9, 0.1], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    moves = np.array([[0.95, 0.05], [0.05, 0.95]])
    forward = filter_states(densities, [0.5, 0.5], moves)[0]
    backward = np.ones(2)
    for row in (3, 2):
        backward = moves @ (np.exp(densities[row]) * backward)
    smoothed = forward[1] * backward / (forward[1] @ backward)
    assert forward[1, 1] < 0.5 < smoothed[1]


def test_the_same_input_gives_the_same_bits_and_another_seed_other_starts() -> None:
    prices = prices_of(two_states(3, 6), 6)
    first, again = (compute_regimes("A", minutes(3 * DAY), prices) for _ in range(2))
    assert_frame_equal(first.table, again.table, check_exact=True)
    assert first.fits == again.fits
    other = compute_regimes("A", minutes(3 * DAY), prices, RegimeConfig(seed=1, hmm_starts=1))
    assert other.fits[-1].n_starts == 2
    assert other.fits[-1].means == pytest.approx(first.fits[-1].means, abs=0.01)


def _volatility_by_hand(prices: FloatArray, row: int, window: int, step: int, start: int, least: float) -> float | None:
    """The volatility at `row` by the definition, one return at a time; `start` is the grid's first minute number."""
    squares = []
    for end in range(max(0, row - window + 1), row + 1):
        if (start + end) % step or end - step < 0:
            continue
        earlier, later = prices[end - step], prices[end]
        if all(np.isfinite(price) and price > 0 for price in (earlier, later)):
            squares.append((np.log(later) - np.log(earlier)) ** 2)
    if not squares or len(squares) < least * (window // step):
        return None
    return float(1e4 * np.sqrt(sum(squares) / len(squares) * 60 / step))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 59), st.sampled_from([1, 2, 5]), st.sampled_from([0.0, 0.05, 0.3]))
def test_volatility_and_threshold_are_those_of_their_definitions(seed: int, first: int, step: int, gone: float) -> None:
    random = np.random.default_rng(seed)
    prices = 100.0 * np.exp(np.cumsum(random.normal(0, 1e-3, 300)))
    prices[random.random(300) < gone] = random.choice([np.nan, np.inf, 0.0, -1.0])
    config = RegimeConfig(
        volatility_window_s=30 * 60,
        return_step_s=step * 60,
        quantile_window_days=0.25,
        quantile_min_history_hours=1.0,
        min_present_frac=0.7,
    )
    table = compute_regimes("A", minutes(300, START_MS + first * MINUTE_MS), prices, config).table
    expected = [_volatility_by_hand(prices, row, 30, step, first, 0.7) for row in range(300)]
    found = table["volatility_bps"].to_list()
    assert [value is None for value in found] == [value is None for value in expected]
    for row in random.integers(0, 300, 40):
        if found[row] is not None:
            assert found[row] == pytest.approx(expected[row], rel=1e-12)
        history = [value for value in found[max(0, row - 360) : row] if value is not None]
        threshold = float(np.quantile(history, 0.75)) if len(history) >= 60 else None
        assert table["threshold_bps"][int(row)] == threshold
        if found[row] is None or threshold is None:
            assert table["regime"][int(row)] is None
        else:
            assert table["regime"][int(row)] == (VOLATILE if found[row] > threshold else QUIET)


def test_volatility_stays_accurate_after_a_spike_of_a_million_millions() -> None:
    prices = prices_of(np.zeros(400, np.bool_), 5)
    spiked = prices.copy()
    spiked[100] *= 1e12
    tables = [compute_regimes("A", minutes(400), values).table for values in (prices, spiked)]
    clean, after = (table["volatility_bps"].to_numpy()[161:] for table in tables)
    np.testing.assert_allclose(after, clean, rtol=1e-9)


def test_missing_returns_are_scaled_for_and_too_many_give_null() -> None:
    prices = prices_of(np.zeros(200, np.bool_), 2)
    prices[120:126] = np.nan  # seven returns
    table = compute_regimes("A", minutes(200), prices).table
    returns = np.diff(np.log(prices))[150 - 60 : 150]
    present = returns[~np.isnan(returns)]
    assert present.size == 53
    assert table["volatility_bps"][150] == pytest.approx(1e4 * np.sqrt((present**2).sum() * 60 / 53))
    prices[130:137] = np.nan  # eight more: 45 of 60
    assert compute_regimes("A", minutes(200), prices).table["volatility_bps"][150] is None


def test_a_probability_is_carried_for_two_stretches_and_then_null() -> None:
    prices = prices_of(two_states(3, 3), 3).copy()
    gap = 2 * DAY + 600
    prices[gap + 1 :] = np.nan
    table = compute_regimes("A", minutes(3 * DAY), prices).table
    known = table["volatile_probability"].is_not_null().to_numpy()
    assert known[gap - 60 : gap + 11].all()
    assert not known[gap + 11 :].any()
    # Between the last stretch seen and then the chain moves on alone, towards its long-run share.
    probability = table["volatile_probability"].to_numpy()
    assert probability[gap] == probability[gap + 4] != probability[gap + 5]


def test_the_fit_in_use_is_the_last_one_and_lies_in_the_past() -> None:
    result = of_two_states()
    fitted = result.table["fitted"].to_physical().to_numpy().astype(np.float64)
    used = np.array([fit.time_ms for fit in result.fits if fit.used])
    times = minutes(len(fitted))
    expected = [float(used[used <= time].max()) if (used <= time).any() else np.nan for time in times]
    np.testing.assert_array_equal(fitted, expected)
    assert {fit.time_ms % (24 * 3_600_000) for fit in result.fits} == {0}


def test_refit_times_do_not_depend_on_where_the_data_begin() -> None:
    prices = prices_of(two_states(4, 3), 3)
    late = compute_regimes("A", minutes(4 * DAY)[500:], prices[500:])
    assert [fit.time_ms for fit in late.fits] == [START_MS + day * DAY * MINUTE_MS for day in (1, 2, 3)]


def test_one_probability_by_hand() -> None:
    """From the parameters of the record: the filter runs over the fit's own window and on."""
    from liqlab.stats import filter_states

    result = of_two_states()
    fit = result.fits[-1]
    assert fit.means is not None
    assert fit.stds is not None
    assert fit.transitions is not None
    prices = prices_of(two_states(6, 3), 3)
    row = 6 * DAY - 5  # the end of a stretch, a day after the last refit
    squares = np.concatenate([[np.nan], np.diff(np.log(prices)) ** 2])[: row + 1]
    stretches = squares[1:].reshape(-1, 5).sum(axis=1)
    observed = np.log(1e4 * np.sqrt(stretches / 5 * 60))
    spreads = np.array(fit.stds)
    densities = -0.5 * ((observed[:, None] - fit.means) / spreads) ** 2 - np.log(spreads)
    probability = filter_states(densities, [0.5, 0.5], fit.transitions)[0][-1, 1]
    assert result.table["volatile_probability"][row] == pytest.approx(probability, abs=1e-9)


def test_constant_volatility_is_reported_as_states_that_do_not_last() -> None:
    summary = summarise_regimes(of_constant_volatility())
    assert summary.n_fits_used > 0
    assert any("noise, not regimes" in note or "hardly differ" in note for note in summary.notes)
    assert summary.worst_refit_agreement_frac is not None


@pytest.mark.parametrize("scale", [1e-12, 1e-4, 1e6])
def test_the_unit_of_prices_does_not_matter(scale: float) -> None:
    prices = prices_of(two_states(2, 3), 3)
    volatility = [
        compute_regimes("A", minutes(2 * DAY), prices * unit).table["volatility_bps"].drop_nulls().to_numpy()
        for unit in (1.0, scale)
    ]
    np.testing.assert_allclose(volatility[0], volatility[1], rtol=1e-7)


def _bad_prices(case: str) -> FloatArray:
    prices = prices_of(two_states(4, 3), 3).copy()
    n = len(prices)
    cases: dict[str, FloatArray] = {
        "constant prices": np.full(n, 70_000.0),
        "no prices": np.full(n, np.nan),
        "infinite prices": np.full(n, np.inf),
        "negative prices": -prices,
        "some infinite prices": np.where(np.arange(n) % 97 == 0, np.inf, prices),
        "two days": prices[: 2 * DAY],
        "one minute": prices[:1],
        "no minute": prices[:0],
        "gaps longer than the window": np.where((np.arange(n) // 300) % 2 == 0, prices, np.nan),
        "a move in one minute only": np.where(np.arange(n) < DAY + 500, 70_000.0, 71_000.0),
        "two prices in turn": np.where(np.arange(n) % 2 == 0, 70_000.0, 70_007.0),
        "a price grid as coarse as the moves": np.round(prices, -2),
        "a spike": np.where(np.arange(n) == 3 * DAY - 100, prices * 1e9, prices),
        "frozen for two days": np.where(np.arange(n) < 2 * DAY, prices, prices[2 * DAY]),
    }
    return cases[case]


BAD = {
    "constant prices": "the price never moves",
    "no prices": "no volatility is known",
    "infinite prices": "no volatility is known",
    "negative prices": "no volatility is known",
    "some infinite prices": None,
    "two days": None,
    "one minute": "no volatility is known",
    "no minute": "no volatility is known",
    "gaps longer than the window": None,
    "a move in one minute only": "no hidden Markov model",
    "two prices in turn": "volatility is the same in every stretch",
    "a price grid as coarse as the moves": None,
    "a spike": None,
    "frozen for two days": None,
}


@pytest.mark.parametrize("case", BAD)
def test_bad_prices_give_a_note_and_never_a_crash(case: str, caplog: pytest.LogCaptureFixture) -> None:
    prices = _bad_prices(case)
    with caplog.at_level(logging.DEBUG):
        result = compute_regimes("A", minutes(len(prices)), prices)
    assert caplog.records == []
    assert result.table.height == len(prices)
    for column in ("volatility_bps", "threshold_bps", "volatile_probability"):
        assert result.table[column].drop_nulls().is_finite().all()
    summary = summarise_regimes(result)
    expected = BAD[case]
    if expected is not None:
        assert any(expected in note for note in summary.notes), summary.notes
    else:
        assert summary.known_frac is not None
        assert summary.known_frac > 0.0
        assert summary.n_fits_used > 0 or any("no hidden Markov model" in note for note in summary.notes)


def test_a_regime_that_never_occurs_is_noted() -> None:
    shrinking = np.exp(np.cumsum(np.tile([1.0, -1.0], 2 * DAY) * 1e-3 * np.exp(-np.arange(4 * DAY) / 1e4)))
    summary = summarise_regimes(compute_regimes("A", minutes(4 * DAY), shrinking))
    assert summary.volatile_frac == 0.0
    assert any(note == "the volatile regime never occurs (trailing quantile)" for note in summary.notes)


def test_a_refused_fit_leaves_the_one_before_in_use() -> None:
    prices = prices_of(two_states(4, 3), 3).copy()
    prices[2 * DAY :] = np.nan
    config = RegimeConfig(hmm_window_days=1.0)
    result = compute_regimes("A", minutes(4 * DAY), prices, config)
    assert [fit.used for fit in result.fits] == [False, True, True, False]
    refused, last_used = result.fits[3], result.fits[2]
    assert refused.means is None
    assert "needed" in refused.note
    assert refused.n < 5
    assert result.table["fitted"].to_physical()[-1] == last_used.time_ms
    assert any("1 of 4 refits refused" in note for note in summarise_regimes(result).notes)


@pytest.mark.parametrize(
    ("interval_ms", "return_s", "hmm_s"),
    [
        (None, 60, 300),
        (5_000, 60, 300),
        (60_400, 60, 300),
        (64_000, 120, 360),
        (300_040, 300, 900),
        (600_000, 600, 1_800),
    ],
)
def test_a_slow_ticker_raises_the_steps(interval_ms: int | None, return_s: int, hmm_s: int) -> None:
    prices = prices_of(two_states(3, 3), 3)
    every = return_s // 60
    known = np.repeat(prices[::every], every)[: len(prices)]
    result = compute_regimes("A", minutes(3 * DAY), known, ticker_interval_ms=interval_ms)
    assert (result.return_step_s, result.hmm_step_s) == (return_s, hmm_s)
    assert result.table["regime"].is_not_null().sum() > DAY
    if return_s > 60:
        assert f"returns of {return_s} s instead of 60 s" in result.reason
        assert summarise_regimes(result).notes[0] == result.reason
    else:
        assert result.reason == ""


def test_a_ticker_slower_than_a_sixth_of_the_window_gives_no_regime_and_says_why() -> None:
    prices = prices_of(two_states(3, 3), 3)
    result = compute_regimes("A", minutes(3 * DAY), prices, ticker_interval_ms=660_000)
    assert result.reason == (
        "prices come every 660 s: returns over 660 s are too coarse for a volatility over 3600 s: no regime"
    )
    check_frame(result.table, REGIMES)
    assert result.table.height == 3 * DAY
    assert all(result.table[column].null_count() == 3 * DAY for column in REGIMES.names[2:])
    assert result.fits == ()
    assert summarise_regimes(result).notes[0] == result.reason


@pytest.mark.parametrize(
    "times",
    [minutes(5) + 1, minutes(5)[::-1], minutes(10)[::2], np.repeat(minutes(1), 5)],
    ids=["not on the minute", "backwards", "with holes", "twice the same"],
)
def test_a_grid_that_is_not_of_consecutive_minutes_is_an_error(times: IntArray) -> None:
    with pytest.raises(ValueError, match="consecutive whole minutes"):
        compute_regimes("A", times, np.ones(5))


def test_unlike_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match="alike"):
        compute_regimes("A", minutes(5), np.ones(4))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"quantile": 1.0}, r"RegimeConfig.quantile must lie in \[0.5, 0.99\], got 1.0"),
        ({"return_step_s": 90}, "RegimeConfig.return_step_s must be whole minutes in seconds, got 90"),
        ({"hmm_window_days": 0.5}, r"hmm_min_history_hours must be at most hmm_window_days \(12 h\), got 24.0"),
        ({"quantile_min_history_hours": 73.0}, r"must be at most quantile_window_days \(72 h\), got 73.0"),
    ],
)
def test_a_configuration_out_of_range_says_what_is_allowed(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RegimeConfig(**values)  # type: ignore[arg-type]


def test_the_configuration_names_a_unit_in_each_field_that_has_one() -> None:
    unitless = {"quantile", "hmm_starts", "seed"}
    for field in dataclasses.fields(RegimeConfig):
        assert field.name in unitless or field.name.endswith(("_s", "_days", "_hours", "_frac")), field.name


def test_columns_are_those_of_the_schema_in_order() -> None:
    table = of_two_states().table
    assert table.columns == REGIMES.names
    assert table.schema == pl.Schema(REGIMES.dtypes)
