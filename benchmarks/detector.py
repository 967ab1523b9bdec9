"""How well the detector finds causal cascades, against how much of the forced flow is triggered by forced flow.

Run with `python benchmarks/detector.py`; prints a Markdown table and draws docs/images/detector_f1.png. The impact dial
of the plan world is scaled so that the measured branching ratio (liquidations triggered by another one, as a share of
all) goes from 0.2 to 0.8; everything else stays. The detector's defaults come from the research plan; no default and no
dial was chosen by these scores or on these seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from liqlab.audit import ALL, score_detector
from liqlab.cascades import PRESETS
from liqlab.core.parallel import ordered_map
from liqlab.core.time import MS_PER_DAY
from liqlab.report import render_markdown_table
from liqlab.worlds import DEFAULT_START_MS, DEFAULT_SYMBOLS, collect_truth, load_world, simulate_tables

SEEDS = range(201, 206)
DAYS = 2
#: Factors of the plan world's impact; 1 is the plan world itself.
IMPACT_FACTORS = (0.45, 0.7, 1.0, 1.5, 2.2, 3.2, 4.5, 6.5)
PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "detector_f1.png"
COLOURS = {"plan": "#882255", "p95": "#117733"}
_95_PERCENT = 1.96


@dataclass(frozen=True)
class Point:
    """One market: its factor, its branching ratio, and per preset detected, causal and matched cascades."""

    factor: float
    branching_ratio: float
    counts: dict[str, tuple[int, int, int]]


def measure(task: tuple[float, int]) -> Point:
    """Simulate one market and score every preset in it."""
    factor, seed = task
    plan = load_world("plan")
    world = replace(plan, book=replace(plan.book, impact_bps=factor * plan.book.impact_bps))
    end_ms = DEFAULT_START_MS + DAYS * MS_PER_DAY
    tables = simulate_tables(world, DEFAULT_SYMBOLS, seed, DEFAULT_START_MS, end_ms)
    truth = collect_truth(tables, world, seed)
    scores = score_detector(tables.liquidations, truth, PRESETS)
    counts = {name: (rows[0].n_detected, rows[0].n_causal, rows[0].n_matched) for name, rows in scores.items()}
    return Point(factor, truth.manifest["branching_ratio"][ALL], counts)


def shares(detected: int, causal: int, matched: int) -> tuple[float, float, float]:
    """Precision, recall and F1; NaN of nothing."""
    pairs = ((matched, detected), (matched, causal), (2 * matched, detected + causal))
    precision, recall, f1 = (part / whole if whole else float("nan") for part, whole in pairs)
    return precision, recall, f1


def list_rows(points: list[Point]) -> list[list[str]]:
    """One row per factor and preset, counts added up over seeds; the error of F1 is that of a mean over seeds."""
    rows = []
    for factor in IMPACT_FACTORS:
        mine = [point for point in points if point.factor == factor]
        ratio = np.mean([point.branching_ratio for point in mine])
        for preset in PRESETS:
            counts = np.array([point.counts[preset.name] for point in mine])
            f1 = np.array([shares(*row)[2] for row in counts.tolist()])
            error = f1.std(ddof=1) / len(f1) ** 0.5
            precision, recall, pooled = shares(*counts.sum(axis=0).tolist())
            mark = " (plan world)" if factor == 1.0 else ""
            rows.append(
                [
                    f"{factor:g}{mark}",
                    f"{ratio:.2f}",
                    preset.name,
                    *(f"{count:,}" for count in counts.sum(axis=0).tolist()),
                    f"{precision:.2f}",
                    f"{recall:.2f}",
                    f"{pooled:.2f} ± {_95_PERCENT * error:.2f}",
                ]
            )
    return rows


def draw(points: list[Point], path: Path) -> None:
    """F1, precision and recall of each preset against the branching ratio; the plan world's own points are filled."""
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 3.8), dpi=160, layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        for panel, title, part in zip(panels, ("F1", "precision", "recall"), (2, 0, 1), strict=True):
            for preset in PRESETS:
                colour = COLOURS.get(preset.name, "#333333")
                x = np.array([point.branching_ratio for point in points])
                y = np.array([shares(*point.counts[preset.name])[part] for point in points])
                own = np.array([point.factor == 1.0 for point in points])
                panel.scatter(
                    x[~own], y[~own], s=22, facecolors="none", edgecolors=colour, clip_on=False, label=preset.name
                )
                panel.scatter(
                    x[own], y[own], s=34, color=colour, marker="D", clip_on=False, label=f"{preset.name}, plan world"
                )
                means = [
                    [np.mean(values[[point.factor == factor for point in points]]) for values in (x, y)]
                    for factor in IMPACT_FACTORS
                ]
                panel.plot(*np.array(means).T, color=colour, linewidth=1.0, alpha=0.6)
            panel.set(title=title, xlabel="branching ratio", xlim=(0.0, 1.0), ylim=(0.0, 1.0))
            panel.axhline(0.7, color="#555555", linewidth=0.9, linestyle=":", label="the plan's 70 %")
            panel.grid(color="#ececec", linewidth=0.6)
            panel.set_axisbelow(True)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside upper left", ncols=len(labels))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Measure, print the table, draw the picture."""
    tasks = [(factor, seed) for factor in IMPACT_FACTORS for seed in SEEDS]
    points = list(ordered_map(measure, tasks))
    header = ["impact factor", "branching ratio", "preset", "detected", "causal", "matched"]
    header += ["precision", "recall", "F1 (95 %)"]
    print(render_markdown_table(header, list_rows(points), "rrlrrrrrr"))
    draw(points, PICTURE)


if __name__ == "__main__":
    main()
