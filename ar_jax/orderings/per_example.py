"""An order of its own for each example."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_integers, check_shape, is_concrete
from ar_jax.orderings.base import Array, Ordering
from ar_jax.orderings.grids import Raster


@dataclass(frozen=True, eq=False)
class PerExample(Ordering):
    """The orders of a batch, as an array that a compiled program takes.

    Its `order` has a batch axis before the one of cells: for an `AnyOrderModel`, which makes one.

    Attributes:
      permutation: `[batch, count]` integers, the raster number of the cell that each step visits.
    """

    permutation: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        last = self.count - 1
        check_shape("order", self.permutation, ("batch", self.count))
        check_integers("order", self.permutation, 0, last)
        if is_concrete(self.permutation) and (np.diff(np.sort(self.permutation)) != 1).any():
            raise ValueError(f"order: expected each of 0 ... {last} once in each row, got others")
        object.__setattr__(self, "permutation", jnp.asarray(self.permutation))

    def __eq__(self, other: object) -> bool:
        return self is other  # as arrays are

    def __hash__(self) -> int:
        return id(self)

    @property
    def order(self) -> Any:
        return self.permutation

    def to_steps(self, event: Array) -> Any:
        steps = jnp.asarray(Raster(self.event, self.block).to_steps(event))
        return jnp.take_along_axis(steps, self.permutation[..., None], axis=1)

    def to_event(self, steps: Array) -> Any:
        ranks = jnp.argsort(jnp.asarray(self.permutation), axis=1)
        by_raster: jax.Array = jnp.take_along_axis(jnp.asarray(steps), ranks[..., None], axis=1)
        return Raster(self.event, self.block).to_event(by_raster)
