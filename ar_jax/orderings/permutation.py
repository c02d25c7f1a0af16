"""Orderings that are given, or drawn at random."""

from dataclasses import dataclass

import numpy as np

from ar_jax.checks import as_integers
from ar_jax.orderings.base import Ordering
from ar_jax.orderings.grids import Raster


@dataclass(frozen=True)
class Permutation(Ordering):
    """Any order, given as the raster number of the cell that each step visits.

    `Permutation((2, 3), (), (2, 0, 5, 4, 1, 3))` is

    1 4 0
    5 3 2

    Attributes:
      permutation: `length` integers, each of `0 ... length - 1` once.
    """

    permutation: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "permutation", as_integers("permutation", self.permutation))
        if sorted(self.permutation) != list(range(self.length)):
            raise ValueError(
                f"permutation: expected each of 0 ... {self.length - 1} once, "
                f"got {len(self.permutation)} numbers {self.permutation[:8]} ..."
            )

    @property
    def order(self) -> np.ndarray:
        return np.array(self.permutation)

    @classmethod
    def random(
        cls, event: tuple[int, ...], block: tuple[int, ...] = (), seed: int = 0
    ) -> "Permutation":
        """One of all orders, each as likely, by the seed."""
        count = Raster(event, block).count
        return cls(event, block, tuple(np.random.default_rng(seed).permutation(count)))
