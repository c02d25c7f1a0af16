"""Contexts: the condition y as vectors that a conditional reads."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_floats, check_integers, check_shape, is_concrete

Vectors = tuple[jax.Array, jax.Array]
"""Vectors `[batch, context_length, width]`, and which of them count `[batch, context_length]`."""


class Context(nn.Module, ABC):
    """Turns the condition y into vectors and their mask."""

    of_steps: ClassVar[bool] = False
    """Whether the condition is a step, which the head encodes before it is turned into vectors."""

    @abstractmethod
    def __call__(self, condition: Any, batch: int) -> Vectors:
        """Vectors `[batch, context_length, width]` and mask `[batch, context_length]`."""

    @abstractmethod
    def check(self, condition: Any, batch: int) -> None:
        """Raises ValueError when this is no condition for a batch of that size."""


class Nothing(Context):
    """No condition: the model is p(x)."""

    def __call__(self, condition: Any, batch: int) -> Vectors:
        return jnp.zeros((batch, 0, 1)), jnp.zeros((batch, 0), bool)

    def check(self, condition: Any, batch: int) -> None:
        if condition is not None:
            raise ValueError(
                "condition: expected None, since the model's context is Nothing(), "
                f"got {type(condition).__name__}"
            )


class FirstToken(Context):
    """The token before the first step, such as a text's mark of its beginning.

    It is shown to the conditional as the head shows those after it; a transformer with
    `context_start` has it at the start. So p(x | y) is that of a language model: y is its first
    token, which is not scored.

    Attributes:
      vocabulary: the number of symbols; conditions are `[batch, 1]` integers
        `0 ... vocabulary - 1`.
    """

    vocabulary: int

    length: ClassVar[int] = 1
    of_steps: ClassVar[bool] = True

    def __call__(self, condition: Any, batch: int) -> Vectors:
        """The encoded token `[batch, width]`, as the only vector."""
        return condition[:, None], jnp.ones((batch, 1), bool)

    def check(self, condition: Any, batch: int) -> None:
        if condition is None:
            raise ValueError("condition: expected the first token of every example, got None")
        check_shape("condition", condition, (batch, 1))
        check_integers("condition", condition, 0, self.vocabulary - 1)


class Encoder(Context, kw_only=True):
    """A learned encoding of the condition, and of its absence if that is trained.

    Attributes:
      width: size of each vector.
      dropout: how often training replaces a condition by a learned "no condition" (whenever a
        "dropout" rng is given). Above 0 a condition may be absent: None for a whole batch, or the
        value that the context names for one example. At 0 an absent condition is an error (and
        gives NaN where values cannot be looked at, inside `jit`).
    """

    width: int = 64
    dropout: float = 0.0

    @abstractmethod
    def encode(self, condition: jax.Array) -> Vectors:
        """The vectors of conditions that are there; called in a compact method."""

    @abstractmethod
    def absent(self, condition: Any) -> Any:
        """`[batch]`: for which examples there is no condition."""

    @abstractmethod
    def check_condition(self, condition: Any, batch: int) -> None:
        """Raises ValueError when the condition does not fit the encoder."""

    @nn.compact
    def __call__(self, condition: Any, batch: int) -> Vectors:
        if condition is None:
            if self.is_initializing():
                raise ValueError("condition: expected an example of it for init, got None")
            vectors, mask = jnp.zeros((batch, 1, self.width)), jnp.ones((batch, 1), bool)
            absent = jnp.ones(batch, bool)
        else:
            vectors, mask = self.encode(condition)
            absent = self.absent(condition)
        if self.dropout == 0:
            return jnp.where(absent[:, None, None], jnp.nan, vectors), mask
        null = self.param("null", nn.initializers.normal(1.0), (self.width,), jnp.float32)
        if self.has_rng("dropout"):
            absent |= jax.random.bernoulli(self.make_rng("dropout"), self.dropout, (batch,))
        first = jnp.arange(mask.shape[1]) == 0  # the null stands alone, in the first place
        vectors = jnp.where(absent[:, None, None], null, vectors)
        return vectors, jnp.where(absent[:, None], first, mask)

    def check(self, condition: Any, batch: int) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected 0 or more and less than 1, got {self.dropout}")
        if condition is not None:
            self.check_condition(condition, batch)
        if self.dropout == 0 and (
            condition is None
            or (is_concrete(condition) and self.absent(np.asarray(condition)).any())
        ):
            raise ValueError(
                "condition: expected one for every example, since this model was trained with "
                f"{type(self).__name__}(dropout=0), which knows no absence of it; got none"
            )


class ClassLabel(Encoder):
    """One class of several. An absent one is -1.

    Attributes:
      classes: how many there are; labels are `[batch]` integers `0 ... classes - 1`.
    """

    classes: int

    def encode(self, condition: jax.Array) -> Vectors:
        vectors = nn.Embed(self.classes, self.width)(jnp.maximum(condition, 0))
        return vectors[:, None], jnp.ones((len(condition), 1), bool)

    def absent(self, condition: Any) -> Any:
        return condition == -1

    def check_condition(self, condition: Any, batch: int) -> None:
        check_shape("condition", condition, (batch,))
        check_integers("condition", condition, -1 if self.dropout else 0, self.classes - 1)


class Vector(Encoder):
    """A vector of real numbers. An absent one is all NaN.

    Attributes:
      size: how many numbers; conditions are `[batch, size]`, floating point.
    """

    size: int

    def encode(self, condition: jax.Array) -> Vectors:
        present = jnp.where(self.absent(condition)[:, None], 0, condition)
        return nn.Dense(self.width)(present)[:, None], jnp.ones((len(condition), 1), bool)

    def absent(self, condition: Any) -> Any:
        return (condition != condition).all(axis=-1)  # NaN

    def check_condition(self, condition: Any, batch: int) -> None:
        check_shape("condition", condition, (batch, self.size))
        if is_concrete(condition):
            condition = np.asarray(condition)
            condition = condition[~self.absent(condition)]
        check_floats("condition", condition)


class Tokens(Encoder):
    """A sequence of symbols, e.g. a prompt; -1 pads short ones, and an absent one is all -1.

    Attributes:
      vocabulary: the number of symbols; conditions are `[batch, any length up to length]` integers
        `0 ... vocabulary - 1`, or -1.
      length: the longest sequence.
    """

    vocabulary: int
    length: int

    def encode(self, condition: jax.Array) -> Vectors:
        mask = condition >= 0
        embed = nn.Embed(self.vocabulary, self.width, name="symbols")
        places = nn.Embed(self.length, self.width, name="places")
        return embed(jnp.where(mask, condition, 0)) + places(jnp.arange(mask.shape[1])), mask

    def absent(self, condition: Any) -> Any:
        return (condition < 0).all(axis=-1)

    def check_condition(self, condition: Any, batch: int) -> None:
        check_shape("condition", condition, (batch, "length"))
        if not 1 <= condition.shape[1] <= self.length:
            raise ValueError(
                f"condition: expected 1 to {self.length} symbols, got {condition.shape[1]}"
            )
        check_integers("condition", condition, -1, self.vocabulary - 1)
