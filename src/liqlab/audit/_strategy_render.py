"""The audit of a strategy as text for the terminal: each part begins with its question and what was found."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from liqlab.audit._strategy_audit import AuditedFills, StrategyAudit
from liqlab.audit._strategy_backtest import StrategyResult
from liqlab.audit._strategy_contract import ContractCheck
from liqlab.audit._strategy_fills import (
    FILL_RULES,
    LEAST_TRADES,
    WHY_WRONG,
    WIN_RATE,
    FillCheck,
    FillFinding,
    WinRate,
)
from liqlab.audit._strategy_placebo import MOST_STANDARD_ERRORS, PlaceboCheck

_WIDTH = 118
_BPS = 1e4
_MARKS = {True: "passed", False: "FAILED", None: "not done"}
_RESULT_HEADINGS = ("filled by", "orders", "trades", "won", "before costs", "after costs", "daily Sharpe ratio")
_BEFORE_HEADINGS = ("before costs", "markets", "trades in each", "a trade earns", "standard errors from 0", "")
_AFTER_HEADINGS = ("after costs", "won", "a trade earns", "9 of 10 markets", "the data", "as good as the data", "p")


def render_strategy_audit(audit: StrategyAudit) -> str:
    """Results, the three parts with what they found, and a verdict that names the reason."""
    lines = [f"AUDIT OF {audit.strategy} on {audit.market}", *_render_parameters(audit.parameters), ""]
    if audit.results:
        lines += [*_render_results(audit), ""]
    lines += [*_render_contract(audit.contract), ""]
    if audit.audited is not None:
        lines += [*_render_placebo(audit.audited.placebo), "", *_render_fills(audit.audited.fills), ""]
    if audit.engine is not None:
        lines += [*_render_engine(audit.engine), ""]
    if audit.not_done:
        lines += ["NOT DONE", *(line for one in audit.not_done for line in _wrap(one, "    ")), ""]
    return "\n".join([*lines, *textwrap.wrap(_verdict(audit), _WIDTH)])


def _render_parameters(parameters: dict[str, Any]) -> list[str]:
    shown = (f"{value:,}".removesuffix(".0") if _is_number(value) else str(value) for value in parameters.values())
    # What belongs together is not to be broken apart.
    text = ", ".join(f"{name}\u00a0{value}" for name, value in zip(parameters, shown, strict=True))
    lines = textwrap.wrap(text, _WIDTH, initial_indent="parameters: ", subsequent_indent="    ")
    return [line.replace("\u00a0", " ") for line in lines]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _render_results(audit: StrategyAudit) -> list[str]:
    names = ("its own fill rule", "liqlab's engine, same signals") if audit.has_own_fills else ("liqlab's engine",)
    rows = [_result_row(name, found) for name, found in zip(names, (audit.results, audit.honest), strict=False)]
    n = len(audit.results)
    markets = f"medians over {n:,} markets; parts (a) to (c) look at the first. " if n > 1 else ""
    note = f"({markets}Returns are sums over trades, each as a part of its own size.)"
    return ["THE RESULT THAT IS AUDITED", *_indent(_align([_RESULT_HEADINGS, *rows])), *_wrap(note, "    ")]


def _result_row(name: str, results: Sequence[StrategyResult]) -> tuple[str, ...]:
    """Medians over the markets; the Sharpe ratio with its lowest and highest."""
    won = _median([one.win_rate for one in results])
    sharpe = [one.sharpe for one in results if np.isfinite(one.sharpe)]
    spread = f" ({min(sharpe):,.1f} to {max(sharpe):,.1f})" if len(sharpe) > 1 else ""
    return (
        name,
        f"{_median([one.n_orders for one in results]):,.0f}",
        f"{_median([one.n_trades for one in results]):,.0f}",
        _percent(won),
        f"{100 * _median([one.gross for one in results]):+.2f} %",
        f"{100 * _median([one.net for one in results]):+.2f} %",
        f"{_median(sharpe):,.1f}{spread}" if sharpe else "none",
    )


def _render_contract(check: ContractCheck) -> list[str]:
    lines = [_part("(a) DECISIONS", check.passed, "are they made from the past alone, and are they orders at all?")]
    for item in check.items:
        lines += _item(item.passed, item.name, item.reason)
    return lines


def _render_placebo(checks: Sequence[PlaceboCheck]) -> list[str]:
    """Two tables: what must be zero, and where the data lies."""
    passed = all(check.passed for check in checks)
    lines = [_part("(b) PLACEBO", passed, "does it earn on prices that nobody can predict?")]
    why = (
        "The data's liquidations stay where they are; the prices are replaced by random ones. There a trade must earn "
        f"nothing before costs, whatever the strategy: a mean within {MOST_STANDARD_ERRORS:g} standard errors of 0. "
        "After costs: where the data's result lies among those of these markets, each trade counted alike; p is the "
        "chance to do as well without any edge."
    )
    before, after = ([row(check) for check in checks] for row in (_before_costs, _after_costs))
    lines += [*_wrap(why, "    "), *_indent(_align([_BEFORE_HEADINGS, *before]))]
    return [*lines, *_indent(_align([_AFTER_HEADINGS, *after]))]


def _before_costs(check: PlaceboCheck) -> tuple[str, ...]:
    earns = f"{_bps(check.mean)} ± {_BPS * check.standard_error:.2f} bps" if np.isfinite(check.mean) else "no trade"
    away = f"{check.standard_errors:+.1f}" if np.isfinite(check.standard_errors) else "none"
    return (check.kind, f"{check.n_surrogates:,}", f"{check.n_trades:,.0f}", earns, away, _MARKS[check.passed])


def _after_costs(check: PlaceboCheck) -> tuple[str, ...]:
    if not check.net:
        return (check.kind, *["none"] * (len(_AFTER_HEADINGS) - 1))
    low, high = np.quantile(check.net, [0.05, 0.95])
    has_data = np.isfinite(check.data_net)
    return (
        check.kind,
        _percent(check.win_rate),
        f"{_bps(float(np.mean(check.net)))} bps",
        f"{_bps(float(low))} to {_bps(float(high))}",
        f"{_bps(check.data_net)} bps" if has_data else "no trade",
        f"{check.n_as_good:,} of {len(check.net):,}" if has_data else "none",
        f"{check.p:.3f}" if has_data else "none",
    )


def _render_fills(check: FillCheck) -> list[str]:
    lines = [_part("(c) FILLS", check.passed if check.n_trades else None, "could each trade have been made like that?")]
    broken = {found.rule: found for found in check.findings}
    for rule, what in FILL_RULES.items() if check.n_trades else ():
        found = broken.get(rule)
        if rule == WIN_RATE and check.win_rate is not None:
            lines += _item(_judge_win_rate(check.win_rate), rule, _describe_win_rate(check.win_rate))
        elif found is None:
            lines += _item(True, rule, f"none of {check.n_trades:,} trades {what}")
        else:
            lines += _item(False, rule, f"{_count(found)} {what}, but {WHY_WRONG[rule]}. First: {found.example}")
    return lines


def _judge_win_rate(found: WinRate) -> bool | None:
    return not found.is_impossible if found.n_trades >= LEAST_TRADES else None


def _describe_win_rate(found: WinRate) -> str:
    wins, losses = (f"{_BPS * mean:.1f} bps" for mean in (found.mean_win, found.mean_loss))
    text = (
        f"before costs {_percent(found.win_rate)} of {found.n_trades:,} trades won (95 % interval from "
        f"{_percent(found.low)} on); wins of {wins} and losses of {losses} allow {_percent(found.allowed)} where "
        "nothing can be foreseen"
    )
    if found.n_trades < LEAST_TRADES:
        return f"{text}; too few trades to judge, {LEAST_TRADES} are needed"
    return f"{text}. {WHY_WRONG[WIN_RATE].capitalize()}" if found.is_impossible else text


def _render_engine(engine: AuditedFills) -> list[str]:
    """What parts (b) and (c) say of the engine on the same signals."""
    lines = [
        "THE SAME SIGNALS, FILLED BY LIQLAB'S ENGINE: whatever failed above and passes here comes from the fill rule"
    ]
    for check in engine.placebo:
        kind, _, n, earns, away, mark = _before_costs(check)
        text = f"{n} trades in each of {check.n_surrogates:,} markets; a trade earns {earns}, {away} standard errors"
        lines += _wrap(f"{mark:8}  (b) {kind}: {text}", "    ")
    n_broken, n_trades = len(engine.fills.findings), engine.fills.n_trades
    text = f"(c) fills: {n_broken:,} of {len(FILL_RULES)} rules broken by {n_trades:,} trades"
    return [*lines, *_wrap(f"{_MARKS[engine.fills.passed if n_trades else None]:8}  {text}", "    ")]


def _verdict(audit: StrategyAudit) -> str:
    reasons = _list_reasons(audit)
    if reasons:
        return f"FLAGGED: this result does not come from the market: {'; '.join(reasons)}."
    if not audit.has_trades:
        why = (audit.audited.not_testable if audit.audited else "") or "there was no trade"
        return (
            f"NO VERDICT: {why}. In what could be looked at, nothing was found; what could not stands under NOT DONE."
        )
    if audit.not_done:
        return (
            "CLEAN as far as could be looked at: see NOT DONE. Clean is not good: it may still be luck, see p in (b)."
        )
    return (
        "CLEAN: no decision, no placebo and no fill speaks against this backtest. It may still be luck: see p in (b)."
    )


def _list_reasons(audit: StrategyAudit) -> list[str]:
    reasons = [f"{item.name}: no" for item in audit.contract.items if item.passed is False]
    if audit.audited is None:
        return reasons
    failed = [one for one in audit.audited.placebo if not one.passed]
    if failed:
        worst = max(failed, key=lambda one: abs(one.standard_errors))
        does = "earns" if worst.mean > 0.0 else "loses more than its costs"
        reasons.append(f"it {does} where nothing can be earned ({_bps(worst.mean)} bps a trade before costs)")
    findings = sorted(audit.audited.fills.findings, key=lambda found: (found.rule == WIN_RATE, -found.n_trades))
    return [*reasons, *(f"{_count(found)} {FILL_RULES[found.rule]}" for found in findings)]


def _count(found: FillFinding) -> str:
    if found.rule == WIN_RATE:
        return "trades"
    return f"{'all' if found.n_trades == found.n_checked else f'{found.n_trades:,} of'} {found.n_checked:,} trades"


def _part(name: str, passed: bool | None, question: str) -> str:
    return f"{name}: {_MARKS[passed]}. Asked: {question}"


def _item(passed: bool | None, name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{_MARKS[passed]:8}  {name}: {text}", _WIDTH, initial_indent="    ", subsequent_indent=" " * 14
    )


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _indent(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip() for name, *cells in rows]


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _bps(fraction: float) -> str:
    return f"{_BPS * fraction:+.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if np.isfinite(share) else "none"
