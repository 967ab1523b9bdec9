"""What a detector says: one event per change of a cascade."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import polars as pl

from liqlab.core.schema import CASCADES, TIME

CONFIRMED: Final = "confirmed"
GROWN: Final = "grown"
ENDED: Final = "ended"


class CascadeEvent(msgspec.Struct, frozen=True, gc=False):
    """A cascade as it stood at one moment. Times are milliseconds UTC, names and units those of the cascades table.

    `type` is `confirmed` (the liquidation that crossed every threshold), `grown` (a later one joined) or `ended` (the
    silence grew longer than `max_gap`). `ended` is None until then; it is the known time of the last liquidation plus
    `max_gap` plus 1 ms, whatever made the detector notice.
    """

    type: str
    cascade_id: str
    symbol: str
    start: int
    end: int
    confirmed: int
    ended: int | None
    n_liquidations: int
    volume: float
    notional_usd: float
    long_volume: float
    short_volume: float
    long_notional_usd: float
    short_notional_usd: float
    dominant_side: str
    imbalance: float
    price_low: float
    price_high: float
    n_price_levels: int
    vwap: float
    n_at_confirmation: int
    notional_at_confirmation_usd: float


EVENT_SCHEMA: Final[dict[str, pl.DataType]] = {
    "type": pl.String(),
    **{name: CASCADES.dtypes[name] for name in CascadeEvent.__struct_fields__ if name != "type"},
}


def frame_events(events: Iterable[CascadeEvent]) -> pl.DataFrame:
    """Events as a frame, in the order given: the fields of `CascadeEvent`, times as `Datetime("ms", "UTC")`."""
    rows = [msgspec.structs.astuple(event) for event in events]
    integers = {name: pl.Int64() if dtype == TIME else dtype for name, dtype in EVENT_SCHEMA.items()}
    return pl.DataFrame(rows, schema=integers, orient="row").cast(EVENT_SCHEMA)  # type: ignore[arg-type]
