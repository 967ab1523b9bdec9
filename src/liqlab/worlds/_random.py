"""Independent random streams, each named by what it serves, so that nothing depends on who draws first."""

from __future__ import annotations

import zlib

import numpy as np


def named_generator(seed: int, *names: str | int) -> np.random.Generator:
    """The generator of one purpose: the same `seed` and `names` give the same stream on any worker."""
    words = (name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names)
    return np.random.default_rng([seed, *words])
