"""Orderings that walk over the cells of an image, or of any array."""

from abc import abstractmethod
from dataclasses import dataclass
from math import prod

import numpy as np

from ar_jax.checks import check_at_least
from ar_jax.orderings.base import Ordering


@dataclass(frozen=True)
class Raster(Ordering):
    """Row by row, from the upper left: the order of memory.

    0 1 2
    3 4 5

    The last axis is the fastest, so that the colours of a pixel come one after the other
    (channel-last; `ChannelFirst` is the other way).
    """

    @property
    def order(self) -> np.ndarray:
        return np.arange(self.count)

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
        return np.arange(self.count)[::-1]

    @property
    def grid(self) -> tuple[int, int] | None:
        return _image_grid(self.cells)

    @property
    def channels(self) -> int:
        return prod(self.cells[2:])


@dataclass(frozen=True)
class ImageOrdering(Ordering):
    """A walk over the cells of an image.

    Raises:
      ValueError: when the block does not cover the event's axes after the second.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.cells) < 2 or prod(self.cells[2:]) != 1:
            raise ValueError(
                f"{type(self).__name__}: expected an event (height, width, ...) whose block covers "
                f"the axes after the second, got event {self.event} with block {self.block}"
            )

    @property
    def order(self) -> np.ndarray:
        return self.walk(np.arange(self.count).reshape(self.cells[:2]))

    @abstractmethod
    def walk(self, image: np.ndarray) -> np.ndarray:
        """The numbers of an image `[height, width]`, in the order of visits `[count]`."""


@dataclass(frozen=True)
class ColumnMajor(ImageOrdering):
    """Column by column, from the upper left.

    0 2 4
    1 3 5
    """

    def walk(self, image: np.ndarray) -> np.ndarray:
        return image.T.ravel()

    @property
    def grid(self) -> tuple[int, int] | None:
        return self.cells[1], self.cells[0]


@dataclass(frozen=True)
class Snake(ImageOrdering):
    """Row by row, every other row backwards, so that successive steps are neighbours.

    0 1 2
    5 4 3
    """

    def walk(self, image: np.ndarray) -> np.ndarray:
        return np.concatenate([row[:: (-1) ** i] for i, row in enumerate(image)])


@dataclass(frozen=True)
class Spiral(ImageOrdering):
    """Around the image from the upper left, inwards; successive steps are neighbours.

    0 1 2 3
    9 A B 4
    8 7 6 5
    """

    def walk(self, image: np.ndarray) -> np.ndarray:
        sides = []
        while image.size:
            sides.append(image[0])
            image = np.rot90(image[1:])  # the next side goes on top
        return np.concatenate(sides)


@dataclass(frozen=True)
class Hilbert(ImageOrdering):
    """Along Hilbert's curve, which fills a square before it goes to the next one.

    0 1 E F
    3 2 D C
    4 7 8 B
    5 6 9 A

    What is near in the sequence is near in the image, and successive steps are neighbours. It is
    generalised to any height and width, as in Cerveny's `gilbert`.
    """

    def walk(self, image: np.ndarray) -> np.ndarray:
        # It ends at the far end of the side that it runs along: neighbours all the way, if that
        # side is even where the other is odd. Else the longer side makes squarer parts.
        height, width = image.shape
        along_rows = width % 2 == 0 if (height + width) % 2 else width >= height
        return _hilbert(image if along_rows else image.T)


@dataclass(frozen=True)
class MultiScale(ImageOrdering):
    """From coarse to fine (as Multiscale PixelCNN, Reed et al., arXiv 1703.03664).

    First the coarsest grid, row by row; then the cells in between, which make it twice as fine,
    first those to the right of a known one, then those below, then those below right. With two
    doublings:

     0  4  1  5
     8 12  9 13
     2  6  3  7
    10 14 11 15

    The paper predicts the cells of a group in parallel, at the cost of their dependence; here they
    are steps of their own.

    Attributes:
      doublings: of the coarsest grid, which takes every 2^doublings-th row and column.
    """

    doublings: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(0, doublings=self.doublings)
        if self.doublings > 30:  # no image has so many, and a stride of 2 to its power overflows
            raise ValueError(f"doublings: expected at most 30, got {self.doublings}")

    def walk(self, image: np.ndarray) -> np.ndarray:
        groups = [image[:: 2**self.doublings, :: 2**self.doublings]]
        for stride in 2 ** np.arange(self.doublings)[::-1]:
            for row, column in ((0, 1), (1, 0), (1, 1)):
                groups.append(image[row * stride :: 2 * stride, column * stride :: 2 * stride])
        return np.concatenate([group.ravel() for group in groups])


@dataclass(frozen=True)
class ChannelFirst(Ordering):
    """All of the first channel in raster order, then all of the second: red, green, blue.

    The channels are the last axis of the event. `Raster` takes those of a pixel together.

    R     G     B
    0 1   4 5   8 9
    2 3   6 7   A B
    """

    @property
    def order(self) -> np.ndarray:
        return np.moveaxis(np.arange(self.count).reshape(self.cells), -1, 0).ravel()


def _image_grid(cells: tuple[int, ...]) -> tuple[int, int] | None:
    """The grid of a raster over cells: the first two axes, if there are two."""
    return (cells[0], cells[1]) if len(cells) >= 2 else None


def _hilbert(cells: np.ndarray) -> np.ndarray:
    """`[height, width]` numbers along the curve from the upper left to the upper right."""
    height, width = cells.shape
    if height == 1 or width == 1:
        return cells.ravel()
    half = width // 2
    if 2 * width > 3 * height:  # two halves, of which the first has even width
        half += half % 2 if width > 2 else 0
        return np.concatenate([_hilbert(cells[:, :half]), _hilbert(cells[:, half:])])
    top = height // 2
    top += top % 2 if height > 2 else 0
    down, across, up = cells[:top, :half], cells[top:], cells[:top, half:]
    return np.concatenate([_hilbert(down.T), _hilbert(across), _hilbert(up[::-1, ::-1].T)])
