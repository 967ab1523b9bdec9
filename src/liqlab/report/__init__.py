"""Results in, files out: figures and text."""

from liqlab.report._figures_cascades import plot_cascade_examples
from liqlab.report._figures_heatmap import plot_price_heatmap
from liqlab.report._figures_hours import plot_hour_by_weekday
from liqlab.report._figures_rate import plot_liquidation_rate
from liqlab.report._figures_size import plot_size_distribution
from liqlab.report._style import save_figure
from liqlab.report._text import format_count, format_usd, render_markdown_table, render_table

__all__ = [
    "format_count",
    "format_usd",
    "plot_cascade_examples",
    "plot_hour_by_weekday",
    "plot_liquidation_rate",
    "plot_price_heatmap",
    "plot_size_distribution",
    "render_markdown_table",
    "render_table",
    "save_figure",
]
