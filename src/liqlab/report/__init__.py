"""Results in, files out: figures, texts, and the whole run from a source to a results folder."""

from liqlab.report._cascades_text import render_cascades
from liqlab.report._figures_cascades import plot_cascade_examples
from liqlab.report._figures_heatmap import plot_price_heatmap
from liqlab.report._figures_hours import plot_hour_by_weekday
from liqlab.report._figures_rate import plot_liquidation_rate
from liqlab.report._figures_size import plot_size_distribution
from liqlab.report._findings import FINDINGS, render_findings
from liqlab.report._findings_captions import ReportFigure, list_figures
from liqlab.report._manifest import build_manifest, describe_origin
from liqlab.report._results import is_results, prepare_results
from liqlab.report._run import BacktestOutcome, FeatureOutcome, RunOutcome, run, run_backtests, run_features
from liqlab.report._stats_text import render_statistics
from liqlab.report._style import save_figure
from liqlab.report._text import format_count, format_usd, render_markdown_table, render_table
from liqlab.report._verdicts_text import (
    count_verdicts,
    explain,
    read_calibration,
    render_verdict_table,
    render_verdicts_markdown,
)
from liqlab.report._write import render_study_statistics, write_report

__all__ = [
    "FINDINGS",
    "BacktestOutcome",
    "FeatureOutcome",
    "ReportFigure",
    "RunOutcome",
    "build_manifest",
    "count_verdicts",
    "describe_origin",
    "explain",
    "format_count",
    "format_usd",
    "is_results",
    "list_figures",
    "plot_cascade_examples",
    "plot_hour_by_weekday",
    "plot_liquidation_rate",
    "plot_price_heatmap",
    "plot_size_distribution",
    "prepare_results",
    "read_calibration",
    "render_cascades",
    "render_findings",
    "render_markdown_table",
    "render_statistics",
    "render_study_statistics",
    "render_table",
    "render_verdict_table",
    "render_verdicts_markdown",
    "run",
    "run_backtests",
    "run_features",
    "save_figure",
    "write_report",
]
