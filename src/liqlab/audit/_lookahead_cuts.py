"""Where to cut: the moments at which code that looks ahead is most likely to show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from liqlab.audit._lookahead_compare import Cut, Tables, describe_time
from liqlab.core.errors import SourceError, UserError
from liqlab.core.time import MS_PER_DAY, MS_PER_MINUTE
from liqlab.panel import measure_ticker_interval_ms

Integers = npt.NDArray[np.int64]

_EDGE_MS = 5_000
#: The typical ticker interval is measured on this many rows of each symbol, see `measure_ticker_interval_ms`.
_TICKER_ROWS = 1_000
_ANYWHERE = "anywhere"


def choose_cuts(tables: Tables, n_cuts: int, seed: int = 0) -> tuple[Cut, ...]:
    """`n_cuts` moments, in order of time, from the tables of a full run (those of `compute_chain`).

    The kinds take turns, each spread over the span: inside a burst (a cascade is confirmed and has not had its last
    liquidation), while a row is under way (its event lies before a 5-second edge, its known time after it), 1 ms after
    the edge that begins a bar with liquidations, inside a gap of the recorder, on a whole minute, just after a change
    of regime, just after a refit, at midnight, anywhere. A kind that the tables do not have is left out; what `seed`
    draws is the same on every machine.

    No cut lies before the typical ticker interval of every symbol is settled: as-of tolerances depend on it, and it is
    measured on a symbol's first 1,000 rows. `SourceError` when nothing is left after that, `UserError` for no cuts.
    """
    if n_cuts < 1:
        raise UserError(f"the audit needs at least one cut, got {n_cuts}")
    start_ms, end_ms = _auditable_span(tables)
    kinds = {kind: _clip(windows, start_ms, end_ms) for kind, windows in _list_windows(tables, start_ms, end_ms)}
    kinds = {kind: windows for kind, windows in kinds.items() if len(windows)}
    generator = np.random.default_rng(seed)
    under_way = _lines_under_way(tables)
    cuts: dict[int, Cut] = {}
    for place, (kind, windows) in enumerate(kinds.items()):
        share = n_cuts // len(kinds) + (place < n_cuts % len(kinds))
        for drawn_ms in _draw(windows, share, start_ms, end_ms, generator):
            time_ms = _after_whole_line(drawn_ms, under_way)
            cuts.setdefault(time_ms, Cut(time_ms, kind))
    for _ in range(10 * n_cuts):
        if len(cuts) == n_cuts:
            break
        # Two kinds met at one moment.
        time_ms = _after_whole_line(int(generator.integers(start_ms, end_ms + 1)), under_way)
        cuts.setdefault(time_ms, Cut(time_ms, _ANYWHERE))
    return tuple(cuts[time_ms] for time_ms in sorted(cuts))


def _list_windows(tables: Tables, start_ms: int, end_ms: int) -> list[tuple[str, Integers]]:
    """Kind and closed intervals [first, last] in which a cut of this kind may lie, shape (n, 2), most telling first."""
    return [
        ("inside a burst", _bursts(tables)),
        ("a row under way", _rows_under_way(tables)),
        ("1 ms after an edge", _edges_before_activity(tables) + 1),
        ("inside a gap", _gaps(tables)),
        ("on a whole minute", _multiples(MS_PER_MINUTE, start_ms, end_ms)),
        ("just after a refit", _refits(tables) + 1),
        ("just after a change of regime", _regime_changes(tables) + 1),
        (_ANYWHERE, np.array([[start_ms, end_ms]])),
        ("1 ms after midnight", _multiples(MS_PER_DAY, start_ms, end_ms) + 1),
    ]


def _auditable_span(tables: Tables) -> tuple[int, int]:
    """First and last possible cut: everything settled by then, something still to come."""
    starts, ends = [], []
    for name in ("ticker", "liquidations"):
        for rows in tables[name].partition_by("symbol", "exchange"):
            times = _milliseconds(rows["time"])
            ends.append(int(times.max()))
            starts.append(int(times.min()) if name == "liquidations" else _settled_ms(rows))
    if not starts or max(starts) >= max(ends):
        settled = f" ({describe_time(max(starts))}; the data end at {describe_time(max(ends))})" if starts else ""
        raise SourceError(
            "the source is too short for a look-ahead audit, which starts once every symbol has come and its typical "
            f"ticker interval is settled{settled}; give a longer source or fewer --symbols"
        )
    return max(starts), max(ends) - 1


def _settled_ms(ticker: pl.DataFrame) -> int:
    """When the typical interval of this symbol's ticker was measured for good."""
    priced = pl.coalesce("mark_price", "last_price") > 0
    rows = ticker.filter(priced).rename({"time": "known_time"}).head(_TICKER_ROWS)
    if rows.height < _TICKER_ROWS:
        final = measure_ticker_interval_ms(rows)
        while rows.height > 2 and measure_ticker_interval_ms(rows[:-1]) == final:
            rows = rows[:-1]
    return int(_milliseconds(rows["known_time"]).max(initial=0))


