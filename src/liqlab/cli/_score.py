"""`liqlab score RESULTS TRUTH`: detected cascades against those of a simulated market."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqlab.audit import DetectorScore
    from liqlab.worlds import Truth

#: Figures beside each other need room; nothing is cut.
_WIDTH = 150


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `score`."""
    parser.description = (
        "Compare the cascades that the detector finds in the liquidations of RESULTS with the causal cascades of the "
        "simulated market they come from: a liquidation with all that it triggered. They are paired one to one when "
        "they share at least half of all their liquidations (Jaccard index 0.5)."
    )
    parser.add_argument("results", metavar="RESULTS", type=Path, help="results folder of `liqlab run`, or a lake")
    parser.add_argument("truth", metavar="TRUTH", type=Path, help="folder that `liqlab simulate` wrote into")
    parser.add_argument("--preset", metavar="NAME", nargs="+", help="only these definitions of a cascade: plan, p95")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write every figure into this .json file too")


def run(arguments: argparse.Namespace) -> int:
    """Print the score of each preset; the exit code."""
    from liqlab.audit import read_detector_input, score_detector
    from liqlab.cascades import PRESETS, get_preset
    from liqlab.worlds import load_truth

    presets = [get_preset(name) for name in dict.fromkeys(arguments.preset)] if arguments.preset else list(PRESETS)
    truth = load_truth(arguments.truth)
    scores = score_detector(read_detector_input(arguments.results), truth, presets)
    if arguments.output is not None:
        _write(arguments.output, truth, scores)
    if not arguments.quiet or arguments.output is None:
        _print(truth, scores)
    return 0


def _print(truth: Truth, scores: dict[str, tuple[DetectorScore, ...]]) -> None:
    from liqlab.report import render_table

    manifest = truth.manifest
    ratio = manifest["branching_ratio"]["ALL"]
    print(
        f"world {manifest['world']}, seed {manifest['seed']}, {manifest['start']} to {manifest['end']} UTC, "
        f"branching ratio {_number(ratio)}"
    )
    header = ["preset", "symbol", "detected", "causal", "lost", "matched", "precision (95 %)", "recall (95 %)"]
    header += ["F1", "notional", "delay", "P95", "from root", "P95"]
    rows = [_row(score) for by_symbol in scores.values() for score in by_symbol]
    print(render_table(header, rows, "ll" + 12 * "r", width=_WIDTH))
    print("lost: of which the recording holds nothing; notional: found share of the causal cascades' notional")
    print("delays in seconds, median and P95: until confirmed, from crossing the thresholds and from the first order")


def _row(score: DetectorScore) -> list[str]:
    counts = (score.n_detected, score.n_causal, score.n_lost, score.n_matched)
    return [
        score.preset,
        score.symbol,
        *(f"{count:,}" for count in counts),
        _with_interval(score.precision, score.precision_low, score.precision_high),
        _with_interval(score.recall, score.recall_low, score.recall_high),
        _number(score.f1),
        _number(score.notional_found_frac),
        *(_number(delay) for delay in _delays(score)),
    ]


def _delays(score: DetectorScore) -> Iterable[float | None]:
    return (score.delay_median_s, score.delay_p95_s, score.delay_from_root_median_s, score.delay_from_root_p95_s)


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _with_interval(share: float | None, low: float | None, high: float | None) -> str:
    return _number(share) if low is None or high is None else f"{share:.2f} ({low:.2f}–{high:.2f})"


def _write(path: Path, truth: Truth, scores: dict[str, tuple[DetectorScore, ...]]) -> None:
    import json
    from dataclasses import asdict

    from liqlab.core.errors import EnvironmentFailure
    from liqlab.core.files import write_text

    content = {"truth": truth.manifest, "scores": [asdict(row) for rows in scores.values() for row in rows]}
    try:
        write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    except OSError as error:
        raise EnvironmentFailure(f"cannot write {path}: {error.strerror}; choose another -o") from error
