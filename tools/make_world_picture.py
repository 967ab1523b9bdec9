"""Draw docs/images/world_cascade.png: one cascade of the plan world with its truth.

python tools/make_world_picture.py
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from liqlab.cascades import get_preset
from liqlab.core.schema import LONG, TIME
from liqlab.core.time import MS_PER_DAY, MS_PER_S
from liqlab.report import format_usd
from liqlab.worlds import DEFAULT_START_MS, SymbolDay, collect_truth, iterate_market, load_world, simulate_tables

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "world_cascade.png"
WORLD, SYMBOL, SEED = "plan", "BTCUSDT", 7
BEFORE_MS, AFTER_MS = 4 * MS_PER_S, 8 * MS_PER_S
SIDE_COLOURS = {"long": "#e07b00", "short": "#0068a8"}
TREE, OTHER = "#882255", "#9a9a9a"


def simulate_day() -> tuple[SymbolDay, pl.DataFrame]:
    """The day in steps of 100 ms, and its liquidations with causes and roots."""
    world, end_ms = load_world(WORLD), DEFAULT_START_MS + MS_PER_DAY
    day = next(iterate_market(world, [SYMBOL], SEED, DEFAULT_START_MS, end_ms, every=1)).of(SYMBOL)
    tables = simulate_tables(world, [SYMBOL], SEED, DEFAULT_START_MS, end_ms)
    return day, collect_truth(tables, world, SEED).liquidations


def add_generations(rows: pl.DataFrame) -> pl.DataFrame:
    """How many steps each liquidation is away from its root."""
    generation: dict[int, int] = {}
    for number, cause in rows.sort("number").select("number", "cause").iter_rows():
        generation[number] = 0 if cause is None else generation[cause] + 1
    return rows.with_columns(generation=pl.col("number").replace_strict(generation))


def choose_tree(rows: pl.DataFrame) -> int:
    """The root of the tree with the most generations, then the most notional, that fits the picture.

    It counts as a cascade for the preset `plan`.
    """
    trees = rows.group_by("root").agg(
        n=pl.len(),
        depth=pl.col("generation").max(),
        notional_usd=pl.col("notional_usd").sum(),
        lasted=pl.col("event_time").max() - pl.col("event_time").min(),
    )
    plan = get_preset("plan")
    is_cascade = (pl.col("n") >= plan.min_liquidations) & (pl.col("notional_usd") >= plan.min_notional_usd)
    fitting = trees.filter(is_cascade, pl.col("n").is_between(8, 40), pl.col("lasted") <= pl.duration(seconds=20))
    return int(fitting.sort("depth", "notional_usd", "root", descending=True)["root"][0])


def draw(day: SymbolDay, rows: pl.DataFrame, root: int) -> Figure:
    """Price with and without impact; forced orders; what triggered what."""
    tree = rows.filter(pl.col("root") == root)
    first_ms, last_ms = (int(edge) for edge in tree["event_time"].to_physical().sort()[[0, -1]])
    start_ms, end_ms = first_ms - BEFORE_MS, last_ms + AFTER_MS
    shown = rows.filter(pl.col("event_time").to_physical().is_between(start_ms, end_ms))
    with matplotlib.rc_context({"font.size": 8.5, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10, 7.2), dpi=160, layout="constrained")
        price, flow, causes = figure.subplots(3, 1, sharex=True, height_ratios=(1.25, 1, 1.25))
        draw_price(price, day, start_ms, end_ms)
        draw_flow(flow, shown)
        draw_causes(causes, shown, root)
        causes.set_xlim(moments([start_ms]).item(), moments([end_ms]).item())
        causes.xaxis.set_major_formatter(DateFormatter("%H:%M:%S"))
        causes.set_xlabel(f"{tree['event_time'][0]:%Y-%m-%d}, UTC")
        usd = tree["notional_usd"].sum()
        title = f"{SYMBOL} in the {WORLD} world: one liquidation and the {tree.height - 1} that followed from it"
        figure.suptitle(f"{title}, ${usd:,.0f} in all", x=0.01, ha="left", weight="bold", size=10.5)
    return figure


def moments(milliseconds: list[int] | NDArray[np.int64]) -> NDArray[np.datetime64]:
    """Times as matplotlib takes them."""
    return np.asarray(milliseconds, dtype="datetime64[ms]")


def times_of(rows: pl.DataFrame) -> NDArray[np.datetime64]:
    """Event times as matplotlib takes them."""
    return moments(rows["event_time"].cast(TIME).to_physical().to_numpy())


def draw_price(panel: Axes, day: SymbolDay, start_ms: int, end_ms: int) -> None:
    """The price, and the path had no liquidation moved it, both from the same point on."""
    inside = slice(*np.searchsorted(day.time_ms, [start_ms, end_ms]).tolist())
    time, path = moments(day.time_ms[inside]), day.log_price[inside]
    free = path[0] + day.free_log_price[inside] - day.free_log_price[inside][0]
    panel.plot(time, np.exp(path), color="#222222", linewidth=1.2, label="price")
    panel.plot(time, np.exp(free), color="#44aa99", linewidth=1.2, label="same seed, without impact from here on")
    panel.fill_between(time, np.exp(path), np.exp(free), color="#44aa99", alpha=0.15, linewidth=0)
    panel.set_ylabel("USD")
    panel.yaxis.set_major_formatter("{x:,.0f}")
    panel.legend(frameon=False, loc="best")


def draw_flow(panel: Axes, shown: pl.DataFrame) -> None:
    """Forced orders by size, longs below and shorts above the line."""
    for (side,), rows in sorted(shown.partition_by("liquidated_side", as_dict=True).items()):
        sign = -1.0 if side == LONG else 1.0
        label = "longs liquidated (forced sells)" if side == LONG else "shorts liquidated (forced buys)"
        colour = SIDE_COLOURS[str(side)]
        panel.vlines(
            times_of(rows), 0.0, sign * rows["notional_usd"].to_numpy(), color=colour, linewidth=1.4, label=label
        )
    panel.axhline(0.0, color="#222222", linewidth=0.7)
    panel.set_yscale("symlog", linthresh=100.0)
    panel.yaxis.set_major_formatter(lambda usd, _: format_usd(abs(usd)))
    panel.set_ylabel("forced orders, USD")
    low, high = panel.get_ylim()
    panel.set_ylim(low if low < -1.0 else 0.0, high if (shown["liquidated_side"] != LONG).any() else 0.0)
    panel.legend(frameon=False, loc="best")


def draw_causes(panel: Axes, shown: pl.DataFrame, root: int) -> None:
    """Each liquidation by generation, with a line from the one that triggered it."""
    place = {
        number: (moment, generation)
        for number, moment, generation in zip(
            shown["number"].to_list(), times_of(shown), shown["generation"].to_list(), strict=True
        )
    }
    for number, cause, own_root in shown.select("number", "cause", "root").iter_rows():
        if cause in place:
            (x0, y0), (x1, y1) = place[cause], place[number]
            mine = own_root == root
            panel.plot([x0, x1], [y0, y1], color=TREE if mine else OTHER, linewidth=0.8, alpha=0.9 if mine else 0.4)
    for mine, colour, label in ((False, OTHER, "other chains, and orders on their own"), (True, TREE, "this cascade")):
        rows = shown.filter((pl.col("root") == root) == mine)
        size = 6.0 + 0.09 * rows["notional_usd"].sqrt().to_numpy()
        panel.scatter(times_of(rows), rows["generation"], s=size, color=colour, zorder=3, linewidths=0, label=label)
    panel.set_ylabel("generation\n(0: the market's own move)")
    panel.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    panel.legend(frameon=False, loc="best")


def main() -> None:
    """Simulate, choose, draw."""
    day, liquidations = simulate_day()
    rows = add_generations(liquidations)
    figure = draw(day, rows, choose_tree(rows))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, metadata={"Software": None})


if __name__ == "__main__":
    main()
