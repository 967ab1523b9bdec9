"""Configuration: unknown keys, types, ranges, nested tables; each error says where and what would do."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from liqlab.core.config import bounded, build, check_bounds, load_toml
from liqlab.core.errors import ConfigError, LiqlabError, UserError, unknown_name


@dataclass(frozen=True)
class Inner:
    max_gap_s: float = bounded(5.0, 0.001, 3_600.0)
    n_minimum: int = bounded(3, 1)

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True)
class Outer:
    seed: int = 7
    name: str = "plan"
    strict: bool = False
    limit_usd: float | None = bounded(None, 0.0, 1e9)
    symbols: tuple[str, ...] | None = None
    windows_s: tuple[float, ...] = (1.0, 5.0)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        check_bounds(self)


def test_no_keys_give_the_defaults() -> None:
    assert build(Outer, {}) == Outer()


def test_values_and_nested_tables_take_their_places() -> None:
    values = {"seed": 1, "symbols": ["A", "B"], "windows_s": [1, 2.5], "inner": {"max_gap_s": 60}, "limit_usd": 5}
    built = build(Outer, values)
    assert built == Outer(1, symbols=("A", "B"), windows_s=(1.0, 2.5), inner=Inner(60.0), limit_usd=5.0)
    assert type(built.inner.max_gap_s) is type(built.windows_s[0]) is type(built.limit_usd) is float


def test_what_was_built_can_be_written_down_and_built_again() -> None:
    built = build(Outer, {"windows_s": [3], "inner": {"n_minimum": 9}})
    assert build(Outer, dataclasses.asdict(built)) == built


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sead": 1}, r"unknown key 'sead' in the configuration; allowed: inner, limit_usd, name, seed"),
        ({"inner": {"max_gap": 1}}, r"unknown key 'max_gap' in \[inner\]; allowed: max_gap_s, n_minimum"),
        ({"inner": 5}, r"inner must be a table, got 5"),
        ({"seed": "7"}, r"^seed must be .*, got '7'"),
        ({"seed": 7.0}, r"^seed must be .*, got 7\.0"),
        ({"seed": True}, r"^seed must be .*, got True"),
        ({"strict": 1}, r"^strict must be .*, got 1"),
        ({"name": 5}, r"^name must be .*, got 5"),
        ({"limit_usd": "much"}, r"^limit_usd must be .*, got 'much'"),
        ({"limit_usd": True}, r"^limit_usd must be .*, got True"),
        ({"symbols": "BTCUSDT"}, r"^symbols must be .*, got 'BTCUSDT'"),
        ({"symbols": ["A", 5]}, r"^symbols must be .*, got 5"),
        ({"inner": {"n_minimum": 2.5}}, r"^inner\.n_minimum must be .*, got 2\.5"),
    ],
)
def test_unknown_keys_and_wrong_types_are_named_with_their_place(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Outer, values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"max_gap_s": 0}}, r"Inner\.max_gap_s must lie in \[0\.001, 3600\], got 0\.0"),
        ({"inner": {"max_gap_s": 3_600.1}}, r"Inner\.max_gap_s must lie in \[0\.001, 3600\], got 3600\.1"),
        ({"inner": {"max_gap_s": float("nan")}}, r"Inner\.max_gap_s must lie in .*, got nan"),
        ({"inner": {"n_minimum": 0}}, r"Inner\.n_minimum must lie in \[1, inf\], got 0"),
        ({"limit_usd": -0.01}, r"Outer\.limit_usd must lie in \[0, 1e\+09\], got -0\.01"),
    ],
)
def test_values_outside_their_range_are_refused_with_the_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(Outer, values)


@pytest.mark.parametrize("value", [0.001, 3_600.0, 17])
def test_the_ends_of_a_range_belong_to_it(value: float) -> None:
    assert build(Outer, {"inner": {"max_gap_s": value}}).inner.max_gap_s == value


def test_a_toml_file_is_read_and_its_errors_name_it(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("seed = 3\nsymbols = ['A']\n[inner]\nn_minimum = 4\n")
    assert build(Outer, load_toml(path)) == Outer(3, symbols=("A",), inner=Inner(n_minimum=4))
    path.write_text("seed = = 3")
    with pytest.raises(ConfigError, match=r"study\.toml is not valid TOML: .*line 1"):
        load_toml(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"study\.toml is not valid TOML"):
        load_toml(path)
    with pytest.raises(ConfigError, match="no configuration file at"):
        load_toml(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="is a folder; --config takes a TOML file"):
        load_toml(tmp_path)


def test_a_mistake_of_the_user_is_told_from_a_failure_of_the_machine() -> None:
    assert issubclass(ConfigError, UserError)
    assert (ConfigError.exit_code, LiqlabError.exit_code) == (2, 1)
    assert str(unknown_name("preset", "x", ["b", "a"])) == "unknown preset 'x'; available: a, b"
    assert str(unknown_name("preset", "x", [])) == "unknown preset 'x'; available: none"
