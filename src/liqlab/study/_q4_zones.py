"""Question 4: do price ranges in which much was liquidated attract the price, turn it, or let it burst through?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from liqlab.core.time import MS_PER_MINUTE
from liqlab.panel import ZONES, LevelLiquidations, PriceGrid, ZoneConfig, map_zones
from liqlab.study._evidence import Evidence
from liqlab.study._hypotheses import find_hypothesis
from liqlab.study._hypotheses_minima import find_shortfall
from liqlab.study._inference import Answer, QuestionConfig
from liqlab.study._placebo_inference import MOST_UNMATCHED_FRAC
from liqlab.study._protocol import Finding
from liqlab.study._q4_zones_compare import Comparison, compare_pairs, compare_touches
from liqlab.study._q4_zones_levels import (
    ZONE,
    LevelConfig,
    Levels,
    Reactions,
    join_levels,
    join_reactions,
    list_levels,
    measure_reactions,
)
from liqlab.study._q4_zones_shift import infer_shift, list_density, measure_shift
from liqlab.study._q4_zones_tables import score_forecasts, score_zones

#: A day and the day before it, of which Student's t needs some.
_LEAST_DAY_PAIRS = 3


@dataclass(frozen=True)
class Sightings:
    """All levels of all symbols with what the price did there; `symbols` names the codes, `zones` is a `ZONES`."""

    symbols: tuple[str, ...]
    levels: Levels
    reactions: Reactions
    zones: pl.DataFrame


def answer_q4(evidence: Evidence, config: QuestionConfig) -> Answer:
    """A finding for Q4.1 to Q4.4 and the exploratory tables of zones."""
    zones, levels = ZoneConfig(), LevelConfig()
    symbols, interval_s, left_out = evidence.choose_timely(find_hypothesis("Q4.1").max_ticker_interval_s)
    seen = find_sightings(evidence, symbols, zones, levels, config.seed)
    shift = measure_shift(evidence, zones, config.seed)
    tables = {
        "zones": seen.zones,
        "zone_scores": score_zones(seen.symbols, seen.levels, seen.reactions),
        **score_forecasts(seen.levels, seen.reactions, levels),
        "zone_shift": shift,
        "liquidation_density": list_density(evidence, zones),
    }
    findings = (*_judge_levels(seen, interval_s, levels, config), _judge_shift(evidence, shift))
    return Answer("Q4", findings, tables, tuple(_list_notes(zones, levels, left_out)))


def find_sightings(
    evidence: Evidence, symbols: tuple[str, ...], zones: ZoneConfig, config: LevelConfig, seed: int
) -> Sightings:
    """The zones of the symbols, the levels in reach of their prices, and the reactions to them."""
    tables, levels, reactions = [ZONES.empty()], [], []
    for code, name in enumerate(symbols):
        placed = LevelLiquidations.gather(evidence.symbols[name].liquidations, PriceGrid.of(name, zones))
        maps = map_zones(placed, evidence.start_ms, evidence.end_ms, zones)
        tables.append(maps.to_frame(name))
        levels.append(list_levels(evidence.symbols[name], code, maps, config, seed))
        reactions.append(measure_reactions(evidence.symbols[name], levels[-1], config))
    return Sightings(symbols, join_levels(levels), join_reactions(reactions), pl.concat(tables))


def _judge_levels(
    seen: Sightings, interval_s: float, config: LevelConfig, questions: QuestionConfig
) -> tuple[Finding, ...]:
    levels, reactions = seen.levels, seen.reactions
    everywhere = levels.kind == ZONE
    touch_ms = (config.visit_min + config.barrier_min) * MS_PER_MINUTE
    compared = (
        ("Q4.1", compare_pairs(levels, reactions.visited, everywhere), config.visit_min * MS_PER_MINUTE),
        ("Q4.2", compare_touches(levels, reactions, reactions.reversed, everywhere), touch_ms // 2),
        ("Q4.3", compare_touches(levels, reactions, reactions.further, everywhere), touch_ms // 2),
    )
    return tuple(
        _judge(name, comparison, horizon_ms, interval_s, questions) for name, comparison, horizon_ms in compared
    )


def _judge(
    identifier: str, comparison: Comparison, horizon_ms: int, interval_s: float, config: QuestionConfig
) -> Finding:
    inference = comparison.infer(horizon_ms, config)
    n_blocks = comparison.count_blocks(inference.block_min)
    values = f"zones {comparison.zone_value:.3f}, other levels {comparison.random_value:.3f} (plain means)"
    return Finding(
        identifier,
        effect=inference.estimate,
        ci_low=inference.ci_low,
        ci_high=inference.ci_high,
        p=inference.p,
        n=comparison.n_zones,
        n_blocks=n_blocks,
        method=f"zones against matched levels, {inference.method}",
        note=f"{values}; {comparison.n_random:,} other levels" if comparison.n_zones else "",
        shortfall=find_shortfall(
            find_hypothesis(identifier),
            n_events=comparison.n_zones,
            n_blocks=n_blocks,
            ticker_interval_s=interval_s,
        ),
        doubt=_doubt(comparison.unmatched_frac),
    )


def _doubt(unmatched_frac: float) -> str:
    if not unmatched_frac > MOST_UNMATCHED_FRAC:
        return ""
    return f"{unmatched_frac:.0%} of the zones have no level to compare with, more than {MOST_UNMATCHED_FRAC:.0%}"


def _judge_shift(evidence: Evidence, shift: pl.DataFrame) -> Finding:
    found = infer_shift(shift)
    n_days = shift["time"].n_unique()
    missing = find_shortfall(find_hypothesis("Q4.4"), n_days=evidence.covered_days)
    if not missing and n_days < _LEAST_DAY_PAIRS:
        missing = f"needs {_LEAST_DAY_PAIRS} days with a map and one of the day before, found {n_days}"
    known = not math.isnan(found.p)
    return Finding(
        "Q4.4",
        effect=found.estimate,
        ci_low=found.ci_low if known else None,
        ci_high=found.ci_high if known else None,
        p=found.p if known else None,
        n=found.n_values,
        n_blocks=found.n_clusters,
        method=f"maps of consecutive days, Student's t over {found.n_clusters} days",
        note=_describe_shift(shift),
        shortfall=missing,
    )


def _describe_shift(shift: pl.DataFrame) -> str:
    if shift.is_empty():
        return ""
    whole, new, chance = (float(shift[name].to_numpy().mean()) for name in ("new_frac", "new_half_frac", "chance_frac"))
    return (
        f"{whole:.0%} of a day's zone mass is outside the zones of the day before; between halves {new:.0%}, and "
        f"{chance:.0%} between halves of one day"
    )


def _list_notes(zones: ZoneConfig, levels: LevelConfig, left_out: str) -> list[str]:
    notes = [
        f"Zones are the fullest price levels that together hold {zones.mass_frac:.0%} of the notional liquidated in "
        f"the {zones.window_h:g} h before, from what was known then, made anew every {zones.refresh_min} min; levels "
        f"are ${zones.level_usd:g} wide for Bitcoin and {zones.level_bps:g} bps for the others.",
        f"Looked at are levels between {levels.nearest:g} and {levels.farthest:g} trailing hourly volatilities from "
        "the price. A zone is placed by liquidation prices (bankruptcy prices on Bybit), touches and barriers are "
        "ticker prices.",
        "A zone lies where the price has been. Without matched levels at equal distance that alone looks like an "
        "attraction, or in a trend like a repulsion.",
    ]
    return [*notes, left_out] if left_out else notes
