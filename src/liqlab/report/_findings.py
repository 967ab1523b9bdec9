"""FINDINGS_v26_liquidations.md: what the data shows, data quality first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from liqlab.core.schema import LONG
from liqlab.core.time import MS_PER_HOUR
from liqlab.regimes import summarise_regimes
from liqlab.report._findings_backtest import render_backtest_section
from liqlab.report._findings_calibration import render_calibration
from liqlab.report._findings_captions import (
    BACKTESTS,
    CASCADES,
    EVENTS,
    HYPOTHESES,
    IC,
    REGIMES,
    WALK_FORWARD,
    ReportFigure,
)
from liqlab.report._findings_cascades import describe_largest, render_cascade_section
from liqlab.report._findings_events import describe_minute, list_busiest_minutes, render_event_section
from liqlab.report._findings_ic import render_ic_section
from liqlab.report._findings_making import render_making
from liqlab.report._findings_predictive import render_feature_section, render_regime_section
from liqlab.report._findings_quality import (
    count_early,
    describe_absences,
    is_reconciled,
    list_recorders,
    mixed_exchanges,
    name_symbols,
    render_quality,
)
from liqlab.report._findings_questions import render_questions
from liqlab.report._findings_scorecard import render_scorecard
from liqlab.report._findings_walk_forward import render_walk_forward_section
from liqlab.report._frozen_text import render_frozen_section
from liqlab.report._manifest import describe_origin
from liqlab.report._text import format_count, format_usd
from liqlab.report._verdicts_text import count_verdicts, read_calibration, render_verdicts_markdown
from liqlab.report._words import join_names, length, percent, plural, sides, span
from liqlab.study import ALL, QUESTIONS, BacktestRecord, QuestionConfig, StageRecord, Study

FINDINGS = "FINDINGS_v26_liquidations.md"
#: Of backtests on their own.
BACKTEST_FINDINGS = "FINDINGS_v26_backtest.md"

#: More heat maps than this are named instead of shown.
_MOST_PICTURES = 6
_WELL_COVERED = 0.9
_MANY_QUARANTINED = 0.01
_HOURS_PER_DAY = 24


def render_findings(
    study: Study,
    figures: Sequence[ReportFigure] = (),
    command: str = "",
    stages: Sequence[StageRecord] = (),
    outputs: Sequence[str] = (),
) -> str:
    """The findings document of a study, as Markdown.

    `figures` lie beside it; `command`, `stages` (without any: the study's own) and `outputs` are named at its end. What
    makes every later number doubtful, a contradicted side test or records that do not add up, stands above all else.
    """
    parts = [
        "# Findings v26: liquidations",
        f"*{describe_origin(study)}*",
        *_alarms(study),
        _summary(study),
        render_quality(study),
        _hypotheses(study, list(_pictures(figures, HYPOTHESES))),
        render_event_section(study, list(_pictures(figures, EVENTS))),
        render_cascade_section(study, list(_pictures(figures, CASCADES))),
        render_regime_section(
            [summarise_regimes(study.regimes[symbol]) for symbol in study.symbols],
            study.config.regimes,
            list(_pictures(figures, REGIMES)),
            "## 5. Regimes",
        ),
        render_feature_section(study.feature_dictionary, heading="## 6. Features"),
        render_ic_section(
            study.ic.table,
            study.ic.comparison,
            study.feature_dictionary,
            study.ic.notes,
            list(_pictures(figures, IC)),
            "## 7. Information coefficients",
        ),
        render_walk_forward_section(
            study.walk_forward, list(_pictures(figures, WALK_FORWARD)), "## 8. Walk-forward prediction"
        ),
        render_questions(
            study, {name: list(_pictures(figures, name)) for name in QUESTIONS}, "## 9. The seven questions"
        ),
        render_backtest_section(
            study.backtests, study.verdicts, list(_pictures(figures, BACKTESTS)), "## 10. Backtests"
        ),
        render_scorecard(study.scorecard, "## 11. Scorecard"),
        render_making(study, command, stages or study.stages, outputs, "## 12. How this was made"),
    ]
    return "\n\n".join(parts) + "\n"


def render_backtest_findings(
    record: BacktestRecord,
    figures: Sequence[ReportFigure],
    command: str,
    stages: Sequence[StageRecord],
    outputs: Sequence[str],
) -> str:
    """The findings of backtests on their own, as Markdown; what the data is worth stands in those of a whole run."""
    pictures = list(_pictures(figures, BACKTESTS))
    parts = [
        "# Findings v26: backtests",
        f"*{describe_origin(record)}*",
        "The quality of the data and the verdicts on the strategies are in the findings of `liqlab run`.",
        render_backtest_section(record.backtests, (), pictures, "## 1. Backtests"),
        *([render_frozen_section(record.frozen, "## 2. Out of sample")] if record.frozen else []),
        render_making(record, command, stages, outputs, f"## {3 if record.frozen else 2}. How this was made"),
    ]
    return "\n\n".join(parts) + "\n"


def _alarms(study: Study) -> Iterator[str]:
    wrong = [symbol for symbol, check in study.side_checks.items() if check.verdict == "contradicted"]
    if wrong:
        check = study.side_checks[wrong[0]]
        yield (
            f"> **WARNING: THE SIDES ARE CONTRADICTED BY THE PRICES** ({', '.join(wrong)}): {check.reason} "
            f"(t = {format_count(check.t, 1)}). Longs and shorts are most likely swapped at the source. Do not use any "
            "number by side below before that is settled."
        )
    if not is_reconciled(study):
        broken = "; ".join(
            f"{row.stream}: read {row.read:,}, but kept {row.kept:,} + quarantined {row.quarantined:,} + duplicates "
            f"{row.duplicates:,} = {row.kept + row.quarantined + row.duplicates:,}"
            for row in study.reconciliation
            if not row.holds
        )
        yield (
            f"> **WARNING: RECORDS DO NOT ADD UP.** {broken}. Rows were lost or doubled: delete the lake, ingest "
            "again, and report this if it stays."
        )


def _summary(study: Study) -> str:
    sentences = [_amounts(study), *_events(study), *_cascades(study), _records(study), _claims(study)]
    parts = ["## Summary", " ".join(sentences)]
    cautions = list(_cautions(study))
    if cautions:
        parts.append("Read with care:")
        parts.append("\n".join(f"- {caution}" for caution in cautions))
    return "\n\n".join(parts)


def _amounts(study: Study) -> str:
    everything = study.statistics[ALL]
    longs, shorts = everything.long, everything.short
    n_events = longs.events + shorts.events
    if not n_events:
        return f"The source holds no liquidation of {join_names(study.symbols)}, {span(study.start_ms, study.end_ms)}."
    notional = longs.notional_usd + shorts.notional_usd
    return (
        f"{plural(n_events, 'liquidation')} of {join_names(study.symbols)} worth {format_usd(notional)} in "
        f"{length(everything.covered_hours)} of covered time: {format_count(longs.events)} of longs "
        f"({format_usd(longs.notional_usd)}) and {format_count(shorts.events)} of shorts "
        f"({format_usd(shorts.notional_usd)}). By number {sides(longs.events, shorts.events)}, by notional "
        f"{sides(longs.notional_usd, shorts.notional_usd)}."
    )


def _events(study: Study) -> Iterator[str]:
    for busy in list_busiest_minutes(study.liquidations, 1):
        yield f"The busiest minute is {describe_minute(busy)}."


def _cascades(study: Study) -> Iterator[str]:
    cascades = study.cascades
    if cascades.is_empty():
        yield "The detector finds no cascade."
        return
    longs = cascades.filter(cascades["dominant_side"] == LONG).height
    total = study.statistics[ALL].published.notional_usd
    share = percent(float(cascades["notional_usd"].sum()) / total if total > 0 else None, 0)
    yield (
        f"The `{study.config.cascades.resolve().name}` detector finds {plural(cascades.height, 'cascade')}, {longs:,} "
        f"mostly of longs and {cascades.height - longs:,} mostly of shorts, with {share} of all notional in them; the "
        f"largest is {describe_largest(cascades)}."
    )


def _records(study: Study) -> str:
    read, kept, quarantined, duplicates = (
        sum(getattr(row, name) for row in study.reconciliation)
        for name in ("read", "kept", "quarantined", "duplicates")
    )
    verdict = "all accounted for" if is_reconciled(study) else "which does NOT add up"
    return (
        f"Of {plural(read, 'record')} in the whole source {kept:,} were kept, {quarantined:,} quarantined and "
        f"{duplicates:,} dropped as duplicates, {verdict}."
    )


def _claims(study: Study) -> str:
    if not study.verdicts:
        return "Nothing in this document is a tested claim."
    supported = [record["id"] for record in study.verdicts if record["verdict"] == "supported"]
    named = f"; supported: {', '.join(supported)}" if supported else ""
    return f"Of the research plan's {count_verdicts(study.verdicts)}{named} (section 2)."


def _cautions(study: Study) -> Iterator[str]:
    yield from _coverage_cautions(study)
    yield from describe_absences(study)
    if study.config.assumed_delay_s is not None:
        delay_s = study.config.assumed_delay_s
        yield f"Known times are assumed: {delay_s:g} s after each event, whatever the capture says."
    elif any(study.statistics[symbol].capture_recorded is False for symbol in study.symbols):
        yield "The recording kept no capture times: known times are too early, and horizons of seconds look too good."
    early = count_early(study)
    if early:
        yield f"{plural(early, 'liquidation was', 'liquidations were')} known before they happened: a clock is wrong."
    yield from mixed_exchanges(study)
    bad, read = sum(row.quarantined for row in study.reconciliation), sum(row.read for row in study.reconciliation)
    if bad > _MANY_QUARANTINED * read:
        yield f"{percent(bad / read)} of all records are in quarantine."
    if study.not_testable:
        n = len(study.not_testable)
        yield f"{plural(n, 'question')} cannot be answered with this data: see the end of section 1."


def _coverage_cautions(study: Study) -> Iterator[str]:
    span_ms = study.end_ms - study.start_ms
    for recorder in list_recorders(study):
        own_ms = recorder.last_ms - recorder.first_ms
        if recorder.covered_ms < _WELL_COVERED * span_ms and own_ms:
            yield (
                f"The liquidations of {name_symbols(study, recorder.symbols)} were recorded from "
                f"{span(recorder.first_ms, recorder.last_ms)}, {percent(recorder.covered_ms / own_ms)} of that time "
                f"covered; that is {recorder.covered_ms / MS_PER_HOUR:,.1f} of the {span_ms / MS_PER_HOUR:,.0f} hours "
                f"({percent(recorder.covered_ms / span_ms)}) over which the data reaches."
            )


def _hypotheses(study: Study, pictures: Sequence[str]) -> str:
    if not study.verdicts:
        return (
            "## 2. Hypotheses\n\nNone was tested in this run (`--no-claims`). Sections 3 to 5 describe what was "
            "recorded; sections 7 and 8 explore, with p-values corrected for the number of tests, and give no verdict."
        )
    days = (study.statistics[ALL].covered_hours or 0.0) / _HOURS_PER_DAY
    usual = replace(study.config.questions, seed=0) == QuestionConfig()
    return "\n\n".join(
        [
            render_verdicts_markdown(study.verdicts, "## 2. Hypotheses"),
            *pictures,
            render_calibration(study.verdicts, read_calibration(), days, usual_settings=usual),
            "What was found around each verdict, by regime, side and horizon: section 9.",
        ]
    )


def _pictures(figures: Sequence[ReportFigure], section: str) -> Iterator[str]:
    own = [figure for figure in figures if figure.section == section]
    heatmaps = [figure for figure in own if "_heatmap_" in figure.file]
    named = heatmaps[_MOST_PICTURES:]
    for figure in own:
        if figure not in named:
            alternative = figure.file.removesuffix(".png").replace("_", " ")
            yield f"![{alternative}]({figure.file})\n\n*{figure.caption}*"
    if named:
        links = ", ".join(f"[{figure.file}]({figure.file})" for figure in named)
        yield f"Heat maps of the other symbols: {links}."
