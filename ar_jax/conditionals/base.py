"""Conditionals: the network that computes the features of each step from the steps before it."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.nn.context import ContextVectors
from ar_jax.nn.sequence import Cache, shift
from ar_jax.orderings import Ordering


class Conditional(nn.Module, ABC):
    """Sequence of encoded steps and context -> features, those at t from the steps before t.

    A new conditional needs only `__call__`: the inherited cache keeps the steps so far and computes
    everything anew at each step. The ordering and the number of features are static arguments.
    """

    follows_graphs: ClassVar[bool] = False
    """Whether it reads of a `Graph` the parents of a cell only; most read all earlier steps."""

    @abstractmethod
    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: ContextVectors, features: int
    ) -> jax.Array:
        """All steps in parallel.

        Args:
          steps: `[batch, length, inputs]`, the encoded steps, not shifted.
          ordering: of the steps, with their coordinates.
          context: vectors and mask that every step may read, the first too.
          features: how many the head reads at each step.

        Returns:
          `[batch, length, features]`.
        """

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        """The cache before the first step, with whatever needs the context only.

        Args:
          template: `[batch, inputs]`, any encoded step, which gives shape and dtype, not values.
          ordering: of the steps.
          context: vectors and mask.
        """
        batch, inputs = template.shape
        return jnp.zeros((batch, ordering.length, inputs), template.dtype), context

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        """The features of one step.

        Args:
          cache: after the steps before t.
          previous: `[batch, inputs]`, the encoded step at t - 1; ignored at t = 0.
          t: which step, a traced scalar or a Python integer.
          ordering: of the steps.
          features: how many the head reads.

        Returns:
          The cache after step t, and features `[batch, features]`.
        """
        steps, context = cache
        steps = steps.at[:, jnp.maximum(t - 1, 0)].set(previous)  # at 0: set again at 1
        return (steps, context), self(steps, ordering, context, features)[:, t]

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        """The features of steps t ... t + k - 1 at once: the same as k calls of `step`.

        Args:
          cache: after the steps before t.
          previous: `[batch, k, inputs]`, the encoded steps t - 1 ... t + k - 2.
          t: the first of the steps; at 0 this is prefill.
          ordering: of the steps.
          features: how many the head reads.

        Returns:
          The cache after step t + k - 1, and features `[batch, k, features]`.
        """
        module, parameters = self.unbind()

        def body(cache: Cache, inputs: tuple[jax.Array, jax.Array]) -> Any:
            previous, t = inputs
            return module.apply(parameters, cache, previous, t, ordering, features, method="step")

        times = t + jnp.arange(previous.shape[1])
        cache, out = jax.lax.scan(body, cache, (previous.swapaxes(0, 1), times))
        return cache, out.swapaxes(0, 1)

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        """`[count, count]` booleans: whether the features of a cell (row) depend on one (column).

        Cells are in the order of visits: step t visits the t-th, but in a `Graph`.

        By default all that came before:

          t=0  . . . .
          t=1  x . . .
          t=2  x x . .
          t=3  x x x .
        """
        return ordering.causal_mask

    def context_dependency_mask(self, ordering: Ordering, context_length: int) -> np.ndarray:
        """`[count, context_length]` booleans: which vectors of the context the features depend on.

        By default all, for each cell.
        """
        return np.ones((ordering.count, context_length), bool)

    def check(self, ordering: Ordering) -> None:
        """Raises ValueError for what the conditional asks of itself and of the ordering."""

    @nn.compact
    def readout(self, x: jax.Array, features: int) -> jax.Array:
        """The last layer: `[..., channels]` -> `[..., features]`."""
        return nn.Dense(features, name="readout")(x)


class SequenceConditional(Conditional):
    """One whose scoring is prefill: `extend` over all steps, from an empty cache."""

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: ContextVectors, features: int
    ) -> jax.Array:
        cache = self.init_cache(steps[:, 0], ordering, context)
        return self.extend(cache, shift(steps), 0, ordering, features)[1]

    @abstractmethod
    def init_cache(
        self, template: jax.Array, ordering: Ordering, context: ContextVectors
    ) -> Cache: ...

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        cache, out = self.extend(cache, previous[:, None], t, ordering, features)
        return cache, out[:, 0]

    @abstractmethod
    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]: ...


def check_follows(conditional: Conditional, ordering: Ordering) -> None:
    """Raises ValueError when the conditional cannot follow the ordering."""
    if not ordering.is_sequential and not conditional.follows_graphs:
        raise ValueError(
            f"ordering: {type(conditional).__name__} reads all earlier steps, where a Graph asks "
            "for masked dense layers (MADE, FVSBN)"
        )
    conditional.check(ordering)


def image_grid(conditional: Conditional, ordering: Ordering, channels: int = 1) -> tuple[int, int]:
    """Height and width of the image that the steps fill row by row.

    Args:
      conditional: who asks.
      ordering: of the steps.
      channels: the most steps to a place that it can follow.

    Raises:
      ValueError: when the ordering is another one.
    """
    if ordering.grid is None or ordering.channels > channels:
        raise ValueError(
            f"ordering: {type(conditional).__name__} follows an ordering whose steps form an image "
            "row by row (Raster, Reversed or ColumnMajor over an event (height, width, ...)"
            + (" with a block that covers the channels" if channels == 1 else "")
            + f"), got {ordering}"
        )
    return ordering.grid
