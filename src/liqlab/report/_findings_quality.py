"""The first part of the findings: what the data are worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import polars as pl

from liqlab.core.time import MS_PER_HOUR, MS_PER_S
from liqlab.panel import Intervals, SideCheck, covered_ms, list_gaps, select_intervals
from liqlab.report._text import MISSING, format_count, render_markdown_table
from liqlab.report._words import join_names, length, minute, percent, plural
from liqlab.study import ALL, Study

_MOST_GAPS = 5
_LATE_MS = 60_000
#: A silence at either end that is this much longer than any other, and than an hour, needs another explanation.
_ABSENCE_FACTOR = 3
_LEAST_ABSENCE_MS = MS_PER_HOUR
_STREAMS = (("liquidation", "liquidations"), ("ticker", "ticker"))
_BASIS_WORDS = {
    "single": "taken from `singleOpenInterest`",
    "halved": "published with both sides of each contract, halved",
    "as published": "taken as published",
}


class Recorder(NamedTuple):
    """Symbols whose liquidations were recorded together, and when it listened inside the span of the study.

    `first_ms` and `last_ms` are its first and last covered moment, `gaps` the (start, end) between them in which it did
    not listen.
    """

    symbols: tuple[str, ...]
    first_ms: int
    last_ms: int
    covered_ms: int
    gaps: tuple[tuple[int, int], ...]


def render_quality(study: Study) -> str:
    """Section 1 of the findings: read, kept and lost; coverage; delays and clocks; prices; sides; what is missing."""
    parts = (
        "## 1. Data quality",
        _read(study),
        _quarantine(study),
        _coverage(study),
        _delays(study),
        _clocks(study),
        _prices(study),
        _sides(study),
        _untestable(study),
    )
    return "\n\n".join(parts)


def is_reconciled(study: Study) -> bool:
    """Whether the records of every stream add up."""
    return all(row.holds for row in study.reconciliation)


def name_symbols(study: Study, symbols: Sequence[str]) -> str:
    """Names of symbols, or that it is all of them."""
    return "all symbols" if len(symbols) == len(study.symbols) > 1 else join_names(symbols)


def exchanges_of(study: Study, stream: str, symbol: str | None = None) -> list[str]:
    """Exchanges that delivered `stream` of a symbol, or of any symbol of the study; sorted."""
    symbols = study.symbols if symbol is None else (symbol,)
    rows = study.coverage.filter((pl.col("stream") == stream) & pl.col("symbol").is_in(symbols))
    return rows["exchange"].unique().sort().to_list()


def mixed_exchanges(study: Study) -> list[str]:
    """Sentences on liquidations and prices that do not come from the same exchange."""
    apart: dict[tuple[str, str], list[str]] = {}
    for symbol in study.symbols:
        flows, prices = exchanges_of(study, "liquidation", symbol), exchanges_of(study, "ticker", symbol)
        if flows and prices and flows != prices:
            apart.setdefault((" and ".join(flows), " and ".join(prices)), []).append(symbol)
    sentences = [
        f"The liquidations of {name_symbols(study, symbols)} are those of **{flows}**, the ticker (prices, open "
        f"interest, funding) is that of **{prices}**: another market with its own prices."
        for (flows, prices), symbols in apart.items()
    ]
    everywhere = exchanges_of(study, "liquidation")
    if len(everywhere) > 1:
        sentences.append(
            f"Liquidations come from {' and '.join(everywhere)}: exchanges publish unlike shares of what happens, so "
            "sums over them are no totals of the market."
        )
    return sentences


def list_recorders(study: Study) -> list[Recorder]:
    """The recorders of the study's symbols; symbols that were recorded together share one."""
    shared: dict[tuple[bytes, bytes], list[str]] = {}
    for symbol in study.symbols:
        intervals = select_intervals(study.coverage, symbol)
        shared.setdefault((intervals.start_ms.tobytes(), intervals.end_ms.tobytes()), []).append(symbol)
    groups = ((symbols, select_intervals(study.coverage, symbols[0])) for symbols in shared.values())
    return [_recorder(study, tuple(symbols), intervals) for symbols, intervals in groups]


