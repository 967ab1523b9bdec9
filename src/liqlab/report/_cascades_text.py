"""Cascades as a table for the terminal."""

from __future__ import annotations

import polars as pl

from liqlab.core.time import format_time
from liqlab.report._text import format_count, format_usd, render_table
from liqlab.study import StudyConfig


def render_cascades(cascades: pl.DataFrame, config: StudyConfig, limit: int = 20) -> str:
    """The first `limit` cascades (0: all) of a cascades table in the order given, and what counts as one."""
    preset = config.cascades.resolve()
    rules = [f"silences up to {preset.max_gap_ms / 1000:g} s", f"at least {preset.min_liquidations} liquidations"]
    if preset.min_notional_usd:
        rules.append(f"at least {format_usd(preset.min_notional_usd)}")
    if preset.size_quantile is not None:
        rules.append(
            f"only sizes at or above the trailing {preset.size_quantile:.0%} quantile of {preset.size_window:,} "
            f"liquidations ({format_usd(preset.size_fallback_usd)} until there are {preset.size_min_history:,})"
        )
    shown = cascades if limit <= 0 else cascades.head(limit)
    lines = [f"{cascades.height:,} cascades, preset {preset.name}: {', '.join(rules)}"]
    if shown.height < cascades.height:
        lines[0] += f"; {shown.height:,} shown"
    if shown.height:
        header = [
            "confirmed (UTC)",
            "symbol",
            "liquidations",
            "notional",
            "side",
            "imbalance",
            "duration",
            "displacement",
        ]
        lines += ["", render_table(header, [_row(row) for row in shown.iter_rows(named=True)], "llrrlrrr")]
    return "\n".join(lines)


def _row(row: dict[str, object]) -> list[str]:
    displacement = row["displacement_bps"]
    return [
        format_time(round(row["confirmed"].timestamp() * 1000)),  # type: ignore[attr-defined]
        str(row["symbol"]),
        format_count(row["n_liquidations"]),  # type: ignore[arg-type]
        format_usd(row["notional_usd"]),  # type: ignore[arg-type]
        str(row["dominant_side"]),
        f"{row['imbalance']:+.2f}",
        f"{row['duration_s']:.1f} s",
        "n/a" if displacement is None else f"{displacement:+.1f} bps",
    ]
