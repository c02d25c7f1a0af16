"""A vector of real numbers as a condition."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_floats, check_positive, check_shape, is_concrete
from ar_jax.contexts.base import Encoder
from ar_jax.nn.context import ContextVectors


class Vector(Encoder):
    """A vector of real numbers. An absent one is all NaN.

    Attributes:
      size: how many numbers; conditions are `[batch, size]`, floating point.
    """

    size: int

    def encode(self, condition: jax.Array) -> ContextVectors:
        present = jnp.where(self.absent(condition)[:, None], 0, condition)
        return nn.Dense(self.width)(present)[:, None], jnp.ones((len(condition), 1), bool)

    def absent(self, condition: Any) -> Any:
        return (condition != condition).all(axis=-1)  # NaN

    def missing(self, condition: jax.Array) -> jax.Array:
        return jnp.full_like(condition, jnp.nan)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_positive(size=self.size)
        check_shape("condition", condition, (batch, self.size))
        if is_concrete(condition):
            condition = np.asarray(condition)
            condition = condition[~self.absent(condition)]
        check_floats("condition", condition)
