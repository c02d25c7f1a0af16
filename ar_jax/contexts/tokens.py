"""A sequence of symbols as a condition, such as a text prompt."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_integers, check_positive, check_shape, is_concrete
from ar_jax.contexts.base import Encoder, no_integers
from ar_jax.nn.context import ContextVectors


class Tokens(Encoder):
    """A sequence of symbols, e.g. a prompt; -1 pads short ones at the end; an absent one is all -1.

    Attributes:
      vocabulary: the number of symbols; conditions are `[batch, any length up to length]` integers
        `0 ... vocabulary - 1`, or -1.
      length: the longest sequence.
    """

    vocabulary: int
    length: int

    def encode(self, condition: jax.Array) -> ContextVectors:
        mask = condition >= 0
        embed = nn.Embed(self.vocabulary, self.width, name="symbols")
        places = nn.Embed(self.length, self.width, name="places")
        return embed(jnp.where(mask, condition, 0)) + places(jnp.arange(mask.shape[1])), mask

    def absent(self, condition: Any) -> Any:
        return (condition < 0).all(axis=-1)

    def missing(self, condition: jax.Array) -> jax.Array:
        return no_integers(condition)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_positive(vocabulary=self.vocabulary, length=self.length)
        check_shape("condition", condition, (batch, "length"))
        if not 1 <= np.shape(condition)[1] <= self.length:
            raise ValueError(
                f"condition: expected 1 to {self.length} symbols, got {np.shape(condition)[1]}"
            )
        check_integers("condition", condition, -1, self.vocabulary - 1)
        if is_concrete(condition):
            padding = np.asarray(condition) < 0
            hole = (padding[:, :-1] & ~padding[:, 1:]).any(axis=1)
            if hole.any():
                raise ValueError(
                    f"condition: expected -1 after the last symbol only, got it before one in row "
                    f"{hole.argmax()}; move the symbols to the front"
                )
