"""The base of contexts: the condition y as vectors that a conditional reads."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import NoneType
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_fractions, check_positive, is_concrete
from ar_jax.nn.context import ContextVectors

Condition = jax.Array | np.ndarray | tuple["Condition", ...] | None
"""y: an array `[batch, ...]`, a tuple of several conditions, or None where there is none."""


def map_condition(function: Callable[[Any], Any], condition: Any) -> Any:
    """The function of each array of a condition."""
    return jax.tree.map(function, condition, is_leaf=lambda y: not isinstance(y, tuple | NoneType))


def count_of(condition: Any) -> int | None:
    """For how many examples this is the condition; None where it does not tell."""
    counts = jax.tree.leaves(map_condition(lambda y: (*np.shape(y), 1)[0], condition))
    return counts[0] if counts else None


def no_integers(condition: jax.Array) -> jax.Array:
    """-1 in place of each integer, which those without a sign could not hold."""
    return jnp.full(condition.shape, -1, jnp.int32)


class Context(nn.Module, ABC):
    """Turns the condition y into vectors and their mask."""

    of_steps: ClassVar[bool] = False
    """Whether the condition is a step, which the head encodes before it is turned into vectors."""

    @abstractmethod
    def __call__(self, condition: Any, batch: int) -> ContextVectors:
        """Vectors `[batch, context_length, width]` and mask `[batch, context_length]`."""

    @abstractmethod
    def check(self, condition: Any, batch: int) -> None:
        """Raises ValueError when this is no condition for a batch of that size."""

    def missing(self, condition: Any) -> Any:
        """What stands for the absence of a condition, as many as these; raises where nothing."""
        raise ValueError(
            f"guidance: expected a context that knows the absence of a condition, got {self}"
        )


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
    def encode(self, condition: jax.Array) -> ContextVectors:
        """The vectors of conditions that are there; called in a compact method."""

    @abstractmethod
    def absent(self, condition: Any) -> Any:
        """`[batch]`: for which examples there is no condition."""

    @abstractmethod
    def missing(self, condition: jax.Array) -> jax.Array: ...

    @abstractmethod
    def check_condition(self, condition: Any, batch: int) -> None:
        """Raises ValueError when the condition does not fit the encoder."""

    @nn.compact
    def __call__(self, condition: Any, batch: int) -> ContextVectors:
        if condition is None:
            if self.is_initializing():
                raise ValueError("condition: expected an example of it for init, got None")
            vectors, mask = jnp.zeros((batch, 1, self.width)), jnp.ones((batch, 1), bool)
            absent = jnp.ones(batch, bool)
        else:
            vectors, mask = self.encode(condition)
            absent = self.absent(condition)
        if self.dropout == 0:
            return jnp.where(absent[:, None, None], jnp.nan, vectors), mask | absent[:, None]
        null = self.param("null", nn.initializers.normal(1.0), (self.width,), jnp.float32)
        if self.has_rng("dropout"):
            absent |= jax.random.bernoulli(self.make_rng("dropout"), self.dropout, (batch,))
        first = jnp.arange(mask.shape[1]) == 0  # the null stands alone, in the first place
        vectors = jnp.where(absent[:, None, None], null, vectors)
        return vectors, jnp.where(absent[:, None], first, mask)

    def check(self, condition: Any, batch: int) -> None:
        check_positive(width=self.width)
        check_fractions(dropout=self.dropout)
        if isinstance(condition, tuple):
            raise ValueError(
                f"condition: expected one for {type(self).__name__}, got a tuple of "
                f"{len(condition)}; contexts.Several takes several"
            )
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