def _recorder(study: Study, symbols: tuple[str, ...], intervals: Intervals) -> Recorder:
    if not len(intervals):
        return Recorder(symbols, study.start_ms, study.start_ms, 0, ())
    first = max(study.start_ms, int(intervals.start_ms[0]))
    last = max(first, min(study.end_ms, int(intervals.end_ms[-1])))
    gaps = sorted(list_gaps(intervals, first, last), key=lambda gap: gap[0] - gap[1])
    return Recorder(symbols, first, last, covered_ms(intervals, first, last), tuple(gaps))


def describe_absences(study: Study) -> list[str]:
    """Sentences on symbols that are silent for far longer before their first or after their last liquidation than ever
    between, while their recorder listened: most likely they were not being recorded.
    """
    sentences = []
    for recorder in list_recorders(study):
        for symbol in recorder.symbols:
            found = study.statistics[symbol]
            longest_s = found.published.longest_gap_s
            if longest_s is None or found.first_event_ms is None or found.last_event_ms is None:
                continue
            before, after = found.first_event_ms - recorder.first_ms, recorder.last_ms - found.last_event_ms
            for silence_ms, what in ((before, "before its first liquidation"), (after, "after its last")):
                if silence_ms > max(_LEAST_ABSENCE_MS, _ABSENCE_FACTOR * MS_PER_S * longest_s):
                    sentences.append(
                        f"{symbol} is silent for {silence_ms / MS_PER_HOUR:.1f} h {what}, and never longer than "
                        f"{longest_s / 3_600:.1f} h between: most likely it was not recorded then, and its rates per "
                        "covered hour are too low."
                    )
    return sentences


def count_early(study: Study) -> int:
    """Liquidations that were known before they happened, by the clocks of recorder and exchange."""
    return study.liquidations.filter(pl.col("known_time") < pl.col("event_time")).height


def _read(study: Study) -> str:
    lines = sum(entry.lines for entry in study.files.values())
    other = sum(entry.other_lines for entry in study.files.values())
    aside = f"; {plural(other, 'line')} of other kinds left aside" if other else ""
    sources = ", ".join(f"`{source}`" for source in study.sources) or MISSING
    exchanges = "; ".join(
        f"{what} from {', '.join(names)}" for stream, what in _STREAMS if (names := exchanges_of(study, stream))
    )
    words = (
        f"Read from {sources} ({exchanges or 'no stream'}): {plural(len(study.files), 'capture file')} with "
        f"{plural(lines, 'line')}{aside}. A record is one liquidation, ticker row or ratio; each ends in exactly one "
        "of the three columns after `read`. The counts are those of the whole source, whatever symbols and span this "
        "document looks at."
    )
    rows = [
        [
            row.stream,
            format_count(row.read),
            format_count(row.kept),
            format_count(row.quarantined),
            format_count(row.duplicates),
            "holds" if row.holds else "**DOES NOT HOLD**",
        ]
        for row in study.reconciliation
    ]
    header = ["stream", "read", "kept", "quarantined", "duplicates", "read = kept + quarantined + duplicates"]
    mixed = mixed_exchanges(study)
    return "\n\n".join(["### What was read", words, render_markdown_table(header, rows, "lrrrrl"), *mixed])


def _quarantine(study: Study) -> str:
    if study.quarantine.is_empty():
        return "### Quarantine\n\nNo record was bad."
    counts = (
        study.quarantine.group_by("stream", "reason", maintain_order=True)
        .agg(pl.len().alias("rows"), pl.col("source_file").first(), pl.col("source_line").first())
        .sort("rows", "stream", "reason", descending=[True, False, False])
    )
    rows = [
        [row["reason"], row["stream"], format_count(row["rows"]), f"`{row['source_file']}:{row['source_line']}`"]
        for row in counts.iter_rows(named=True)
    ]
    words = (
        f"{plural(study.quarantine.height, 'record')} could not be used. They are in `tables/quarantine.parquet` with "
        "their text, and in no other table; an example of each reason is named by file and line."
    )
    table = render_markdown_table(["reason", "stream", "records", "first at"], rows, "llrl")
    return f"### Quarantine\n\n{words}\n\n{table}"


