"""The findings document: everything in it comes from the study, and what is wrong with the data is said first."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small_market import Market

from liqlab.core.schema import CASCADES, COVERAGE, LIQUIDATIONS, QUARANTINE
from liqlab.lake import Reconciliation
from liqlab.panel import compute_statistics
from liqlab.report import list_figures, render_findings
from liqlab.study import (
    ALL,
    NotTestable,
    StageRecord,
    Study,
    compute_scorecard,
    load_study_config,
    scorecard_to_json,
)


@pytest.fixture
def dirty(market: Market) -> Study:
    """Some hours of two symbols with gaps, repeats and corrupt lines."""
    return market.study


@pytest.fixture
def squeeze(recording: Study) -> Study:
    """The recording with the short squeeze of 2026-03-05 10:26."""
    return recording


BACKTEST_FIGURES = [
    f"liquidations_backtest_{name}.png" for name in ("equity", "chance", "trades", "surface", "capacity")
]


def part(text: str, title: str) -> str:
    """From a heading to the next one of the same or a higher level."""
    level = re.escape(title.split(" ")[0])
    start = text.index(f"\n{title}") + 1
    stop = re.compile(rf"\n#{{1,{len(level.replace(chr(92), ''))}}} ").search(text, start)
    return text[start : stop.start() if stop else len(text)]


def prose(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def table_rows(text: str) -> list[list[str]]:
    """Cells of the first table in `text`, without its header."""
    found = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    lines = found.group().splitlines() if found else []
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def with_check(study: Study, symbol: str, verdict: str) -> Study:
    check = replace(study.side_checks[symbol], verdict=verdict, reason=f"the prices say {verdict}")
    return replace(study, side_checks={**study.side_checks, symbol: check})


def altered(study: Study, symbol: str, **changes: Any) -> Study:
    """The study with other statistics of one symbol."""
    return replace(study, statistics={**study.statistics, symbol: replace(study.statistics[symbol], **changes)})


def emptied(study: Study) -> Study:
    """The study as if it had found nothing but files."""
    nothing = {name: compute_statistics(LIQUIDATIONS.empty(), symbol=name) for name in study.statistics}
    return replace(
        study,
        liquidations=LIQUIDATIONS.empty(),
        cascades=CASCADES.empty(),
        coverage=COVERAGE.empty(),
        quarantine=QUARANTINE.empty(),
        statistics=nothing,
        open_interest_basis={},
        ratio_rows=0,
        ticker_interval_ms=dict.fromkeys(study.symbols),
    )


def test_data_quality_comes_before_any_finding(dirty: Study) -> None:
    headings = re.findall(r"^## (.*)$", render_findings(dirty), re.MULTILINE)
    assert headings == [
        "Summary",
        "1. Data quality",
        "2. Hypotheses",
        "3. Liquidations",
        "4. Cascades",
        "5. Regimes",
        "6. Features",
        "7. Information coefficients",
        "8. Walk-forward prediction",
        "9. The seven questions",
        "10. Backtests",
        "11. Scorecard",
        "12. How this was made",
    ]


def test_every_table_is_well_formed(dirty: Study) -> None:
    text = render_findings(dirty, list_figures(dirty), "liqlab run x", (), ["a.txt"])
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) >= 10
    for block in blocks:
        lines = block.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert re.fullmatch(r"\|((:---|---:)\|)+", lines[1])
        assert len(lines) > 2
    for before in re.findall(r"(.*)\n\|[^\n]*\n\|[:-]", text):
        assert before == ""


def test_the_summary_holds_the_main_numbers(dirty: Study) -> None:
    summary = part(render_findings(dirty), "## Summary")
    everything = dirty.statistics[ALL]
    assert f"{dirty.liquidations.height:,} liquidations of BTCUSDT, ETHUSDT" in summary
    assert f"{everything.long.events:,} of longs" in summary
    assert f"{everything.short.events:,} of shorts" in summary
    assert f"{dirty.cascades.height:,} cascade" in summary


def test_the_reconciliation_table_is_that_of_the_study(dirty: Study) -> None:
    rows = table_rows(part(render_findings(dirty), "### What was read"))
    assert rows == [
        [r.stream, f"{r.read:,}", f"{r.kept:,}", f"{r.quarantined:,}", f"{r.duplicates:,}", "holds"]
        for r in dirty.reconciliation
    ]


def test_records_that_do_not_add_up_are_said_loudly_and_first(dirty: Study) -> None:
    assert "DO NOT ADD UP" not in render_findings(dirty)
    broken = replace(dirty, reconciliation=(Reconciliation("liquidation", 100, 90, 5, 3), *dirty.reconciliation[1:]))
    text = render_findings(broken)
    warning = "read 100, but kept 90 + quarantined 5 + duplicates 3 = 98"
    assert text.index("RECORDS DO NOT ADD UP") < text.index(warning) < text.index("## Summary")
    assert "**DOES NOT HOLD**" in part(text, "### What was read")
    rescored = replace(broken, scorecard=tuple(scorecard_to_json(compute_scorecard(broken))))
    assert table_rows(part(render_findings(rescored), "## 11."))[0][5] == "not met"


def test_contradicted_sides_stand_above_everything_else(dirty: Study) -> None:
    assert "CONTRADICTED" not in render_findings(dirty)
    text = render_findings(with_check(dirty, "ETHUSDT", "contradicted"))
    assert text.index("SIDES ARE CONTRADICTED BY THE PRICES** (ETHUSDT)") < text.index("## Summary")
    row = next(row for row in table_rows(part(text, "### Side self-test")) if row[0] == "ETHUSDT")
    assert row[1] == "**CONTRADICTED**"
    assert row[-1] == "the prices say contradicted"


def test_quarantine_is_counted_by_reason_with_a_place(dirty: Study) -> None:
    rows = table_rows(part(render_findings(dirty), "### Quarantine"))
    counts = dict(dirty.quarantine["reason"].value_counts().iter_rows())
    assert {row[0]: int(row[2].replace(",", "")) for row in rows} == counts
    places = {f"`{file}:{line}`" for file, line in dirty.quarantine.select("source_file", "source_line").iter_rows()}
    assert {row[3] for row in rows} <= places


def test_a_reason_with_a_bar_does_not_break_its_table(dirty: Study) -> None:
    odd = dirty.quarantine.head(1).with_columns(reason=pl.lit("a|b"))
    assert "| a\\|b | " in part(render_findings(replace(dirty, quarantine=odd)), "### Quarantine")


def test_coverage_comes_from_the_intervals(dirty: Study) -> None:
    start = pl.lit(dirty.start_ms, pl.Int64).cast(pl.Datetime("ms", "UTC"))
    minutes = pl.duration(minutes=pl.lit(1))
    interval = {"start": start, "end": start + 90 * minutes}
    later = {"start": start + 120 * minutes, "end": start + 180 * minutes}
    recorder = dirty.coverage.filter(pl.col("stream") == "any").head(1)
    others = dirty.coverage.filter(pl.col("stream") == "liquidation")
    coverage = pl.concat([others, recorder.with_columns(**interval), recorder.with_columns(**later)])
    text = part(render_findings(replace(dirty, coverage=coverage)), "### Coverage")
    (row,) = table_rows(text)
    assert row[3:] == ["2.5 h", row[4], "83.3 %", "1", "30.0 min"]
    assert "for 30.0 min" in text
    assert "cover" in part(render_findings(replace(dirty, coverage=coverage)), "## Summary").split("Read with care")[1]


def test_a_symbol_that_was_most_likely_not_recorded_at_first_is_named(dirty: Study) -> None:
    hour_ms = 3_600_000
    found = dirty.statistics["BTCUSDT"]
    block = replace(found.published, longest_gap_s=1_800.0)
    last = found.last_event_ms
    for hours, is_named in ((1.4, False), (2.5, True)):
        first = dirty.start_ms + round(hours * hour_ms)
        text = render_findings(altered(dirty, "BTCUSDT", published=block, first_event_ms=first, last_event_ms=last))
        words = f"BTCUSDT is silent for {hours:.1f} h before its first liquidation, and never longer than 0.5 h between"
        assert (words in part(text, "### Coverage")) is is_named
        assert (words in part(text, "## Summary")) is is_named


def test_delays_are_tabulated_or_said_to_be_missing(dirty: Study) -> None:
    rows = table_rows(part(render_findings(dirty), "### Delivery delays"))
    capture = dirty.statistics["BTCUSDT"].event_to_capture
    assert rows[0][0] == "BTCUSDT"
    assert rows[0][5] == f"{capture.p50_ms:,.0f}"
    without = altered(dirty, "ETHUSDT", capture_recorded=False)
    text = part(render_findings(without), "### Delivery delays")
    assert "**Not testable** for ETHUSDT" in text
    assert [row[0] for row in table_rows(text)] == ["BTCUSDT"]


def test_an_assumed_delay_is_said(dirty: Study) -> None:
    assumed = replace(altered(dirty, "BTCUSDT", capture_recorded=False), config=load_study_config(assumed_delay_s=2.5))
    text = render_findings(assumed)
    assert "2.5 s after its event" in part(text, "### Delivery delays")
    assert "2.5 s after each event" in part(text, "## Summary")


def test_liquidations_known_before_they_happened_are_counted(dirty: Study) -> None:
    assert "No liquidation was known before it happened" in render_findings(dirty)
    early = (pl.col("event_time") - pl.duration(milliseconds=1_250)).alias("known_time")
    head, tail = dirty.liquidations.head(3).with_columns(early), dirty.liquidations.slice(3)
    text = render_findings(replace(dirty, liquidations=pl.concat([head, tail])))
    assert "**3 liquidations were known before they happened**" in part(text, "### Clocks")
    assert "by up to 1,250 ms" in part(text, "### Clocks")
    assert "3 liquidations were known before they happened" in part(text, "## Summary")


def test_every_row_that_is_not_testable_appears(dirty: Study) -> None:
    rows = (NotTestable("first thing", "no prices"), NotTestable("second thing", "too short"))
    text = part(render_findings(replace(dirty, not_testable=rows)), "### What this data cannot answer")
    assert table_rows(text) == [
        ["first thing", "not testable", "no prices"],
        ["second thing", "not testable", "too short"],
    ]


def test_open_interest_and_ratio_conventions_are_stated(dirty: Study) -> None:
    text = part(
        render_findings(replace(dirty, open_interest_basis={"halved": 7, "single": 1}, ratio_rows=14)), "### Pr"
    )
    assert "7 rows published with both sides of each contract, halved; 1 row taken from `singleOpenInterest`" in text
    assert "14 long/short ratios. Each is used from 1 h after its stamp" in text
    assert "no long/short ratio" in render_findings(replace(dirty, ratio_rows=0))


def test_prices_of_another_exchange_are_said_in_the_summary(dirty: Study) -> None:
    assert "another market" not in render_findings(dirty)
    is_ticker = pl.col("stream") == "ticker"
    exchange = pl.when(is_ticker).then(pl.lit("binance")).otherwise(pl.lit("okx"))
    mixed = replace(dirty, coverage=dirty.coverage.with_columns(exchange=exchange))
    text = render_findings(mixed)
    assert "are those of **okx**, the ticker (prices, open interest, funding) is that of **binance**" in prose(
        part(text, "## Summary")
    )
    assert "liquidations from okx; ticker from binance" in part(text, "### What was read")


def test_without_claims_no_hypothesis_is_claimed_to_be_tested(dirty: Study) -> None:
    text = render_findings(replace(dirty, answers=(), verdicts=()))
    assert "None was tested in this run" in part(text, "## 2. Hypotheses")
    assert "Nothing in this document is a tested claim" in prose(part(text, "## Summary"))
    assert "signal" not in text.lower()


def test_the_summary_counts_the_verdicts_and_names_what_is_supported(dirty: Study) -> None:
    counts = f"Of the research plan's {len(dirty.verdicts)} claims: 0 supported"
    assert counts in prose(part(render_findings(dirty), "## Summary"))
    first, *others = dirty.verdicts
    found = replace(dirty, verdicts=(first | {"verdict": "supported"}, *others))
    assert f"; supported: {first['id']} (section 2)" in prose(part(render_findings(found), "## Summary"))


def test_the_table_of_symbols_changes_with_the_statistics(dirty: Study) -> None:
    before = table_rows(part(render_findings(dirty), "## 3. Liquidations"))
    block = replace(dirty.statistics["BTCUSDT"].published, events=987_654, notional_usd=5_400_000.0)
    after = table_rows(part(render_findings(altered(dirty, "BTCUSDT", published=block)), "## 3. Liquidations"))
    assert [row[0] for row in before] == ["BTCUSDT", "ETHUSDT", "ALL"]
    assert after[0][1:3] == ["987,654", "$5.4M"]
    assert after[1:] == before[1:]


def test_the_busiest_minutes_are_those_of_a_plain_count(dirty: Study) -> None:
    rows = table_rows(part(render_findings(dirty), "### Busiest minutes"))
    minutes: dict[str, list[Any]] = {}
    for time, side in dirty.liquidations.select("event_time", "liquidated_side").iter_rows():
        minutes.setdefault(f"{time:%Y-%m-%d %H:%M}", []).append(side)
    counts = sorted((len(sides) for sides in minutes.values()), reverse=True)
    assert [int(row[1].replace(",", "")) for row in rows] == counts[:10]
    for row in rows:
        shorts = minutes[row[0]].count("short") / len(minutes[row[0]])
        assert abs(float(row[3].strip("<> %")) - 100 * shorts) <= 1
        assert sum(int(number) for number in re.findall(r" (\d+)", row[4])) == len(minutes[row[0]])


def test_sessions_add_up_to_the_covered_events(dirty: Study) -> None:
    rows = table_rows(part(render_findings(dirty), "### Hours of the day"))
    assert [row[0] for row in rows] == ["Asia 00-08", "Europe 08-13", "US 13-21", "late 21-24"]
    assert sum(int(row[2].replace(",", "")) for row in rows) == dirty.statistics[ALL].events_covered


def test_the_largest_cascades_are_listed_by_notional(dirty: Study) -> None:
    rows = table_rows(part(render_findings(dirty), "### The largest"))
    ranked = dirty.cascades.sort("notional_usd", descending=True).head(10)
    assert len(rows) == ranked.height > 1
    assert [row[0] for row in rows] == [f"{time:%Y-%m-%d %H:%M:%S}" for time in ranked["start"]]
    assert [int(row[2]) for row in rows] == ranked["n_liquidations"].to_list()


def test_displacement_is_the_median_by_dominant_side(dirty: Study) -> None:
    cascades = pl.concat([dirty.cascades.head(1)] * 4).with_columns(
        dominant_side=pl.Series(["long", "long", "long", "short"]),
        displacement_bps=pl.Series([-10.0, -2.0, 4.0, None]),
        displacement_at_confirmation_bps=pl.Series([-1.0, None, None, 3.0]),
    )
    text = part(render_findings(replace(dirty, cascades=cascades)), "### Displacement")
    assert table_rows(text) == [["longs", "1", "-1.0", "3", "-2.0", "67 %"], ["shorts", "1", "+3.0", "0", "n/a", "n/a"]]
    assert "3 of 4 cascades" in prose(text)


def test_displacement_without_prices_is_not_testable_with_the_reason(dirty: Study) -> None:
    cascades = dirty.cascades.with_columns(displacement_bps=pl.lit(None, pl.Float64))
    rows = (NotTestable("displacement of the price by a cascade", "ticker prices come every 300 s"),)
    text = part(render_findings(replace(dirty, cascades=cascades, not_testable=rows)), "### Displacement")
    assert "**Not testable**: ticker prices come every 300 s." in text
    bare = part(render_findings(replace(dirty, cascades=cascades, not_testable=())), "### Displacement")
    assert "**Not testable**: no cascade has a ticker price younger than 15 s" in bare


def test_the_definition_of_a_cascade_is_that_of_the_preset(dirty: Study) -> None:
    plan = prose(part(render_findings(dirty), "## 4. Cascades"))
    assert "no silence longer than 5 s, of at least 3 liquidations and $100,000" in plan
    p95 = replace(dirty, config=load_study_config(cascades={"preset": "p95", "max_gap_s": 30.0}))
    text = prose(part(render_findings(p95), "## 4. Cascades"))
    assert "no silence longer than 30 s, of at least 2 liquidations" in text
    assert "95th percentile of the last 2,000" in text


@pytest.mark.parametrize(("count", "verdict"), [(49, "not met"), (50, "met")])
def test_the_plan_asks_for_fifty_cascades(dirty: Study, count: int, verdict: str) -> None:
    cascades = pl.concat([dirty.cascades.head(1)] * count)
    many = replace(dirty, cascades=cascades)
    scored = replace(many, scorecard=tuple(scorecard_to_json(compute_scorecard(many, null_rates={}))))
    rows = table_rows(part(render_findings(scored), "## 11."))
    assert rows[1][3] == f"{count} cascades, preset `plan`"
    assert rows[1][5].strip("*") == verdict


def test_each_figure_is_embedded_once_with_its_caption(dirty: Study) -> None:
    figures = list_figures(dirty)
    text = render_findings(dirty, figures)
    assert [figure.file for figure in figures] == [
        "liquidations_rate.png",
        "liquidations_sizes.png",
        "liquidations_hours.png",
        *(f"liquidations_heatmap_{symbol}.png" for symbol in by_notional(dirty)),
        "liquidations_cascade_examples.png",
        "liquidations_regimes.png",
        "liquidations_ic_heatmap.png",
        "liquidations_ic_decay.png",
        "liquidations_walk_forward.png",
        "liquidations_importance.png",
        "liquidations_verdicts.png",
        "liquidations_event_study.png",
        "liquidations_lead_lag.png",
        "liquidations_zone_scorecard.png",
        "liquidations_contagion.png",
        *(name for name in BACKTEST_FIGURES if name in {figure.file for figure in figures}),
    ]
    assert "liquidations_backtest_equity.png" in {figure.file for figure in figures}
    for figure in figures:
        assert text.count(f"]({figure.file})\n\n*{figure.caption}*") == 1


def by_notional(study: Study) -> list[str]:
    return sorted(study.symbols, key=lambda symbol: -study.statistics[symbol].published.notional_usd)


def test_heat_maps_beyond_six_are_named_instead_of_shown(dirty: Study) -> None:
    heatmap = next(figure for figure in list_figures(dirty) if "heatmap" in figure.file)
    figures = [heatmap._replace(file=f"liquidations_heatmap_S{number}.png") for number in range(8)]
    text = render_findings(dirty, figures)
    assert text.count("![") == 6
    assert "[liquidations_heatmap_S7.png](liquidations_heatmap_S7.png)" in text


def test_the_configuration_in_the_document_repeats_the_run(dirty: Study, tmp_path: Path) -> None:
    config = load_study_config(
        symbols=("BTCUSDT",), start="2026-02-09", cascades={"max_gap_s": 7.5, "preset": "p95"}, assumed_delay_s=1.0
    )
    text = part(render_findings(replace(dirty, config=config)), "## 12.")
    (toml,) = re.findall(r"```toml\n(.*?)\n```", text, re.DOTALL)
    assert tomllib.loads(toml)["cascades"]["max_gap_s"] == 7.5
    path = tmp_path / "study.toml"
    path.write_text(toml)
    assert load_study_config(path) == config


def test_the_seeds_of_all_random_numbers_are_in_the_configuration_that_the_end_shows(dirty: Study) -> None:
    config = load_study_config(regimes={"seed": 11}, ic={"seed": 12}, walk_forward={"seed": 13})
    text = part(render_findings(replace(dirty, config=config)), "## 12.")
    assert "Random numbers (resampling, starts, trees) come from the seeds below" in prose(text)
    (toml,) = re.findall(r"```toml\n(.*?)\n```", text, re.DOTALL)
    shown = tomllib.loads(toml)
    assert [shown[name]["seed"] for name in ("regimes", "ic", "walk_forward")] == [11, 12, 13]


def test_regimes_features_coefficients_and_forecasts_are_those_of_the_study(dirty: Study) -> None:
    text = render_findings(dirty)
    regimes = {row[0]: row for row in table_rows(part(text, "## 5. Regimes")) if row[0]}
    assert list(regimes) == list(dirty.symbols)
    for symbol, row in regimes.items():
        known = dirty.regimes[symbol].table["regime"].drop_nulls()
        assert row[3] == f"{100 * (known == 'volatile').mean():.1f} %"
    features = table_rows(part(text, "## 6. Features"))
    assert sum(int(row[1]) for row in features) == dirty.feature_dictionary.height
    assert sum(int(row[5]) for row in features) == dirty.feature_dictionary["first_time"].null_count()
    everything = dirty.ic.table.filter(pl.col("regime") == "all")
    tested = {row[0] + row[1]: int(row[2]) for row in table_rows(part(text, "## 7. Information"))}
    for symbol, target in (("ALL", "return"), ("ETHUSDT", "volatility")):
        own = everything.filter(pl.col("symbol") == symbol, pl.col("target") == target)
        assert tested[f"{symbol}forward {target}"] == own["p"].count()
    forecasts = prose(part(text, "## 8. Walk-forward prediction"))
    assert f"{dirty.walk_forward.trials.height} configurations tried in all" in forecasts


def test_the_end_says_command_stages_and_files(dirty: Study) -> None:
    stages = (StageRecord("ingest", 1.5, 210.0), StageRecord("figures", 2.0, 300.0))
    text = part(
        render_findings(dirty, (), "liqlab run captures -o results", stages, ["tables/ticker.parquet"]), "## 12."
    )
    assert "liqlab run captures -o results" in text
    assert table_rows(text) == [["ingest", "1.5", "210"], ["figures", "2.0", "300"], ["sum", "3.5", "300"]]
    assert f"- `tables/ticker.parquet`: {dirty.table_rows['ticker']:,} rows" in text


def test_a_source_without_liquidations_still_gives_a_document(dirty: Study) -> None:
    nothing = emptied(dirty)
    text = render_findings(nothing, list_figures(nothing))
    assert "The source holds no liquidation" in text
    assert "There are no liquidations." in text
    assert "The detector found none in this span." in text
    assert "No record was bad." in text


def test_a_single_symbol_has_no_row_for_all(dirty: Study) -> None:
    text = render_findings(replace(dirty, symbols=("BTCUSDT",)))
    assert [row[0] for row in table_rows(part(text, "## 3. Liquidations"))] == ["BTCUSDT"]


def test_the_squeeze_stands_out_in_words(squeeze: Study) -> None:
    text = prose(render_findings(squeeze, list_figures(squeeze)))
    words = "2026-03-05 10:26 UTC: 316 liquidations, all shorts, in one minute over 4 symbols"
    assert f"The busiest minute is {words}" in text
    assert text.count(words) >= 3
    assert ": a squeeze of shorts" in text
    busiest = part(render_findings(squeeze), "### Busiest minutes")
    assert re.search(r"\d cascades? of section 4 falls? into it \([^)]*; all shorts\)", prose(busiest))
    assert table_rows(busiest)[0][:2] == ["2026-03-05 10:26", "316"]


def test_the_recording_reconciles_and_says_what_it_cannot_answer(squeeze: Study) -> None:
    text = render_findings(squeeze)
    rows = {row[0]: row[1:] for row in table_rows(part(text, "### What was read"))}
    assert rows["liquidation"] == ["5,717", "5,717", "0", "0", "holds"]
    assert rows["ticker"] == ["2,304", "2,304", "0", "0", "holds"]
    events = {row[0]: row[1] for row in table_rows(part(text, "## 3. Liquidations"))}
    assert events == {
        "BTCUSDT": "1,611",
        "ETHUSDT": "1,632",
        "SOLUSDT": "1,052",
        "DOGEUSDT": "1,422",
        ALL: "5,717",
    }
    assert "come every 300 s" in part(text, "### What this data cannot answer")
    assert "**okx**" in part(text, "## Summary")
    assert "**binance**" in part(text, "## Summary")
    assert "**Not testable**: ticker prices" in part(text, "### Displacement")
