"""What contexts of several elements share: patches of an image, rows of a series or of a set."""

from abc import abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_floats, check_positive, check_shape, is_concrete
from ar_jax.contexts.base import Encoder
from ar_jax.nn.context import ContextVectors


def embed(elements: jax.Array, places: jax.Array | float, width: int) -> jax.Array:
    """A vector for each element, by a network of one hidden layer.

    Many conditionals read the mean of the vectors: of linear ones it would be the mean element,
    whereas functions of elements can tell any two sets apart by it (Deep Sets, arXiv 1703.06114).

    Args:
      elements: `[batch, elements, numbers]`.
      places: `[elements, width]`, what tells where an element stands; 0 if that does not matter.
      width: size of the vectors.

    Returns:
      `[batch, elements, width]`.
    """
    hidden = nn.gelu(nn.Dense(width, name="elements")(elements) + places)
    return nn.Dense(width, name="vectors")(hidden)


class Rows(Encoder):
    """Up to so many rows of real numbers. An absent condition is all NaN.

    A row that is all NaN does not count, as after the end of a short condition, and as if it were
    not there but for the places of others; NaN in place of some of its numbers says that they are
    unknown.

    Attributes:
      size: how many numbers a row has; conditions are `[batch, any count up to length, size]`,
        floating point.
      length: the largest count of rows.
    """

    size: int
    length: int

    @abstractmethod
    def places(self, count: int) -> jax.Array | float:
        """What marks the rows by their number, `[count, width]`; called in a compact method."""

    def encode(self, condition: jax.Array) -> ContextVectors:
        known = ~jnp.isnan(condition)
        numbers = jnp.concatenate([jnp.where(known, condition, 0), known], axis=-1)
        places = self.places(condition.shape[1])
        return embed(numbers, places, self.width), known.any(axis=-1)

    def absent(self, condition: Any) -> Any:
        return (condition != condition).all(axis=(1, 2))  # NaN

    def missing(self, condition: jax.Array) -> jax.Array:
        return jnp.full_like(condition, jnp.nan)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_positive(size=self.size, length=self.length)
        check_shape("condition", condition, (batch, "rows", self.size))
        if not 1 <= np.shape(condition)[1] <= self.length:
            raise ValueError(
                f"condition: expected 1 to {self.length} rows, got {np.shape(condition)[1]}"
            )
        if is_concrete(condition):
            condition = np.asarray(condition)
            condition = condition[condition == condition]
        check_floats("condition", condition)
