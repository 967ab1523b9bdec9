"""The predictive analysis in text files: what stands on the page is what stands in the tables."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import polars as pl
import pytest

from liqlab.core.schema import IC, LABEL_HORIZONS_S, VOLATILITY_HORIZONS_S
from liqlab.report._dictionary_text import render_feature_dictionary
from liqlab.report._ic_text import render_ic

FAMILIES = {
    **dict.fromkeys(
        (
            "liq_volume_1s",
            "liq_volume_5s",
            "liq_volume_1m",
            "liq_buy_volume",
            "liq_sell_volume",
            "liq_imbalance",
            "liq_rate",
            "liq_cascade_flag",
            "liq_cascade_size",
            *(
                f"liq_{what}_{window}"
                for what in ("volume_mean", "volume_std", "volume_max", "imbalance", "imbalance_zscore", "rate_zscore")
                for window in ("5m", "15m", "1h")
            ),
        ),
        "liquidation",
    ),
    **dict.fromkeys(("liq_btc_lead", "liq_correlation_5m"), "cross-asset"),
    **dict.fromkeys(
        ("open_interest_velocity", "open_interest_acceleration", "organic_open_interest_change"), "open interest"
    ),
    **dict.fromkeys(("funding_rate", "funding_rate_change", "basis_bps"), "funding"),
    **dict.fromkeys(("long_short_ratio", "long_short_ratio_change"), "long/short ratio"),
    **dict.fromkeys(("atr_bps", "bollinger_width", "realised_volatility_1h", "trailing_return_5m"), "price"),
}
TARGETS = [("return", horizon) for horizon in LABEL_HORIZONS_S] + [
    ("volatility", horizon) for horizon in VOLATILITY_HORIZONS_S
]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
#: 2026-02-09, in days since 1970-01-01.
FIRST_DAY = 20_493


def make_ic(
    families: dict[str, str] = FAMILIES,
    symbols: tuple[str, ...] = SYMBOLS,
    effect: float = 0.03,
    missing: float = 0.0,
    seed: int = 0,
    regimes: tuple[str, ...] = ("all", "quiet", "volatile"),
) -> pl.DataFrame:
    """An IC table with an effect that decays over the horizon, more noise at longer ones, and some cells missing."""
    random = np.random.default_rng(seed)
    pooled = ("ALL",) if len(symbols) > 1 else ()
    rows = [
        _ic_row(random, feature, symbol, target, horizon, regime, effect, missing)
        for feature in families
        for symbol in (*symbols, *pooled)
        for target, horizon in TARGETS
        for regime in regimes
    ]
    table = pl.DataFrame(rows, schema=IC.dtypes)
    parts = [table.filter(pl.col("regime") == "all"), table.filter(pl.col("regime") != "all")]
    return pl.concat([adjust(part) for part in parts])


def _ic_row(
    random: np.random.Generator,
    feature: str,
    symbol: str,
    target: str,
    horizon: int,
    regime: str,
    effect: float,
    missing: float,
) -> dict[str, Any]:
    key = {"feature": feature, "symbol": symbol, "target": target, "horizon_s": horizon, "regime": regime}
    row: dict[str, Any] = dict.fromkeys(IC.names) | key | {"n": 0, "method": "not testable", "note": ""}
    if random.random() < missing:
        return row | {"note": "the feature has no value"}
    spread = math.sqrt(max(horizon, 20) / 777_600) * (0.5 if symbol == "ALL" else 0.8)
    centre = effect * math.exp(-horizon / 3_600) * (1 if target == "return" else 8)
    ic = float(np.clip(centre * random.choice([-1, 1]) + random.normal(0, spread), -0.95, 0.95))
    p = math.erfc(abs(ic) / spread / math.sqrt(2))
    daily = float(ic + random.normal(0, spread))
    return row | {
        "ic": ic,
        "ci_low": ic - 1.96 * spread,
        "ci_high": ic + 1.96 * spread,
        "p": p,
        "n": int(random.integers(10_000, 700_000)),
        "method": "fixed-b, 38 cosines; studentised bootstrap, 64 blocks",
        "ci_low_bootstrap": ic - 2 * spread,
        "ci_high_bootstrap": ic + 2 * spread,
        "p_bootstrap": min(1.0, 1.1 * p),
        "daily_mean": daily,
        "daily_spread": 3 * spread,
        "daily_ratio": daily / (3 * spread),
        "days": 9,
        "same_sign_frac": float(random.integers(4, 10)) / 9,
        "turnover": float(random.uniform(0.05, 1)),
        "top_minus_bottom": ic * math.sqrt(horizon) * 1e-4,
        "monotonicity": 1.0 if ic > 0 else -1.0,
    }


def adjust(table: pl.DataFrame) -> pl.DataFrame:
    """With Benjamini-Hochberg p over all rows."""
    p = table["p"].cast(pl.Float64).fill_null(1.0).to_numpy()
    order = np.argsort(p, kind="stable")[::-1]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum.accumulate(p[order] * len(p) / np.arange(len(p), 0, -1))
    return table.with_columns(p_adjusted=pl.when(pl.col("p").is_not_null()).then(pl.Series(adjusted)))


def make_daily(table: pl.DataFrame, days: int = 9) -> pl.DataFrame:
    """Daily ICs around those of the table; a second half of the days has them with the other sign."""
    known = table.filter((pl.col("regime") == "all") & pl.col("ic").is_not_null())
    columns = ["symbol", "feature", "target", "horizon_s"]
    frames = [
        known.select(
            pl.lit(FIRST_DAY + day, pl.Int32).cast(pl.Date).alias("day"),
            *columns,
            ic=pl.col("ic") * (1 if 2 * day < days else -1),
            n="n",
        )
        for day in range(days)
    ]
    return pl.concat(frames)


def make_dictionary(families: dict[str, str] = FAMILIES) -> pl.DataFrame:
    """The dictionary of a run; the first feature has no value, with the reason."""
    names = list(families)
    return pl.DataFrame(
        {
            "feature": names,
            "family": list(families.values()),
            "unit": ["fraction per minute per minute"] * len(names),
            "lookback_s": [3_660] * len(names),
            "warm_up_s": [290] * len(names),
            "meaning": [
                f"what {name} is, in as many words as it takes to fill more than one line of text" for name in names
            ],
            "formula": ["sum(q : t - 5 s <= known < t)"] * len(names),
            "source": ["research plan, phase 3"] * len(names),
            "non_null_frac": [0.0] + [0.5] * (len(names) - 1),
            "first_time": pl.Series([None] + [FIRST_DAY * 86_400_000] * (len(names) - 1), dtype=pl.Int64).cast(
                pl.Datetime("ms", "UTC")
            ),
            "note": ["ticker prices come every 300 s; needs 60 s"] + [""] * (len(names) - 1),
        }
    )


def section(text: str, title: str) -> str:
    """From a title to the next one."""
    start = text.index(f"\n{title}\n") + 1
    stop = re.compile(r"\n\n[^\n]+\n=+\n").search(text, start)
    return text[start : stop.start() if stop else len(text)]


def prose(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def widest(text: str) -> int:
    return max(map(len, text.splitlines()))


def render(table: pl.DataFrame, symbol: str = "ALL", notes: tuple[str, ...] = (), days: int = 9) -> str:
    comparison = pl.DataFrame()
    return render_ic(table, make_daily(table, days), comparison, symbol, make_dictionary(), "Data: x", notes)


# Information coefficients


def test_the_strongest_of_each_horizon_stand_with_the_numbers_of_the_table() -> None:
    table = make_ic()
    page = section(render(table), "Strongest against the forward return, by p")
    own = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "all", pl.col("target") == "return")
    for horizon in LABEL_HORIZONS_S:
        first = own.filter(pl.col("horizon_s") == horizon).sort("p").row(0, named=True)
        line = next(line for line in page.splitlines() if first["feature"] in line and f"{first['n']:,}" in line)
        star = "*" if first["p_adjusted"] < 0.05 else ""
        interval = f"{first['ci_low']:+.3f} to {first['ci_high']:+.3f}"
        assert f"{first['ic']:+.3f}{star}" in line
        assert interval in line
        for p in (first["p"], first["p_adjusted"], first["p_bootstrap"]):
            assert (f"{p:.4f}" if p >= 0.0001 else "<0.0001") in line


def test_every_feature_stands_once_in_its_family_with_its_ic_and_mark() -> None:
    table = make_ic(missing=0.1)
    text = render(table)
    for target, horizons in (("return", LABEL_HORIZONS_S), ("volatility", VOLATILITY_HORIZONS_S)):
        lines = section(text, f"Every feature against the forward {target}").splitlines()
        cells = {line.split()[0]: line.split()[1:] for line in lines if line.split()[0] in FAMILIES}
        assert list(cells) == list(FAMILIES)
        own = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "all", pl.col("target") == target)
        for feature, values in cells.items():
            rows = own.filter(pl.col("feature") == feature).sort("horizon_s").rows(named=True)
            assert [row["horizon_s"] for row in rows] == list(horizons)
            assert values == [_cell(row) for row in rows]
        assert [line for line in lines if line.startswith("[")] == [
            f"[{name}]" for name in dict.fromkeys(FAMILIES.values())
        ]


def _cell(row: dict[str, Any]) -> str:
    if row["ic"] is None:
        return "n/a"
    text = f"{row['ic']:+.3f}" if round(row["ic"], 3) else "0.000"
    return text + ("*" if row["p_adjusted"] < 0.05 else "")


def test_the_family_of_a_target_is_the_whole_table_of_all_symbols() -> None:
    table = make_ic()
    whole = table.filter(pl.col("regime") == "all")
    page = section(render(table, "BTCUSDT"), "Family of tests")
    for target in ("return", "volatility"):
        family = whole.filter(pl.col("target") == target)
        name = f"whole table, forward {target}"
        row = next(line for line in page.splitlines() if line.startswith(name)).removeprefix(name).split()
        survive = int((family["p_adjusted"] < 0.05).sum())
        expected = [family.height, family.height, int((family["p"] < 0.05).sum()), 0.05 * family.height, survive]
        assert [float(number.replace(",", "")) for number in row] == pytest.approx(expected, abs=0.051)
    own = whole.filter(pl.col("symbol") == "BTCUSDT")
    assert f"Of BTCUSDT, {int((own['p_adjusted'] < 0.05).sum())} cells survive" in prose(page)


def test_nothing_survives_is_said_plainly() -> None:
    table = make_ic().with_columns(p_adjusted=pl.lit(0.9))
    page = section(render(table), "Family of tests")
    assert "NOTHING SURVIVES for ALL: none of 410 tested cells has an adjusted p below 0.05" in prose(page)
    assert "*" not in section(render(table), "Every feature against the forward return").split("* survives")[0]


def test_an_ic_without_an_interval_is_marked_and_not_called_tested() -> None:
    gone = pl.when(pl.col("horizon_s") == 14_400).then(None)
    table = make_ic().with_columns(gone.otherwise(pl.col(name)).alias(name) for name in ("p", "p_adjusted", "ci_low"))
    text = render(table)
    lines = section(text, "Every feature against the forward return").splitlines()
    longest = [line.split()[-1] for line in lines if line.split()[0] in FAMILIES]
    assert all(cell.endswith("?") for cell in longest)
    assert "4 h 0 of 0" in prose(section(text, "Strongest against the forward return, by p"))


def test_reading_takes_six_lines_and_no_line_is_wider_than_a_hundred_columns() -> None:
    table = make_ic(missing=0.05)
    for symbol in (*SYMBOLS, "ALL"):
        text = render(table, symbol, ("a note about all of it that is quite long " * 5,), days=40)
        assert widest(text) <= 100
        assert text == text.rstrip() + "\n"
        reading = text.split("\n\n")[1]
        assert reading.startswith("IC:")
        assert len(reading.splitlines()) <= 6
        for word in ("overlap", "interval", "p boot.", "Adjusted p", "exploratory", "in-sample"):
            assert word in prose(reading)


def test_long_feature_names_are_cut_in_the_wide_table_and_never_the_numbers() -> None:
    families = {f"{'very_' * 8}long_name_{i}": "liquidation" for i in range(3)}
    table = make_ic(families)
    text = render_ic(table, make_daily(table), pl.DataFrame(), "ALL", make_dictionary(families))
    assert widest(text) <= 100
    own = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "all", pl.col("target") == "return")
    for value in own["ic"]:
        assert f"{value:+.3f}" in text


def test_days_show_whether_an_ic_is_stable() -> None:
    page = section(render(make_ic(effect=0.05)), "Stability over days: IC by day")
    header, _, first, *_ = page.splitlines()[2:]
    assert header.split()[2:] == [f"02-{day:02d}" for day in range(9, 18)]
    cells = first.split()[-9:]
    assert len({cell[0] for cell in cells[:5]}) == len({cell[0] for cell in cells[5:]}) == 1
    assert cells[0][0] != cells[-1][0]
    assert cells[0][1:] == cells[-1][1:]


def test_many_days_are_shown_in_groups_of_equal_length() -> None:
    page = section(render(make_ic(), days=40), "Stability over days: IC by day")
    assert len(page.splitlines()[2].split()) - 2 == 8
    assert "the mean of up to 5 days" in prose(page)


def test_one_day_is_not_testable_over_days() -> None:
    page = section(render(make_ic(), days=1), "Stability over days: IC by day")
    assert "Not testable: 1 day with daily coefficients, at least 2 needed." in page


def test_regimes_are_shown_beside_all_times_and_their_absence_is_said() -> None:
    table = make_ic()
    page = section(render(table), "By regime")
    quiet = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "quiet")
    assert f"Quiet: {int((quiet['p_adjusted'] < 0.05).sum())} of {quiet.height} cells survive" in prose(page)
    whole = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "all", pl.col("target") == "return")
    best = whole.sort("p").row(0, named=True)
    same = quiet.filter(
        pl.col("feature") == best["feature"],
        pl.col("target") == "return",
        pl.col("horizon_s") == best["horizon_s"],
    ).row(0, named=True)
    line = next(line for line in page.splitlines() if line.startswith(best["feature"]))
    assert f"{best['ic']:+.3f}" in line
    assert f"{same['ic']:+.3f}" in line
    alone = make_ic(regimes=("all",))
    assert "Not testable: no coefficient within a regime" in section(render(alone), "By regime")


def test_top_minus_bottom_is_in_basis_points() -> None:
    table = make_ic()
    own = table.filter(pl.col("symbol") == "ALL", pl.col("regime") == "all", pl.col("target") == "return")
    best = own.filter(pl.col("horizon_s") == 10).sort("p").row(0, named=True)
    page = section(render(table), "Days, turnover and fifths of the strongest")
    line = next(line for line in page.splitlines() if best["feature"] in line)
    assert f"{1e4 * best['top_minus_bottom']:+.2f}" in line
    assert f"{best['turnover']:.2f}" in line


def test_decay_says_by_when_half_is_gone() -> None:
    values = {10: 0.04, 30: 0.05, 60: 0.03, 300: 0.02, 900: 0.01, 3_600: -0.01, 14_400: 0.0}
    table = make_ic({"liq_rate": "liquidation"})
    ic = pl.col("horizon_s").replace_strict(values, default=0.1, return_dtype=pl.Float64)
    p = pl.when(pl.col("horizon_s") == 30).then(1e-9).otherwise(0.5)
    page = section(render(table.with_columns(ic=ic, p=p)), "Decay over the horizon")
    line = next(line for line in page.splitlines() if line.startswith("liq_rate"))
    assert prose(line) == "liq_rate +0.040 10 s +0.050 30 s 0.000 4 h 5 min 5 of 7"


def test_notes_are_grouped_and_name_what_they_are_about() -> None:
    table = make_ic(missing=0.0).with_columns(
        note=pl.when(pl.col("feature") == "liq_rate", pl.col("horizon_s").is_in([10, 14_400]))
        .then(pl.format("{} pairs, an interval needs 100; ties leave 3 of 5 fifths", "horizon_s"))
        .otherwise(pl.lit("")),
    )
    page = prose(section(render(table, notes=("the whole is short",)), "Notes: what is not testable, and what to mind"))
    assert "- the whole is short" in page
    assert "- 10 to 14400 pairs, an interval needs 100: liq_rate; return 10 s, 4 h" in page
    assert "- ties leave 3 of 5 fifths: liq_rate;" in page


@pytest.mark.parametrize("table", [IC.empty(), make_ic(missing=1.0)], ids=["no rows", "no value"])
def test_no_coefficient_at_all_is_said_with_its_reason(table: pl.DataFrame) -> None:
    daily = make_daily(make_ic()).clear()
    notes = ("ticker prices come every 300 s: too coarse for a label",)
    text = render_ic(table, daily, pl.DataFrame(), "BTCUSDT", make_dictionary(), "Data: x", notes)
    assert "No information coefficient of BTCUSDT can be computed" in text
    assert notes[0] in text
    assert "None" not in text
    assert widest(text) <= 100


def test_a_target_without_any_coefficient_is_one_sentence_and_no_table() -> None:
    gone = pl.when(pl.col("target") == "volatility").then(None)
    table = make_ic().with_columns(gone.otherwise(pl.col(name)).alias(name) for name in ("ic", "p", "p_adjusted"))
    text = render(table)
    page = section(text, "Strongest against the forward volatility, by p")
    assert "Not testable: there is no coefficient at any horizon" in page
    assert "Every feature against the forward volatility" not in text
    assert "Forward volatility" not in section(text, "Days, turnover and fifths of the strongest")


# The dictionary


def test_the_dictionary_holds_every_feature_with_what_is_known_about_it() -> None:
    dictionary = make_dictionary()
    text = render_feature_dictionary(dictionary, "Data: x")
    assert widest(text) <= 100
    flat = prose(text)
    for row in dictionary.iter_rows(named=True):
        assert f"{row['feature']} meaning: {row['meaning']} unit: {row['unit']} formula: {row['formula']}" in flat
    overview = section(text, "Overview")
    assert "liq_volume_1s" in overview
    assert "liq_volume_5s 1.02 h 4.83 min 50.0 % 2026-02-09 00:00" in prose(overview)
    assert "1 feature has no value at all" in overview
    assert "note:    ticker prices come every 300 s; needs 60 s" in text


def test_an_empty_dictionary_is_a_text_too() -> None:
    assert "0 features in 0 families" in render_feature_dictionary(make_dictionary().clear())
