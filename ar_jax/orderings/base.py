"""Orderings: which variable of an event comes when.

An ordering cuts an event into equal *cells* (a variable, a pixel with its channels, a patch, a
row) and visits each cell once. What is visited together is a *step*: one cell, and in a `Graph`
several, which are independent given what came before.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeVar

import jax
import numpy as np

from ar_jax.checks import as_integers

Array = TypeVar("Array", jax.Array, np.ndarray)


@dataclass(frozen=True)
class Ordering(ABC):
    """A bijection from an event to a sequence of steps.

    Attributes:
      event: shape of one example, without its batch axis, e.g. `(28, 28, 1)`.
      block: shape of one cell, e.g. `(1, 1, 3)` for a pixel, `(4, 4, 1)` for a patch, `(1, 28, 1)`
        for an image row. Left out, each variable is a step of its own.

    Raises:
      ValueError: when the blocks do not tile the event.
    """

    event: tuple[int, ...]
    block: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        # Tuples keep a Linen module that holds the ordering hashable.
        object.__setattr__(self, "event", as_integers("event", self.event))
        block = as_integers("block", self.block) or (1,) * len(self.event)
        object.__setattr__(self, "block", block)
        if len(self.block) != len(self.event) or any(
            side < 1 or size < 1 or size % side
            for size, side in zip(self.event, self.block, strict=True)
        ):
            raise ValueError(
                f"block: expected one divisor for each axis of the event {self.event}, "
                f"got {self.block}"
            )

    @property
    @abstractmethod
    def order(self) -> np.ndarray:
        """`[count]`: the raster numbers of the cells, in the order of their visits."""

    @property
    def cell_indices(self) -> np.ndarray:
        """`[length, cells_per_step]`: the raster indices of the cells that each step visits.

        A step of fewer cells repeats its last one, which counts once (see `valid`).
        """
        return self.order[:, None]

    @property
    def valid(self) -> np.ndarray:
        """`[length, cells_per_step]` booleans: which of the `cell_indices` count."""
        return np.ones((self.length, self.cells_per_step), bool)

    @property
    def causal_mask(self) -> np.ndarray:
        """The causal mask `[count, count]`: on which cells (column) each cell (row) may depend.

        Both in the order of visits. By default on all that came before.
        """
        return np.tri(self.count, k=-1, dtype=bool)

    @property
    def is_sequential(self) -> bool:
        """Whether each cell may depend on all earlier ones, as in every ordering but a `Graph`."""
        return True

    @property
    def grid(self) -> tuple[int, int] | None:
        """`(height, width)` of an image that the steps fill row by row, `channels` to a place.

        The sequence, reshaped to `(height, width, channels)`, keeps the neighbours of the raster.
        None if there is no such image.
        """
        return None

    @property
    def channels(self) -> int:
        """How many successive steps share a place of the grid: the colours of a pixel."""
        return 1

    @property
    def cells(self) -> tuple[int, ...]:
        """The event's shape counted in cells."""
        return tuple(size // side for size, side in zip(self.event, self.block, strict=True))

    @property
    def count(self) -> int:
        """The number of cells."""
        return prod(self.cells)

    @property
    def length(self) -> int:
        """The number of steps."""
        return self.count

    @property
    def cells_per_step(self) -> int:
        """The number of cells in one step; in a `Graph` that of the widest level."""
        return 1

    @property
    def block_size(self) -> int:
        """The number of variables in one cell."""
        return prod(self.block)

    @property
    def step_size(self) -> int:
        """The number of variables in one step, those that fill it up included."""
        return self.cells_per_step * self.block_size

    @cached_property
    def coordinates(self) -> np.ndarray:
        """`[count, axes]`: the place of each cell, in cells, in the order of visits."""
        return np.stack(np.unravel_index(self.order, self.cells), axis=-1)

    def to_steps(self, event: Array) -> Array:
        """`[batch, *event]` -> `[batch, length, step_size]`."""
        axes = len(self.event)
        split = [n for pair in zip(self.cells, self.block, strict=True) for n in pair]
        x = event.reshape(-1, *split)  # [batch, cells_0, block_0, cells_1, block_1, ...]
        x = x.transpose(0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2))
        visited = x.reshape(-1, self.count, self.block_size)[:, self.cell_indices.ravel()]
        return visited.reshape(-1, self.length, self.step_size)

    def by_cell(self, steps: Array) -> Array:
        """What is of steps `[..., any]`, of each of their cells: `[..., cells_per_step, any]`."""
        return steps.reshape(*steps.shape[:-1], self.cells_per_step, -1)

    def to_event(self, steps: Array) -> Array:
        """`[batch, length, step_size]` -> `[batch, *event]`, the inverse of `to_steps`."""
        axes = len(self.event)
        of_cell = np.flatnonzero(self.valid)[np.argsort(self.order)]
        x = steps.reshape(-1, self.valid.size, self.block_size)[:, of_cell]
        x = x.reshape(-1, *self.cells, *self.block)
        interleaved = [axis for i in range(1, axes + 1) for axis in (i, i + axes)]
        return x.transpose(0, *interleaved).reshape(-1, *self.event)