def _coverage(study: Study) -> str:
    config = study.config.coverage
    span_hours = (study.end_ms - study.start_ms) / MS_PER_HOUR
    recorders = list_recorders(study)
    rows = [_recorder_row(recorder, study.end_ms - study.start_ms) for recorder in recorders]
    header = ["symbols", "listened from", "until", "covered", "of the span", "of its own time", "gaps", "longest gap"]
    words = (
        f"The span of this study is {length(span_hours)}, whole hours around everything known. No message does not "
        "mean no liquidation: a moment is covered when the recorder of the symbol's liquidations delivered anything in "
        f"the {config.tolerance_with_ticker_s:g} s before, or in the {config.tolerance_alone_s / 60:g} min before "
        "where it records no ticker often enough. Rates in this document are per covered hour."
    )
    parts = ["### Coverage", words, render_markdown_table(header, rows, "lllrrrrr")]
    gaps = [(recorder, gap) for recorder in recorders for gap in recorder.gaps[:_MOST_GAPS]]
    longest = sorted(gaps, key=lambda found: (found[1][0] - found[1][1], found[1][0]))[:_MOST_GAPS]
    if longest:
        words = "; ".join(f"{minute(start)} for {_minutes(end - start)}" for _, (start, end) in longest)
        parts.append(f"The longest gaps (UTC): {words}.")
    return "\n\n".join([*parts, *describe_absences(study)])


def _recorder_row(recorder: Recorder, span_ms: int) -> list[str]:
    own_ms = recorder.last_ms - recorder.first_ms
    if not own_ms:
        return [join_names(recorder.symbols), MISSING, MISSING, "0.0 h", percent(0.0), MISSING, MISSING, MISSING]
    return [
        join_names(recorder.symbols),
        minute(recorder.first_ms),
        minute(recorder.last_ms),
        f"{recorder.covered_ms / MS_PER_HOUR:,.1f} h",
        percent(recorder.covered_ms / span_ms),
        percent(recorder.covered_ms / own_ms),
        format_count(len(recorder.gaps)),
        _minutes(recorder.gaps[0][1] - recorder.gaps[0][0]) if recorder.gaps else "none",
    ]


def _minutes(milliseconds: int) -> str:
    return f"{milliseconds / 60_000:,.1f} min"


def _delays(study: Study) -> str:
    unrecorded = [symbol for symbol in study.symbols if study.statistics[symbol].capture_recorded is False]
    parts = ["### Delivery delays"]
    rows = [_delay_row(study, symbol) for symbol in study.symbols if study.statistics[symbol].capture_recorded]
    if rows:
        header = ["symbol", "events", "to push P50", "P99", "to capture P1", "P50", "P90", "P99"]
        parts.append("Milliseconds from the event to the exchange's push, and to the capture on the recording machine.")
        parts.append(render_markdown_table(header, rows, "lrrrrrrr"))
    if study.config.assumed_delay_s is not None:
        parts.append(
            f"By configuration each liquidation counts as known {study.config.assumed_delay_s:g} s after its event, "
            "whatever the capture says."
        )
    elif unrecorded:
        parts.append(
            f"**Not testable** for {name_symbols(study, unrecorded)}: capture and event are the same number of "
            "milliseconds apart in every row, so the recording kept no capture time. Known times are too early by the "
            "real delay (about 0.3 s at the median where it was measured), which flatters anything at horizons of "
            "seconds."
        )
    elif not rows:
        parts.append("No liquidation, no delay.")
    return "\n\n".join(parts)


def _delay_row(study: Study, symbol: str) -> list[str]:
    push, capture = study.statistics[symbol].event_to_push, study.statistics[symbol].event_to_capture
    values = (push.p50_ms, push.p99_ms, capture.p1_ms, capture.p50_ms, capture.p90_ms, capture.p99_ms)
    return [symbol, format_count(capture.n), *(format_count(value) for value in values)]


