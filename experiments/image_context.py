"""An image as a condition."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_floats, check_shape, is_concrete
from ar_jax.contexts import Encoder, Vectors
from ar_jax.orderings import Raster


class Image(Encoder):
    """An image, a vector for each patch (arXiv 2010.11929). An absent one is all NaN.

    Attributes:
      event: height, width and channels; conditions are `[batch, *event]`, floating point.
      patch: height and width of a patch.
    """

    event: tuple[int, int, int]
    patch: tuple[int, int]

    def encode(self, condition: jax.Array) -> Vectors:
        present = jnp.where(self.absent(condition)[:, None, None, None], 0, condition)
        ordering = Raster(self.event, block=(*self.patch, self.event[2]))
        vectors = nn.Dense(self.width, name="patches")(ordering.to_steps(present))
        places = nn.Embed(ordering.length, self.width, name="places")
        vectors += places(jnp.arange(ordering.length))
        return vectors, jnp.ones(vectors.shape[:2], bool)

    def absent(self, condition: Any) -> Any:
        return (condition != condition).all(axis=(1, 2, 3))  # NaN

    def missing(self, condition: jax.Array) -> jax.Array:
        return jnp.full_like(condition, jnp.nan)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_shape("condition", condition, (batch, *self.event))
        if is_concrete(condition):
            condition = np.asarray(condition)
            condition = condition[~self.absent(condition)]
        check_floats("condition", condition)
