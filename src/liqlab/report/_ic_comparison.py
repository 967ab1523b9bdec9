"""The comparison of liquidation features with those of open interest and funding, in words and as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from liqlab.report._ic_reading import (
    LEVEL,
    TARGET_PLURALS,
    TARGETS,
    format_ic,
    format_interval,
    format_p,
    name_horizon,
)
from liqlab.report._text import format_count

COMPARISON_HEADER = (
    "target",
    "horizon",
    "liquidation",
    "OI, funding",
    "difference",
    "95 % interval",
    "p",
    "adjusted p",
    "days",
)
COMPARISON_ALIGN = "lrrrrrrrr"

_METHOD = (
    "All symbols together. The sign of each feature is learned from the days before; its signed daily ICs are "
    "averaged within each group, and the two averages are compared day by day. The larger group is not favoured by its "
    "number of tries. Null: both groups predict equally well; the correction runs over the rows of the table."
)


def describe_comparison(comparison: pl.DataFrame) -> list[str]:
    """How the groups were compared and what came out for each target, a sentence or two each.

    `comparison` has target, horizon_s (null for all horizons together), liquidation_ic, other_ic, difference, ci_low,
    ci_high, p, p_adjusted, days, liquidation_features, other_features and note. Without a tested row: why not.
    """
    if comparison.is_empty():
        return ["Not testable: there is no daily coefficient to compare."]
    if comparison["p"].count() == 0:
        reasons = [note for note in comparison["note"].unique(maintain_order=True) if note]
        return [f"Not testable: {'; '.join(reasons) or 'no difference has an interval'}."]
    return [_METHOD, *(_conclude(comparison, target) for target in TARGETS if _of(comparison, target).height)]


def list_comparison_rows(comparison: pl.DataFrame) -> list[list[str]]:
    """The cells of the comparison under `COMPARISON_HEADER`; no rows without a tested one."""
    if comparison.is_empty() or comparison["p"].count() == 0:
        return []
    return [_row(row) for target in TARGETS for row in _of(comparison, target).iter_rows(named=True)]


def _of(comparison: pl.DataFrame, target: str) -> pl.DataFrame:
    own = comparison.filter(pl.col("target") == target)
    return own.sort("horizon_s", nulls_last=True, maintain_order=True)


def _row(row: dict[str, Any]) -> list[str]:
    return [
        row["target"],
        "all" if row["horizon_s"] is None else name_horizon(row["horizon_s"]),
        format_ic(row["liquidation_ic"]),
        format_ic(row["other_ic"]),
        format_ic(row["difference"]),
        format_interval(row["ci_low"], row["ci_high"]),
        format_p(row["p"]),
        format_p(row["p_adjusted"]),
        format_count(row["days"]),
    ]


def _conclude(comparison: pl.DataFrame, target: str) -> str:
    own = _of(comparison, target)
    return " ".join([f"Against {TARGET_PLURALS[target]}:", *_summarise(own)])


def _summarise(own: pl.DataFrame) -> Iterator[str]:
    together = own.filter(pl.col("horizon_s").is_null() & pl.col("difference").is_not_null())
    for row in together.iter_rows(named=True):
        yield (
            f"over all horizons the {row['liquidation_features']} liquidation features have a mean signed IC of "
            f"{format_ic(row['liquidation_ic'])}, the {row['other_features']} of open interest and funding "
            f"{format_ic(row['other_ic'])}; difference {format_ic(row['difference'])} "
            f"({format_interval(row['ci_low'], row['ci_high'])}), adjusted p {format_p(row['p_adjusted'])}."
        )
    if own["p"].count() == 0:
        yield "no difference could be tested."
        return
    clear = own.filter(pl.col("p_adjusted") < LEVEL)
    better, worse = clear.filter(pl.col("difference") > 0).height, clear.filter(pl.col("difference") < 0).height
    if not better and not worse:
        yield "In no row does either group do better than the other after the correction."
    else:
        yield (
            f"After the correction liquidation features do better in {better or 'none'} and worse in {worse or 'none'} "
            f"of {own.height} rows."
        )
