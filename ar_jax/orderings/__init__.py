"""Orderings: which variable of an event comes when."""

from ar_jax.orderings.base import Ordering
from ar_jax.orderings.graph import Graph
from ar_jax.orderings.grids import (
    ChannelFirst,
    ColumnMajor,
    Hilbert,
    MultiScale,
    Raster,
    Reversed,
    Snake,
    Spiral,
)
from ar_jax.orderings.per_example import PerExample
from ar_jax.orderings.permutation import Permutation

__all__ = [
    "ChannelFirst",
    "ColumnMajor",
    "Graph",
    "Hilbert",
    "MultiScale",
    "Ordering",
    "PerExample",
    "Permutation",
    "Raster",
    "Reversed",
    "Snake",
    "Spiral",
]
