"""Cascades of liquidations: one set of rules, driven over tables or fed with messages."""

from liqlab.cascades._batch import compute_size_thresholds, detect_cascades, label_liquidations, list_cascade_events
from liqlab.cascades._driver import StreamDetector
from liqlab.cascades._events import CascadeEvent, frame_events
from liqlab.cascades._machine import CascadeMachine
from liqlab.cascades._presets import PRESETS, CascadeConfig, CascadePreset, get_preset
from liqlab.cascades._prices import attach_prices

__all__ = [
    "PRESETS",
    "CascadeConfig",
    "CascadeEvent",
    "CascadeMachine",
    "CascadePreset",
    "StreamDetector",
    "attach_prices",
    "compute_size_thresholds",
    "detect_cascades",
    "frame_events",
    "get_preset",
    "label_liquidations",
    "list_cascade_events",
]
