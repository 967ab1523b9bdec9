"""Worlds by name, packaged as TOML; a user's file overrides the dials of a named one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from liqlab.core.config import build, load_toml
from liqlab.core.errors import ConfigError, UserError, unknown_name
from liqlab.worlds._dials import SymbolDials, World

#: The plan's five symbols.
DEFAULT_SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT", "XRPUSDT")

WORLD_NAMES = ("crash", "null", "plan", "planted", "planted-strong", "quiet", "random-walk")

#: What a file calls its base when it starts from the defaults of every dial.
NO_BASE = "none"

_SYMBOL = re.compile(r"[A-Z0-9]{2,30}")


def load_world(name_or_path: str | Path) -> World:
    """The named world, or the one in a TOML file.

    A file may name the world it starts from, `base = "plan"` (the default) or "none" for the defaults of every dial,
    and gives only the dials that differ, in tables named like the fields of `World`, symbols as `[symbols.BTCUSDT]`. A
    dial of `[symbols.ALL]` holds for every symbol that the base names. Raises `UserError` for an unknown world and
    `ConfigError` for an unknown dial or a value out of range.
    """
    values = _read(name_or_path)
    symbols = {name: build(SymbolDials, dials, f"symbols.{name}") for name, dials in values.pop("symbols", {}).items()}
    return replace(build(World, values), symbols=symbols)


def _read(name_or_path: str | Path) -> dict[str, Any]:
    """The dials of a world on top of those of its base, as nested tables."""
    text = str(name_or_path)
    if text in WORLD_NAMES:
        with resources.as_file(resources.files("liqlab.worlds") / "named" / f"{text}.toml") as path:
            values = load_toml(path)
        base = values.pop("base", None)
        values["name"] = text
        return _overlay(_read(base), values) if base is not None else values
    if not text.endswith(".toml"):
        raise unknown_name("world", text, [*WORLD_NAMES, "or a file that ends in .toml"])
    values = load_toml(Path(text))
    base = values.pop("base", "plan")
    if base not in (*WORLD_NAMES, NO_BASE):
        raise unknown_name("base world", str(base), [*WORLD_NAMES, NO_BASE])
    return _overlay({} if base == NO_BASE else _read(base), {"name": Path(text).stem, **values})


def _overlay(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in values.items():
        if key == "symbols":
            merged[key] = _overlay_symbols(base.get(key, {}), _table(key, value))
        elif isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            merged[key] = {**base[key], **value}
        else:
            merged[key] = value
    return merged


def _overlay_symbols(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    common = _table("symbols.ALL", values.get("ALL", {}))
    merged = {name: {**dials, **common} for name, dials in base.items()}
    for name, dials in values.items():
        if name != "ALL":
            merged[name] = {**merged.get(name, {}), **_table(f"symbols.{name}", dials)}
    return merged


def _table(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a table, got {value!r}")
    return value


def check_symbols(symbols: Iterable[str]) -> tuple[str, ...]:
    """The symbols in order, a repeated one once; `UserError` for a malformed one or none at all."""
    names = tuple(dict.fromkeys(symbols))
    for name in names:
        if not _SYMBOL.fullmatch(name):
            raise UserError(f"cannot simulate the symbol {name!r}: a symbol is 2 to 30 of A-Z and 0-9, such as BTCUSDT")
    if not names:
        raise UserError(f"no symbol to simulate; name at least one, such as {DEFAULT_SYMBOLS[0]}")
    return names


def list_dials(world: World) -> dict[str, Any]:
    """Every dial of a world by table and name, symbols below `symbols`: what its truth saves."""
    tables = [part.name for part in fields(world) if part.name not in ("name", "description", "symbols")]
    listed: dict[str, Any] = {"name": world.name, "description": world.description}
    listed |= {table: _values(getattr(world, table)) for table in tables}
    return listed | {"symbols": {name: _values(dials) for name, dials in world.symbols.items()}}


def _values(dials: Any) -> dict[str, Any]:
    return {part.name: getattr(dials, part.name) for part in fields(dials)}
