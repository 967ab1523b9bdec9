"""Frozen configuration: dataclasses with units in their field names, read from TOML, checked by name and range."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from liqlab.core.errors import ConfigError

T = TypeVar("T")

_TYPE_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    tuple: "a list",
    type(None): "none",
}


def bounded(default: Any, low: float = -math.inf, high: float = math.inf) -> Any:
    """A numeric dataclass field whose value must lie in [low, high]; `check_bounds` checks it."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high})


def check_bounds(config: Any) -> None:
    """Raise `ConfigError` when a `bounded` field of the dataclass `config` lies outside its range."""
    for field in dataclasses.fields(config):
        if "low" not in field.metadata:
            continue
        value, low, high = getattr(config, field.name), field.metadata["low"], field.metadata["high"]
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{type(config).__name__}.{field.name} must lie in [{low:g}, {high:g}], got {value!r}")


def load_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; `ConfigError` names the file and what is wrong with it."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file at {path}") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder; --config takes a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def build(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An instance of the dataclass `cls` from a mapping.

    Nested dataclass fields take nested mappings. Unknown keys and wrong types raise `ConfigError`, which names the
    key, where it stands and what would be allowed.
    """
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    place = f"[{where}]" if where else "the configuration"
    for key in values:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {place}; allowed: {', '.join(sorted(known))}")
    return cls(
        **{key: _convert(hints[key], value, f"{where}.{key}" if where else key) for key, value in values.items()}
    )


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, got {value!r}")
        return build(typing.cast(type, hint), value, where)
    options = typing.get_args(hint) if _is_union(hint) else (hint,)
    for option in options:
        if option is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if typing.get_origin(option) is tuple and isinstance(value, list | tuple):
            return tuple(_convert(typing.get_args(option)[0], item, where) for item in value)
        if isinstance(option, type) and type(value) is option:
            return value
    names = " or ".join(_TYPE_NAMES.get(typing.get_origin(option) or option, str(option)) for option in options)
    raise ConfigError(f"{where} must be {names.removesuffix(' or none')}, got {value!r}")


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)
