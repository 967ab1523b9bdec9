"""Are the fills of a ledger possible? Any table of trades, beside the prices at which they are said to be made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from liqlab.audit._lookahead_compare import describe_time
from liqlab.backtest import PricePath
from liqlab.core.errors import UserError, unknown_name
from liqlab.core.schema import LONG
from liqlab.stats import compute_wilson

#: Each rule with what breaks it, in words that end a sentence which begins "N trades".
FILL_RULES: dict[str, str] = {
    "deciding observation": "were filled in the observation that decided them",
    "fill observation": "were left in the observation that filled the entry",
    "better than any later price": "were filled at a price better than all that came later, until the exit",
    "price never observed": "were filled at a price better than their observation holds, or where there was none",
    "win rate": "won more often than wins and losses of that size allow where nothing can be foreseen",
}
#: Why it is wrong.
WHY_WRONG: dict[str, str] = {
    "deciding observation": "what it holds came before the decision",
    "fill observation": "its extremes may have come before the entry",
    "better than any later price": "such a price is from the past",
    "price never observed": "nobody could have traded there",
    "win rate": "such a result needs to know what comes",
}
DECIDING, FILLING, BETTER, UNOBSERVED, WIN_RATE = FILL_RULES

#: A win rate is impossible when the lower end of its interval is this far above what payoffs allow. Of 3,570 ledgers of
#: the engine on random walks none is (highest +0.096); the published fade lies +0.795 to +0.893 above. Measured by
#: `benchmarks/published_fade.py --false-alarms 200`.
WIN_RATE_MARGIN = 0.1
#: Fewer trades say nothing about a win rate.
LEAST_TRADES = 30
#: Prices that differ by less, as a part of the price, are equal.
_ROUNDING = 1e-9
_NEEDED = ("symbol", "side", "decision_time", "entry_time", "exit_time", "entry_price", "exit_price")


@dataclass(frozen=True)
class FillFinding:
    """A rule that was broken: its name in `FILL_RULES`, how many of `n_checked` trades break it, the first of them."""

    rule: str
    n_trades: int
    n_checked: int
    example: str


@dataclass(frozen=True)
class WinRate:
    """How often trades won before costs, and how often wins and losses of their size let them on a martingale.

    `low` is the lower end of the 95 % Wilson interval, `mean_win` and `mean_loss` (> 0) are fractions.
    """

    n_trades: int
    win_rate: float
    low: float
    allowed: float
    mean_win: float
    mean_loss: float

    @property
    def is_impossible(self) -> bool:
        """Whether even the lower end is out of reach."""
        return self.n_trades >= LEAST_TRADES and self.low > self.allowed + WIN_RATE_MARGIN


@dataclass(frozen=True)
class FillCheck:
    """What the fills of a ledger look like; `win_rate` is None without trades."""

    n_trades: int
    findings: tuple[FillFinding, ...]
    win_rate: WinRate | None

    @property
    def passed(self) -> bool:
        """Whether no rule is broken."""
        return not self.findings


def check_fills(
    trades: pl.DataFrame,
    paths: Mapping[str, PricePath],
    fills: pl.DataFrame | None = None,
    *,
    target_frac: float | None = None,
    stop_frac: float | None = None,
) -> FillCheck:
    """Every rule of `FILL_RULES` over any ledger.

    `trades` has at least symbol, side (`long`, `short`), decision_time, entry_time, exit_time, entry_price and
    exit_price; gross_return too, else it follows from the prices. `paths` are the observations that fills are stamped
    with: for a backtest on bars, its bars, known at their right edge. `fills` (trade, time, price, kind; `trade` in
    both tables) tells partial exits apart; without it each trade has one entry and one exit.

    A price counts as possible when the observation of its time holds it or one that is better for the trader: what is
    paid on top, and a limit filled below itself, are no advantage. `win rate` compares with `find_win_rate`.
    Raises `UserError` for missing columns and symbols without prices.
    """
    missing = [name for name in _NEEDED if name not in trades.columns]
    if missing:
        raise UserError(f"the trades have no column {missing[0]}; needed: {', '.join(_NEEDED)}")
    broken: dict[str, list[str]] = {rule: [] for rule in FILL_RULES}
    worst = 0.0
    for trade in _list_trades(trades, fills):
        if trade.symbol not in paths:
            raise unknown_name("symbol", trade.symbol, list(paths))
        path = paths[trade.symbol]
        for rule, example in _check_trade(trade, path).items():
            broken[rule].append(example)
        worst = max(worst, _adverse_frac(trade, path))
    win_rate = find_win_rate(_gross_returns(trades), worst, target_frac, stop_frac)
    if win_rate is not None and win_rate.is_impossible:
        broken[WIN_RATE] = [_describe_win_rate(win_rate)] * win_rate.n_trades
    found = tuple(
        FillFinding(rule, len(examples), trades.height, examples[0]) for rule, examples in broken.items() if examples
    )
    return FillCheck(trades.height, found, win_rate)


def find_win_rate(
    gross_returns: np.ndarray[Any, np.dtype[np.float64]],
    worst_frac: float = 0.0,
    target_frac: float | None = None,
    stop_frac: float | None = None,
) -> WinRate | None:
    """The win rate of returns before costs (n,), and the one that a martingale allows; None without a return.

    With mean win W and mean loss L, p W = (1 - p) L in expectation, whatever the exits: p = L / (W + L). Rare losses
    are seen rarely, so the mean loss counts `worst_frac`, the deepest loss that any trade went through, as one more.
    With a target and a stop at fixed distances t and s, p is at most about s / (s + t) (optional stopping: s and t
    are the odds of a fair game); the larger of both is allowed.
    """
    returns = gross_returns[np.isfinite(gross_returns)]
    if not returns.size:
        return None
    wins, losses = returns[returns > 0.0], -returns[returns <= 0.0]
    mean_win = float(wins.mean()) if wins.size else 0.0
    mean_loss = float(np.append(losses, worst_frac).mean())
    allowed = mean_loss / (mean_win + mean_loss) if mean_win + mean_loss > 0.0 else 1.0
    if target_frac and stop_frac:
        allowed = max(allowed, stop_frac / (stop_frac + target_frac))
    share, low, _ = compute_wilson(wins.size, returns.size)
    return WinRate(returns.size, share or 0.0, low or 0.0, allowed, mean_win, mean_loss)


@dataclass(frozen=True)
class _Trade:
    """One trade in milliseconds and USD; `exits` are (time, price)."""

    symbol: str
    side: int
    decision_ms: int
    entry_ms: int
    entry_price: float
    exits: tuple[tuple[int, float], ...]

    @property
    def exit_ms(self) -> int:
        return max(time_ms for time_ms, _ in self.exits)

    def describe(self) -> str:
        side = "long" if self.side > 0 else "short"
        return f"{self.symbol} {side} decided at {describe_time(self.decision_ms)}"


def _list_trades(trades: pl.DataFrame, fills: pl.DataFrame | None) -> Iterator[_Trade]:
    times = ("decision_time", "entry_time", "exit_time")
    exits = None if fills is None else _list_exits(fills)
    for row in trades.with_columns(pl.col(times).to_physical()).iter_rows(named=True):
        one = ((row["exit_time"], row["exit_price"]),)
        legs = one if exits is None else exits.get(row["trade"], one)
        side = 1 if row["side"] == LONG else -1
        yield _Trade(row["symbol"], side, row["decision_time"], row["entry_time"], row["entry_price"], legs)


def _list_exits(fills: pl.DataFrame) -> dict[int, tuple[tuple[int, float], ...]]:
    rows = fills.filter(~pl.col("kind").is_in(["entry", "funding"])).with_columns(pl.col("time").to_physical())
    exits: dict[int, tuple[tuple[int, float], ...]] = {}
    for trade, time_ms, price in rows.select("trade", "time", "price").iter_rows():
        exits[trade] = (*exits.get(trade, ()), (time_ms, price))
    return exits


def _check_trade(trade: _Trade, path: PricePath) -> dict[str, str]:
    """An example for each rule that this trade breaks."""
    found: dict[str, str] = {}
    entry_row, is_entry_known = _find(path, trade.entry_ms)
    after_decision = int(np.searchsorted(path.known_ms, trade.decision_ms, side="right"))
    bought = f"{trade.describe()}, entered at {trade.entry_price:,.6g} at {describe_time(trade.entry_ms)}"
    if trade.entry_ms <= trade.decision_ms or (is_entry_known and _looks_back(trade, path, entry_row)):
        found[DECIDING] = bought
    if not is_entry_known:
        found[UNOBSERVED] = f"{bought}, when nothing was observed"
    elif _is_better(trade.side, trade.entry_price, path, entry_row, entry_row):
        found[UNOBSERVED] = f"{bought}, where {_describe_range(path, entry_row, entry_row)}"
    last_row = min(_find(path, trade.exit_ms)[0], len(path.price) - 1)
    if after_decision <= last_row and _is_better(trade.side, trade.entry_price, path, after_decision, last_row):
        found[BETTER] = f"{bought}; until the exit {_describe_range(path, after_decision, last_row)}"
    for time_ms, price in trade.exits:
        sold = f"{bought}, left at {price:,.6g} at {describe_time(time_ms)}"
        row, is_known = _find(path, time_ms)
        if time_ms <= trade.entry_ms and not _is_end_of_data(trade, path, time_ms, price):
            found.setdefault(FILLING, sold)
        if not is_known:
            found.setdefault(UNOBSERVED, f"{sold}, when nothing was observed")
        elif _is_better(-trade.side, price, path, row, row):
            found.setdefault(UNOBSERVED, f"{sold}, where {_describe_range(path, row, row)}")
        if is_known and entry_row < row and _is_better(-trade.side, price, path, entry_row + 1, row):
            found.setdefault(BETTER, f"{sold}; from the entry on {_describe_range(path, entry_row + 1, row)}")
    return found


def _find(path: PricePath, time_ms: int) -> tuple[int, bool]:
    """The first observation at or after a time, and whether it is of that time."""
    row = int(np.searchsorted(path.known_ms, time_ms, side="left"))
    return row, row < len(path.known_ms) and int(path.known_ms[row]) == time_ms


def _is_end_of_data(trade: _Trade, path: PricePath, time_ms: int, price: float) -> bool:
    """Whether a position opened in the last observation is closed there, for want of another, at its price or worse."""
    if time_ms != trade.entry_ms or not len(path.known_ms) or time_ms != path.known_ms[-1]:
        return False
    return bool(trade.side * (price - path.price[-1]) <= _ROUNDING * price)


def _looks_back(trade: _Trade, path: PricePath, row: int) -> bool:
    """Whether the entry used an extreme of a span that had begun before the decision."""
    began_before = row > 0 and path.known_ms[row - 1] < trade.decision_ms and path.low[row] < path.high[row]
    return bool(began_before and trade.side * (trade.entry_price - path.price[row]) < -_ROUNDING * trade.entry_price)


def _is_better(side: int, price: float, path: PricePath, first: int, last: int) -> bool:
    """Whether to buy (`side` +1) or sell (-1) at `price` was better than at any price of these observations."""
    if side > 0:
        return price < float(path.low[first : last + 1].min()) * (1.0 - _ROUNDING)
    return price > float(path.high[first : last + 1].max()) * (1.0 + _ROUNDING)


def _describe_range(path: PricePath, first: int, last: int) -> str:
    low, high = path.low[first : last + 1].min(), path.high[first : last + 1].max()
    return f"prices were {low:,.6g} to {high:,.6g}"


def _adverse_frac(trade: _Trade, path: PricePath) -> float:
    """The deepest loss that the trade went through after the observation of its entry, as a fraction, at least 0."""
    first = int(np.searchsorted(path.known_ms, trade.entry_ms, side="right"))
    last = int(np.searchsorted(path.known_ms, trade.exit_ms, side="right"))
    if first >= last:
        return 0.0
    worst = float(path.low[first:last].min() if trade.side > 0 else path.high[first:last].max())
    return max(0.0, trade.side * (trade.entry_price - worst) / trade.entry_price)


def _gross_returns(trades: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    if "gross_return" in trades.columns:
        return trades["gross_return"].fill_null(np.nan).to_numpy()
    side = pl.when(pl.col("side") == LONG).then(1.0).otherwise(-1.0)
    moves = trades.select(side * (pl.col("exit_price") - pl.col("entry_price")) / pl.col("entry_price"))
    return moves.to_series().to_numpy()


def _describe_win_rate(found: WinRate) -> str:
    return (
        f"{100 * found.win_rate:.1f} % of {found.n_trades:,} trades won (at least {100 * found.low:.1f} %); a mean win "
        f"of {1e4 * found.mean_win:.1f} bps and a mean loss of {1e4 * found.mean_loss:.1f} bps allow "
        f"{100 * found.allowed:.1f} %"
    )
