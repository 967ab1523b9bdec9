"""A market straight into the canonical tables, as parsing its written captures gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from liqlab.core import schema
from liqlab.core.schema import TIME
from liqlab.core.time import MS_PER_DAY, MS_PER_HOUR
from liqlab.sources import ASSUMED_DELAY_MS, DEFAULT_EXCHANGE
from liqlab.worlds._capture import hour_file, ratio_file
from liqlab.worlds._delivery import Delivered, deliver_days, draw_rest_delays
from liqlab.worlds._dials import World
from liqlab.worlds._market import SymbolDay, iterate_market
from liqlab.worlds._named import check_symbols
from liqlab.worlds._noise import Floats, Integers
from liqlab.worlds._ticker import compute_ticker, long_share

_LIQUIDATION_ORDER = ("known_time", "event_time", "position", "source_file", "source_line")


@dataclass(frozen=True)
class MarketTables:
    """The canonical tables of a simulated span, and its truth by liquidation.

    `truth` has a row for each row of `liquidations`, in its order: symbol, number (the symbol's liquidations counted
    from 0), cause_symbol and cause_number (null: exogenous), market_price, impact_bps, closing.
    """

    liquidations: pl.DataFrame
    ticker: pl.DataFrame
    long_short_ratio: pl.DataFrame
    truth: pl.DataFrame


def simulate_tables(world: World, symbols: Sequence[str], seed: int, start_ms: int, end_ms: int) -> MarketTables:
    """Liquidations, five-second ticker and long/short ratio of [start_ms, end_ms), selected by known time.

    Equal to what `load_liquidations`, `load_ticker` and `load_long_short_ratio` give for the clean captures that
    `simulate` writes with the same arguments and the REST ticker.
    """
    names = tuple(sorted(check_symbols(symbols)))
    liquidations: list[pl.DataFrame] = []
    tickers: dict[str, list[pl.DataFrame]] = {name: [] for name in names}
    shares: dict[str, list[Floats]] = {name: [] for name in names}
    market = iterate_market(world, names, seed, start_ms, end_ms)
    for day, delivered in deliver_days(world, seed, market):
        for symbol_day, orders in zip(day.symbols, delivered, strict=True):
            known = orders.take((orders.known_ms >= start_ms) & (orders.known_ms < end_ms))
            liquidations.append(_liquidation_rows(symbol_day.symbol, day.names, known))
            tickers[symbol_day.symbol].append(_ticker_rows(world, seed, symbol_day, start_ms, end_ms))
            shares[symbol_day.symbol].append(long_share(symbol_day))
    joined = pl.concat(liquidations).sort(_LIQUIDATION_ORDER, maintain_order=True)
    truth = ["symbol", "number", "cause_symbol", "cause_number", "market_price", "impact_bps", "closing"]
    ratios = [_ratio_rows(name, np.concatenate(shares[name]), start_ms, end_ms) for name in names]
    return MarketTables(
        schema.check_frame(joined.select(schema.LIQUIDATIONS.names), schema.LIQUIDATIONS),
        schema.check_frame(pl.concat([part for name in names for part in tickers[name]]), schema.TICKER),
        schema.check_frame(pl.concat(ratios), schema.LONG_SHORT_RATIO),
        joined.select(truth),
    )


def _times(milliseconds: Integers) -> pl.Series:
    return pl.Series(milliseconds).cast(TIME)


def _files(symbol: str, prefix: str, hour_mark: str, known_ms: Integers) -> pl.Series:
    """The capture file of each row, relative to the folder."""
    hours, of_hour = np.unique(known_ms // MS_PER_HOUR, return_inverse=True)
    names = [f"{symbol}/{hour_file(prefix, hour_mark, hour)}" for hour in hours.tolist()]
    return pl.Series(names, dtype=pl.String).gather(of_hour.astype(np.uint32))


def _liquidation_rows(symbol: str, names: Sequence[str], delivered: Delivered) -> pl.DataFrame:
    orders = delivered.liquidations
    line, position = delivered.number_lines()
    cause = pl.Series(orders.cause)
    columns = {
        "symbol": pl.repeat(symbol, len(line), dtype=pl.String, eager=True),
        "exchange": pl.repeat(DEFAULT_EXCHANGE, len(line), dtype=pl.String, eager=True),
        "event_time": _times(orders.event_ms),
        "push_time": _times(delivered.push_ms),
        "known_time": _times(delivered.known_ms),
        "liquidated_side": pl.Series([schema.SHORT, schema.LONG]).gather(orders.is_long.astype(np.uint32)),
        "quantity": orders.quantity,
        "price": orders.price,
        "notional_usd": orders.price * orders.quantity,
        "source_file": _files(symbol, "liquidation", "", delivered.known_ms),
        "source_line": line,
        "position": position,
        "number": orders.number,
        "cause_symbol": pl.Series([*names, None], dtype=pl.String).gather(
            np.where(orders.cause_symbol < 0, len(names), orders.cause_symbol).astype(np.uint32)
        ),
        "cause_number": cause.set(cause < 0, None),
        "market_price": orders.market_price,
        "impact_bps": orders.impact_bps,
        "closing": orders.closing,
    }
    return pl.DataFrame(columns)


def _ticker_rows(world: World, seed: int, day: SymbolDay, start_ms: int, end_ms: int) -> pl.DataFrame:
    known_ms = day.time_ms + draw_rest_delays(seed, day.symbol, day.nodes.day, len(day.time_ms))
    inside = slice(*np.searchsorted(day.time_ms, [start_ms, end_ms]).tolist())
    states, known_ms = compute_ticker(world, seed, day).take(inside), known_ms[inside]
    hour = known_ms // MS_PER_HOUR
    _, first_of_hour, of_hour = np.unique(hour, return_index=True, return_inverse=True)
    n = len(known_ms)
    constant = {"symbol": day.symbol, "exchange": DEFAULT_EXCHANGE, "open_interest_basis": "halved"}
    columns = {name: pl.repeat(value, n, dtype=pl.String, eager=True) for name, value in constant.items()}
    columns |= {name: _times(known_ms) for name in ("event_time", "known_time")}
    columns |= {
        "next_funding_time": _times(states.next_funding_ms),
        "source_file": _files(day.symbol, "ticker", "hr", known_ms),
        "source_line": pl.Series(np.arange(n) - first_of_hour[of_hour] + 1),
    }
    return pl.DataFrame(
        {name: columns[name] if name in columns else getattr(states, name) for name in schema.TICKER.names}
    )


def _ratio_rows(symbol: str, share: Floats, start_ms: int, end_ms: int) -> pl.DataFrame:
    first_hour = start_ms // MS_PER_DAY * (MS_PER_DAY // MS_PER_HOUR)
    hours = np.arange(-(-start_ms // MS_PER_HOUR), -(-end_ms // MS_PER_HOUR), dtype=np.int64)
    buy = share[hours - first_hour]
    sell = np.round(1.0 - buy, 4)
    file = ratio_file(symbol, hours * MS_PER_HOUR) if len(hours) else ""
    return pl.DataFrame(
        {
            "symbol": pl.repeat(symbol, len(hours), dtype=pl.String, eager=True),
            "event_time": _times(hours * MS_PER_HOUR),
            "known_time": _times(hours * MS_PER_HOUR + ASSUMED_DELAY_MS),
            "buy_ratio": buy,
            "sell_ratio": sell,
            "ratio": buy / sell,
            "source_file": pl.repeat(file, len(hours), dtype=pl.String, eager=True),
            "source_line": np.arange(1, len(hours) + 1, dtype=np.int64),
        },
        schema=schema.LONG_SHORT_RATIO.dtypes,
    )
