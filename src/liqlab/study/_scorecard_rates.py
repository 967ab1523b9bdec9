"""The kept rates at which worlds without any effect meet the success criteria."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from liqlab.core.errors import EnvironmentFailure

#: The world in which nothing follows from a liquidation.
NULL_WORLD = "null"
#: A share with its 95 % interval (Wilson).
Share = tuple[float, float, float]


@dataclass(frozen=True)
class NullRate:
    """The share of null worlds in which a criterion is met, with its 95 % interval, and what it was measured on."""

    share: Share
    seeds: int
    world: str
    days: float


def stored_scorecard() -> Path:
    """The package's own file."""
    return Path(str(resources.files("liqlab.study") / "scorecard_null.json"))


def read_null_rates(days: float, path: Path | None = None) -> dict[str, NullRate]:
    """By criterion the rate at which the null world meets it; empty where nothing is stored.

    Of the stored lengths that nearest to `days` by ratio is taken. Raises `EnvironmentFailure` for a damaged file.
    """
    runs = [run for run in read_runs(path or stored_scorecard()) if run["world"] == NULL_WORLD]
    if not runs:
        return {}
    chosen = min(runs, key=lambda run: (abs(math.log(run["days"] / max(days, 1e-3))), run["days"]))
    return {
        name: NullRate((rate[0], rate[1], rate[2]), chosen["seeds"], chosen["world"], chosen["days"])
        for name, rate in chosen["rates"].items()
        if rate is not None
    }


def read_runs(path: Path) -> list[dict[str, Any]]:
    """What is stored of each world and length; `EnvironmentFailure` when the file is damaged."""
    try:
        return list(json.loads(path.read_bytes())["runs"])
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EnvironmentFailure(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailure(f"{path} is damaged ({error}); remove it") from error
