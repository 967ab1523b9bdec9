"""Detected cascades against the causal ones of a simulated market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab.audit._matching import match_cascades
from liqlab.cascades import CascadePreset, compute_size_thresholds, detect_cascades, label_liquidations
from liqlab.core.errors import SourceError, UserError
from liqlab.core.time import MS_PER_S
from liqlab.lake import Lake, is_lake
from liqlab.stats import compute_wilson
from liqlab.worlds import Truth

#: The row of all symbols together.
ALL = "ALL"
#: Two cascades are the same when they share at least this part of all their liquidations.
MIN_JACCARD = 0.5
#: Results of which a smaller share stands in the truth are results of other data.
_MIN_KNOWN_FRAC = 0.98
_IDENTITY = ["symbol", "event_time", "liquidated_side", "quantity", "price"]
_TREE = ["symbol", "root_symbol", "root"]


@dataclass(frozen=True)
class DetectorScore:
    """How well one preset finds the causal cascades of one symbol, or of `ALL`. A share of nothing is None.

    `precision` is the share of detected cascades that are causal ones, `recall` that of causal cascades that were
    detected, each with its 95 % Wilson interval; `f1` = 2 matched / (detected + causal). `notional_found_frac` is the
    share of the causal cascades' notional that lies in those detected. `n_lost` counts causal cascades of which the
    recording holds nothing. Delays run to the known time of the confirmation: from the event time at which the causal
    cascade itself had the preset's count and notional, and from that of its first liquidation.
    """

    preset: str
    symbol: str
    n_detected: int
    n_causal: int
    n_lost: int
    n_matched: int
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    f1: float | None
    notional_found_frac: float | None
    delay_median_s: float | None
    delay_p95_s: float | None
    delay_from_root_median_s: float | None
    delay_from_root_p95_s: float | None


def read_detector_input(folder: Path | str) -> pl.DataFrame:
    """The liquidations of a results folder or of a lake, as the detector took them.

    Raises `UserError` when `folder` is neither.
    """
    place = Path(folder)
    if is_lake(place):
        with Lake(place) as lake:
            return pl.concat([lake.read_liquidations(symbol) for symbol in lake.symbols("liquidations")])
    table = place / "tables" / "liquidations.parquet"
    if not table.is_file():
        raise UserError(
            f"{place} is neither a results folder nor a lake: there is no {table.relative_to(place)} in it; "
            "name the folder given to `liqlab run` with -o"
        )
    try:
        return pl.read_parquet(table)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"cannot read {table} ({error}); run `liqlab run` again") from error


def score_detector(
    liquidations: pl.DataFrame, truth: Truth, presets: Sequence[CascadePreset]
) -> dict[str, tuple[DetectorScore, ...]]:
    """The score of each preset by name: that of all symbols first, then each symbol's in alphabetical order.

    `liquidations` has the columns of that table; its rows are found in the truth by symbol, event time, side, quantity
    and price, equal ones in order. Causal cascades are the trees of the truth cut by symbol (see
    `list_causal_cascades`) whose first liquidation became known in the span of `liquidations`, those lost by the
    recording included. Detected and causal cascades are paired one to one by shared liquidations, Jaccard index at
    least one half (see `match_cascades`).

    Raises `UserError` when no symbol is common to both, or when the liquidations are not those of the truth.
    """
    symbols = _common_symbols(liquidations, truth)
    seen = _number_liquidations(liquidations.filter(pl.col("symbol").is_in(symbols)), truth)
    known = truth.liquidations.filter(pl.col("symbol").is_in(symbols))
    return {preset.name: _score_preset(seen, known, preset, symbols) for preset in presets}


def _common_symbols(liquidations: pl.DataFrame, truth: Truth) -> list[str]:
    found = liquidations["symbol"].unique().sort().to_list()
    common = [symbol for symbol in found if symbol in truth.symbols]
    if not common:
        raise UserError(
            f"the results hold {', '.join(found) or 'no symbol'}, the truth {', '.join(truth.symbols)}: nothing in "
            "common; name the truth of the captures that the results were made from"
        )
    return common


def _number_liquidations(liquidations: pl.DataFrame, truth: Truth) -> pl.DataFrame:
    """The liquidations with `number`, that of the truth; null for one that the truth does not know."""
    occurrence = pl.int_range(pl.len()).over(_IDENTITY).alias("occurrence")
    ordered = truth.liquidations.sort("symbol", "number").select(*_IDENTITY, "number")
    numbers = ordered.with_columns(occurrence)
    rows = liquidations.sort("symbol", "known_time", "event_time", "position", maintain_order=True)
    joined = rows.with_columns(occurrence).join(
        numbers, on=[*_IDENTITY, "occurrence"], how="left", maintain_order="left"
    )
    share = joined["number"].is_not_null().mean()
    if isinstance(share, float) and share < _MIN_KNOWN_FRAC:
        raise UserError(
            f"only {100 * share:.1f} % of the {joined.height:,} liquidations in the results stand in the truth "
            f"(world {truth.manifest['world']}, seed {truth.manifest['seed']}): these are results of other data"
        )
    return joined.drop("occurrence")


def list_causal_cascades(truth_liquidations: pl.DataFrame, preset: CascadePreset) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The causal cascades of a preset, and their liquidations.

    A causal cascade is what one tree of liquidations (a root and all its descendants) has in one symbol: a tree that
    spills over into another symbol is cut there, and its parts are cascades of their own. It counts when it has the
    preset's number of liquidations and notional. With a `size_quantile` only liquidations that take part in the
    detector, by the threshold trailing in known time, are counted.

    The first frame has symbol, root_symbol, root, n_liquidations, notional_usd, first_known, captured (how many stand
    in the captures), root_time and met_time, the event times of its first liquidation and of that with which it had
    count and notional; the second symbol, number, root_symbol and root of each member.
    """
    members = _taking_part(truth_liquidations, preset).sort("symbol", "number")
    running_n = pl.int_range(1, pl.len() + 1).over(_TREE)
    has_met = (running_n >= preset.min_liquidations) & (
        pl.col("notional_usd").cum_sum().over(_TREE) >= preset.min_notional_usd
    )
    cascades = (
        members.with_columns(has_met=has_met)
        .group_by(_TREE, maintain_order=True)
        .agg(
            n_liquidations=pl.len(),
            notional_usd=pl.col("notional_usd").sum(),
            first_known=pl.col("known_time").min(),
            captured=pl.col("captured").sum(),
            root_time=pl.col("event_time").min(),
            met_time=pl.col("event_time").filter("has_met").min(),
        )
        .filter(pl.col("met_time").is_not_null())
    )
    return cascades, members.join(cascades, on=_TREE, how="semi").select("symbol", "number", "root_symbol", "root")


