"""The audit of a strategy as text for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from liqlab.audit._strategy_audit import AuditedFills, StrategyAudit
from liqlab.audit._strategy_backtest import StrategyResult
from liqlab.audit._strategy_fills import FILL_RULES, WHY_WRONG, WIN_RATE, FillCheck, FillFinding, WinRate
from liqlab.audit._strategy_placebo import PlaceboCheck
from liqlab.audit._strategy_truncation import TruncationCheck

_WIDTH = 118
_BPS = 1e4
_RESULT_HEADINGS = ("", "orders", "trades", "won", "before costs", "net", "daily Sharpe")
_PLACEBO_HEADINGS = ("", "markets", "trades", "won", "a trade earns", "standard errors", "as good as the data")


def render_strategy_audit(audit: StrategyAudit) -> str:
    """Results, the three parts with what they found, and a verdict that names the reason."""
    lines = [f"{audit.strategy} on {audit.market}", "", *_render_results(audit), ""]
    lines += [*_render_truncation(audit.truncation), ""]
    lines += [*_render_placebo(audit.audited.placebo), ""]
    lines += [*_render_fills(audit.audited.fills), ""]
    if audit.engine is not None:
        lines += [*_render_engine(audit.engine), ""]
    return "\n".join([*lines, *textwrap.wrap(_verdict(audit), _WIDTH)])


def _render_results(audit: StrategyAudit) -> list[str]:
    names = ("its own fill rule", "the honest engine, same signals") if audit.has_own_fills else ("the engine",)
    rows = [_result_row(name, found) for name, found in zip(names, (audit.results, audit.honest), strict=False)]
    return _align([_RESULT_HEADINGS, *rows])


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


def _render_truncation(check: TruncationCheck) -> list[str]:
    what = (
        f"{len(check.cuts)} cuts, {check.n_compared:,} decisions compared with later data removed, then replaced: "
        f"{len(check.changed):,} changes"
    )
    shown = [f"    {one.describe()}" for one in check.changed[:3]]
    return [_part("(a) decisions", check.passed, what), *shown]


def _render_placebo(checks: Sequence[PlaceboCheck]) -> list[str]:
    what = "the same events on prices without an edge; before costs a trade must earn nothing, within 3 standard errors"
    rows = [
        (
            check.kind,
            f"{check.n_surrogates:,}",
            f"{check.n_trades:,.0f}",
            _percent(check.win_rate),
            f"{_BPS * check.mean:+.2f} bps",
            f"{check.standard_errors:+.1f}",
            f"p = {check.p:.3f}",
        )
        for check in checks
    ]
    table = [f"    {line}" for line in _align([_PLACEBO_HEADINGS, *rows])]
    return [_part("(b) placebo", all(check.passed for check in checks), what), *table]


def _render_fills(check: FillCheck) -> list[str]:
    lines = [_part("(c) fills", check.passed, f"{check.n_trades:,} trades beside the prices that they used")]
    for found in check.findings:
        lines += _wrap(f"{_count(found)} {FILL_RULES[found.rule]}: {WHY_WRONG[found.rule]}", "    ")
        lines += _wrap(f"{'' if found.rule == WIN_RATE else 'first: '}{found.example}", "        ")
    if check.win_rate is not None and check.passed:
        lines += _wrap(_describe_win_rate(check.win_rate), "    ")
    return lines


def _describe_win_rate(found: WinRate) -> str:
    return (
        f"before costs {_percent(found.win_rate)} won; wins of {_BPS * found.mean_win:.1f} bps and losses of "
        f"{_BPS * found.mean_loss:.1f} bps allow {_percent(found.allowed)} where nothing can be foreseen"
    )


def _render_engine(engine: AuditedFills) -> list[str]:
    """What parts (b) and (c) say of the engine on the same signals."""
    away = ", ".join(f"{one.kind} {one.standard_errors:+.1f} standard errors" for one in engine.placebo)
    n_broken = len(engine.fills.findings)
    return [
        "the same signals through the engine:",
        f"    {_part('(b) placebo', all(one.passed for one in engine.placebo), away)}",
        f"    {_part('(c) fills', not n_broken, f'{n_broken} rules broken')}",
    ]


def _verdict(audit: StrategyAudit) -> str:
    if audit.passed and not audit.audited.fills.n_trades:
        why = audit.audited.not_testable or "the strategy made no trade"
        return f"NOTHING TO AUDIT but the decisions, in which nothing was found: {why}."
    if audit.passed:
        return "PASSED: no decision, no fill and no placebo speaks against this backtest. It may still be luck: see p."
    reasons = []
    if not audit.truncation.passed:
        reasons.append("decisions use what came after them")
    failed = [one for one in audit.audited.placebo if not one.passed]
    if failed:
        worst = max(failed, key=lambda one: abs(one.standard_errors))
        does = "earns" if worst.mean > 0.0 else "loses more than its costs"
        reasons.append(f"it {does} where nothing can be earned ({_BPS * worst.mean:+.1f} bps a trade before costs)")
    reasons += [
        f"{_count(found)} {FILL_RULES[found.rule]}"
        for found in sorted(audit.audited.fills.findings, key=lambda found: (found.rule == WIN_RATE, -found.n_trades))
    ]
    return f"FAILED: the result does not come from the market: {'; '.join(reasons)}."


def _count(found: FillFinding) -> str:
    if found.rule == WIN_RATE:
        return "trades"
    return f"{'all' if found.n_trades == found.n_checked else f'{found.n_trades:,} of'} {found.n_checked:,} trades"


def _part(name: str, passed: bool, what: str) -> str:
    return f"{name}: {'passed' if passed else 'FAILED'}. {what}"


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip() for name, *cells in rows]


def _median(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if np.isfinite(share) else "none"
