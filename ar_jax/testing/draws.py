"""Sums and integrals over what a head can draw, and whether it is drawn as often."""

import math
from typing import Any, TypeGuard

import numpy as np
from scipy import stats

from ar_jax.heads import Integers, Support

CHANCE = 1e-6
"""The odds that a law about random draws fails by chance."""


def is_finite(kind: Support) -> TypeGuard[Integers]:
    """Whether all its values can be listed."""
    return isinstance(kind, Integers) and kind != Integers()


def grid(support: tuple[Support, ...]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """All steps, or points to integrate over.

    Returns:
      Steps `[points, variables]`, their weights `[points]`, and for each variable the places, in
      its own order, of the points `[points]`.
    """
    infinite = sum(not is_finite(kind) for kind in support)
    listed = math.prod(kind.largest + 1 for kind in support if is_finite(kind))
    count = int((400_000 / listed) ** (1 / max(infinite, 1)))
    nodes, weights = zip(*(quadrature(kind, min(count, 100_000)) for kind in support), strict=True)
    places = [place.ravel() for place in np.indices([len(x) for x in nodes])]
    steps = np.stack([x[place] for x, place in zip(nodes, places, strict=True)], axis=-1)
    weight = np.prod([w[place] for w, place in zip(weights, places, strict=True)], axis=0)
    return steps, weight, places


def quadrature(kind: Support, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where to look, and what it weighs, so that sums over it are sums or integrals."""
    if isinstance(kind, Integers):
        nodes = np.arange(min(kind.largest + 1, count))
        return nodes, np.ones(len(nodes))
    # Double exponential quadrature (Takahasi and Mori): the ends, or infinity, are far away.
    t = np.linspace(-5, 5, count) if np.isinf(kind.low) else np.linspace(-3, 3, count)
    u, slope = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t) * (t[1] - t[0])
    if np.isinf(kind.low):
        return np.sinh(u), np.cosh(u) * slope
    half = (kind.high - kind.low) / 2
    return kind.low + half * (1 + np.tanh(u)), half * slope / np.cosh(u) ** 2


def check_draws(
    drawn: Any, steps: np.ndarray, places: list[np.ndarray], probability: np.ndarray
) -> None:
    """Draws `[draws, variables]` fall into cells of a grid as often as these are likely."""
    cells = [_cells(x, p, probability) for x, p in zip(steps.T, places, strict=True)]
    cell, drawn_cell = (
        np.stack([np.searchsorted(e, x) for e, x in zip(cells, y.T, strict=True)], axis=-1)
        for y in (steps, np.asarray(drawn))
    )
    check_frequencies(drawn_cell, cell, probability)


def _cells(nodes: np.ndarray, places: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Edges between at most 10 cells of a variable that are about as likely.

    A likely value of a few has one of its own.
    """
    mass = np.bincount(places, probability)
    nodes = nodes[np.unique(places, return_index=True)[1]]
    cell = np.floor(10 * (np.cumsum(mass) - mass / 2))
    last = np.flatnonzero(np.diff(cell))
    return (nodes[last] + nodes[last + 1]) / 2


def check_frequencies(drawn: Any, everything: np.ndarray, probability: np.ndarray) -> None:
    """Chi-squared, the rarest events together; fails by chance with odds `CHANCE`.

    Args:
      drawn: `[draws, variables]`, integers.
      everything: `[events, variables]`, integers, in which the same may come several times.
      probability: `[events]`, of each.
    """
    sides = everything.max(axis=0) + 1
    places = [np.ravel_multi_index(np.asarray(x).T, sides) for x in (drawn, everything)]
    observed = np.bincount(places[0], minlength=math.prod(sides))
    expected = len(drawn) * np.bincount(places[1], probability, math.prod(sides))
    possible = expected > 0
    assert not observed[~possible].any(), "the impossible is not drawn"
    observed, expected = observed[possible], expected[possible]
    rare = expected < 5
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5 and len(expected) > 1:  # still too rare: join the next
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    assert len(expected) > 1, "too many values to count how often each is drawn"
    chance = stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue
    assert chance > CHANCE, f"samples follow the probabilities (p = {chance})"
