"""Every table that a run writes into its results, and which of them belong to which question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from liqlab.backtest import BACKTEST_TABLES
from liqlab.core import schema
from liqlab.core.schema import Table
from liqlab.features import FEATURE_DICTIONARY, FEATURE_TABLE
from liqlab.panel import ZONES
from liqlab.study._inference import Answer
from liqlab.study._predict import PREDICTION_TABLES
from liqlab.study._q1_impact_tables import BALANCE, CHAIN, CLUSTERS, EXCURSIONS, IMPACT, PATHS, RECOVERY, SEVERITY
from liqlab.study._q2_imbalance_tables import CUMULATIVE, HORSE_RACE, REGIMES, RETURNS, STRATEGY
from liqlab.study._q3_open_interest_spikes import OI_EVENT_STUDY
from liqlab.study._q3_open_interest_tables import LEAD_LAG, LEAD_LAG_PEAKS, OI_DECOMPOSITION, OI_EXPLAINED, OI_IC
from liqlab.study._q4_zones_shift import LIQUIDATION_DENSITY, ZONE_SHIFT
from liqlab.study._q4_zones_tables import ZONE_FORECASTS, ZONE_RELIABILITY, ZONE_SCORES
from liqlab.study._q5_volatility_tables import COMPARISONS, FORECASTS, LEAD, PUBLISHED, TRANSITIONS
from liqlab.study._q6_microstructure_tables import ABSORPTION, DELAYS, EFFICIENCY, HOURS, SWEEPS
from liqlab.study._q7_contagion_tables import (
    CONTAGION_AGREEMENT,
    CONTAGION_CORRELATIONS,
    CONTAGION_GRANGER,
    CONTAGION_HAWKES,
    CONTAGION_HAWKES_FIT,
    CONTAGION_LEADS,
    CONTAGION_LIFTS,
    CONTAGION_RESPONSES,
)

#: The exploratory tables of each question, in the order in which one reads them.
QUESTION_TABLES: Mapping[str, tuple[Table, ...]] = {
    "Q1": (CLUSTERS, IMPACT, PATHS, EXCURSIONS, RECOVERY, CHAIN, SEVERITY, BALANCE),
    "Q2": (RETURNS, REGIMES, HORSE_RACE, STRATEGY, CUMULATIVE),
    "Q3": (OI_EXPLAINED, OI_DECOMPOSITION, LEAD_LAG, LEAD_LAG_PEAKS, OI_EVENT_STUDY, OI_IC),
    "Q4": (ZONES, ZONE_SCORES, ZONE_FORECASTS, ZONE_RELIABILITY, ZONE_SHIFT, LIQUIDATION_DENSITY),
    "Q5": (FORECASTS, COMPARISONS, TRANSITIONS, LEAD, PUBLISHED),
    "Q6": (DELAYS, SWEEPS, ABSORPTION, EFFICIENCY, HOURS),
    "Q7": (
        CONTAGION_RESPONSES,
        CONTAGION_LIFTS,
        CONTAGION_CORRELATIONS,
        CONTAGION_LEADS,
        CONTAGION_GRANGER,
        CONTAGION_HAWKES,
        CONTAGION_HAWKES_FIT,
        CONTAGION_AGREEMENT,
    ),
}

#: Every table that a run writes into its results, those of the schema first.
RESULT_TABLES: tuple[Table, ...] = (
    *schema.TABLES,
    FEATURE_TABLE,
    FEATURE_DICTIONARY,
    *(table for table in PREDICTION_TABLES if table not in schema.TABLES),
    *(table for tables in QUESTION_TABLES.values() for table in tables),
    *BACKTEST_TABLES,
)


def list_answer_tables(answers: Iterable[Answer]) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Each exploratory table of the answers with what declares it; an empty one where an answer could not have it.

    Raises `ValueError` for a table that is not declared: none is left out silently.
    """
    for answer in answers:
        declared = QUESTION_TABLES[answer.question]
        strays = sorted(set(answer.tables) - {table.name for table in declared})
        if strays:
            raise ValueError(f"the answer to {answer.question} has tables that are not declared: {', '.join(strays)}")
        for table in declared:
            yield table, answer.tables.get(table.name, table.empty())
