"""The detector of one symbol: a state machine without I/O and without a clock."""

from __future__ import annotations

from typing import Final

from liqlab.cascades._events import CONFIRMED, ENDED, GROWN, CascadeEvent
from liqlab.cascades._presets import CascadePreset
from liqlab.cascades._sizes import TrailingThreshold
from liqlab.core.schema import LONG, SHORT

_NEVER_MS: Final = -(2**62)


class _Cluster:
    """Running sums of the open cluster: plain additions in input order, so that batch and stream agree bit for bit."""

    __slots__ = (
        "cascade_id",
        "confirmed_ms",
        "end_ms",
        "high",
        "last_known_ms",
        "long_notional_usd",
        "long_volume",
        "low",
        "n_at_confirmation",
        "n_liquidations",
        "notional_at_confirmation_usd",
        "notional_usd",
        "prices",
        "short_notional_usd",
        "short_volume",
        "start_ms",
        "volume",
    )

    def __init__(self, symbol: str, known_ms: int, event_ms: int, price: float) -> None:
        self.cascade_id = f"{symbol}-{known_ms}"
        self.start_ms = self.end_ms = event_ms
        self.n_liquidations = self.n_at_confirmation = 0
        self.volume = self.long_volume = self.short_volume = 0.0
        self.notional_usd = self.long_notional_usd = self.short_notional_usd = 0.0
        self.low = self.high = price
        self.prices: set[float] = set()
        self.confirmed_ms: int | None = None
        self.notional_at_confirmation_usd = 0.0

    def add(
        self, known_ms: int, event_ms: int, is_long: bool, quantity: float, price: float, notional_usd: float
    ) -> None:
        self.last_known_ms = known_ms
        self.start_ms, self.end_ms = min(self.start_ms, event_ms), max(self.end_ms, event_ms)
        self.n_liquidations += 1
        self.volume += quantity
        self.notional_usd += notional_usd
        if is_long:
            self.long_volume += quantity
            self.long_notional_usd += notional_usd
        else:
            self.short_volume += quantity
            self.short_notional_usd += notional_usd
        if price < self.low:
            self.low = price
        elif price > self.high:
            self.high = price
        self.prices.add(price)


class CascadeMachine:
    """Clusters of one symbol's liquidations, and the cascades among them.

    Input order is known time, then event time, then position in the message. Silence is measured in known time; a
    silence of exactly `max_gap` still joins. Quantities and prices must be positive and finite, as the sources see to.

    >>> from liqlab.cascades import CascadePreset
    >>> machine = CascadeMachine("BTCUSDT", CascadePreset("two", max_gap_ms=1_000, min_liquidations=2))
    >>> machine.update(10_000, 9_700, True, 1.0, 50_000.0)
    []
    >>> [event.type for event in machine.update(11_000, 10_700, True, 1.0, 49_990.0)]
    ['confirmed']
    >>> machine.advance(12_000)
    []
    >>> [(event.type, event.ended) for event in machine.advance(12_001)]
    [('ended', 12001)]
    """

    def __init__(self, symbol: str, preset: CascadePreset) -> None:
        self.symbol = symbol
        self.preset = preset
        #: Liquidations whose known time lay before the clock, and were taken at the clock.
        self.late = 0
        self._clock_ms = _NEVER_MS
        self._cluster: _Cluster | None = None
        self._sizes = None if preset.size_quantile is None else TrailingThreshold(preset)

    def update(self, known_ms: int, event_ms: int, is_long: bool, quantity: float, price: float) -> list[CascadeEvent]:
        """Take the next liquidation; the events that it causes.

        A known time before the clock is taken at the clock: a clock that jumps back cannot un-know.
        """
        if known_ms < self._clock_ms:
            self.late += 1
            known_ms = self._clock_ms
        events = self.advance(known_ms)
        notional_usd = price * quantity
        if self._sizes is not None:
            threshold_usd = self._sizes.current_usd()
            self._sizes.add(notional_usd)
            if notional_usd < threshold_usd:
                return events
        cluster = self._cluster
        if cluster is None:
            cluster = self._cluster = _Cluster(self.symbol, known_ms, event_ms, price)
        cluster.add(known_ms, event_ms, is_long, quantity, price, notional_usd)
        if cluster.confirmed_ms is not None:
            events.append(self._event(GROWN, cluster, cluster.confirmed_ms, None))
        elif self._crosses(cluster):
            cluster.confirmed_ms = known_ms
            cluster.n_at_confirmation = cluster.n_liquidations
            cluster.notional_at_confirmation_usd = cluster.notional_usd
            events.append(self._event(CONFIRMED, cluster, known_ms, None))
        return events

    def advance(self, now_ms: int) -> list[CascadeEvent]:
        """Everything known before `now_ms` has been delivered: close what has been silent for longer than `max_gap`."""
        if now_ms > self._clock_ms:
            self._clock_ms = now_ms
        cluster = self._cluster
        if cluster is None or self._clock_ms - cluster.last_known_ms <= self.preset.max_gap_ms:
            return []
        return self.finish()

    def finish(self) -> list[CascadeEvent]:
        """Nothing follows: close what is open."""
        cluster, self._cluster = self._cluster, None
        if cluster is None or cluster.confirmed_ms is None:
            return []
        ended_ms = cluster.last_known_ms + self.preset.max_gap_ms + 1
        return [self._event(ENDED, cluster, cluster.confirmed_ms, ended_ms)]

    def _crosses(self, cluster: _Cluster) -> bool:
        return (
            cluster.n_liquidations >= self.preset.min_liquidations
            and cluster.notional_usd >= self.preset.min_notional_usd
        )

    def _event(self, kind: str, cluster: _Cluster, confirmed_ms: int, ended_ms: int | None) -> CascadeEvent:
        return CascadeEvent(
            kind,
            cluster.cascade_id,
            self.symbol,
            cluster.start_ms,
            cluster.end_ms,
            confirmed_ms,
            ended_ms,
            cluster.n_liquidations,
            cluster.volume,
            cluster.notional_usd,
            cluster.long_volume,
            cluster.short_volume,
            cluster.long_notional_usd,
            cluster.short_notional_usd,
            LONG if cluster.long_notional_usd >= cluster.short_notional_usd else SHORT,
            (cluster.short_volume - cluster.long_volume) / cluster.volume,
            cluster.low,
            cluster.high,
            len(cluster.prices),
            cluster.notional_usd / cluster.volume,
            cluster.n_at_confirmation,
            cluster.notional_at_confirmation_usd,
        )
