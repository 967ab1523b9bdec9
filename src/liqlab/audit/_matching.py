"""One-to-one pairs of cascades that share enough of their liquidations."""

from __future__ import annotations

from collections.abc import Sequence


def match_cascades(candidates: Sequence[tuple[int, int, float]], min_jaccard: float) -> list[tuple[int, int]]:
    """One-to-one pairs (detected, causal) among `candidates` (detected, causal, Jaccard index), in order of detected.

    Both sides are disjoint sets of liquidations, `min_jaccard` at least one half. Pairs are taken from the highest
    index down, ties by detected, then causal number, each cascade once. No matching has more pairs: above one half a
    cascade has at most one partner. At exactly one half it may have two, and then these two are the halves of it and
    have no other partner, so the candidates form single pairs and pairs of pairs with one end in common; whichever of
    the two is taken, one is.
    """
    if min_jaccard < 0.5:
        raise ValueError(f"min_jaccard must be at least 0.5, got {min_jaccard}")
    taken_detected: set[int] = set()
    taken_causal: set[int] = set()
    pairs = []
    for detected, causal, jaccard in sorted(candidates, key=lambda row: (-row[2], row[0], row[1])):
        if jaccard >= min_jaccard and detected not in taken_detected and causal not in taken_causal:
            taken_detected.add(detected)
            taken_causal.add(causal)
            pairs.append((detected, causal))
    return sorted(pairs)
