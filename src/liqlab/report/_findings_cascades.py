"""The findings on cascades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from liqlab.cascades import CascadePreset
from liqlab.core.schema import LONG, SHORT
from liqlab.core.time import MS_PER_S
from liqlab.report._text import format_count, format_usd, render_markdown_table
from liqlab.report._words import percent, plural, sides
from liqlab.study import ALL, Study

_MOST_CASCADES = 10
_TIERS = ("<$1M", "$1M+", "$5M+")
_PRESSURE = {LONG: -1.0, SHORT: 1.0}
_NOT_TESTABLE = "**Not testable**"


def render_cascade_section(study: Study, pictures: Sequence[str]) -> str:
    """Section 4 of the findings; `pictures` are its figures as Markdown."""
    parts = ["## 4. Cascades", _definition(study)]
    if study.cascades.is_empty():
        return "\n\n".join([*parts, "The detector found none in this span.", *pictures])
    parts += [_by_symbol(study), _tiers(study), _largest(study), _displacement(study), *pictures]
    return "\n\n".join(parts)


def describe_largest(cascades: pl.DataFrame) -> str:
    """The largest cascade by notional, in words; at least one row."""
    row = _rank(cascades).row(0, named=True)
    return (
        f"{row['symbol']} on {row['start']:%Y-%m-%d %H:%M:%S} UTC: {plural(row['n_liquidations'], 'liquidation')}, "
        f"{format_usd(row['notional_usd'])}, {_sides(row)}, in {row['duration_s']:.1f} s"
    )


def _definition(study: Study) -> str:
    preset = study.config.cascades.resolve()
    return (
        f"Detector preset `{preset.name}`: {_describe_preset(preset)} Both sides count into one cluster. Silence is "
        "measured in known time, so `liqlab detect` with the same preset finds the same cascades live. "
        f"It finds **{plural(study.cascades.height, 'cascade')}** in {study.liquidations.height:,} liquidations."
    )


def _describe_preset(preset: CascadePreset) -> str:
    words = (
        f"a run of liquidations of one symbol with no silence longer than {preset.max_gap_ms / MS_PER_S:g} s, of at "
        f"least {plural(preset.min_liquidations, 'liquidation')}"
    )
    if preset.min_notional_usd > 0:
        words += f" and ${preset.min_notional_usd:,.0f}"
    if preset.size_quantile is not None:
        words += (
            f"; only liquidations at or above the {100 * preset.size_quantile:g}th percentile of the last "
            f"{preset.size_window:,} of their symbol take part (${preset.size_fallback_usd:,.0f} until "
            f"{preset.size_min_history:,} have been seen)"
        )
    return f"{words}."


def _by_symbol(study: Study) -> str:
    names = [*study.symbols, *([ALL] if len(study.symbols) > 1 else [])]
    rows = [_symbol_row(study, name) for name in names]
    header = [
        "symbol",
        "cascades",
        "mostly longs",
        "mostly shorts",
        "liquidations in them",
        "notional in them",
        "median liquidations",
        "median duration (s)",
        "longest (s)",
        "published definition",
    ]
    words = (
        "The last column counts cascades by the definition of the published table: volume at or above the "
        "whole-sample 95th percentile, at most 60 s apart, at least two. It looks at the whole sample, so it is there "
        "for comparison only, and the two counts differ as they should."
    )
    return f"{render_markdown_table(header, rows, 'lrrrrrrrrr')}\n\n{words}"


def _symbol_row(study: Study, name: str) -> list[str]:
    found = study.cascades if name == ALL else study.cascades.filter(pl.col("symbol") == name)
    block = study.statistics[name].published
    shares = (
        float(found["n_liquidations"].sum()) / block.events if block.events else None,
        float(found["notional_usd"].sum()) / block.notional_usd if block.notional_usd > 0 else None,
    )
    longs = found.filter(pl.col("dominant_side") == LONG).height
    return [
        name,
        format_count(found.height),
        format_count(longs),
        format_count(found.height - longs),
        *(percent(share) for share in shares),
        format_count(_number(found["n_liquidations"].median())),
        format_count(_number(found["duration_s"].median()), 1),
        format_count(_number(found["duration_s"].max()), 1),
        format_count(block.cascades),
    ]


def _tiers(study: Study) -> str:
    counts = dict(study.cascades["tier"].value_counts().iter_rows())
    words = ", ".join(f"{format_count(counts.get(tier, 0))} of {tier}" for tier in _TIERS)
    uncovered = study.cascades.filter(~pl.col("covered")).height
    note = f" {plural(uncovered, 'cascade reaches', 'cascades reach')} into time in which nobody listened."
    return f"By notional: {words} (labels, not thresholds of detection).{note if uncovered else ''}"


def _largest(study: Study) -> str:
    rows = [_cascade_row(row) for row in _rank(study.cascades).head(_MOST_CASCADES).iter_rows(named=True)]
    numbers = ["liquidations", "notional", "sides", "duration (s)", "displacement (bps)"]
    header = ["start (UTC)", "symbol", *numbers, "tier"]
    return "### The largest\n\n" + render_markdown_table(header, rows, "llrrrrrl")


def _cascade_row(row: dict[str, Any]) -> list[str]:
    displacement = row["displacement_bps"]
    return [
        f"{row['start']:%Y-%m-%d %H:%M:%S}",
        row["symbol"],
        format_count(row["n_liquidations"]),
        format_usd(row["notional_usd"]),
        _sides(row),
        f"{row['duration_s']:.1f}",
        "no price" if displacement is None else f"{displacement:+.1f}",
        row["tier"],
    ]


def _sides(row: dict[str, Any]) -> str:
    return sides(row["long_notional_usd"], row["short_notional_usd"])


def _rank(cascades: pl.DataFrame) -> pl.DataFrame:
    return cascades.sort("notional_usd", "start", "symbol", descending=[True, False, False], maintain_order=True)


def _displacement(study: Study) -> str:
    measured = study.cascades.filter(pl.col("displacement_bps").is_not_null())
    reasons = [row.reason for row in study.not_testable if row.what.startswith("displacement")]
    title = "### Displacement of the price"
    if measured.is_empty():
        age_s = study.config.cascades.price_max_age_s
        why = "; ".join(reasons) or f"no cascade has a ticker price younger than {age_s:g} s at its beginning and end"
        return f"{title}\n\n{_NOT_TESTABLE}: {why}."
    words = (
        "Ticker price (mark, else last) known at confirmation and when the cascade had ended, against the last one "
        "known before its first liquidation. It includes whatever move set the cascade off: it says how far the price "
        "had gone, not what the cascade did to it. Where no new price had come by then, there is none. Measured at the "
        f"end for {measured.height:,} of {plural(study.cascades.height, 'cascade')}."
    )
    rows = [_displacement_row(study.cascades, side) for side in (LONG, SHORT)]
    header = ["mostly", "at confirmation: n", "median (bps)", "at the end: n", "median (bps)", "with the forced orders"]
    parts = [title, words, render_markdown_table(header, rows, "lrrrrr")]
    return "\n\n".join([*parts, *(f"{_NOT_TESTABLE} for the others: {reason}." for reason in reasons)])


def _displacement_row(cascades: pl.DataFrame, side: str) -> list[str]:
    own = cascades.filter(pl.col("dominant_side") == side)
    confirmed, ended = (own[name].drop_nulls() for name in ("displacement_at_confirmation_bps", "displacement_bps"))
    with_pressure = int((ended * _PRESSURE[side] > 0).sum())
    return [
        f"{side}s",
        format_count(len(confirmed)),
        _signed(_number(confirmed.median())),
        format_count(len(ended)),
        _signed(_number(ended.median())),
        percent(with_pressure / len(ended) if len(ended) else None, 0),
    ]


def _signed(value: float | None) -> str:
    return format_count(None) if value is None else f"{value:+.1f}"


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
