"""What a search may try: per strategy a grid of entry parameters and of exits, as plain data.

An entry axis is a field of the strategy's parameters: thresholds and windows, for which the strategy decides anew. An
exit axis is one of `EXIT_AXES`: it is laid over every order in place of the order's own value, so that all exits of one
set of decisions run through the engine together. A field of the parameters with the name of an exit axis is set too.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liqlab.backtest._orders import Orders
from liqlab.core.errors import ConfigError, unknown_name
from liqlab.core.time import MS_PER_MINUTE

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
#: Value by name of the axis, in the order of the space.
Combination = Mapping[str, float]

#: The exits that a search may lay over orders; a distance or timeout of 0 stands for none.
EXIT_AXES = ("target_frac", "target_share", "stop_frac", "trail_frac", "timeout_min", "weight")
_NONE_AT_ZERO = ("target_frac", "stop_frac", "trail_frac")


@dataclass(frozen=True)
class Axis:
    """One parameter and the values to try, ascending: neighbours in the list are neighbours on the surface."""

    name: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values or not all(map(math.isfinite, self.values)):
            raise ConfigError(f"axis {self.name!r} needs finite values, got {self.values}")
        if any(after <= before for before, after in itertools.pairwise(self.values)):
            raise ConfigError(f"the values of axis {self.name!r} must ascend, each once, got {self.values}")


@dataclass(frozen=True)
class SearchSpace:
    """The axes of a search. `ConfigError` for a name that stands twice and for an exit that no order has."""

    entry: tuple[Axis, ...] = ()
    exits: tuple[Axis, ...] = ()

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.axes]
        if len(set(names)) != len(names):
            raise ConfigError(f"a search space must name each axis once, got {', '.join(names)}")
        for axis in self.exits:
            if axis.name not in EXIT_AXES:
                raise unknown_name("exit axis", axis.name, list(EXIT_AXES))
        for axis in self.entry:
            if axis.name in EXIT_AXES:
                raise ConfigError(f"{axis.name!r} is an exit: declare it among the exits of the search space")

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Entry axes, then exit axes."""
        return self.entry + self.exits

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values of each axis."""
        return tuple(len(axis.values) for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of combinations."""
        return math.prod(self.shape)

    def combination(self, place: tuple[int, ...]) -> dict[str, float]:
        """The values at a place of the grid: one index per axis."""
        return {axis.name: axis.values[i] for axis, i in zip(self.axes, place, strict=True)}

    def places(self) -> Iterator[tuple[int, ...]]:
        """Every place of the grid, the last axis running fastest."""
        return itertools.product(*(range(n) for n in self.shape))

    def entry_of(self, combination: Combination) -> tuple[float, ...]:
        """The entry values of a combination: what the strategy has to decide anew for."""
        return tuple(combination[axis.name] for axis in self.entry)


def describe(combination: Combination) -> str:
    """The text by which a combination is known: `threshold_usd=500000, stop_frac=0.01`.

    >>> describe({"threshold_usd": 5e5, "stop_frac": 0.01})
    'threshold_usd=500000, stop_frac=0.01'
    """
    return ", ".join(f"{name}={value:.12g}" for name, value in combination.items())


def make_parameters(default: Any, combination: Combination) -> Any:
    """The frozen parameters `default` with the values of the combination, in the types that the fields have.

    Exit axes that the parameters do not have are left to `lay_exits`. `ConfigError` for an entry axis that is no field,
    and for a value out of range.
    """
    fields = {field.name for field in dataclasses.fields(default)}
    for name in combination:
        if name not in fields and name not in EXIT_AXES:
            raise ConfigError(f"{type(default).__name__} has no parameter {name!r}; it has {', '.join(sorted(fields))}")
    values = {name: type(getattr(default, name))(value) for name, value in combination.items() if name in fields}
    return dataclasses.replace(default, **values)


