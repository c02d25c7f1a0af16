"""An image as a condition."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_floats, check_integers, check_levels, check_shape, is_concrete
from ar_jax.contexts.base import Encoder, no_integers
from ar_jax.contexts.elements import embed
from ar_jax.nn.context import ContextVectors


class Image(Encoder):
    """An image in patches (arXiv 2010.11929), each marked by its row and its column.

    An absent one is all -1 if pixels are integers, all NaN if they are floating point.

    Attributes:
      event: height, width and channels; conditions are `[batch, *event]`, either integers
        `0 ... levels - 1` or floating point, from about -1 to 1.
      patch: height and width of a patch.
      levels: of integers, which are read as numbers evenly from -1 to 1.
    """

    event: tuple[int, int, int]
    patch: tuple[int, int]
    levels: int = 256

    def encode(self, condition: jax.Array) -> ContextVectors:
        if not jnp.issubdtype(condition.dtype, jnp.floating):
            condition = 2 * condition.astype(jnp.result_type(float)) / (self.levels - 1) - 1
        (height, width, _), (tall, wide) = self.event, self.patch
        rows, columns = height // tall, width // wide
        patches = condition.reshape(len(condition), rows, tall, columns, wide, -1).swapaxes(2, 3)
        patches = patches.reshape(len(condition), rows * columns, -1)
        row = nn.Embed(rows, self.width, name="rows")(jnp.arange(rows))
        column = nn.Embed(columns, self.width, name="columns")(jnp.arange(columns))
        places = (row[:, None] + column).reshape(rows * columns, -1)
        return embed(patches, places, self.width), jnp.ones(patches.shape[:2], bool)

    def absent(self, condition: Any) -> Any:
        return ((condition < 0) if _whole(condition) else (condition != condition)).all((1, 2, 3))

    def missing(self, condition: jax.Array) -> jax.Array:
        return no_integers(condition) if _whole(condition) else jnp.full_like(condition, jnp.nan)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_levels(self.levels)
        sides = zip(self.event, self.patch, strict=False)
        if any(part < 1 or whole % part for whole, part in sides):
            raise ValueError(f"patch: expected sides that divide {self.event}, got {self.patch}")
        check_shape("condition", condition, (batch, *self.event))
        if is_concrete(condition):
            condition = np.asarray(condition)
            condition = condition[~self.absent(condition)]
        if _whole(condition):
            check_integers("condition", condition, 0, self.levels - 1)
        else:
            check_floats("condition", condition)


def _whole(condition: Any) -> bool:
    return jnp.issubdtype(condition.dtype, jnp.integer) or condition.dtype == jnp.bool_
