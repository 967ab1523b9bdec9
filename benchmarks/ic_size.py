"""How often the inference of information coefficients finds something where there is nothing.

Run with `python benchmarks/ic_size.py`; prints tables, and with `--write` puts them into docs/ic.md. Each simulated
market has the plan's length, nine days of a 5-second grid. The price is a random walk whose volatility clusters; its
forward returns overlap as real labels do; no feature knows anything about a direction, so every rejection is false.
`--tables N` simulates fewer, `--workers` says how many at a time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from liqlab.core.parallel import ordered_map
from liqlab.core.schema import LABEL_HORIZONS_S
from liqlab.core.time import MS_PER_DAY
from liqlab.models import IcConfig, IcEstimates, estimate_ic
from liqlab.report import render_markdown_table

Floats = npt.NDArray[np.float64]

DAYS = 9
STEP_S = 5
LEVELS = (0.05, 0.001)
PAGE = Path(__file__).resolve().parent.parent / "docs" / "ic.md"
BEGIN, END = "<!-- size: begin -->", "<!-- size: end -->"
#: Rejection rates at 5 % that are asked for: up to 15 min, and beyond.
SHORT_S, SHORT_RANGE, LONG_LIMIT = 900, (0.04, 0.065), 0.075
_Z = 1.959963984540054


@dataclass(frozen=True)
class Market:
    """A price and its volatility on the grid."""

    log_price: Floats
    volatility: Floats


def autoregress(noise: Floats, half_life_s: float) -> Floats:
    """AR(1) with unit variance; `noise` has one value per step, of which the first starts it off."""
    phi = 0.5 ** (STEP_S / half_life_s)
    scaled = np.sqrt(1.0 - phi**2) * noise
    scaled[0] = noise[0]
    return np.asarray(lfilter([1.0], [1.0, -phi], scaled))


def simulate_market(random: np.random.Generator, n: int) -> Market:
    """A random walk with Student-t steps; log volatility is the sum of a slow and a fast AR(1)."""
    slow, fast = (autoregress(random.standard_normal(n), half_life_s) for half_life_s in (4 * 3_600.0, 300.0))
    volatility = 1e-4 * np.exp(0.5 * slow + 0.4 * fast)
    return Market(np.cumsum(volatility * random.standard_t(5, n)), volatility)


def make_sparse(random: np.random.Generator, market: Market) -> Floats:
    """White, present at 2 % of the times."""
    return np.where(
        random.random(market.volatility.size) < 0.02, random.standard_normal(market.volatility.size), np.nan
    )


def make_bursts(random: np.random.Generator, market: Market) -> Floats:
    """Heavy-tailed sizes without a sign, more often and larger when volatility is high; otherwise zero."""
    strength = (market.volatility / 1e-4) ** 2
    sizes = strength * random.pareto(1.5, strength.size)
    return np.where(random.random(strength.size) < 0.2 * strength, sizes, 0.0)


def make_white(random: np.random.Generator, market: Market) -> Floats:
    """Independent normal values."""
    return random.standard_normal(market.volatility.size)


def make_persistent(half_life_s: float, random: np.random.Generator, market: Market) -> Floats:
    """AR(1) with this half-life."""
    return autoregress(random.standard_normal(market.volatility.size), half_life_s)


KINDS: dict[str, Callable[[np.random.Generator, Market], Floats]] = {
    "white": make_white,
    "AR(1), half-life 1 min": partial(make_persistent, 60.0),
    "AR(1), half-life 15 min": partial(make_persistent, 900.0),
    "AR(1), half-life 2 h": partial(make_persistent, 7_200.0),
    "2 % of the times": make_sparse,
    "bursts": make_bursts,
}


def forward_returns(log_price: Floats, horizon_s: int) -> Floats:
    """The return from one step after each time over the horizon; NaN where the price ends before."""
    steps = horizon_s // STEP_S
    result = np.full(log_price.size, np.nan)
    result[: -steps - 1] = log_price[steps + 1 :] - log_price[1:-steps]
    return result


def measure(seed: int) -> Floats:
    """One simulated table: (method, horizon, kind, p and whether zero is covered)."""
    random = np.random.default_rng([seed, 20_260_218])
    n = DAYS * 86_400 // STEP_S
    market = simulate_market(random, n)
    features = np.column_stack([make(random, market) for make in KINDS.values()])
    labels = np.column_stack([forward_returns(market.log_price, horizon) for horizon in LABEL_HORIZONS_S])
    times_ms = 20_000 * MS_PER_DAY + 1_000 * STEP_S * np.arange(n)
    config = IcConfig(volatility_horizons_s=(), seed=seed)
    return list_outcomes(estimate_ic(times_ms, features, labels, config.targets, config))


def list_outcomes(estimates: IcEstimates) -> Floats:
    """(2, horizons, kinds, 2): by method (fixed-b, bootstrap) the p, and 1.0 where the interval holds zero."""
    found = estimates.inference
    result = np.empty((2, *estimates.ic.shape, 2))
    for method, (p, low, high) in enumerate(
        (
            (found.p, found.ci_low, found.ci_high),
            (found.p_bootstrap, found.ci_low_bootstrap, found.ci_high_bootstrap),
        )
    ):
        result[method, ..., 0] = p
        result[method, ..., 1] = (low <= 0.0) & (high >= 0.0)
    return result


def wilson(hits: int, total: int) -> tuple[float, float]:
    """95 % interval of a share: Wilson (1927)."""
    share, weight = hits / total, _Z**2 / total
    centre = (share + weight / 2.0) / (1.0 + weight)
    half = _Z * np.sqrt(share * (1.0 - share) / total + weight / (4.0 * total)) / (1.0 + weight)
    return float(centre - half), float(centre + half)


def render_share(outcomes: Floats, level: float) -> str:
    """The share of p below `level`, in percent with its interval; outcomes (n,)."""
    hits, total = int((outcomes < level).sum()), int(outcomes.size)
    low, high = wilson(hits, total)
    digits = 1 if level > 0.01 else 2
    return f"{100 * hits / total:.{digits}f} ({100 * low:.{digits}f} to {100 * high:.{digits}f})"


def list_rows(outcomes: Floats) -> list[list[str]]:
    """One row per horizon and method over all kinds of features; outcomes (tables, 2, horizons, kinds, 2)."""
    rows = []
    for label, horizon in enumerate(LABEL_HORIZONS_S):
        for method, name in enumerate(("fixed-b", "bootstrap")):
            found = outcomes[:, method, label].reshape(-1, 2)
            covered = int((found[:, 1] == 1.0).sum())
            rows.append(
                [
                    f"{horizon:,}",
                    name,
                    *(render_share(found[:, 0], level) for level in LEVELS),
                    f"{100 * covered / len(found):.1f}",
                    judge(horizon, float((found[:, 0] < LEVELS[0]).mean())),
                ]
            )
    return rows


def list_kind_rows(outcomes: Floats, method: int) -> list[list[str]]:
    """One row per kind of feature: the rate at 5 % by horizon."""
    rates = 100.0 * (outcomes[:, method, :, :, 0] < LEVELS[0]).mean(axis=0).T
    return [[kind, *(f"{rate:.1f}" for rate in row)] for kind, row in zip(KINDS, rates.tolist(), strict=True)]


def judge(horizon_s: int, rate: float) -> str:
    """Whether a rate at 5 % is what is asked for."""
    low, high = SHORT_RANGE if horizon_s <= SHORT_S else (0.0, LONG_LIMIT)
    return "yes" if low <= rate <= high else "no"


def render(outcomes: Floats) -> str:
    """The tables as Markdown."""
    header = [
        "horizon (s)",
        "procedure",
        "rejected at 5 %",
        "rejected at 0.1 %",
        "interval covers 0",
        "as asked",
    ]
    kinds_header = ["feature", *(f"{horizon:,} s" for horizon in LABEL_HORIZONS_S)]
    parts = [
        f"{len(outcomes):,} tables of {DAYS} days, {len(KINDS)} features each; percent, with 95 % intervals (Wilson).",
        render_markdown_table(header, list_rows(outcomes), "rlrrrl"),
    ]
    for method, name in enumerate(("Fixed-b", "Bootstrap")):
        parts.append(f"{name}, percent rejected at 5 % by feature:")
        parts.append(
            render_markdown_table(kinds_header, list_kind_rows(outcomes, method), "l" + "r" * len(LABEL_HORIZONS_S))
        )
    return "\n\n".join(part.strip() for part in parts)


def write(text: str, page: Path) -> None:
    """Replace what stands between the marks of the page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Simulate, print, and write when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=int, default=2_000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    outcomes = np.array(list(ordered_map(measure, range(options.tables), options.workers)))
    text = render(outcomes)
    print(text)
    if options.write:
        write(text, PAGE)


if __name__ == "__main__":
    main()