def exit_columns(combination: Combination) -> dict[str, float | int]:
    """The exits of a combination as columns of `Orders`: 0 becomes NaN for distances, minutes milliseconds."""
    columns: dict[str, float | int] = {}
    for name in EXIT_AXES:
        if name not in combination:
            continue
        value = combination[name]
        if name == "timeout_min":
            columns["timeout_ms"] = round(value * MS_PER_MINUTE)
        else:
            columns[name] = math.nan if name in _NONE_AT_ZERO and value == 0.0 else value
    return columns


def lay_exits(orders: Orders, combination: Combination) -> Orders:
    """The orders with the exits of the combination in place of their own; the others keep theirs."""
    columns = exit_columns(combination)
    return orders.with_values(**columns) if columns and len(orders) else orders


_WEIGHTS = Axis("weight", (1.0, 3.0))

#: What is searched, by strategy: about a thousand combinations each, around the plan's values.
SEARCH_SPACES: Mapping[str, SearchSpace] = {
    "cascade_fade": SearchSpace(
        (Axis("threshold_usd", (2.5e5, 5e5, 1e6, 5e6)), Axis("stop_share", (0.25, 0.5, 1.0))),
        (
            Axis("target_frac", (0.0, 0.0015, 0.003, 0.006)),
            Axis("stop_frac", (0.005, 0.01)),
            Axis("trail_frac", (0.0, 0.003)),
            Axis("timeout_min", (5.0, 10.0, 15.0)),
            _WEIGHTS,
        ),
    ),
    "imbalance_reversal": SearchSpace(
        (
            Axis("window_min", (5.0, 15.0, 60.0)),
            Axis("threshold_frac", (0.7, 0.8, 0.9)),
            Axis("min_usd", (50_000.0, 250_000.0)),
        ),
        (
            Axis("target_frac", (0.0, 0.003, 0.006)),
            Axis("stop_frac", (0.005, 0.015)),
            Axis("trail_frac", (0.0, 0.005)),
            Axis("timeout_min", (15.0, 60.0)),
            _WEIGHTS,
        ),
    ),
    "zone_bounce": SearchSpace(
        (
            Axis("window_h", (24.0, 48.0)),
            Axis("mass_frac", (0.3, 0.5)),
            Axis("approach_bps", (10.0, 30.0, 60.0)),
            Axis("stop_margin_bps", (5.0, 20.0)),
        ),
        (
            Axis("target_frac", (0.0025, 0.005, 0.01)),
            Axis("stop_frac", (0.0, 0.01)),
            Axis("trail_frac", (0.0, 0.005)),
            Axis("timeout_min", (60.0, 240.0)),
            _WEIGHTS,
        ),
    ),
    "volatility_breakout": SearchSpace(
        (
            Axis("threshold_sigma", (2.0, 3.0, 4.0)),
            Axis("baseline_min", (60.0, 1_440.0)),
            Axis("move_min", (1.0, 5.0)),
            Axis("exit_sigma", (0.0, 1.0)),
        ),
        (
            Axis("stop_frac", (0.0025, 0.005, 0.01)),
            Axis("trail_frac", (0.0, 0.003, 0.006)),
            Axis("timeout_min", (15.0, 60.0)),
            _WEIGHTS,
        ),
    ),
}

#: For a strategy that declares nothing: its own decisions, other ways out.
EXITS_ONLY = SearchSpace(
    exits=(
        Axis("target_frac", (0.0, 0.0015, 0.003, 0.006)),
        Axis("stop_frac", (0.0, 0.005, 0.01)),
        Axis("trail_frac", (0.0, 0.003, 0.006)),
        Axis("timeout_min", (5.0, 15.0, 60.0)),
    )
)


def find_space(strategy: Any) -> SearchSpace:
    """What to search for a strategy: its own `search_space`, else that of the catalogue by name, else exits alone."""
    declared = getattr(strategy, "search_space", None)
    if declared is not None and not isinstance(declared, SearchSpace):
        raise ConfigError(f"search_space of {strategy.name} must be a SearchSpace, got {declared!r}")
    return declared or SEARCH_SPACES.get(strategy.name, EXITS_ONLY)
