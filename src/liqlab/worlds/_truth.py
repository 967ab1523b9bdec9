"""The truth beside the captures: what triggered each liquidation, the trees that grew, prices without impact, dials."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from liqlab import __version__
from liqlab.core.errors import EnvironmentFailure, UserError
from liqlab.core.files import write_text
from liqlab.core.schema import COUNT, FLOAT, LIQUIDATIONS, LONG, SHORT, SYMBOL, TIME, Column, Table, check_frame
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR, format_time
from liqlab.worlds._delivery import Delivered
from liqlab.worlds._dials import World
from liqlab.worlds._market import REST_STEPS, MarketDay, SymbolDay
from liqlab.worlds._named import list_dials
from liqlab.worlds._noise import STEPS_PER_MINUTE, Integers
from liqlab.worlds._parquet import ParquetAppender
from liqlab.worlds._tables import MarketTables

TRUTH_FOLDER = "truth"
FORMAT = "liqlab truth 1"
_LIQUIDATIONS_FILE, _TREES_FILE, _MANIFEST, _WORLD = (
    "liquidations.parquet",
    "cascades.parquet",
    "manifest.json",
    "world.toml",
)
#: A tree without a liquidation for so long has ended: longer than the longest attribution window, lag and latency.
_TREE_SILENCE_MS = 2 * MS_PER_HOUR

_SEEN = ("symbol", "event_time", "known_time", "liquidated_side", "quantity", "price", "notional_usd")
_ROOT_COLUMNS = (
    Column("root_symbol", SYMBOL, "", "symbol of the first liquidation of its tree"),
    Column("root", COUNT, "", "number of that liquidation there"),
)
TRUTH_LIQUIDATIONS = Table(
    "truth/liquidations",
    "one forced order, captured or not, by event time",
    (
        *(column for column in LIQUIDATIONS.columns if column.name in _SEEN),
        Column("number", COUNT, "", "place among the symbol's liquidations, from 0, in order of execution"),
        Column("cause_symbol", SYMBOL, "", "symbol of the liquidation that triggered it; null when exogenous"),
        Column("cause", COUNT, "", "number of that liquidation there; null when exogenous"),
        *_ROOT_COLUMNS,
        Column("market_price", FLOAT, "USD", "price just before the order was executed"),
        Column("impact_bps", FLOAT, "bps", "signed move that the order caused at once"),
        Column("closing", pl.Boolean(), "", "its counterparty closed a position, so that open interest fell"),
        Column("captured", pl.Boolean(), "", "it stands in the captures; false before their start and in a gap"),
    ),
)
TRUTH_CASCADES = Table(
    "truth/cascades",
    "the part in one symbol of a tree of liquidations, two or more of them",
    (
        Column("symbol", SYMBOL, "", "instrument of the liquidations counted here"),
        *_ROOT_COLUMNS,
        Column("n_liquidations", COUNT, "", "liquidations of the tree in this symbol"),
        Column("notional_usd", FLOAT, "USD", "their notional"),
        Column("start", TIME, "ms UTC", "event time of the first of them"),
        Column("end", TIME, "ms UTC", "event time of the last of them"),
        Column("dominant_side", pl.String(), "", "liquidated side with the larger notional; `long` on a tie"),
    ),
)
TRUTH_PATH = Table(
    "truth/paths/SYMBOL",
    "the state of one symbol every five seconds",
    (
        Column("time", TIME, "ms UTC", "moment of the state"),
        Column("price", FLOAT, "USD", "price, impact included, not rounded"),
        Column("free_price", FLOAT, "USD", "price had no liquidation moved it: same seed, impact taken out"),
        Column("regime", pl.String(), "", "`volatile` when the slow part of latent volatility is above its median"),
    ),
)
TRUTH_TABLES = (TRUTH_LIQUIDATIONS, TRUTH_CASCADES, TRUTH_PATH)


@dataclass(frozen=True)
class Truth:
    """The truth of one simulation: `liquidations` as `TRUTH_LIQUIDATIONS`, and what its manifest says.

    `manifest` has at least `world`, `seed`, `symbols` and `branching_ratio`, by symbol and for `ALL`. The dials are in
    `world.toml`, which `load_world` reads.
    """

    manifest: dict[str, Any]
    liquidations: pl.DataFrame

    @property
    def symbols(self) -> tuple[str, ...]:
        """The simulated symbols in alphabetical order."""
        return tuple(self.manifest["symbols"])


class TruthWriter:
    """Writes `truth/` day by day; it is whole when the block ends without an error, and absent after one."""

    def __init__(self, output: Path, names: Sequence[str], start_ms: int, end_ms: int) -> None:
        self.folder = output / TRUTH_FOLDER
        self.names, self.start_ms, self.end_ms = tuple(names), start_ms, end_ms
        self._counts = {part: Counter(dict.fromkeys(self.names, 0)) for part in ("all", "triggered", "captured")}
        self._roots = _Roots()
        self._open_trees = TRUTH_LIQUIDATIONS.empty()

    def __enter__(self) -> TruthWriter:
        with ExitStack() as files:
            self._liquidations, self._trees, *self._paths = (
                files.enter_context(ParquetAppender(self.folder / name, table))
                for name, table in (
                    (_LIQUIDATIONS_FILE, TRUTH_LIQUIDATIONS),
                    (_TREES_FILE, TRUTH_CASCADES),
                    *((f"paths/{name}.parquet", TRUTH_PATH) for name in self.names),
                )
            )
            files.push(self._write_open_trees)
            self._files = files.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.__exit__(kind, error, trace)

    def _write_open_trees(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._trees.append(_list_trees(self._open_trees))

    def add_day(self, day: MarketDay, delivered: Sequence[Delivered], deaf: Sequence[NDArray[np.bool_]]) -> None:
        """The day with what was delivered of each symbol on it, and which of that came while nobody listened."""
        rows = pl.concat(
            [
                self._liquidation_rows(place, day.names, orders, lost)
                for place, (orders, lost) in enumerate(zip(delivered, deaf, strict=True))
            ]
        ).sort("event_time", "symbol", "number")
        rows = self._roots.attach(rows, day.names).select(TRUTH_LIQUIDATIONS.names)
        self._liquidations.append(rows)
        self._count(rows)
        self._add_trees(rows, (day.day + 1) * MS_PER_DAY)
        for writer, symbol_day in zip(self._paths, day.symbols, strict=True):
            writer.append(_path_rows(symbol_day, self.start_ms, self.end_ms))

    def _liquidation_rows(
        self, place: int, names: Sequence[str], delivered: Delivered, deaf: NDArray[np.bool_]
    ) -> pl.DataFrame:
        known_ms = delivered.known_ms
        in_time = known_ms < self.end_ms
        captured = (known_ms >= self.start_ms) & ~deaf
        kept, orders = delivered.take(in_time), delivered.take(in_time).liquidations
        cause = pl.Series(orders.cause)
        return pl.DataFrame(
            {
                "symbol": pl.repeat(names[place], len(orders.number), dtype=SYMBOL, eager=True),
                "event_time": pl.Series(orders.event_ms).cast(TIME),
                "known_time": pl.Series(kept.known_ms).cast(TIME),
                "liquidated_side": pl.Series([SHORT, LONG]).gather(orders.is_long.astype(np.uint32)),
                "quantity": orders.quantity,
                "price": orders.price,
                "notional_usd": orders.price * orders.quantity,
                "number": orders.number,
                "cause_symbol": _names_at(names, orders.cause_symbol),
                "cause": cause.set(cause < 0, None),
                "market_price": orders.market_price,
                "impact_bps": orders.impact_bps,
                "closing": orders.closing,
                "captured": captured[in_time],
            }
        )

    def _count(self, rows: pl.DataFrame) -> None:
        for part, counts in _count_by_symbol(rows).items():
            self._counts[part].update(counts)

    def _add_trees(self, rows: pl.DataFrame, midnight_ms: int) -> None:
        """Write the trees that have ended, and keep the liquidations of the others."""
        rows = pl.concat([self._open_trees, rows])
        latest = pl.lit(midnight_ms - _TREE_SILENCE_MS, pl.Int64).cast(TIME)
        is_open = rows.select(pl.col("event_time").max().over("root_symbol", "root") >= latest).to_series()
        self._open_trees = rows.filter(is_open)
        self._trees.append(_list_trees(rows.filter(~is_open)))

    def finish(self, world: World, seed: int, ticker: str, dirt: bool) -> None:
        """Write the dials and the manifest, after the last day."""
        n, triggered, captured = (self._counts[part] for part in ("all", "triggered", "captured"))
        manifest = {
            "format": FORMAT,
            "version": __version__,
            "world": world.name,
            "seed": seed,
            "start": format_time(self.start_ms),
            "end": format_time(self.end_ms),
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "symbols": list(self.names),
            "ticker": ticker,
            "dirt": dirt,
            "liquidations": dict(n),
            "captured": dict(captured),
            "branching_ratio": _branching_ratios(n, triggered),
        }
        try:
            write_text(self.folder / _WORLD, render_world(world))
            write_text(self.folder / _MANIFEST, json.dumps(manifest, indent=1) + "\n")
        except OSError as error:
            raise EnvironmentFailure(f"cannot write into {self.folder}: {error.strerror}; make room") from error


def _count_by_symbol(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Liquidations of each symbol: `all`, `triggered` by another one, `captured`."""
    counts = rows.group_by("symbol").agg(
        all=pl.len(), triggered=pl.col("cause").is_not_null().sum(), captured=pl.col("captured").sum()
    )
    return {part: dict(counts.select("symbol", part).iter_rows()) for part in ("all", "triggered", "captured")}


