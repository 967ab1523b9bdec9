"""A user's own strategy from a file: the documented example works, and mistakes are told with file, line and remedy."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path

import pytest
from strategy_market import list_columns, random_market

from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._strategy import STRATEGIES, StrategyFile, decide_orders, load_strategy_file
from liqlab.core.errors import ConfigError, UserError

GOOD = """
from __future__ import annotations

from dataclasses import dataclass

from liqlab.backtest._inputs import MarketInputs
from liqlab.backtest._orders import Orders
from liqlab.core.config import bounded, check_bounds


@dataclass(frozen=True)
class Parameters:
    every_h: float = bounded(1.0, 0.1, 24.0)

    def __post_init__(self) -> None:
        check_bounds(self)


class Clock:
    name = "clock"
    description = "Buys on the hour"
    Parameters = Parameters
    default = Parameters()

    def decide(self, inputs: MarketInputs, parameters: Parameters) -> Orders:
        step = round(parameters.every_h * 3_600_000)
        moments = list(range(inputs.start_ms + step, inputs.end_ms + 1, step))
        return Orders.gather(tuple(inputs.symbols), [0] * len(moments), moments, [1.0] * len(moments))


STRATEGY = Clock()
"""


@pytest.fixture(scope="module")
def market() -> MarketInputs:
    return random_market(1, 6.0)


def _write(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def _fail_to_load(folder: Path, text: str) -> str:
    with pytest.raises(UserError) as raised:
        load_strategy_file(_write(folder, text))
    return str(raised.value)


def _fail_to_decide(folder: Path, market: MarketInputs, body: str) -> str:
    start = GOOD.index("        step = ")
    text = GOOD[:start] + f"        {body}\n" + GOOD[GOOD.index("\n\nSTRATEGY") :]
    strategy = load_strategy_file(_write(folder, text))
    with pytest.raises(UserError) as raised:
        decide_orders(strategy, market)
    return str(raised.value)


def test_a_strategy_from_a_file_decides(tmp_path: Path, market: MarketInputs) -> None:
    strategy = load_strategy_file(_write(tmp_path, GOOD))
    assert (strategy.name, strategy.description) == ("clock", "Buys on the hour")
    assert strategy.scaled == strategy.default
    assert len(decide_orders(strategy, market)) == 6
    assert len(decide_orders(strategy, market, strategy.Parameters(every_h=2.0))) == 3
    assert strategy.name not in {known.name for known in STRATEGIES}


def test_a_strategy_from_a_file_crosses_processes_by_its_path(tmp_path: Path, market: MarketInputs) -> None:
    strategy = load_strategy_file(_write(tmp_path, GOOD))
    sent = pickle.dumps(strategy)
    assert len(sent) < 1_000
    again = pickle.loads(sent)
    assert isinstance(again, StrategyFile)
    assert list_columns(decide_orders(again, market)) == list_columns(decide_orders(strategy, market))


def test_an_edited_file_is_read_anew(tmp_path: Path) -> None:
    assert load_strategy_file(_write(tmp_path, GOOD)).name == "clock"
    assert load_strategy_file(_write(tmp_path, GOOD.replace('"clock"', '"watch"'))).name == "watch"


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.py does not exist; --strategy takes a name or a Python file"):
        load_strategy_file(tmp_path / "nowhere.py")
    with pytest.raises(UserError, match="is a folder"):
        load_strategy_file(tmp_path)


def test_a_syntax_error_names_file_and_line(tmp_path: Path) -> None:
    message = _fail_to_load(tmp_path, "a = 1\nb = (2\n")
    assert re.search(r"mine\.py, line 2: .*never closed.*try again", message)
    assert "mine.py" in _fail_to_load(tmp_path, "a = 1\0")


def test_a_file_that_fails_names_the_line_and_the_error(tmp_path: Path) -> None:
    message = _fail_to_load(tmp_path, "a = 1\n\nb = a / 0\n")
    assert re.search(r"mine\.py, line 3: .*ZeroDivisionError: division by zero", message)
    message = _fail_to_load(tmp_path, "import a_module_that_is_not_there\n")
    assert re.search(r"mine\.py, line 1: .*ModuleNotFoundError", message)
    assert "SystemExit" in _fail_to_load(tmp_path, "raise SystemExit(3)\n")


def test_a_failed_file_leaves_no_module_behind(tmp_path: Path) -> None:
    _fail_to_load(tmp_path, "1 / 0\n")
    assert "liqlab_strategy_mine" not in sys.modules


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("STRATEGY = Clock()", "", "defines no STRATEGY; end it with STRATEGY = YourStrategy()"),
        ("STRATEGY = Clock()", "STRATEGY = Clock", r"STRATEGY is the class Clock; make it an instance"),
        ("STRATEGY = Clock()", "STRATEGY = 3", "STRATEGY has no name, description, Parameters, default, decide"),
        ('name = "clock"', "name = 3", "STRATEGY.name must be words joined by underscores"),
        ('name = "clock"', 'name = "my/clock"', "STRATEGY.name must be words joined by underscores"),
        ('name = "clock"', 'name = "zone_bounce"', "STRATEGY.name must not be that of a built-in strategy"),
        ('description = "Buys on the hour"', "description = 3", "STRATEGY.description must be text"),
        ("    Parameters = Parameters\n", "    Parameters = dict\n", "STRATEGY.Parameters must be a dataclass"),
        ("    default = Parameters()", "    default = 3", "STRATEGY.default must be an instance of Parameters"),
        (
            "    default = Parameters()",
            "    default = Parameters()\n    scaled = 3",
            "STRATEGY.scaled must be an instance",
        ),
        ("    def decide", "    decide = 3\n\n    def other", "STRATEGY.decide must be a method"),
    ],
)
def test_a_strategy_that_lacks_something_is_told_what(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    message = _fail_to_load(tmp_path, GOOD.replace(old, new))
    assert "mine.py" in message
    assert re.search(told, message)


def test_a_decision_that_raises_names_file_line_and_error(tmp_path: Path, market: MarketInputs) -> None:
    message = _fail_to_decide(tmp_path, market, "return inputs.symbols['LTCUSDT']")
    line = 1 + GOOD[: GOOD.index("        step = ")].count("\n")
    assert re.search(rf"mine\.py, line {line}: strategy clock failed: KeyError: 'LTCUSDT'; mend", message)


@pytest.mark.parametrize("body", ["raise SystemExit(3)", "return self.decide(inputs)", "return self.decide(inputs, 3)"])
def test_nothing_that_a_decision_does_ends_the_program(tmp_path: Path, market: MarketInputs, body: str) -> None:
    assert re.search(r"mine\.py, line \d+: strategy clock failed: \w+", _fail_to_decide(tmp_path, market, body))


def test_a_mistake_deep_inside_a_library_names_the_users_own_line(tmp_path: Path, market: MarketInputs) -> None:
    message = _fail_to_decide(tmp_path, market, "import json; return json.loads('{')")
    assert re.search(r"mine\.py, line \d+: strategy clock failed: JSONDecodeError", message)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return None", "decide must return Orders, it returned nothing"),
        ("return [1, 2]", "decide must return Orders, it returned a list"),
        ("return Orders.gather(['LTCUSDT'], [0], [inputs.start_ms], [1.0])", "unknown symbol 'LTCUSDT'"),
        ("return Orders.gather(list(inputs.symbols), [0], [12], [1.0])", "outside the market's span"),
        ("return Orders.gather(list(inputs.symbols), [0], [inputs.start_ms], [0.5])", "side must be"),
        ("return Orders.gather(list(inputs.symbols), [7], [inputs.start_ms], [1.0])", "codes must lie in"),
        ("return Orders.gather(list(inputs.symbols), [0], [inputs.start_ms], [1.0], target_frac=-1)", "target_frac"),
        ("return Orders.gather(list(inputs.symbols), [0], [inputs.start_ms], [1.0, 1.0])", "2 values for 1 order"),
    ],
)
def test_orders_that_make_no_sense_are_refused(tmp_path: Path, market: MarketInputs, body: str, told: str) -> None:
    message = _fail_to_decide(tmp_path, market, body)
    assert told in message
    assert "mine.py" in message


def test_parameters_out_of_range_are_named(tmp_path: Path) -> None:
    strategy = load_strategy_file(_write(tmp_path, GOOD))
    with pytest.raises(ConfigError, match=r"Parameters.every_h must lie in \[0.1, 24\], got 0"):
        strategy.Parameters(every_h=0)


# The page


def _page(repository: Path) -> str:
    return (repository / "docs" / "strategies.md").read_text(encoding="utf-8")


def _show(value: float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}".removesuffix(".0")


def test_the_page_has_every_strategy_with_each_parameter_and_its_defaults(repository: Path) -> None:
    page = _page(repository)
    for strategy in STRATEGIES:
        section = page.split(f"\n## `{strategy.name}`")[1].split("\n## ")[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE))
        shown = {name: _show(value) for name, value in vars(strategy.default).items()}
        assert rows == shown
        assert "Direction" in section
        assert "Stop" in section


def test_the_example_of_the_page_runs(repository: Path, tmp_path: Path, market: MarketInputs) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", _page(repository), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    strategy = load_strategy_file(_write(tmp_path, blocks[0]))
    orders = decide_orders(strategy, market)
    assert len(orders) > 0
    cut_ms = (market.start_ms + market.end_ms) // 2
    found = decide_orders(strategy, market.truncate(cut_ms))
    assert list_columns(found) == list_columns(orders.select(orders.decision_ms <= cut_ms))
