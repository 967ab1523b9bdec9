"""Simulated markets written as the captures of a recorder.

This first world is plain: prices are a random walk, and liquidations follow from fast moves without moving anything.
"""

from liqlab.worlds._dirt import DirtCounts
from liqlab.worlds._instruments import DEFAULT_SYMBOLS
from liqlab.worlds._simulate import DEFAULT_START_MS, SimulationSummary, simulate

__all__ = ["DEFAULT_START_MS", "DEFAULT_SYMBOLS", "DirtCounts", "SimulationSummary", "simulate"]
