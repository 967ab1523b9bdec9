"""Imports go downward only, and each folder shows one public face.

`FLOORS` is the house, bottom first. `list_violations` reads the source as text: an import inside a function, under
`TYPE_CHECKING` or by name through `importlib` counts like any other.
"""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Folders by floor, lowest first; folders on one floor do not import each other.
FLOORS = (
    ("core",),
    ("stats",),
    ("sources",),
    ("lake", "worlds"),
    ("panel",),
    ("regimes",),
    ("cascades",),
    ("features",),
    ("models",),
    ("backtest",),
    ("audit",),
    ("study",),
    ("report", "live"),
    ("cli",),
)
FLOOR_OF = {folder: floor for floor, folders in enumerate(FLOORS) for folder in folders}
#: The package's own modules stand above all folders; a folder may take nothing from them but the version.
TOP = len(FLOORS)
TOP_MODULES = {"__init__", "__main__"}
FREE_NAMES = {"__version__"}
#: The ground floor has no face: its modules are imported by name.
FACELESS = "core"

HEAVY = ("duckdb", "isal", "matplotlib", "msgspec", "numba", "numpy", "pandas", "polars", "pyarrow", "zstandard")

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "liqlab"
_MODULE_NAME = re.compile(r"liqlab(?:\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Import:
    """`target` is what is imported, in parts below the package; () is the package's own face."""

    line: int
    target: tuple[str, ...]


def list_violations(package: Path) -> list[str]:
    """One text per broken rule, `file:line: what`, for the package in this folder."""
    found = [f"{name}/: not in the table of floors" for name in _folders(package) if name not in FLOOR_OF]
    found += [f"{name}/: no __init__.py" for name in _folders(package) if not (package / name / "__init__.py").exists()]
    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        relative = path.relative_to(package)
        for line, problem in _problems(tree, relative, package):
            found.append(f"{relative.as_posix()}:{line}: {problem}")
    return found


def _folders(package: Path) -> list[str]:
    return sorted({path.relative_to(package).parts[0] for path in package.glob("*/**/*.py")})


def _problems(tree: ast.Module, relative: Path, package: Path) -> Iterator[tuple[int, str]]:
    folder = relative.parts[0] if len(relative.parts) > 1 else ""
    yield from _name_problems(relative)
    if relative.name == "__init__.py" and len(relative.parts) <= 2:
        yield from _face_problems(tree, folder)
    if folder != "cli":
        yield from _print_problems(tree)
    for found in _imports(tree, relative, package):
        yield from ((found.line, problem) for problem in _import_problems(folder, found.target))


def _name_problems(relative: Path) -> Iterator[tuple[int, str]]:
    if len(relative.parts) == 1:
        if relative.stem not in TOP_MODULES:
            yield 1, "a module outside any folder"
    elif relative.parts[0] != FACELESS and not relative.parts[1].startswith("_"):
        yield 1, "a module with a public name beside the folder's face; rename it with a leading underscore"


def _face_problems(tree: ast.Module, folder: str) -> Iterator[tuple[int, str]]:
    lists = [
        node
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for name in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(name, ast.Name) and name.id == "__all__"
    ]
    if not lists:
        if folder != FACELESS:
            yield 1, "no __all__"
        return
    try:
        names = list(ast.literal_eval(lists[0].value))  # type: ignore[arg-type]
    except (ValueError, TypeError):
        yield lists[0].lineno, "__all__ is not a plain list of names"
        return
    if names != sorted(set(names), key=_all_order):
        yield lists[0].lineno, "__all__ is not sorted"


def _all_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that the formatter keeps."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2, name)


def _print_problems(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno, "print() outside cli/"


def _imports(tree: ast.Module, relative: Path, package: Path) -> Iterator[Import]:
    """Every import of something in the package, however it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] == "liqlab":
                    yield Import(node.lineno, tuple(name.name.split(".")[1:]))
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, relative)
            if base is not None:
                for name in node.names:
                    yield Import(node.lineno, _without_public_name((*base, name.name), package))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            target = _named_module(node.value, package)
            if target:
                yield Import(node.lineno, target)
        elif isinstance(node, ast.Call):
            yield from _relative_by_name(node, relative)


def _base(node: ast.ImportFrom, relative: Path) -> tuple[str, ...] | None:
    """What stands between `from` and `import`, in parts below the package; None outside the package."""
    named = tuple((node.module or "").split(".")) if node.module else ()
    if node.level == 0:
        return named[1:] if named[:1] == ("liqlab",) else None
    parts = relative.parts[:-1]
    return (*parts[: len(parts) - node.level + 1], *named)


def _without_public_name(target: tuple[str, ...], package: Path) -> tuple[str, ...]:
    """`target` without its last part where that is an ordinary name and not a module or a private name."""
    *base, last = target
    is_module = (package.joinpath(*target)).is_dir() or package.joinpath(*base, f"{last}.py").is_file()
    return target if is_module or not base or last.startswith("_") else tuple(base)


def _named_module(text: str, package: Path) -> tuple[str, ...]:
    """The module that a text names, for `import_module` and tables of lazy names; () when it names none."""
    if not _MODULE_NAME.fullmatch(text):
        return ()
    target = tuple(text.split(".")[1:])
    return target if target[0] in FLOOR_OF or (package / target[0]).is_dir() else ()


def _relative_by_name(node: ast.Call, relative: Path) -> Iterator[Import]:
    """`import_module(".x", __package__)`."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    first = node.args[0] if node.args else None
    if called != "import_module" or not isinstance(first, ast.Constant) or not isinstance(first.value, str):
        return
    name = first.value.lstrip(".")
    level = len(first.value) - len(name)
    if level:
        parts = relative.parts[:-1]
        yield Import(node.lineno, (*parts[: len(parts) - level + 1], *name.split(".")))


def _import_problems(folder: str, target: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a module of `folder` ("" = the package's own modules) importing `target`."""
    if not target or (target[0] not in FLOOR_OF and len(target) == 1):
        if folder and not set(target) & FREE_NAMES:
            yield f"{folder} imports the package's face, which stands above it"
        return
    other = target[0]
    if other == folder:
        return
    here, there = FLOOR_OF.get(folder, TOP), FLOOR_OF.get(other, TOP)
    if there > here:
        yield f"{folder} imports {other}, which stands above it"
    elif there == here:
        yield f"{folder or 'the package'} imports {other}, which stands on the same floor"
    for part in target[1:]:
        if part.startswith("_") and part not in FREE_NAMES:
            yield f"{part} is private to {other}; import from the face liqlab.{other}"


def _plant(tmp_path: Path, files: dict[str, str]) -> Path:
    """A package whose named files hold the given text, each folder with a face unless one is given."""
    package = tmp_path / "liqlab"
    texts = {"__init__.py": '__all__ = ["run"]\n', **files}
    for name in list(texts):
        folder = name.split("/")[0]
        if "/" in name:
            texts.setdefault(f"{folder}/__init__.py", "" if folder == FACELESS else "__all__ = []\n")
    for name, text in texts.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


def test_the_package_keeps_its_own_rules() -> None:
    assert list_violations(PACKAGE) == []


def test_every_module_is_read() -> None:
    assert len(_folders(PACKAGE)) >= 1
    assert "core" in _folders(PACKAGE)


BAD = {
    "upward": ("core/time.py", "import liqlab.sources\n", "core imports sources, which stands above it"),
    "upward, from": ("stats/_x.py", "from liqlab.panel import compute_bars\n", "stats imports panel"),
    "upward, of a folder": ("panel/_x.py", "from liqlab import cascades\n", "panel imports cascades"),
    "inside a function": ("lake/_x.py", "def f():\n    from liqlab.study import run\n", "lake imports study"),
    "for types only": (
        "lake/_x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from liqlab.study import Run\n",
        "lake imports study",
    ),
    "relative": ("sources/_x.py", "from ..study import run\n", "sources imports study"),
    "relative, of a folder": ("sources/_x.py", "from .. import study\n", "sources imports study"),
    "sideways": ("lake/_x.py", "from liqlab.worlds import simulate\n", "on the same floor"),
    "sideways at the top": ("report/_x.py", "import liqlab.live\n", "on the same floor"),
    "by name": ("panel/_x.py", 'import importlib\nimportlib.import_module("liqlab.study")\n', "panel imports study"),
    "by relative name": (
        "panel/_x.py",
        'from importlib import import_module\nimport_module("..study", __package__)\n',
        "panel imports study",
    ),
    "through a table of names": ("panel/_x.py", 'LAZY = {"run": "liqlab.study"}\n', "panel imports study"),
    "the face of the package": ("panel/_x.py", "from liqlab import run\n", "imports the package's face"),
    "the package": ("panel/_x.py", "import liqlab\n", "imports the package's face"),
    "a private module": ("panel/_x.py", "from liqlab.sources._wire import parse\n", "_wire is private to sources"),
    "a private module, from": ("panel/_x.py", "from liqlab.sources import _wire\n", "_wire is private to sources"),
    "a private name of core": ("panel/_x.py", "from liqlab.core.config import _build\n", "_build is private to core"),
    "an unknown folder": ("cellar/_x.py", "", "cellar/: not in the table of floors"),
    "an import of an unknown folder": ("panel/_x.py", "from liqlab.cellar.box import a\n", "panel imports cellar"),
    "a loose module": ("loose.py", "", "a module outside any folder"),
    "a public module": ("panel/bars.py", "", "a module with a public name beside the folder's face"),
    "a face without a list": ("panel/__init__.py", "X = 1\n", "no __all__"),
    "an unsorted face": ("panel/__init__.py", '__all__ = ["b", "a"]\n', "__all__ is not sorted"),
    "a face with a repeated name": ("panel/__init__.py", '__all__ = ["a", "a"]\n', "__all__ is not sorted"),
    "a computed face": ("panel/__init__.py", "__all__ = sorted(globals())\n", "not a plain list"),
    "an unsorted ground floor": ("core/__init__.py", '__all__ = ["b", "a"]\n', "__all__ is not sorted"),
    "a print": ("panel/_x.py", 'def f():\n    print("x")\n', "print() outside cli/"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_planted_fault_is_found(case: str, tmp_path: Path) -> None:
    name, text, expected = BAD[case]
    found = list_violations(_plant(tmp_path, {name: text}))
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith(name.split("/")[0])


GOOD = {
    "downward": ("study/_x.py", "from liqlab.sources import load\nfrom liqlab.core.time import parse_time\n"),
    "own private module": ("sources/_x.py", "from liqlab.sources._wire import _parse\nfrom ._wire import _scan\n"),
    "own face": ("sources/_x.py", "from liqlab.sources import load\n"),
    "the version": ("study/_x.py", "from liqlab import __version__\n"),
    "a module of the ground floor": ("lake/_x.py", "from liqlab.core import time\nimport liqlab.core.errors\n"),
    "the face by name": ("__init__.py", '__all__ = ["run"]\nLAZY = {"run": "liqlab.study"}\n'),
    "a mention in a sentence": ("core/time.py", '"""See liqlab.study for its use."""\n'),
    "print in cli": ("cli/_x.py", 'print("x")\n'),
    "constants before classes before functions": ("panel/__init__.py", '__all__ = ["ZERO", "Bar", "add"]\n'),
    "a namesake": ("core/time.py", "import liqlab_extras.study\n"),
}


def test_a_folder_without_a_face_is_found(tmp_path: Path) -> None:
    package = _plant(tmp_path, {"panel/_x.py": ""})
    (package / "panel" / "__init__.py").unlink()
    assert list_violations(package) == ["panel/: no __init__.py"]


@pytest.mark.parametrize("case", GOOD)
def test_what_is_allowed_is_not_reported(case: str, tmp_path: Path) -> None:
    name, text = GOOD[case]
    assert list_violations(_plant(tmp_path, {name: text})) == []


def test_each_face_holds_what_it_lists() -> None:
    for folder in _folders(PACKAGE):
        face = importlib.import_module(f"liqlab.{folder}")
        for name in getattr(face, "__all__", ()):
            assert hasattr(face, name), f"liqlab.{folder} lists {name} and has none"


def test_the_command_line_loads_no_heavy_library_before_a_command_runs() -> None:
    program = f"import sys, liqlab.cli; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