def _branching_ratios(n: Mapping[str, int], triggered: Mapping[str, int]) -> dict[str, float | None]:
    """The share of liquidations that another one triggered: the mean number of direct children over all of them."""
    n = {**n, "ALL": sum(n.values())}
    triggered = {**triggered, "ALL": sum(triggered.values())}
    return {name: triggered[name] / n[name] if n[name] else None for name in n}


def _names_at(names: Sequence[str], places: Integers) -> pl.Series:
    """The names at `places`; null for -1."""
    known = np.where(places < 0, len(names), places).astype(np.uint32)
    return pl.Series([*names, None], dtype=SYMBOL).gather(known)


class _Roots:
    """The first liquidation of each tree, found day by day; no cause lies further back than the day before."""

    def __init__(self) -> None:
        self._before = pl.DataFrame(schema={name: pl.Int64() for name in ("place", "number", "root_place", "root")})

    def attach(self, rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """`rows` with `root_symbol` and `root`."""
        place_of = {name: place for place, name in enumerate(names)}
        today = rows.select(
            pl.col("symbol").replace_strict(place_of, return_dtype=pl.Int64).alias("place"),
            "number",
            pl.col("cause_symbol").replace_strict(place_of, return_dtype=pl.Int64).alias("cause_place"),
            "cause",
        )
        both = pl.concat([self._before, today], how="diagonal").with_row_index("row")
        nodes = both.select("row", "place", "number")
        parents = both.select(cause_place="place", cause="number", parent="row")
        joined = both.join(parents, on=["cause_place", "cause"], how="left", maintain_order="left")
        top = joined["parent"].fill_null(nodes["row"]).to_numpy().astype(np.int64)
        while not np.array_equal(top[top], top):
            top = top[top]
        own_place, own_number = both["root_place"].fill_null(both["place"]), both["root"].fill_null(both["number"])
        root_place, root = own_place.gather(top), own_number.gather(top)
        resolved = nodes.with_columns(root_place, root).drop("row").tail(today.height)
        self._before = resolved
        return rows.with_columns(
            _names_at(names, resolved["root_place"].to_numpy()).alias("root_symbol"), resolved["root"]
        )


def _list_trees(rows: pl.DataFrame) -> pl.DataFrame:
    """The trees of `rows` by symbol, those of at least two liquidations, as `TRUTH_CASCADES`."""
    longs = pl.col("notional_usd").filter(pl.col("liquidated_side") == LONG).sum()
    shorts = pl.col("notional_usd").filter(pl.col("liquidated_side") == SHORT).sum()
    trees = rows.group_by("symbol", "root_symbol", "root", maintain_order=True).agg(
        n_liquidations=pl.len().cast(COUNT),
        notional_usd=pl.col("notional_usd").sum(),
        start=pl.col("event_time").min(),
        end=pl.col("event_time").max(),
        dominant_side=pl.when(longs >= shorts).then(pl.lit(LONG)).otherwise(pl.lit(SHORT)),
    )
    ordered = trees.filter(pl.col("n_liquidations") >= 2).sort("start", "symbol", "root_symbol", "root")
    return check_frame(ordered, TRUTH_CASCADES)


def _path_rows(day: SymbolDay, start_ms: int, end_ms: int) -> pl.DataFrame:
    rows = np.arange(0, len(day.log_price), REST_STEPS // day.every)
    time_ms = day.time_ms[rows]
    first, last = np.searchsorted(time_ms, [start_ms, end_ms]).tolist()
    rows = rows[first:last]
    volatile = day.nodes.is_volatile[rows * day.every // STEPS_PER_MINUTE]
    return pl.DataFrame(
        {
            "time": pl.Series(time_ms[first:last]).cast(TIME),
            "price": np.exp(day.log_price[rows]),
            "free_price": np.exp(day.free_log_price[rows]),
            "regime": pl.Series(["quiet", "volatile"], dtype=pl.String).gather(volatile.astype(np.uint32)),
        }
    )


def render_world(world: World) -> str:
    """Every dial of a world as TOML that `load_world` reads back to an equal world."""
    dials = list_dials(world)
    symbols = {f"symbols.{name}": values for name, values in dials.pop("symbols").items()}
    tables = {name: value for name, value in dials.items() if isinstance(value, dict)} | symbols
    lines = ['base = "none"', *(_assign(name, value) for name, value in dials.items() if name not in tables)]
    for name, values in tables.items():
        lines += ["", f"[{name}]", *(_assign(key, value) for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _assign(key: str, value: Any) -> str:
    # JSON writes text, numbers and truth values as TOML does.
    return f"{key} = {json.dumps(value, ensure_ascii=False, allow_nan=False)}"


def collect_truth(tables: MarketTables, world: World, seed: int) -> Truth:
    """The truth of a market in memory, as far as its liquidations go; all of them count as captured."""
    names = tables.ticker["symbol"].unique().sort().to_list()
    rows = tables.liquidations.select(_SEEN).with_columns(
        tables.truth.drop("symbol").rename({"cause_number": "cause"}), captured=pl.lit(True)
    )
    rows = _Roots().attach(rows.sort("event_time", "symbol", "number"), names)
    counts = _count_by_symbol(rows)
    ratios = _branching_ratios(counts["all"], counts["triggered"])
    manifest = {"world": world.name, "seed": seed, "symbols": names, "branching_ratio": ratios}
    return Truth(manifest, check_frame(rows.select(TRUTH_LIQUIDATIONS.names), TRUTH_LIQUIDATIONS))


def load_truth(folder: Path | str) -> Truth:
    """The truth in `folder`, which is `truth/` itself or the folder of captures that holds it.

    Raises `UserError` when there is none.
    """
    given = Path(folder)
    places = (given, given / TRUTH_FOLDER)
    found = next((place for place in places if _read_manifest(place).get("format") == FORMAT), None)
    if found is None:
        raise UserError(
            f"no truth in {given}; name the folder that `liqlab simulate` wrote into, or the {TRUTH_FOLDER}/ in it"
        )
    try:
        liquidations = pl.read_parquet(found / _LIQUIDATIONS_FILE)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"cannot read {found / _LIQUIDATIONS_FILE} ({error}); simulate again") from error
    return Truth(_read_manifest(found), check_frame(liquidations, TRUTH_LIQUIDATIONS))


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        read = json.loads((folder / _MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}
