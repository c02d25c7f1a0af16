"""An order of its own for each example."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.orderings.base import Array, Ordering
from ar_jax.orderings.grids import Raster


@dataclass(frozen=True, eq=False)
class PerExample(Ordering):
    """The orders of a batch, as an array that a compiled program takes.

    Its `order` and `coordinates` have a batch axis before the one of cells: for an `AnyOrderModel`.

    Attributes:
      permutation: `[batch, count]` integers, the raster number of the cell that each step visits.
    """

    permutation: Any = None

    @property
    def order(self) -> Any:
        return self.permutation

    @cached_property
    def coordinates(self) -> Any:
        """`[batch, count, axes]`: the place of each cell, in cells, in the order of visits."""
        return jnp.stack(jnp.unravel_index(jnp.asarray(self.permutation), self.cells), axis=-1)

    def to_steps(self, event: Array) -> Any:
        steps = jnp.asarray(Raster(self.event, self.block).to_steps(event))
        return jnp.take_along_axis(steps, self.permutation[..., None], axis=1)

    def to_event(self, steps: Array) -> Any:
        ranks = jnp.argsort(jnp.asarray(self.permutation), axis=1)
        by_raster: jax.Array = jnp.take_along_axis(jnp.asarray(steps), ranks[..., None], axis=1)
        return Raster(self.event, self.block).to_event(by_raster)