def _bursts(tables: Tables) -> Integers:
    cascades = tables["cascades"]
    return _pairs(_milliseconds(cascades["confirmed"]), _milliseconds(cascades["last_known"]) - 1)


def _rows_under_way(tables: Tables) -> Integers:
    rows = tables["liquidations"]
    edges = _milliseconds(rows["event_time"]) // _EDGE_MS * _EDGE_MS + _EDGE_MS
    return _pairs(edges, _milliseconds(rows["time"]) - 1)


def _edges_before_activity(tables: Tables) -> Integers:
    edges = _milliseconds(tables["bars_5s"].filter(pl.col("liq_count") > 0)["time"]) - _EDGE_MS
    return _pairs(edges, edges)


def _gaps(tables: Tables) -> Integers:
    edges = _milliseconds(tables["bars_5s"].filter(~pl.col("covered"))["time"])
    return _pairs(edges, edges + _EDGE_MS - 1)


def _refits(tables: Tables) -> Integers:
    times = [_milliseconds(tables["regimes"]["fitted"].drop_nulls())]
    if "predictions" in tables:
        folds = tables["predictions"].group_by("split", "target", "horizon_s", "fold").agg(pl.col("time").min())
        times.append(_milliseconds(folds["time"]))
    refits = np.unique(np.concatenate(times))
    return _pairs(refits, refits)


def _regime_changes(tables: Tables) -> Integers:
    known = tables["regimes"].drop_nulls("regime").sort("symbol", "time")
    changed = known.filter((pl.col("regime") != pl.col("regime").shift()).over("symbol"))
    times = np.unique(_milliseconds(changed["time"]))
    return _pairs(times, times)


def _multiples(step_ms: int, start_ms: int, end_ms: int) -> Integers:
    times = np.arange(-(-start_ms // step_ms) * step_ms, end_ms + 1, step_ms, dtype=np.int64)
    return _pairs(times, times)


def _pairs(first: Integers, last: Integers) -> Integers:
    return np.stack([first, last], axis=1)[first <= last]


def _milliseconds(times: pl.Series) -> Integers:
    return times.to_physical().to_numpy()


def _clip(windows: Integers, start_ms: int, end_ms: int) -> Integers:
    clipped = np.stack([np.maximum(windows[:, 0], start_ms), np.minimum(windows[:, 1], end_ms)], axis=1)
    kept: Integers = clipped[clipped[:, 0] <= clipped[:, 1]]
    return kept[np.lexsort((kept[:, 1], kept[:, 0]))]


def _draw(windows: Integers, n: int, start_ms: int, end_ms: int, generator: np.random.Generator) -> list[int]:
    """One moment in each of `n` equal parts of the span, out of the windows there, or out of all if there is none."""
    bounds = [start_ms + (end_ms + 1 - start_ms) * part // n for part in range(n + 1)] if n else []
    drawn = []
    for low, high in pairwise(bounds):
        here = _clip(windows, low, high - 1)
        chosen = here if len(here) else windows
        first, last = chosen[generator.integers(len(chosen))]
        drawn.append(int(generator.integers(first, last + 1)))
    return drawn


def _lines_under_way(tables: Tables) -> Integers:
    """[first, last - 1] of known times of each line whose rows were not known at once: such a line cannot be cut."""
    rows = tables["liquidations"].group_by("source_file", "source_line")
    spans = rows.agg(first=pl.col("time").min(), last=pl.col("time").max()).sort("first", "last")
    return _pairs(_milliseconds(spans["first"]), _milliseconds(spans["last"]) - 1)


def _after_whole_line(time_ms: int, under_way: Integers) -> int:
    for first, last in under_way:
        if first <= time_ms <= last:
            time_ms = int(last) + 1
    return time_ms
