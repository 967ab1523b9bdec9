"""The Parquet store: captures in, canonical tables out."""

from liqlab.lake._frames import FrameLake, Recording
from liqlab.lake._ingest import IngestSummary, ingest, list_captures
from liqlab.lake._load import load_liquidations, load_long_short_ratio, load_quarantine, load_ticker
from liqlab.lake._manifest import FileEntry, compute_data_hash, is_lake
from liqlab.lake._open import open_source
from liqlab.lake._store import Lake, Reconciliation

__all__ = [
    "FileEntry",
    "FrameLake",
    "IngestSummary",
    "Lake",
    "Reconciliation",
    "Recording",
    "compute_data_hash",
    "ingest",
    "is_lake",
    "list_captures",
    "load_liquidations",
    "load_long_short_ratio",
    "load_quarantine",
    "load_ticker",
    "open_source",
]
