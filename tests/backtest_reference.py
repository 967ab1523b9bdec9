"""The rules of the backtest a second time: plain Python, moment by moment, nothing searched ahead.

Everything that happens is put in order of time: payments of funding, then observations of prices, then decisions. Each
symbol has at most one pending order or one position, and each observation is shown to it when it comes.
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from liqlab.backtest._execution import ExecutionConfig
from liqlab.backtest._orders import Orders
from liqlab.backtest._prices import PricePath


@dataclass
class Trade:
    """A position, open or closed; results as fractions of the notional."""

    order: int
    symbol: str
    side: float
    entry_ms: int
    entry: float
    notional_usd: float
    best: float
    gross: float = 0.0
    fees: float = 0.0
    slippage: float = 0.0
    funding: float = 0.0
    overshoot: float = 0.0
    optimistic: float | None = None
    unknown_fundings: int = 0
    held: float = 1.0
    target_taken: bool = False
    entry_paid: float = 0.0
    exit_paid: float = 0.0
    exit_ms: int = 0
    reason: str = ""

    @property
    def net(self) -> float:
        """Gross less costs."""
        return self.gross - self.fees - self.slippage - self.funding


@dataclass
class Pending:
    """An order at, or on its way to, the exchange."""

    order: int
    active_ms: int
    late_ms: int
    expiry_ms: int
    cancel_ms: int
    is_limit: bool
    armed: bool = False


@dataclass
class Desk:
    """What one symbol is doing."""

    pending: Pending | None = None
    position: Trade | None = None
    last_exit_ms: int | None = None
    notional_usd: float = 0.0


@dataclass
class Reference:
    """What came out: closed trades in order of decision, orders without one by reason, changes of cash by time."""

    trades: list[Trade] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    cash: list[tuple[int, float]] = field(default_factory=list)


def run_reference(paths: Mapping[str, PricePath], orders: Orders, config: ExecutionConfig) -> Reference:
    """The result of the orders, by the rules and nothing else."""
    return _Run(paths, orders, config).run()


class _Run:
    def __init__(self, paths: Mapping[str, PricePath], orders: Orders, config: ExecutionConfig) -> None:
        self.paths, self.orders, self.config = paths, orders, config
        self.delay_ms = round(config.latency.delay_s * 1_000)
        self.desks = {symbol: Desk() for symbol in orders.symbols}
        self.result = Reference()

    def run(self) -> Reference:
        """Let time pass."""
        events: list[tuple[int, int, Any, int]] = []
        for symbol, path in self.paths.items():
            events += [(int(t), 0, symbol, i) for i, t in enumerate(path.funding_ms)]
            events += [(int(t), 1, symbol, i) for i, t in enumerate(path.known_ms)]
        events += [(int(t), 2, "", i) for i, t in enumerate(self.orders.decision_ms)]
        handle = (self.pay_funding, self.observe, self.decide)
        for now, kind, symbol, index in sorted(events, key=lambda event: (event[0], event[1], event[3])):
            handle[kind](now, symbol, index)
        for symbol, desk in self.desks.items():
            if desk.pending is not None:
                self.lapse(symbol, desk)
        self.result.trades.sort(key=lambda trade: trade.order)
        return self.result

    def decide(self, now: int, _: str, i: int) -> None:
        """Let an order in, or count why not."""
        orders, limits = self.orders, self.config.limits
        symbol = orders.symbols[orders.codes[i]]
        path = self.paths.get(symbol)
        for name, desk in self.desks.items():
            if desk.pending is not None and now >= self.pending_until(desk.pending):
                self.lapse(name, desk)
        desk = self.desks[symbol]
        notional = limits.notional_usd * float(orders.weight[i])
        busy = [other for other in self.desks.values() if other.pending is not None or other.position is not None]
        reason = ""
        if path is None or len(path.known_ms) == 0:
            reason = "no prices of the symbol"
        elif notional == 0.0:
            reason = "no size"
        elif desk.pending is not None or desk.position is not None:
            reason = "symbol occupied"
        elif desk.last_exit_ms is not None and now < desk.last_exit_ms + round(limits.cooldown_s * 1_000):
            reason = "cooldown"
        elif len(busy) >= limits.max_positions:
            reason = "position limit"
        elif notional + sum(other.notional_usd for other in busy) > limits.max_gross_usd:
            reason = "gross limit"
        if reason:
            self.result.skipped[reason] += 1
            return
        assert path is not None
        active = now + self.delay_ms
        desk.notional_usd = notional
        desk.pending = Pending(
            i,
            active,
            active + path.tolerance_ms,
            active + int(orders.limit_life_ms[i]),
            int(orders.exit_signal_ms[i]) + self.delay_ms,
            not math.isnan(orders.limit_price[i]),
        )

    def pending_until(self, pending: Pending) -> int:
        """When a pending order is given up, if nothing happens before."""
        return min(pending.cancel_ms, self.given_up(pending))

    def given_up(self, pending: Pending) -> int:
        """When nobody waits any longer: for a price, or for the limit, whose life begins with the order's."""
        if pending.armed:
            return pending.expiry_ms
        return min(pending.late_ms, pending.expiry_ms) if pending.is_limit else pending.late_ms

    def lapse(self, symbol: str, desk: Desk, reason: str = "") -> None:
        """Give a pending order up."""
        pending = desk.pending
        assert pending is not None
        if not reason:
            ends = self.given_up(pending)
            if pending.armed and self.pending_until(pending) > int(self.paths[symbol].known_ms[-1]):
                reason = "end of data before the fill"
            elif pending.cancel_ms <= ends:
                reason = "exit signal before the fill"
            else:
                reason = "limit not reached" if ends < pending.late_ms or pending.armed else "no price"
        self.result.skipped[reason] += 1
        desk.pending = None

    def observe(self, now: int, symbol: str, row: int) -> None:
        """Show one observation to what is pending or open."""
        desk = self.desks.get(symbol)
        if desk is None:
            return
        path = self.paths[symbol]
        after_gap = row > 0 and now - int(path.known_ms[row - 1]) > path.tolerance_ms
        if desk.position is not None:
            self.try_exits(now, symbol, row, after_gap)
        elif desk.pending is not None:
            self.try_entry(now, symbol, row, after_gap)
        if desk.position is not None and row == len(path.known_ms) - 1:
            self.close(desk, now, row, float(path.price[row]), "end of data")

    def try_entry(self, now: int, symbol: str, row: int, after_gap: bool) -> None:
        """Does this observation fill the pending order?"""
        desk, path, orders = self.desks[symbol], self.paths[symbol], self.orders
        pending = desk.pending
        assert pending is not None
        i = pending.order
        if pending.cancel_ms <= now or now > self.given_up(pending):
            self.lapse(symbol, desk)
            return
        if not pending.armed:
            if now < pending.active_ms or now <= orders.decision_ms[i]:
                return
            if pending.is_limit:
                pending.armed = True
            else:
                self.open(desk, now, row, float(path.price[row]))
            return
        if after_gap:
            self.lapse(symbol, desk, "gap before the fill")
            return
        limit = float(orders.limit_price[i])
        slack = limit * self.config.fills.through_frac
        filled = path.low[row] < limit - slack if orders.side[i] > 0 else path.high[row] > limit + slack
        if filled:
            self.open(desk, now, row, limit)

    def open(self, desk: Desk, now: int, row: int, price: float) -> None:
        """The pending order becomes a position."""
        pending = desk.pending
        assert pending is not None
        i, config = pending.order, self.config
        symbol = self.orders.symbols[self.orders.codes[i]]
        side = float(self.orders.side[i])
        trade = Trade(i, symbol, side, now, price, desk.notional_usd, best=price)
        if pending.is_limit:
            trade.entry_paid = price
            trade.fees = config.fees.maker_bps / 1e4
            trade.overshoot = side * (price - float(self.paths[symbol].price[row])) / price
        else:
            cost = self.half_spread(symbol, row) + self.impact(desk.notional_usd)
            trade.entry_paid = price * (1 + side * cost)
            trade.slippage = cost
            trade.fees = config.fees.taker_bps / 1e4 * trade.entry_paid / price
        quantity = trade.notional_usd / price
        paid = quantity * trade.entry_paid
        self.result.cash.append((now, -side * paid - trade.fees * trade.notional_usd))
        desk.position, desk.pending = trade, None

    def try_exits(self, now: int, symbol: str, row: int, after_gap: bool) -> None:
        """Does this observation close the position, or part of it?"""
        desk, path, orders = self.desks[symbol], self.paths[symbol], self.orders
        trade = desk.position
        assert trade is not None
        i, long = trade.order, trade.side > 0
        price, low, high = float(path.price[row]), float(path.low[row]), float(path.high[row])
        if after_gap:
            self.close(desk, now, row, price, "gap")
            return
        timeout_ms = trade.entry_ms + int(orders.timeout_ms[i])
        signal_ms = int(orders.exit_signal_ms[i]) + max(self.delay_ms, 1)
        due = now >= min(timeout_ms, signal_ms)
        best = price if due else (high if long else low)
        target = trade.entry * (1 + trade.side * float(orders.target_frac[i]))
        slack = target * self.config.fills.through_frac
        if math.isnan(target) or trade.target_taken:
            target_hit = False
        else:
            target_hit = best > target + slack if long else best < target - slack
        hit = self.find_stop(trade, low, high)
        share = float(orders.target_share[i])
        if hit:
            worst = low if long else high
            if target_hit:
                gain = trade.side * (target - trade.entry) / trade.entry
                loss = trade.side * (worst - trade.entry) / trade.entry
                trade.optimistic = share * gain + (1 - share) * loss
            self.close(desk, now, row, worst, hit)
            return
        if target_hit:
            self.take_target(desk, now, row, target, share)
            if desk.position is None:
                return
        if due:
            signal = "signal stop" if orders.exit_signal[i] else "signal"
            self.close(desk, now, row, price, "timeout" if timeout_ms <= signal_ms else signal)
            return
        trade.best = max(trade.best, high) if long else min(trade.best, low)

    def find_stop(self, trade: Trade, low: float, high: float) -> str:
        """Which stop is reached; empty for none."""
        i = trade.order
        stop, absolute, trail = (
            float(column[i]) for column in (self.orders.stop_frac, self.orders.stop_price, self.orders.trail_frac)
        )
        if trade.side > 0:
            fixed = max((x for x in (trade.entry * (1 - stop), absolute) if not math.isnan(x)), default=-math.inf)
            trailing = -math.inf if math.isnan(trail) else trade.best * (1 - trail)
            if low > max(fixed, trailing):
                return ""
            return "stop" if fixed >= trailing else "trailing stop"
        fixed = min((x for x in (trade.entry * (1 + stop), absolute) if not math.isnan(x)), default=math.inf)
        trailing = math.inf if math.isnan(trail) else trade.best * (1 + trail)
        if high < min(fixed, trailing):
            return ""
        return "stop" if fixed <= trailing else "trailing stop"

    def take_target(self, desk: Desk, now: int, row: int, target: float, share: float) -> None:
        """The resting target fills: its share of the position is closed."""
        trade = desk.position
        assert trade is not None
        part = 1.0 if share >= 1 else share
        fee = part * self.config.fees.maker_bps / 1e4 * target / trade.entry
        price = float(self.paths[trade.symbol].price[row])
        trade.target_taken = True
        trade.gross += part * trade.side * (target - trade.entry) / trade.entry
        trade.overshoot += part * trade.side * (price - target) / trade.entry
        trade.fees += fee
        trade.exit_paid += part * target
        trade.held = 1.0 - part
        usd = trade.notional_usd
        self.result.cash.append((now, trade.side * part * usd / trade.entry * target - fee * usd))
        if share >= 1:
            self.finish(desk, now, "target")

    def close(self, desk: Desk, now: int, row: int, observed: float, reason: str) -> None:
        """What is left is closed at market."""
        trade = desk.position
        assert trade is not None
        usd, side, part = trade.notional_usd, trade.side, trade.held
        quantity = part * usd / trade.entry
        cost = self.half_spread(trade.symbol, row) + self.impact(quantity * observed)
        paid = observed * (1 - side * cost)
        fee_usd = self.config.fees.taker_bps / 1e4 * quantity * paid
        price = float(self.paths[trade.symbol].price[row])
        trade.gross += part * side * (observed - trade.entry) / trade.entry
        trade.overshoot += part * side * (price - observed) / trade.entry
        trade.slippage += quantity * observed * cost / usd
        trade.fees += fee_usd / usd
        trade.exit_paid += part * paid
        self.result.cash.append((now, side * quantity * paid - fee_usd))
        self.finish(desk, now, reason)

    def finish(self, desk: Desk, now: int, reason: str) -> None:
        """The position is gone."""
        trade = desk.position
        assert trade is not None
        trade.exit_ms, trade.reason = now, reason
        if trade.optimistic is None:
            trade.optimistic = trade.gross
        self.result.trades.append(trade)
        desk.position, desk.last_exit_ms = None, now

    def pay_funding(self, now: int, symbol: str, moment: int) -> None:
        """Longs pay position x price x rate to shorts."""
        desk = self.desks.get(symbol)
        if desk is None or desk.position is None or not self.config.funding.charge:
            return
        trade, path = desk.position, self.paths[symbol]
        rate = float(path.funding_rate[moment])
        if math.isnan(rate):
            trade.unknown_fundings += 1
            return
        price = float(path.price[bisect.bisect_right(path.known_ms.tolist(), now) - 1])
        paid = trade.side * trade.held * price * rate / trade.entry
        trade.funding += paid
        self.result.cash.append((now, -paid * trade.notional_usd))

    def half_spread(self, symbol: str, row: int) -> float:
        """Half the spread of the observation as a part of the price, assumed where unknown."""
        bid, ask = float(self.paths[symbol].bid[row]), float(self.paths[symbol].ask[row])
        if bid > 0 and bid <= ask < math.inf:
            return (ask - bid) / (ask + bid)
        return self.config.slippage.assumed_half_spread_bps / 1e4

    def impact(self, notional_usd: float) -> float:
        """The impact of a market order as a part of the price."""
        return self.config.slippage.impact_bps / 1e4 * math.sqrt(notional_usd / 1e6)
