"""Orderings: which variable of an event comes when.

An ordering cuts an event into equal *cells* (a variable, a pixel with its channels, a patch, a
row) and visits each cell once. One visit is a *step*: the variables that are predicted together.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TypeVar

import jax
import numpy as np

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
        object.__setattr__(self, "event", tuple(self.event))
        object.__setattr__(self, "block", tuple(self.block) or (1,) * len(self.event))
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
        """`[length]`: the raster number of the cell that each step visits."""

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
    def length(self) -> int:
        """The number of steps."""
        return prod(self.cells)

    @property
    def block_size(self) -> int:
        """The number of variables in one step."""
        return prod(self.block)

    @cached_property
    def coordinates(self) -> np.ndarray:
        """`[length, axes]`: the place of each step's cell, in cells."""
        return np.stack(np.unravel_index(self.order, self.cells), axis=-1)

    def to_steps(self, event: Array) -> Array:
        """`[batch, *event]` -> `[batch, length, block_size]`."""
        axes = len(self.event)
        split = [n for pair in zip(self.cells, self.block, strict=True) for n in pair]
        x = event.reshape(-1, *split)  # [batch, cells_0, block_0, cells_1, block_1, ...]
        x = x.transpose(0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2))
        return x.reshape(-1, self.length, self.block_size)[:, self.order]

    def to_event(self, steps: Array) -> Array:
        """`[batch, length, block_size]` -> `[batch, *event]`, the inverse of `to_steps`."""
        axes = len(self.event)
        x = steps[:, np.argsort(self.order)].reshape(-1, *self.cells, *self.block)
        interleaved = [axis for i in range(1, axes + 1) for axis in (i, i + axes)]
        return x.transpose(0, *interleaved).reshape(-1, *self.event)

    def _image_cells(self) -> tuple[int, int]:
        """Height and width in cells, for the orderings that walk over an image."""
        if len(self.cells) < 2 or prod(self.cells[2:]) != 1:
            raise ValueError(
                f"{type(self).__name__}: expected an event (height, width, ...) whose block covers "
                f"the axes after the second, got event {self.event} with block {self.block}"
            )
        return self.cells[0], self.cells[1]


@dataclass(frozen=True)
class Raster(Ordering):
    """Row by row, from the upper left: the order of memory.

    0 1 2
    3 4 5
    """

    @property
    def order(self) -> np.ndarray:
        return np.arange(self.length)

    @property
    def grid(self) -> tuple[int, int] | None:
        return _image_grid(self.cells)

    @property
    def channels(self) -> int:
        return prod(self.cells[2:])


@dataclass(frozen=True)
class Reversed(Ordering):
    """The raster backwards, from the lower right.

    5 4 3
    2 1 0
    """

    @property
    def order(self) -> np.ndarray:
        return np.arange(self.length)[::-1]

    @property
    def grid(self) -> tuple[int, int] | None:
        return _image_grid(self.cells)

    @property
    def channels(self) -> int:
        return prod(self.cells[2:])


@dataclass(frozen=True)
class ColumnMajor(Ordering):
    """Column by column, from the upper left.

    0 2 4
    1 3 5
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._image_cells()

    @property
    def order(self) -> np.ndarray:
        height, width = self._image_cells()
        return np.arange(self.length).reshape(height, width).T.ravel()

    @property
    def grid(self) -> tuple[int, int] | None:
        height, width = self._image_cells()
        return width, height


@dataclass(frozen=True)
class Snake(Ordering):
    """Row by row, every other row backwards, so that successive steps are neighbours.

    0 1 2
    5 4 3
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._image_cells()

    @property
    def order(self) -> np.ndarray:
        rows = np.arange(self.length).reshape(self._image_cells())
        rows[1::2] = rows[1::2, ::-1]
        return rows.ravel()


@dataclass(frozen=True)
class Permutation(Ordering):
    """Any order, given as the raster number of the cell that each step visits.

    Attributes:
      permutation: `length` integers, each of `0 ... length - 1` once.
    """

    permutation: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "permutation", tuple(map(int, self.permutation)))
        if sorted(self.permutation) != list(range(self.length)):
            raise ValueError(
                f"permutation: expected each of 0 ... {self.length - 1} once, "
                f"got {len(self.permutation)} numbers {self.permutation[:8]} ..."
            )

    @property
    def order(self) -> np.ndarray:
        return np.array(self.permutation)


def _image_grid(cells: tuple[int, ...]) -> tuple[int, int] | None:
    """The grid of a raster over cells: the first two axes, if there are two."""
    return (cells[0], cells[1]) if len(cells) >= 2 else None
