"""Are the liquidations of two symbols more correlated when it is volatile?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from liqlab.stats import rolling_sum
from liqlab.study._evidence import Booleans, Evidence, Floats, SymbolEvidence
from liqlab.study._q7_contagion_response import Influence, combine

#: Steps over which liquidated notional is summed: 30 s.
WINDOW_STEPS = 6
QUIET, VOLATILE = "in the quiet regime", "in the volatile regime"
_CODES = {QUIET: 0, VOLATILE: 1}
#: A pair with fewer rows with liquidations of either in a regime has no correlation to speak of.
_LEAST_ROWS = 30


def sum_notional(symbol: SymbolEvidence, steps: int) -> Floats:
    """log(1 + USD liquidated in the trailing `steps` bars) on the grid; NaN where one of them is unknown."""
    notional = np.where(symbol.covered, symbol.grid["liq_buy_notional"] + symbol.grid["liq_sell_notional"], np.nan)
    missing = rolling_sum(np.isnan(notional).astype(np.float64), steps)
    found: Floats = np.where(
        missing > 0.0, np.nan, np.log1p(np.maximum(rolling_sum(np.nan_to_num(notional), steps), 0.0))
    )
    found[: steps - 1] = np.nan
    return found


def measure_regime_correlations(
    evidence: Evidence, names: Sequence[str]
) -> Mapping[tuple[str, str], Mapping[str, Influence]]:
    """For each pair of symbols its correlation while both are in one regime; pairs that lack one are left out.

    Influence of a row with standardised values x and y: x y - r (x^2 + y^2) / 2, over the rows of the regime.
    """
    sums = {name: sum_notional(evidence.symbols[name], WINDOW_STEPS) for name in names}
    found = {}
    for first, second in combinations(names, 2):
        regimes = evidence.symbols[first].regime, evidence.symbols[second].regime
        parts = {
            words: _correlate(sums[first], sums[second], (regimes[0] == code) & (regimes[1] == code))
            for words, code in _CODES.items()
        }
        if all(np.isfinite(part.estimate) for part in parts.values()):
            found[first, second] = parts
    return found


def compare_regimes(pairs: Mapping[tuple[str, str], Mapping[str, Influence]]) -> Influence:
    """Mean correlation of the pairs in the volatile regime less that in the quiet regime."""
    share = 1.0 / len(pairs)
    return combine(
        [part for regimes in pairs.values() for part in ((share, regimes[VOLATILE]), (-share, regimes[QUIET]))]
    )


def _correlate(x: Floats, y: Floats, where: Booleans) -> Influence:
    used = where & ~np.isnan(x) & ~np.isnan(y)
    values, left, right = np.zeros(len(x)), x[used], y[used]
    if min((left > 0.0).sum(), (right > 0.0).sum()) < _LEAST_ROWS or min(np.ptp(left), np.ptp(right)) == 0.0:
        return Influence(float("nan"), values, np.zeros(len(x), dtype=bool))
    left, right = (left - left.mean()) / left.std(), (right - right.mean()) / right.std()
    correlation = float((left * right).mean())
    values[used] = left * right - correlation * (left**2 + right**2) / 2.0
    return Influence(correlation, values, used)