def _taking_part(liquidations: pl.DataFrame, preset: CascadePreset) -> pl.DataFrame:
    if preset.size_quantile is None:
        return liquidations
    parts = []
    for part in liquidations.sort("known_time", "event_time", "number").partition_by("symbol"):
        notional_usd = part["notional_usd"].to_numpy()
        parts.append(part.filter(pl.Series(notional_usd >= compute_size_thresholds(notional_usd, preset))))
    return pl.concat(parts) if parts else liquidations


def _score_preset(
    seen: pl.DataFrame, truth: pl.DataFrame, preset: CascadePreset, symbols: Sequence[str]
) -> tuple[DetectorScore, ...]:
    first, last = seen["known_time"].min(), seen["known_time"].max()
    causal, members = list_causal_cascades(truth, preset)
    causal = causal.filter(pl.col("first_known").is_between(pl.lit(first), pl.lit(last))).with_row_index("causal")
    of_causal = members.join(causal.select(*_TREE, "causal"), on=_TREE).select("symbol", "number", "causal")
    detected = detect_cascades(seen, preset).with_row_index("detected")
    labelled = label_liquidations(seen, preset).drop_nulls("cascade_id")
    of_detected = labelled.join(detected.select("cascade_id", "detected"), on="cascade_id")
    shared = of_detected.join(of_causal, on=["symbol", "number"]).group_by("detected", "causal").agg(shared=pl.len())
    pairs = _pair(shared, detected["n_liquidations"].to_numpy(), causal["n_liquidations"].to_numpy())
    causal = causal.join(pairs, on="causal", how="left").join(
        detected.select("detected", "confirmed"), on="detected", how="left"
    )
    scores = [_summarise(preset, ALL, detected.height, causal)]
    for symbol in symbols:
        own = pl.col("symbol") == symbol
        scores.append(_summarise(preset, symbol, detected.filter(own).height, causal.filter(own)))
    return tuple(scores)


def _pair(shared: pl.DataFrame, detected_size: NDArray[Any], causal_size: NDArray[Any]) -> pl.DataFrame:
    detected, causal = shared["detected"].to_numpy(), shared["causal"].to_numpy()
    n_shared = shared["shared"].to_numpy().astype(np.int64)
    jaccard = n_shared / (detected_size[detected] + causal_size[causal] - n_shared)
    candidates = zip(detected.tolist(), causal.tolist(), jaccard.tolist(), strict=True)
    matched = match_cascades(list(candidates), MIN_JACCARD)
    schema = {"detected": pl.UInt32, "causal": pl.UInt32}
    return pl.DataFrame(matched, schema=schema, orient="row")


def _summarise(preset: CascadePreset, symbol: str, n_detected: int, causal: pl.DataFrame) -> DetectorScore:
    matched = causal.drop_nulls("detected")
    n_causal, n_matched = causal.height, matched.height
    precision, precision_low, precision_high = compute_wilson(n_matched, n_detected)
    recall, recall_low, recall_high = compute_wilson(n_matched, n_causal)
    notional_usd, found_usd = (float(frame["notional_usd"].to_numpy().sum()) for frame in (causal, matched))
    from_met, from_root = (_delays_s(matched, start) for start in ("met_time", "root_time"))
    return DetectorScore(
        preset=preset.name,
        symbol=symbol,
        n_detected=n_detected,
        n_causal=n_causal,
        n_lost=causal.filter(pl.col("captured") == 0).height,
        n_matched=n_matched,
        precision=precision,
        precision_low=precision_low,
        precision_high=precision_high,
        recall=recall,
        recall_low=recall_low,
        recall_high=recall_high,
        f1=2 * n_matched / (n_detected + n_causal) if n_detected + n_causal else None,
        notional_found_frac=found_usd / notional_usd if notional_usd else None,
        delay_median_s=_quantile(from_met, 0.5),
        delay_p95_s=_quantile(from_met, 0.95),
        delay_from_root_median_s=_quantile(from_root, 0.5),
        delay_from_root_p95_s=_quantile(from_root, 0.95),
    )


def _delays_s(matched: pl.DataFrame, start: str) -> NDArray[Any]:
    return (
        matched.select((pl.col("confirmed") - pl.col(start)).dt.total_milliseconds() / MS_PER_S).to_series().to_numpy()
    )


def _quantile(values: NDArray[Any], level: float) -> float | None:
    return float(np.quantile(values, level)) if len(values) else None
