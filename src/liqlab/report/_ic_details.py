"""More on the strongest features: days, turnover, fifths, decay, and each regime, as plain text."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from liqlab.report._ic_reading import (
    LEVEL,
    REGIME_NAMES,
    TARGET_NAMES,
    TARGETS,
    count_family,
    format_ic,
    format_p,
    list_horizons,
    name_horizon,
    rank_strongest,
)
from liqlab.report._text import MISSING, TEXT_WIDTH, format_count, render_table
from liqlab.report._words import percent, plural

_PER_HORIZON = 3
_PER_TARGET = 8
_MOST_COLUMNS = 9
_BPS_PER_UNIT = 1e4
#: An IC is called decayed at the first longer horizon with less than this share of its peak.
_HALF = 0.5


def render_details(whole: pl.DataFrame) -> str:
    """Daily ICs, turnover and mean labels by fifth of the three strongest features at each horizon, by target."""
    words = (
        "Daily: mean, standard deviation and their ratio of the ICs of single days; `sign`: days with the sign of the "
        "whole. Turnover: 1 - rank autocorrelation of the feature at a lag of the horizon; near 1, nothing of its "
        "order is left by then. Top - bottom: mean label of the highest fifth of the feature less that of the lowest, "
        "bps before any cost, fifths cut on the whole sample. Monotone: rank correlation of fifth and mean label."
    )
    known = whole.filter(pl.col("ic").is_not_null())
    tables = [_details_table(known, target) for target in TARGETS if list_horizons(known, target)]
    return "\n\n".join([_wrap(words), *tables])


def _details_table(whole: pl.DataFrame, target: str) -> str:
    rows = []
    for horizon in list_horizons(whole, target):
        own = whole.filter((pl.col("target") == target) & (pl.col("horizon_s") == horizon))
        for place, row in enumerate(rank_strongest(own).head(_PER_HORIZON).iter_rows(named=True)):
            bps = row["top_minus_bottom"]
            rows.append(
                [
                    name_horizon(horizon) if place == 0 else "",
                    row["feature"],
                    format_ic(row["daily_mean"]),
                    _unsigned(row["daily_spread"], 3),
                    _signed(row["daily_ratio"], 2),
                    format_count(row["days"]),
                    percent(row["same_sign_frac"], 0),
                    _unsigned(row["turnover"], 2),
                    _signed(None if bps is None else _BPS_PER_UNIT * bps, 2),
                    _signed(row["monotonicity"], 1),
                ]
            )
    header = ["horizon", "feature", "mean", "spread", "ratio", "days", "sign", "turnover", "top-bottom", "monotone"]
    return f"{TARGET_NAMES[target].capitalize()}\n{render_table(header, rows, 'rlrrrrrrrr')}"


def render_decay(whole: pl.DataFrame) -> str:
    """How long the ICs of the strongest features last."""
    words = (
        "Clearest: the horizon with the smallest p. Half by: the first longer horizon at which less than half of that "
        "IC, or the other sign, is left. Sign: horizons with the sign of the clearest."
    )
    parts = [_wrap(words)]
    for target in TARGETS:
        rows = [_decay_row(whole, row) for row in _pick(whole, target)]
        if rows:
            header = ["feature", "shortest", "at", "clearest", "at", "longest", "at", "half by", "sign"]
            parts.append(f"{TARGET_NAMES[target].capitalize()}\n{render_table(header, rows, 'lrlrlrlrr')}")
    return "\n\n".join(parts)


def _pick(whole: pl.DataFrame, target: str) -> list[dict[str, Any]]:
    """The features with the smallest p at any horizon of `target`, each at that horizon."""
    ranked = rank_strongest(whole.filter(pl.col("target") == target))
    return ranked.unique("feature", keep="first", maintain_order=True).head(_PER_TARGET).to_dicts()


def _decay_row(whole: pl.DataFrame, clearest: dict[str, Any]) -> list[str]:
    same = (pl.col("target") == clearest["target"]) & (pl.col("feature") == clearest["feature"])
    known = whole.filter(same & pl.col("ic").is_not_null()).sort("horizon_s")
    points = list(known.select("horizon_s", "ic").iter_rows())
    peak, horizon = clearest["ic"], clearest["horizon_s"]
    left = [(later, math.copysign(ic, ic * peak)) for later, ic in points if later > horizon]
    gone = [later for later, ic in left if ic < _HALF * abs(peak)]
    n_same = sum(ic * peak > 0 for _, ic in points)
    (first_horizon, first), (last_horizon, last) = points[0], points[-1]
    return [
        clearest["feature"],
        format_ic(first),
        name_horizon(first_horizon),
        format_ic(peak),
        name_horizon(horizon),
        format_ic(last),
        name_horizon(last_horizon),
        name_horizon(gone[0]) if gone else "not by then",
        f"{n_same} of {len(points)}",
    ]


def render_days(whole: pl.DataFrame, daily: pl.DataFrame) -> str:
    """IC by day of the strongest features at their strongest horizon; days in groups where there are more than nine."""
    days = daily["day"].unique().sort().to_list()
    if len(days) < 2:
        return _wrap(f"Not testable: {plural(len(days), 'day')} with daily coefficients, at least 2 needed.")
    groups = _cut_days(len(days))
    edges = {days[start]: (start, stop) for start, stop in groups}
    rows = []
    for target in TARGETS:
        for row in _pick(whole, target):
            own = daily.filter(
                (pl.col("target") == target)
                & (pl.col("feature") == row["feature"])
                & (pl.col("horizon_s") == row["horizon_s"])
            )
            cells = [_mean_over(own, days[start:stop]) for start, stop in edges.values()]
            rows.append([row["feature"], f"{target[:3]}. {name_horizon(row['horizon_s'])}", *cells])
    header = ["feature", "target", *(f"{first:%m-%d}" for first in edges)]
    table = render_table(header, rows, "ll" + "r" * len(edges))
    per = "" if len(groups) == len(days) else f" Each column is the mean of up to {groups[0][1]} days from its date on."
    return f"{table}\n{_wrap(f'A day with too few pairs is {MISSING}.{per}')}"


def _cut_days(n_days: int) -> list[tuple[int, int]]:
    """Consecutive groups of equal length, at most nine of them."""
    length = -(-n_days // _MOST_COLUMNS)
    starts = [*range(0, n_days, length), n_days]
    return list(pairwise(starts))


def _mean_over(own: pl.DataFrame, days: Sequence[object]) -> str:
    mean = own.filter(pl.col("day").is_in(list(days)))["ic"].mean()
    return format_ic(mean if isinstance(mean, float) else None).replace("0.", ".", 1)


def render_regimes(whole: pl.DataFrame, split: pl.DataFrame) -> str:
    """The strongest features at all times and within each regime, with what survives the family of the splits."""
    if split["ic"].count() == 0:
        return _wrap("Not testable: no coefficient within a regime could be computed; see the notes.")
    parts = [_wrap(" ".join(_count_regimes(split)))]
    for target in TARGETS:
        rows = [_regime_row(split, row) for row in _pick(whole, target)]
        if rows:
            header = ["feature", "horizon", "all times ", "quiet ", "adjusted p", "volatile ", "adjusted p"]
            parts.append(f"{TARGET_NAMES[target].capitalize()}\n{render_table(header, rows, 'lrrrrrr')}")
    return "\n\n".join(parts)


def _count_regimes(split: pl.DataFrame) -> Iterator[str]:
    for regime in REGIME_NAMES:
        counts = count_family(split.filter(pl.col("regime") == regime))
        if counts.tested:
            yield f"{regime.capitalize()}: {counts.surviving:,} of {counts.tested:,} cells survive."
        else:
            yield f"{regime.capitalize()}: nothing could be tested."
    yield "The splits are a family of their own. A difference between two regimes is not tested here."


def _regime_row(split: pl.DataFrame, row: dict[str, Any]) -> list[str]:
    cells = [row["feature"], name_horizon(row["horizon_s"]), f"{format_ic(row['ic'])} "]
    same = pl.all_horizontal(pl.col(name) == row[name] for name in ("feature", "target", "horizon_s"))
    found = {regime: (ic, p) for regime, ic, p in split.filter(same).select("regime", "ic", "p_adjusted").iter_rows()}
    for regime in REGIME_NAMES:
        ic, adjusted = found.get(regime, (None, None))
        survives = adjusted is not None and adjusted < LEVEL
        cells += [format_ic(ic) + ("*" if survives else " "), format_p(adjusted)]
    return cells


def _signed(value: float | None, decimals: int) -> str:
    return MISSING if value is None else f"{value:+.{decimals}f}"


def _unsigned(value: float | None, decimals: int) -> str:
    return MISSING if value is None else f"{value:.{decimals}f}"


def _wrap(text: str) -> str:
    return textwrap.fill(text, TEXT_WIDTH, break_on_hyphens=False)
