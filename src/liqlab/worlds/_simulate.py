"""From a seed to capture files: the market day by day, each symbol's day written by itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from liqlab.core.errors import EnvironmentFailure, UserError, unknown_name
from liqlab.core.parallel import count_workers, ordered_map
from liqlab.core.progress import SILENT, Progress, stage
from liqlab.core.time import EARLIEST_MS, LATEST_MS, MS_PER_DAY, MS_PER_HOUR, format_time, parse_time
from liqlab.worlds import _dirt
from liqlab.worlds._capture import (
    CaptureLines,
    draw_frame_times,
    ratio_file,
    render_liquidations,
    render_long_short_ratio,
    render_rest_ticker,
    render_websocket_ticker,
    write_hours,
    write_lines,
)
from liqlab.worlds._delivery import Delivered, deliver_days, draw_rest_delays
from liqlab.worlds._dials import World
from liqlab.worlds._dirt import DirtCounts, Interruptions
from liqlab.worlds._market import REST_STEPS, SymbolDay, iterate_market
from liqlab.worlds._named import DEFAULT_SYMBOLS, check_symbols, load_world
from liqlab.worlds._noise import Floats, Integers
from liqlab.worlds._random import named_generator
from liqlab.worlds._ticker import TickerArrays, compute_ticker, long_share
from liqlab.worlds._truth import TruthWriter

TickerForm = Literal["rest", "websocket"]

#: Midnight of the first day of the plan's data.
DEFAULT_START_MS = parse_time("2026-02-09")


_CLEAN = DirtCounts()


@dataclass(frozen=True)
class SimulationSummary:
    """What was written. Rows are counted once, however often they were delivered; `dirt` counts the rest."""

    output: Path
    symbols: tuple[str, ...]
    start_ms: int
    end_ms: int
    files: int
    bytes_written: int
    liquidation_messages: int
    liquidations: int
    ticker_rows: int
    ratio_rows: int
    dirt: DirtCounts


@dataclass(frozen=True)
class _Request:
    """The checked arguments of one simulation."""

    output: Path
    world: World
    symbols: tuple[str, ...]
    seed: int
    start_ms: int
    end_ms: int
    ticker: TickerForm
    dirt: bool

    @property
    def days(self) -> range:
        """The day numbers that the span touches."""
        return range(self.start_ms // MS_PER_DAY, (self.end_ms - 1) // MS_PER_DAY + 1)

    def part_of(self, day: int) -> tuple[int, int]:
        """Start and end of the simulated part of `day`."""
        return max(self.start_ms, day * MS_PER_DAY), min(self.end_ms, (day + 1) * MS_PER_DAY)


@dataclass(frozen=True)
class _DayTask:
    request: _Request
    symbol_day: SymbolDay
    delivered: Delivered
    interruptions: Interruptions

    @property
    def symbol(self) -> str:
        return self.symbol_day.symbol

    @property
    def day(self) -> int:
        return self.symbol_day.nodes.day

    @property
    def folder(self) -> Path:
        return self.request.output / self.symbol

    def generator(self, purpose: str) -> np.random.Generator:
        return named_generator(self.request.seed, self.symbol, self.day, purpose)


@dataclass(frozen=True)
class _Written:
    files: int = 0
    bytes_written: int = 0
    messages: int = 0
    liquidations: int = 0
    ticker_rows: int = 0
    ratio_rows: int = 0
    dirt: DirtCounts = _CLEAN

    def __add__(self, other: _Written) -> _Written:
        return _Written(
            self.files + other.files,
            self.bytes_written + other.bytes_written,
            self.messages + other.messages,
            self.liquidations + other.liquidations,
            self.ticker_rows + other.ticker_rows,
            self.ratio_rows + other.ratio_rows,
            self.dirt + other.dirt,
        )


def simulate(
    output: Path | str,
    *,
    world: str | Path | World = "plan",
    days: float = 9.0,
    seed: int = 7,
    symbols: Sequence[str] = DEFAULT_SYMBOLS,
    start_ms: int = DEFAULT_START_MS,
    ticker: TickerForm = "rest",
    dirt: bool = False,
    workers: int | None = None,
    progress: Progress = SILENT,
) -> SimulationSummary:
    """Write what a recorder would have captured of a simulated market into the new or empty folder `output`.

    `world` is a named world, a TOML file or a `World`. `ticker` is "rest" (a snapshot every 5 s) or "websocket" (up to
    ten frames a second, deltas after a snapshot at midnight and after each reconnect). `dirt` adds gaps, repeated
    messages, corrupt lines and late pushes, all counted in the summary.

    The files depend on the other arguments alone, byte for byte, not on `workers` (default one per core) nor on the
    order of the symbols. Raises `UserError` for an argument out of range or a folder that is not empty,
    `EnvironmentFailure` when the disk refuses.
    """
    _check_choices(seed, ticker)
    end_ms = _check_span(start_ms, days)
    output = Path(output)
    dials = world if isinstance(world, World) else load_world(world)
    request = _Request(output, dials, check_symbols(symbols), seed, start_ms, end_ms, ticker, dirt)
    _make_empty(output)
    n_tasks = len(request.days) * len(request.symbols)
    shares: dict[str, list[Floats]] = {symbol: [] for symbol in request.symbols}
    total = _Written(dirt=DirtCounts(gaps=sum(len(_interruptions(request, day).gaps_ms) for day in request.days)))
    truth = TruthWriter(output, sorted(request.symbols), start_ms, end_ms)
    with truth, stage(progress, "simulate", n_tasks + len(request.symbols)):
        tasks = _list_tasks(request, shares, truth)
        for written in ordered_map(_write_day, tasks, min(count_workers(workers), n_tasks)):
            total += written
            progress.advance()
        for symbol, by_day in shares.items():
            total += _write_ratio(request, symbol, np.concatenate(by_day))
            progress.advance()
    truth.finish(dials, seed, ticker, dirt)
    return _summarise(request, total)


def _summarise(request: _Request, total: _Written) -> SimulationSummary:
    return SimulationSummary(
        output=request.output,
        symbols=request.symbols,
        start_ms=request.start_ms,
        end_ms=request.end_ms,
        files=total.files,
        bytes_written=total.bytes_written,
        liquidation_messages=total.messages,
        liquidations=total.liquidations,
        ticker_rows=total.ticker_rows,
        ratio_rows=total.ratio_rows,
        dirt=total.dirt,
    )


def _check_span(start_ms: int, days: float) -> int:
    """The end of the span in milliseconds."""
    if not (math.isfinite(days) and days > 0):
        raise UserError(f"the number of days must be positive, got {days!r}")
    end = start_ms + days * MS_PER_DAY
    if not (start_ms >= EARLIEST_MS and end <= LATEST_MS):
        allowed = f"{format_time(EARLIEST_MS)} and {format_time(LATEST_MS)}"
        raise UserError(f"the simulated time must lie between {allowed}; got {days:g} days from {start_ms} ms")
    return max(round(end), start_ms + 1)


def _check_choices(seed: int, ticker: str) -> None:
    if seed < 0:
        raise UserError(f"the seed must be 0 or more, got {seed}")
    if ticker not in ("rest", "websocket"):
        raise unknown_name("ticker", ticker, ["rest", "websocket"])


def _make_empty(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        held = next(output.iterdir(), None)
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{output} cannot be a folder, a file is in the way; name a new or empty folder") from error
    except OSError as error:
        raise EnvironmentFailure(f"cannot make the folder {output}: {error.strerror}; choose another place") from error
    if held is not None:
        raise UserError(f"the folder {output} is not empty, it holds {held.name}; name a new or empty folder")


def _list_tasks(request: _Request, shares: dict[str, list[Floats]], truth: TruthWriter) -> Iterator[_DayTask]:
    """Each symbol's day, one day after the other; made when asked for, so that memory does not grow with the span.

    The share of long accounts goes into `shares` on the way, and what happened into `truth`.
    """
    every = REST_STEPS if request.ticker == "rest" else 1
    span = (request.start_ms, request.end_ms)
    market = iterate_market(request.world, request.symbols, request.seed, *span, every=every)
    for day, delivered in deliver_days(request.world, request.seed, market):
        interruptions = _interruptions(request, day.day)
        truth.add_day(day, delivered, [interruptions.is_deaf(orders.known_ms) for orders in delivered])
        for symbol_day, orders in zip(day.symbols, delivered, strict=True):
            shares[symbol_day.symbol].append(long_share(symbol_day))
            yield _DayTask(request, symbol_day, orders, interruptions)


def _interruptions(request: _Request, day: int) -> Interruptions:
    """The same for all symbols: there is one recorder."""
    if not request.dirt:
        return Interruptions()
    return _dirt.draw_interruptions(
        named_generator(request.seed, "recorder", day), request.world.recorder, *request.part_of(day)
    )


def _write_day(task: _DayTask) -> _Written:
    return _write_liquidations(task) + _write_ticker(task)


def _write_liquidations(task: _DayTask) -> _Written:
    start_ms, end_ms = task.request.part_of(task.day)
    known_ms = task.delivered.known_ms
    delivered = task.delivered.take((known_ms >= start_ms) & (known_ms < end_ms))
    lines = render_liquidations(task.symbol, task.symbol_day.dials, delivered)
    kept, lost = _dirt.lose_in_gaps(lines, task.interruptions)
    soiled, dirt = kept, _CLEAN
    if task.request.dirt:
        soiled, dirt = _soil_liquidations(task, kept)
    sizes = write_hours(task.folder, "liquidation", "", soiled)
    return _Written(
        len(sizes),
        sum(sizes),
        messages=len(kept.text),
        liquidations=int(kept.rows.sum()),
        dirt=dirt + DirtCounts(lost_liquidations=lost),
    )


def _soil_liquidations(task: _DayTask, lines: CaptureLines) -> tuple[CaptureLines, DirtCounts]:
    generator = task.generator("liquidation dirt")
    lines, late = _dirt.delay_pushes(lines, generator, task.request.world.recorder.late_pushes_per_day)
    lines, repeated, rows = _dirt.repeat_after_reconnects(lines, task.interruptions.reconnects_ms)
    lines, corrupt, aside = _dirt.add_corrupt_copies(lines, generator)
    return lines, DirtCounts(
        late_pushes=late,
        repeated_messages=repeated,
        repeated_liquidations=rows,
        corrupt_lines=corrupt,
        quarantined_rows=aside,
    )


def _write_ticker(task: _DayTask) -> _Written:
    total = _Written()
    generator = task.generator("ticker dirt")
    for lines in _render_ticker_by_hour(task):
        kept, lost = _dirt.lose_in_gaps(lines, task.interruptions)
        soiled, dirt = kept, _CLEAN
        if task.request.dirt:
            soiled, dirt = _soil_ticker(task, kept, generator)
        sizes = write_hours(task.folder, "ticker", "hr", soiled)
        dirt += DirtCounts(lost_ticker_rows=lost)
        total += _Written(len(sizes), sum(sizes), ticker_rows=len(kept.text), dirt=dirt)
    return total


def _soil_ticker(
    task: _DayTask, lines: CaptureLines, generator: np.random.Generator
) -> tuple[CaptureLines, DirtCounts]:
    repeated = 0
    # A REST answer names no time of its own: the same one again is another observation, not a repeated message.
    if task.request.ticker == "websocket" and lines.text:
        hour = int(lines.known_ms[0]) // MS_PER_HOUR
        reconnects = [moment for moment in task.interruptions.reconnects_ms if moment // MS_PER_HOUR == hour]
        lines, repeated, _rows = _dirt.repeat_after_reconnects(lines, reconnects)
    lines, corrupt, aside = _dirt.add_corrupt_copies(lines, generator, only_unreadable=True)
    return lines, DirtCounts(
        repeated_messages=repeated, repeated_ticker_rows=repeated, corrupt_lines=corrupt, quarantined_rows=aside
    )


def _render_ticker_by_hour(task: _DayTask) -> Iterator[CaptureLines]:
    """An hour of lines at a time: a day of frames would take a gigabyte."""
    whole = compute_ticker(task.request.world, task.request.seed, task.symbol_day)
    inside = slice(*np.searchsorted(whole.time_ms, task.request.part_of(task.day)).tolist())
    if task.request.ticker == "rest":
        delays = draw_rest_delays(task.request.seed, task.symbol, task.day, len(whole.time_ms))
        yield from _render_rest(task, whole.take(inside), (whole.time_ms + delays)[inside])
    else:
        yield from _render_frames(task, whole.take(inside))


def _render_rest(task: _DayTask, states: TickerArrays, known_ms: Integers) -> Iterator[CaptureLines]:
    for first, last in _hour_bounds(states):
        rows = slice(first, last)
        yield render_rest_ticker(task.symbol, task.symbol_day.dials, states.take(rows), known_ms[rows])


def _render_frames(task: _DayTask, states: TickerArrays) -> Iterator[CaptureLines]:
    known_ms = draw_frame_times(states, task.generator("ticker delays"))
    is_snapshot = np.zeros(len(known_ms) + 1, dtype=np.bool_)
    is_snapshot[[0, *np.searchsorted(known_ms, task.interruptions.reconnects_ms)]] = True
    for first, last in _hour_bounds(states):
        hour, rows = states.take(slice(first, last)), slice(first, last)
        before = states.take(np.maximum(np.arange(first, last) - 1, 0))
        dials = task.symbol_day.dials
        yield render_websocket_ticker(task.symbol, dials, hour, before, known_ms[rows], is_snapshot[rows])


def _hour_bounds(states: TickerArrays) -> Iterator[tuple[int, int]]:
    changes = np.flatnonzero(np.diff(states.time_ms // MS_PER_HOUR)) + 1
    return ((first, last) for first, last in pairwise([0, *changes.tolist(), len(states.time_ms)]) if last > first)


def _write_ratio(request: _Request, symbol: str, share: Floats) -> _Written:
    """The symbol's long/short ratio file: one row per full hour, no file when there is none.

    `share` holds that of each hour from the first midnight on.
    """
    hours = np.arange(-(-request.start_ms // MS_PER_HOUR), -(-request.end_ms // MS_PER_HOUR), dtype=np.int64)
    if not len(hours):
        return _Written()
    time_ms = hours * MS_PER_HOUR
    lines = render_long_short_ratio(symbol, time_ms, share[hours - request.days[0] * (MS_PER_DAY // MS_PER_HOUR)])
    size = write_lines(request.output / ratio_file(symbol, time_ms), lines.text)
    return _Written(1, size, ratio_rows=len(hours))
