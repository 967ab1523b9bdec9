"""docs/plan.md holds every item of the research plan, in its words and order, and says what serves it.

`docs/plan_items.txt` is the plan's item list; where the plan itself is at hand, the list is compared with it.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import pytest

COLUMNS = ["item", "text", "command", "module", "output", "status"]
NOTHING = "—"


class Row(NamedTuple):
    """One row of the page's tables."""

    item: str
    text: str
    command: str
    module: str
    output: str
    status: str


def parse_plan(text: str) -> list[str]:
    """`ID: text` of every item of the plan, in its order; emphasis and check marks are dropped."""
    items: list[str] = []
    section = subsection = block = ""
    counts: dict[str, int] = {}
    for raw in text.splitlines():
        line = raw.replace("**", "").replace("✅ ", "").strip()
        if raw.startswith("## "):
            section, subsection, block = line[3:], "", ""
        elif raw.startswith("### "):
            subsection, block = line[4:], ""
        elif raw.startswith("#### "):
            block = line[5:]
            items.append(_strategy_title(block))
        else:
            _collect(items, counts, section, subsection, block, line)
            block = _next_block(block, raw)
    return items


def _next_block(block: str, raw: str) -> str:
    if match := re.fullmatch(r"\*\*(Analysis|Metrics|Expected Findings)\*\*:", raw):
        return match[1]
    if match := re.match(r"(\d+)\. \*\*", raw):
        return match[1]
    return block


def _strategy_title(heading: str) -> str:
    number, name = heading.removeprefix("Strategy ").split(": ")
    return f"S{number}: {name}"


def _collect(items: list[str], counts: dict[str, int], section: str, subsection: str, block: str, line: str) -> None:
    """Add the item that `line` is, if it is one."""
    identity = _identity(section, subsection, block, line)
    if identity is None:
        return
    prefix, text = identity
    if prefix.endswith("#"):
        counts[prefix] = counts.get(prefix, 0) + 1
        prefix = prefix[:-1] + str(counts[prefix])
    items.append(f"{prefix}: {text}")


def _identity(section: str, subsection: str, block: str, line: str) -> tuple[str, str] | None:
    """(identifier, text); an identifier that ends in # is still to be numbered."""
    bullet = line.removeprefix("- ") if line.startswith("- ") else ""
    number = subsection.split(".")[0]
    match section:
        case "Data Summary" if subsection == "Key Fields" and bullet:
            return "D.field#", bullet
        case "Research Questions" if number == "8":
            return _strategy_part(block, bullet)
        case "Research Questions":
            return _question_part(number, block, line, bullet)
        case "Implementation Plan":
            phase = subsection.removeprefix("Phase ").split(":")[0]
            return _numbered(f"P{phase}.", block, line, bullet)
        case "Expected Deliverables" if bullet:
            return {"Code": "D.code#", "Results": "D.result#", "Insights": "D.insight#"}[subsection], bullet
        case "Success Criteria" if bullet:
            return "C#", bullet
        case "Risk Factors & Challenges" if bullet:
            kind, text = bullet.split(": ", 1)
            return f"R.{kind.lower()}#", f"{subsection}: {text}"
        case "Next Steps" if bullet:
            return _numbered("N", block, line, bullet)
        case "Comparison to Previous Research":
            return _comparison(subsection, line, bullet)
    return None


def _strategy_part(block: str, bullet: str) -> tuple[str, str] | None:
    if not bullet:
        return None
    kind, text = bullet.split(": ", 1)
    return f"S{block.removeprefix('Strategy ').split(':')[0]}.{kind.lower()}", text


def _question_part(number: str, block: str, line: str, bullet: str) -> tuple[str, str] | None:
    if line.startswith("Hypothesis: "):
        return f"Q{number}", line.removeprefix("Hypothesis: ")
    if not bullet:
        return None
    kinds = {"Analysis": f"Q{number}.analysis#", "Metrics": f"Q{number}.metric#", "Expected Findings": f"Q{number}.#"}
    return kinds[block], bullet


def _numbered(prefix: str, block: str, line: str, bullet: str) -> tuple[str, str] | None:
    if match := re.match(r"(\d+)\. (.+)", line):
        return f"{prefix}{match[1]}", match[2]
    return (f"{prefix}{block}.#", bullet) if bullet else None


def _comparison(subsection: str, line: str, bullet: str) -> tuple[str, str] | None:
    if line.startswith("Key Question: "):
        return "K", line.removeprefix("Key Question: ")
    if bullet.startswith("If "):
        return "K.#", bullet
    if subsection.startswith("v26") and bullet.startswith("Hypothesis: "):
        return "K.hypothesis", bullet.removeprefix("Hypothesis: ")
    return None


def read_rows(page: str) -> list[Row]:
    """The rows of all tables of the page; a `\\|` inside a cell is a bar."""
    rows = []
    for line in page.splitlines():
        if not line.startswith("|"):
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == len(COLUMNS), f"{len(cells)} cells, not {len(COLUMNS)}: {line}"
        if cells != COLUMNS and set(cells[0]) != {"-"}:
            rows.append(Row(*cells))
    return rows


@pytest.fixture(scope="module")
def rows(repository: Path) -> list[Row]:
    return read_rows((repository / "docs" / "plan.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def items(repository: Path) -> list[str]:
    return (repository / "docs" / "plan_items.txt").read_text(encoding="utf-8").splitlines()


def test_the_item_list_is_the_plans(items: list[str], shared_data: Path) -> None:
    plan = shared_data.parent / "reference" / "plan.md"
    if not plan.is_file():
        pytest.skip(f"no research plan at {plan}; the page is compared with docs/plan_items.txt alone")
    assert items == parse_plan(plan.read_text(encoding="utf-8"))


def test_the_page_holds_every_item_in_the_plans_words_and_order(items: list[str], rows: list[Row]) -> None:
    assert [f"{row.item}: {row.text}" for row in rows] == items


def test_the_item_list_is_complete(items: list[str]) -> None:
    names = [item.split(": ", 1)[0] for item in items]
    assert len(set(names)) == len(names)
    assert [name for name in names if re.fullmatch(r"Q\d\.\d", name)] == [
        f"Q{question}.{finding}" for question in range(1, 8) for finding in range(1, 5)
    ]
    assert [name for name in names if re.fullmatch(r"C\d+", name)] == [f"C{number}" for number in range(1, 13)]
    for strategy in range(1, 5):
        parts = [name for name in names if name.startswith(f"S{strategy}")]
        assert parts == [f"S{strategy}", *(f"S{strategy}.{part}" for part in ("entry", "direction", "exit", "stop"))]
    assert len([name for name in names if name.startswith("D.code")]) == 5
    assert len([name for name in names if name.startswith("R.mitigation")]) == 5


def test_each_status_is_one_of_three(rows: list[Row]) -> None:
    for row in rows:
        assert row.status in ("done", "not yet") or re.fullmatch(r"part: .+", row.status), row


def test_what_is_served_says_by_what(rows: list[Row]) -> None:
    for row in rows:
        cells = (row.command, row.module, row.output)
        if row.status == "not yet":
            assert cells == (NOTHING,) * 3, f"{row.item} is not yet served, yet names something"
        else:
            assert all(cells), row
            assert cells != (NOTHING,) * 3, f"{row.item} is served by nothing"


def test_the_modules_named_exist(rows: list[Row]) -> None:
    named = {name for row in rows for name in re.findall(r"`(liqlab(?:\.\w+)+)`", row.module)}
    assert named
    missing = sorted(name for name in named if importlib.util.find_spec(name) is None)
    assert missing == []
