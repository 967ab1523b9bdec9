"""Question 5: targets and fits against slow ones, no look-ahead, information found where it is, and bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from evidence_of import evidence_of
from hypothesis import given
from hypothesis import strategies as st

from liqlab.core.schema import check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE
from liqlab.study._evidence import Evidence
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._protocol import Finding
from liqlab.study._q5_volatility import answer_q5, measure_gain
from liqlab.study._q5_volatility_alarms import REACH_MIN, is_followed, list_turns, raise_alarms
from liqlab.study._q5_volatility_forecasts import Design, forecast_days
from liqlab.study._q5_volatility_published import measure_published_lead
from liqlab.study._q5_volatility_rows import HAR_MIN, VolatilityRows, list_volatility
from liqlab.study._q5_volatility_scores import lose_qlike
from liqlab.study._q5_volatility_tables import COMPARISONS, FORECASTS, LEAD, PUBLISHED, TRANSITIONS

Floats = npt.NDArray[np.float64]
Frames = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]
FAST = QuestionConfig(n_resamples=999)
IDS = ["Q5.1", "Q5.2", "Q5.3", "Q5.4"]
PAIR = ("BTCUSDT", "SOLUSDT")


@pytest.fixture(scope="module")
def null() -> Evidence:
    return evidence_of("null", days=5, symbols=PAIR)


@pytest.fixture(scope="module")
def rows(null: Evidence) -> VolatilityRows:
    return list_volatility(null, PAIR)


@pytest.fixture(scope="module")
def answer(null: Evidence) -> Answer:
    return answer_q5(null, FAST)


def by_id(answer: Answer) -> dict[str, Finding]:
    assert [finding.id for finding in answer.findings] == IDS
    return {finding.id: finding for finding in answer.findings}


def price_design(rows: VolatilityRows) -> Design:
    return Design.of(rows, {"price": rows.price, "rates": rows.rates})


def test_the_target_is_the_variance_from_the_first_price_at_or_after_each_step(
    null: Evidence, rows: VolatilityRows
) -> None:
    btc = null.symbols["BTCUSDT"]
    for minute in (10, 700, 5_000):
        moments = rows.times_ms[minute] + 15_000 * np.arange(15 * 4 + 1)
        prices = [btc.prices.price[btc.prices.known_ms >= moment][0] for moment in moments]
        variance = float(np.sum((1e4 * np.diff(np.log(prices))) ** 2))
        assert rows.target[0, minute, 1] == pytest.approx(np.log(variance / 15))


def test_what_prices_tell_is_made_of_prices_known_at_the_minute(null: Evidence, rows: VolatilityRows) -> None:
    sol, minute = null.symbols["SOLUSDT"], 3_000
    row = int(np.flatnonzero(sol.times_ms == rows.times_ms[minute])[0])
    prices = sol.price[row - 3 * np.arange(60 * 4, -1, -1)]
    variance = float(np.sum((1e4 * np.diff(np.log(prices))) ** 2))
    assert rows.price[1, minute, HAR_MIN.index(60)] == pytest.approx(np.log(variance / 60))


def test_the_rates_are_those_of_the_liquidations_known_in_the_window(null: Evidence, rows: VolatilityRows) -> None:
    liquidations = null.symbols["BTCUSDT"].liquidations
    known = liquidations["known_time"].to_physical().to_numpy()
    for minute in (400, 3_210):
        time = rows.times_ms[minute]
        inside = (known > time - 15 * MS_PER_MINUTE) & (known <= time)
        usd = float(liquidations["notional_usd"].to_numpy()[inside].sum())
        assert rows.rates[0, minute, 1] == pytest.approx(np.log1p(inside.sum() / 15))
        assert rows.rates[0, minute, 5] == pytest.approx(np.log1p(usd / 15e3))


def test_what_was_known_and_forecast_does_not_change_when_the_future_is_cut_off(
    null: Evidence, rows: VolatilityRows
) -> None:
    cut = null.start_ms + 4 * MS_PER_DAY - 5 * MS_PER_HOUR

    def before(*frames: pl.DataFrame) -> Frames:
        early = [frame.filter(pl.col("known_time").to_physical() < cut) for frame in frames]
        return early[0], early[1], early[2]

    short = list_volatility(evidence_of("null", days=5, symbols=PAIR, change=before), PAIR)
    n = int((short.times_ms < cut).sum())
    for name in ("price", "rates", "state", "level", "events_per_min"):
        np.testing.assert_allclose(getattr(short, name)[:, :n], getattr(rows, name)[:, :n], err_msg=name)
    forecasts = []
    for one in (short, rows):
        design = price_design(one)
        found = forecast_days(one, design, one.target[:, :, 1], 15, {"both": design.columns("price", "rates")})["both"]
        forecasts.append((found.of_mean[:, :n], raise_alarms(one, design, found)))
    np.testing.assert_allclose(forecasts[0][0], forecasts[1][0])
    assert np.isfinite(forecasts[0][0]).any()
    leads = [alarm.lead_min[alarm.times_ms < cut] for _, alarm in forecasts]
    assert leads[0].size == leads[1].size > 0
    np.testing.assert_array_equal(*leads)


def test_a_fit_is_least_squares_on_the_minutes_whose_target_was_known_at_midnight(rows: VolatilityRows) -> None:
    design, target = price_design(rows), rows.target[:, :, 2]
    found = forecast_days(rows, design, target, 60, {"price": design.columns("price")})["price"]
    midnight = (rows.times_ms[0] // MS_PER_DAY + 3) * MS_PER_DAY
    x = design.values[:, :, list(found.columns)]
    known = np.isfinite(target) & np.isfinite(design.values).all(axis=2)
    known &= rows.times_ms + 61 * MS_PER_MINUTE <= midnight
    coefficients = np.linalg.lstsq(x[known], target[known], rcond=None)[0]
    today = (rows.times_ms > midnight) & (rows.times_ms <= midnight + MS_PER_DAY)
    np.testing.assert_allclose(found.values[:, today], x[:, today] @ coefficients, rtol=1e-4)
    residuals = target[known] - x[known] @ coefficients
    assert found.smear[3] == pytest.approx(np.exp(residuals).mean(), rel=1e-4)
    assert np.isnan(found.values[:, rows.times_ms <= midnight - 2 * MS_PER_DAY]).all()


def test_no_fit_from_less_than_a_day_and_a_half(rows: VolatilityRows) -> None:
    design = price_design(rows)
    found = forecast_days(rows, design, rows.target[:, :, 0], 5, {"price": design.columns("price")})["price"]
    assert np.isnan(found.smear).tolist() == [True, True, False, False, False]


def test_a_column_without_values_does_no_harm(rows: VolatilityRows) -> None:
    nothing = Design.of(rows, {"price": rows.price, "rates": np.zeros((*rows.price.shape[:2], 2))})
    target = rows.target[:, :, 1]
    found = forecast_days(
        rows, nothing, target, 15, {"price": nothing.columns("price"), "both": nothing.columns("price", "rates")}
    )
    np.testing.assert_allclose(found["both"].values, found["price"].values, atol=1e-6)


def synthetic(information: float, seed: int) -> VolatilityRows:
    """Nine days of one symbol: log variance is an autoregression, plus what the rates say of the quarter to come."""
    random = np.random.default_rng(seed)
    n = 9 * 1_440
    rate = np.repeat(random.normal(size=n // 15), 15)
    state = np.convolve(random.normal(size=n), 0.97 ** np.arange(200), mode="full")[:n] * 0.1
    target = 2.0 + state + information * rate + random.normal(0.0, 0.4, n)
    price = np.column_stack([state, random.normal(size=n)])
    times = np.arange(1, n + 1, dtype=np.int64) * MS_PER_MINUTE
    regime = (np.arange(n) // 120 % 2).astype(np.int8)
    column = state[None, :, None]
    return VolatilityRows(
        symbols=("AAAUSDT",),
        times_ms=times,
        target=np.repeat(target[None, :, None], 3, axis=2),
        price=price[None],
        rates=np.column_stack([rate, random.normal(size=(n, 5))])[None],
        atr=column,
        width=column,
        state=np.repeat(column, 4, axis=2),
        level=np.zeros((1, n)),
        events_per_min=np.ones((1, n)),
        regime=regime[None],
    )


def gain_of(one: VolatilityRows, loss: str) -> tuple[float, float]:
    """What liquidations are worth, and what they save as fitted, as shares of the price-only loss."""
    design, target = price_design(one), one.target[:, :, 1]
    models = {"price": design.columns("price"), "both": design.columns("price", "rates")}
    found = forecast_days(one, design, target, 15, models)
    worth, own, saved = measure_gain(target, found["price"], found["both"], loss)
    known = np.isfinite(worth)
    return worth[known].sum() / own[known].sum(), saved[known].sum() / own[known].sum()


@pytest.mark.parametrize("loss", ["QLIKE", "squared error"])
def test_what_liquidations_are_worth_is_what_they_save_where_they_tell_much(loss: str) -> None:
    worth, saved = gain_of(synthetic(0.3, seed=1), loss)
    share = 0.3**2 / (0.3**2 + 0.4**2)
    assert worth == pytest.approx(share, abs=0.08)
    assert worth == pytest.approx(saved, abs=0.06)


@pytest.mark.parametrize("loss", ["QLIKE", "squared error"])
def test_useless_rates_are_worth_nothing_although_fitting_them_costs(loss: str) -> None:
    pairs = np.array([gain_of(synthetic(0.0, seed), loss) for seed in range(12)])
    worth, saved = pairs.mean(axis=0)
    assert abs(worth) < 4.0 * pairs[:, 0].std() / np.sqrt(12)
    assert saved < 0.0
    assert (pairs[:, 1] < pairs[:, 0]).all()


@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_qlike_is_zero_for_a_perfect_forecast_and_never_negative(target: float, forecast: float) -> None:
    loss = float(lose_qlike(np.array(target), np.array(forecast)))
    assert loss >= 0.0
    assert float(lose_qlike(np.array(target), np.array(target))) == 0.0


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60), st.integers(1, 9))
def test_turns_and_what_they_follow_are_those_of_a_slow_search(regime: list[int], reach: int) -> None:
    up, down = list_turns(np.array(regime, dtype=np.int64))
    slow: dict[int, list[int]] = {0: [], 1: []}
    last = None
    for minute, state in enumerate(regime):
        if state >= 0:
            if last is not None and state != last:
                slow[1 - state].append(minute)
            last = state
    assert (up.tolist(), down.tolist()) == (slow[0], slow[1])
    followed = is_followed(up, len(regime), reach)
    assert followed.tolist() == [any(t < turn <= t + reach for turn in slow[0]) for t in range(len(regime))]


def test_alarms_lead_at_most_half_an_hour_and_are_as_rare_as_asked_for(rows: VolatilityRows) -> None:
    design = price_design(rows)
    found = forecast_days(rows, design, rows.target[:, :, 1], 15, {"price": design.columns("price")})["price"]
    alarms = raise_alarms(rows, design, found)
    assert alarms.lead_min.size > 5
    assert alarms.lead_min.min() >= 0.0
    assert alarms.lead_min.max() <= REACH_MIN
    assert 0.0 < alarms.recall <= 1.0
    assert 0.0 < alarms.false_per_6h < 3.0


def test_the_published_test_passes_where_liquidations_cause_nothing_and_ours_does_not(
    rows: VolatilityRows, answer: Answer
) -> None:
    """`null`: past prices cause liquidations, and that is all."""
    table = measure_published_lead(rows).filter(pl.col("moments") == "transitions")
    shares = dict(table.select("sign", "led_frac").rows())
    assert shares["liquidations"] > 0.85
    assert shares["price moves"] > 0.6
    ours = by_id(answer)["Q5.2"]
    assert (ours.p or 0.0) > 0.01
    assert any("97 %" in note or "passes wherever" in note for note in answer.notes)


def test_where_liquidations_cause_nothing_nothing_is_certain(answer: Answer) -> None:
    for finding in by_id(answer).values():
        assert (finding.p or 0.0) > 0.01


def test_every_hypothesis_is_answered_and_every_table_is_as_declared(answer: Answer) -> None:
    found = by_id(answer)
    assert all(finding.effect is not None and np.isfinite(finding.effect) for finding in found.values())
    assert not found["Q5.1"].shortfall
    assert "as fitted" in found["Q5.1"].note
    for table in (FORECASTS, COMPARISONS, TRANSITIONS, LEAD, PUBLISHED):
        assert check_frame(answer.tables[table.name], table).height > 0


def test_the_same_seed_gives_the_same_answer(null: Evidence, answer: Answer) -> None:
    assert answer_q5(null, FAST).findings == answer.findings


def test_forecasts_beat_the_past_mean_and_liquidations_alone_do_not_beat_prices(answer: Answer) -> None:
    table = answer.tables[FORECASTS.name].filter((pl.col("symbol") == "ALL") & (pl.col("horizon_min") == 15))
    r2 = dict(table.select("model", "r2").rows())
    assert r2["price only"] > 0.3
    assert r2["price only"] > r2["liquidations alone"]


def without_ticker(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.clear(), ratio


def slow_ticker(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations, ticker.gather_every(24), ratio


def almost_no_liquidations(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    return liquidations.head(3), ticker, ratio


def with_a_gap(liquidations: pl.DataFrame, ticker: pl.DataFrame, ratio: pl.DataFrame) -> Frames:
    start = ticker["known_time"].min()
    inside = pl.col("known_time").is_between(start + pl.duration(hours=60), start + pl.duration(hours=68))
    return liquidations.filter(~inside), ticker.filter(~inside), ratio


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (without_ticker, dict.fromkeys(IDS, "no ticker")),
        (slow_ticker, dict.fromkeys(IDS, "a ticker at least every 60 s")),
        (almost_no_liquidations, {"Q5.1": "20 blocks of time with events", "Q5.4": "20 blocks of time with events"}),
        (with_a_gap, {}),
    ],
)
def test_bad_input_is_answered_with_the_reason(change: Callable[..., Frames], missing: dict[str, str]) -> None:
    found = by_id(answer_q5(evidence_of("null", days=5, symbols=PAIR, change=change), FAST))
    for identifier, words in missing.items():
        assert words in found[identifier].shortfall
    if not missing:
        assert found["Q5.1"].effect is not None
        assert np.isfinite(found["Q5.1"].effect)


def test_too_few_days_say_so() -> None:
    found = by_id(answer_q5(evidence_of("null", days=0.5, symbols=("BTCUSDT",)), FAST))
    assert all("needs 3 days of forecasts out of sample, found 0" in one.shortfall for one in found.values())


def test_without_any_symbol_everything_is_untested() -> None:
    answer = answer_q5(Evidence({}, 0, MS_PER_DAY), FAST)
    assert all(found.shortfall for found in answer.findings)
    assert set(answer.tables) == {table.name for table in (FORECASTS, COMPARISONS, TRANSITIONS, LEAD, PUBLISHED)}
