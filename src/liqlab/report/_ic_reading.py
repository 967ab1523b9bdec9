"""What the table of information coefficients says: the family, what survives in it, and the strongest features."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from liqlab.core.time import MS_PER_S
from liqlab.report._style import format_span
from liqlab.report._text import MISSING

#: Adjusted p below this is called surviving the correction.
LEVEL = 0.05

RETURN, VOLATILITY = "return", "volatility"
TARGETS = (RETURN, VOLATILITY)
TARGET_NAMES = {RETURN: "forward return", VOLATILITY: "forward volatility"}
TARGET_PLURALS = {RETURN: "forward returns", VOLATILITY: "forward volatilities"}

ALL_TIMES = "all"
REGIME_NAMES = ("quiet", "volatile")


#: A whole number in a remark.
_NUMBER = r"\d+(?:,\d{3})*"
#: Beginnings of notes that repeat what the cells say of themselves.
_SUMMED_UP = r"no coefficient, |\d[\d,]* coefficients? with "

#: So many features are named one by one.
_MOST_NAMED = 5

#: A feature that no catalogue names.
OTHER_FAMILY = "other"


class FamilyCount(NamedTuple):
    """Cells of a family of tests: all, those with a p, raw p below 0.05, adjusted p below 0.05."""

    cells: int
    tested: int
    raw: int
    surviving: int

    @property
    def by_chance(self) -> float:
        """How many raw p below 0.05 are expected when nothing is related to anything."""
        return LEVEL * self.tested


def count_family(table: pl.DataFrame) -> FamilyCount:
    """The counts of the rows of `table` (`core.schema.IC`)."""
    return FamilyCount(
        table.height,
        table["p"].count(),
        int((table["p"] < LEVEL).sum()),
        int((table["p_adjusted"] < LEVEL).sum()),
    )


def at_all_times(table: pl.DataFrame) -> pl.DataFrame:
    """The rows that are not split by regime."""
    return table.filter(pl.col("regime") == ALL_TIMES)


def by_regime(table: pl.DataFrame) -> pl.DataFrame:
    """The rows that are split by regime."""
    return table.filter(pl.col("regime") != ALL_TIMES)


def rank_strongest(table: pl.DataFrame) -> pl.DataFrame:
    """Rows that have an IC, the smallest p first, then the largest IC without sign, then by name and horizon.

    By p and not by size: a feature known at few moments has a large IC by chance. Rows without a p come last.
    """
    found = table.filter(pl.col("ic").is_not_null()).with_columns(pl.col("ic").abs().alias("_size"))
    order = ["p", "_size", "feature", "target", "horizon_s", "symbol", "regime"]
    falling = [name == "_size" for name in order]
    return found.sort(order, descending=falling, nulls_last=True, maintain_order=True).drop("_size")


def list_horizons(table: pl.DataFrame, target: str) -> list[int]:
    """The horizons of `target` in seconds, ascending."""
    return table.filter(pl.col("target") == target)["horizon_s"].unique().sort().to_list()


def name_horizon(horizon_s: int) -> str:
    """A horizon in its natural unit.

    >>> [name_horizon(seconds) for seconds in (10, 300, 14_400)]
    ['10 s', '5 min', '4 h']
    """
    return format_span(horizon_s * MS_PER_S)


def read_families(dictionary: pl.DataFrame) -> dict[str, str]:
    """Feature to family, in the order of the dictionary."""
    return dict(dictionary.select("feature", "family").iter_rows())


def group_features(features: Sequence[str], families: Mapping[str, str]) -> dict[str, list[str]]:
    """Family to those of `features` in it, both in the order of `families`; what it does not name comes last."""
    groups: dict[str, list[str]] = {}
    present = set(features)
    for feature, family in families.items():
        if feature in present:
            groups.setdefault(family, []).append(feature)
    unnamed = sorted(present - families.keys())
    return groups | ({OTHER_FAMILY: unnamed} if unnamed else {})


def format_ic(value: float | None) -> str:
    """A correlation with its sign.

    >>> format_ic(0.0512), format_ic(-0.2), format_ic(0.0), format_ic(None)
    ('+0.051', '-0.200', '0.000', 'n/a')
    """
    if value is None or value != value:
        return MISSING
    return f"{value:+.3f}" if round(value, 3) else "0.000"


def format_interval(low: float | None, high: float | None) -> str:
    """An interval of correlations.

    >>> format_interval(-0.0123, 0.2), format_interval(None, None)
    ('-0.012 to +0.200', 'n/a')
    """
    if low is None or high is None:
        return MISSING
    return f"{format_ic(low)} to {format_ic(high)}"


def format_p(p: float | None) -> str:
    """A probability with four decimals; a small one is not rounded to nothing.

    >>> format_p(0.04321), format_p(0.00001), format_p(1.0), format_p(None)
    ('0.0432', '<0.0001', '1.0000', 'n/a')
    """
    if p is None or p != p:
        return MISSING
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def group_notes(table: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """Each different remark in the notes of `table` with its rows, the most frequent first.

    A note may hold several remarks, separated by semicolons. Those that differ only in numbers are one, with the range
    of each number.
    """
    remarks = table.with_columns(pl.col("note").fill_null("").str.split("; ")).explode("note")
    remarks = remarks.filter(pl.col("note") != "").with_columns(_wording=pl.col("note").str.replace_all(_NUMBER, "#"))
    groups = [
        (_join_numbers(rows["note"].unique().to_list()), rows.drop("_wording"))
        for _, rows in remarks.group_by("_wording", maintain_order=True)
    ]
    return sorted(groups, key=lambda group: (-group[1].height, group[0]))


def _join_numbers(notes: Sequence[str]) -> str:
    """One text for notes with the same wording.

    >>> _join_numbers(["93 pairs, 100 needed", "7 pairs, 100 needed", "1,200 pairs, 100 needed"])
    '7 to 1,200 pairs, 100 needed'
    """
    ranges = []
    for numbers in zip(*(re.findall(_NUMBER, note) for note in notes), strict=True):
        ordered = sorted(set(numbers), key=lambda number: int(number.replace(",", "")))
        ranges.append(ordered[0] if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}")
    found = iter(ranges)
    return re.sub(_NUMBER, lambda _: next(found), notes[0])


def select_notes(notes: Sequence[str]) -> list[str]:
    """The notes of the analysis as a whole, without those that sum up what `group_notes` says cell by cell."""
    return [note for note in notes if not re.match(_SUMMED_UP, note)]


def describe_cells(rows: pl.DataFrame, whole: pl.DataFrame) -> str:
    """Which features and horizons `rows`, a part of `whole`, are, in words."""
    features = rows["feature"].unique(maintain_order=True).to_list()
    horizons = rows.select("target", "horizon_s").unique().sort("target", "horizon_s")
    every = horizons.height == whole.select("target", "horizon_s").n_unique()
    return f"{_name_features(features, whole)}; {'every horizon' if every else _name_horizons(horizons)}"


def _name_features(features: list[str], whole: pl.DataFrame) -> str:
    if 1 < len(features) == whole["feature"].n_unique():
        return "all features"
    if len(features) <= _MOST_NAMED:
        return ", ".join(features)
    return f"{', '.join(features[:_MOST_NAMED])} and {len(features) - _MOST_NAMED} more"


def _name_horizons(horizons: pl.DataFrame) -> str:
    by_target: dict[str, list[str]] = {}
    for target, horizon_s in horizons.iter_rows():
        by_target.setdefault(target, []).append(name_horizon(horizon_s))
    return "; ".join(f"{target} {', '.join(names)}" for target, names in by_target.items())
