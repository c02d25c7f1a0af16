"""A class as a condition."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import check_integers, check_positive, check_shape
from ar_jax.contexts.base import Encoder, no_integers
from ar_jax.nn.context import ContextVectors


class ClassLabel(Encoder):
    """One class of several. An absent one is -1.

    Attributes:
      classes: how many there are; labels are `[batch]` integers `0 ... classes - 1`.
    """

    classes: int

    def encode(self, condition: jax.Array) -> ContextVectors:
        vectors = nn.Embed(self.classes, self.width)(jnp.maximum(condition, 0))
        return vectors[:, None], jnp.ones((len(condition), 1), bool)

    def absent(self, condition: Any) -> Any:
        return condition < 0

    def missing(self, condition: jax.Array) -> jax.Array:
        return no_integers(condition)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_positive(classes=self.classes)
        check_shape("condition", condition, (batch,))
        check_integers("condition", condition, -1 if self.dropout else 0, self.classes - 1)
