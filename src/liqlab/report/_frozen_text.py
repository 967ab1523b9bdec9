"""Frozen parameters in sample and out of sample, side by side, in plain text and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from liqlab.backtest import CHOSEN, Frozen, Metric, Sample
from liqlab.report._backtest_layout import section, wrap
from liqlab.report._backtest_reading import format_metric, say_untestable
from liqlab.report._text import MISSING, format_count, render_markdown_table, render_table
from liqlab.report._words import span

_SHOWN = ("mean_net_bps", "mean_gross_bps", "sharpe", "win_rate", "net_return", "max_drawdown")
_READING = (
    "Parameters are frozen: nothing was chosen out of sample. The survival ratio is the Sharpe ratio out of sample "
    "over that in sample, where the latter is above zero. The change of the mean net return per trade has an error "
    "clustered over days. What was chosen in sample is the best of many there and must be expected to fall."
)
_HEADER = ("strategy", "variant", "trades in", "trades out", "net bps in", "net bps out", "Sharpe in", "Sharpe out")


def render_frozen(frozen: Sequence[Frozen]) -> str:
    """The text of `liquidations_backtest_out_of_sample.txt`; no line is longer than 100 columns."""
    parts = ["OUT OF SAMPLE\n" + "\n".join(wrap(text) for text in (*_say_spans(frozen), "", _READING))]
    parts += [section(_name(one), _render_one(one)) for one in frozen]
    return "\n\n".join(parts) + "\n"


def render_frozen_section(frozen: Sequence[Frozen], heading: str) -> str:
    """The same in short, as Markdown."""
    rows = [
        [one.strategy, one.variant]
        + [format_count(sample.ledger.trades.height) for sample in (one.inside, one.outside)]
        + [_show(sample, "mean_net_bps") for sample in (one.inside, one.outside)]
        + [_show(sample, "sharpe") for sample in (one.inside, one.outside)]
        for one in frozen
    ]
    items = [f"- `{one.strategy}`, {one.variant}: {one.comparison.sentence}" for one in frozen]
    table = render_markdown_table(_HEADER, rows, "llrrrrrr")
    return "\n\n".join([heading, *_say_spans(frozen), _READING, table, "\n".join(items)])


def summarise_frozen(frozen: Sequence[Frozen]) -> Iterator[str]:
    """One line for each strategy and set of parameters."""
    return (f"{_name(one)}: {one.comparison.sentence}" for one in frozen)


def _name(one: Frozen) -> str:
    what = f" ({one.inside.ledger.parameters})" if one.variant == CHOSEN else ""
    return f"{one.strategy}, {one.variant}{what}"


def _say_spans(frozen: Sequence[Frozen]) -> Iterator[str]:
    first = frozen[0]
    for label, sample in (("In sample", first.inside), ("Out of sample", first.outside)):
        yield f"{label}: {span(sample.start_ms, sample.end_ms)}."


def _render_one(one: Frozen) -> str:
    metrics = [_by_name(sample) for sample in (one.inside, one.outside)]
    counts = [format_count(sample.ledger.trades.height) for sample in (one.inside, one.outside)]
    rows = [["trades", *counts]]
    rows += [[name, *(_show(sample, name) for sample in (one.inside, one.outside))] for name in _SHOWN]
    found = one.comparison
    ratio = MISSING if math.isnan(found.survival_ratio) else f"{found.survival_ratio:.0%}"
    kept = MISSING if math.isnan(found.kept_frac) else f"{found.kept_frac:.0%}"
    units = " | ".join(f"{name}: {metrics[0][name].unit}" for name in _SHOWN if name in metrics[0])
    lines = [
        wrap(found.sentence),
        wrap(f"Survival ratio of the Sharpe ratio {ratio}; of the metrics that were good in sample {kept} still are."),
        "",
        render_table(["", "in sample", "out of sample"], rows, "lrr"),
        wrap(units),
    ]
    return "\n".join(lines)


def _show(sample: Sample, name: str) -> str:
    metrics = _by_name(sample)
    return "not testable" if say_untestable(metrics) else format_metric(name, metrics)


def _by_name(sample: Sample) -> dict[str, Metric]:
    return {metric.name: metric for metric in sample.metrics}
