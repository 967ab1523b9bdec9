"""The documentation is true: links lead somewhere, generated pages are fresh, examples run."""

from __future__ import annotations

import argparse
import doctest
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from liqlab.audit import PLANTED_BUGS
from liqlab.cli import build_parser
from liqlab.sources import parse_line
from liqlab.study import RESULT_TABLES
from liqlab.worlds import WORLD_NAMES, list_dials, load_world

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _pages(repository: Path) -> list[Path]:
    return sorted([*repository.glob("*.md"), *(repository / "docs").rglob("*.md")])


@pytest.fixture(scope="module")
def make_docs(repository: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", repository / "tools" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    return build_parser()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings: lower case, punctuation dropped, spaces to hyphens."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if not re.match(r"[a-z]+:", target):
            yield target


def _broken_links(page: Path) -> list[str]:
    broken = []
    for target in _links(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name) if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in _anchors(path)):
            broken.append(target)
    return broken


def test_every_relative_link_leads_somewhere(repository: Path) -> None:
    pages = _pages(repository)
    assert len(pages) > 10
    broken = {str(page.relative_to(repository)): links for page in pages if (links := _broken_links(page))}
    assert broken == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading: here\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[good](there.md) [good](there.md#a-heading-here) [away](https://example.org) [lost](lost.md)\n"
        "![picture](lost.png) [heading](there.md#elsewhere) [own](#nothing)\n\n```text\n[code](code.md)\n```\n",
        encoding="utf-8",
    )
    assert _broken_links(page) == ["lost.md", "lost.png", "there.md#elsewhere", "#nothing"]


def test_the_index_leads_to_every_page(repository: Path) -> None:
    docs = repository / "docs"
    linked = {(docs / target.partition("#")[0]).resolve() for target in _links(docs / "README.md")}
    missing = [str(page.relative_to(docs)) for page in docs.rglob("*.md") if page.resolve() not in linked]
    assert missing == ["README.md"]


def test_the_page_of_tables_is_fresh(repository: Path, make_docs: ModuleType) -> None:
    page = (repository / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == make_docs.build_tables_page(), "run python tools/make_docs.py"


def test_the_page_of_dials_is_fresh(repository: Path, make_docs: ModuleType) -> None:
    page = (repository / "docs" / "dials.md").read_text(encoding="utf-8")
    assert page == make_docs.build_dials_page(), "run python tools/make_docs.py"


def test_the_page_of_dials_holds_every_dial(repository: Path) -> None:
    page = (repository / "docs" / "dials.md").read_text(encoding="utf-8")
    listed = list_dials(load_world("plan"))
    symbols = listed.pop("symbols")
    for name, dials in [*listed.items(), ("symbols.SYMBOL", symbols["BTCUSDT"])]:
        if isinstance(dials, dict):
            section = page.split(f"## [{name}]")[1].split("\n## ")[0].split("\n# ")[0]
            assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(dials)


def test_the_page_of_worlds_names_each_world_and_what_is_true_in_it(repository: Path) -> None:
    page = (repository / "docs" / "worlds.md").read_text(encoding="utf-8")
    for name in WORLD_NAMES:
        assert f"| `{name}` |" in page


def test_the_page_of_tables_holds_every_column(repository: Path) -> None:
    page = (repository / "docs" / "tables.md").read_text(encoding="utf-8")
    for table in RESULT_TABLES:
        assert re.search(rf"^## .*\b{table.name}\b", page, re.MULTILINE), table.name
        for column in table.columns:
            assert f"| `{column.name}` |" in page


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="other versions of Python lay help texts out differently")
def test_the_page_of_commands_is_fresh(
    repository: Path, make_docs: ModuleType, parser: argparse.ArgumentParser
) -> None:
    page = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    assert page == make_docs.build_commands_page(parser), "run python tools/make_docs.py"


def test_every_command_is_documented(repository: Path, make_docs: ModuleType, parser: argparse.ArgumentParser) -> None:
    commands = make_docs.list_commands(parser)
    assert {"run", "ingest", "stats", "cascades", "features", "detect", "info", "simulate"} <= set(commands)
    assert {"score", "worlds", "verdicts", "explain", "audit", "backtest"} <= set(commands)
    generated = (repository / "docs" / "commands.md").read_text(encoding="utf-8")
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for name in commands:
        assert f"\n## liqlab {name}\n" in generated
        assert f"`liqlab {name}" in readme
        for part in make_docs.list_commands(commands[name]):
            assert f"\n## liqlab {name} {part}\n" in generated


def test_the_readme_names_every_audit_and_counts_the_planted_bugs(
    repository: Path, make_docs: ModuleType, parser: argparse.ArgumentParser
) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    audits = make_docs.list_commands(make_docs.list_commands(parser)["audit"])
    assert {"features", "ic", "strategy", "engine"} <= set(audits)
    for name in audits:
        assert f"`liqlab audit {name}" in readme
    assert f"each of {len(PLANTED_BUGS)} planted bugs" in readme


def test_commands_named_in_the_plan_page_exist(
    repository: Path, make_docs: ModuleType, parser: argparse.ArgumentParser
) -> None:
    plan = (repository / "docs" / "plan.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`liqlab (\w+)`", plan))
    assert named
    assert named <= set(make_docs.list_commands(parser))


def test_the_generator_of_the_commands_page_shows_each_command(make_docs: ModuleType) -> None:
    parser = argparse.ArgumentParser(prog="liqlab")
    commands = parser.add_subparsers()
    commands.add_parser("weigh").add_argument("--stone", help="what to weigh")
    page = make_docs.build_commands_page(parser)
    assert "## liqlab\n" in page
    assert "$ liqlab weigh --help\nusage: liqlab weigh [-h] [--stone STONE]\n" in page


def test_the_python_examples_run(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = repository / "docs" / "python.md"
    blocks = _PYTHON.findall(page.read_text(encoding="utf-8"))
    assert blocks
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for number, block in enumerate(blocks, 1):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(block, names, f"block {number}", str(page), 0)
            runner.run(test, clear_globs=False)
            names = test.globs
        else:
            exec(compile(block, f"{page.name} block {number}", "exec"), names)
    assert runner.summarize(verbose=False).failed == 0, capsys.readouterr().out


def _quarantine_examples(repository: Path) -> list[tuple[str, str]]:
    page = (repository / "docs" / "formats.md").read_text(encoding="utf-8")
    return re.findall(r"^\| ([^|`]+?) \| `([^`]+)` \|$", page, re.MULTILINE)


def test_each_documented_reason_is_what_its_example_gives(repository: Path) -> None:
    examples = _quarantine_examples(repository)
    assert len(examples) > 20
    for reason, line in examples:
        problems = parse_line(line.encode()).problems
        assert [problem.reason for problem in problems] == [reason], line


def test_every_decision_says_context_decision_and_consequences(repository: Path) -> None:
    records = sorted((repository / "docs" / "decisions").glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{number:04d}" for number in range(1, len(records) + 1)]
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], record.name