def _clocks(study: Study) -> str:
    lead = pl.col("event_time") - pl.col("known_time")
    early = study.liquidations.filter(lead > pl.duration(milliseconds=0)).select("symbol", lead=lead)
    late = study.liquidations.filter(lead < pl.duration(milliseconds=-_LATE_MS)).height
    if early.height:
        counts = early.group_by("symbol").agg(pl.len(), pl.col("lead").max().dt.total_milliseconds()).sort("symbol")
        each = ", ".join(f"{symbol} {n:,} (by up to {lead_ms:,} ms)" for symbol, n, lead_ms in counts.iter_rows())
        words = (
            f"**{plural(early.height, 'liquidation was', 'liquidations were')} known before they happened**, by the "
            f"two clocks: {each}. One of the clocks is wrong."
        )
    else:
        words = "No liquidation was known before it happened, as it must be."
    slow = f" {plural(late, 'liquidation')} became known more than a minute after the event." if late else ""
    return f"### Clocks\n\n{words}{slow}"


def _prices(study: Study) -> str:
    intervals: dict[int | None, list[str]] = {}
    for symbol, interval in study.ticker_interval_ms.items():
        intervals.setdefault(None if interval is None else max(1, round(interval / 100)), []).append(symbol)
    words = [
        f"no ticker of {name_symbols(study, symbols)}"
        if tenths is None
        else f"a ticker row every {tenths / 10:g} s for {name_symbols(study, symbols)}"
        for tenths, symbols in intervals.items()
    ]
    parts = [f"Typically {'; '.join(words)}.", *_open_interest(study), _ratio(study)]
    return "### Prices, open interest, long/short ratio\n\n" + "\n\n".join(parts)


def _open_interest(study: Study) -> Iterator[str]:
    if study.open_interest_basis:
        words = "; ".join(
            f"{plural(rows, 'row')} {_BASIS_WORDS.get(basis, basis)}"
            for basis, rows in sorted(study.open_interest_basis.items())
        )
        yield f"Open interest counts each contract once: {words}."
    elif any(interval is not None for interval in study.ticker_interval_ms.values()):
        yield "The ticker holds no open interest."


def _ratio(study: Study) -> str:
    if not study.ratio_rows:
        return "The source holds no long/short ratio."
    config = study.config.dataset
    return (
        f"{plural(study.ratio_rows, 'long/short ratio')}. Each is used from {config.ratio_lag_s / 3600:g} h after its "
        "stamp, because the exchange does not say whether the stamp begins or ends the hour it describes, and until "
        f"{config.ratio_tolerance_s / 3600:g} h later."
    )


def _sides(study: Study) -> str:
    words = (
        "Ticker prices must on average fall around liquidated longs (forced sells) and rise around liquidated shorts "
        "(forced buys). If they do the opposite, the sides are most likely swapped at the source. The move is signed "
        "so that agreement is positive; t has errors clustered by block of time over all symbols."
    )
    rows = [_side_row(symbol, study.side_checks[symbol]) for symbol in (ALL, *study.symbols)]
    header = ["symbol", "verdict", "mean move (bps)", "t", "blocks", "window (s)", "events used", "why"]
    return f"### Side self-test\n\n{words}\n\n{render_markdown_table(header, rows, 'llrrrrrl')}"


def _side_row(symbol: str, check: SideCheck) -> list[str]:
    mean, error = format_count(check.mean_bps, 1), format_count(check.standard_error_bps, 1)
    return [
        symbol,
        f"**{check.verdict.upper()}**" if check.verdict == "contradicted" else check.verdict,
        MISSING if check.mean_bps is None else f"{mean} ± {error}",
        format_count(check.t, 1),
        format_count(check.blocks),
        f"±{check.window_s:g}",
        f"{format_count(check.events_used)} of {format_count(check.events)}",
        "" if check.verdict == "consistent" else check.reason,
    ]


def _untestable(study: Study) -> str:
    if not study.not_testable:
        return "### What this data cannot answer\n\nNothing that this version asks."
    rows = [[row.what, "not testable", row.reason] for row in study.not_testable]
    return "### What this data cannot answer\n\n" + render_markdown_table(["question", "answer", "reason"], rows, "lll")
