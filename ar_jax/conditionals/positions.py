"""Positions: how a transformer knows where a step is."""

from abc import ABC, abstractmethod

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.orderings import Ordering


class Positions(nn.Module, ABC):
    """Marks the slots of a sequence by the coordinates of the step that each predicts."""

    @abstractmethod
    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        """Marks the embedded slots t `[slots]`: `[batch, slots, width]` -> the same."""

    @abstractmethod
    def rotate(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        """Turns queries or keys `[batch, heads, slots, features]` of slots t `[slots]`."""


class Learned(Positions):
    """A learned vector for each place of the event (GPT-2)."""

    @nn.compact
    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        shape = (ordering.length, x.shape[-1])
        table = self.param("table", nn.initializers.normal(0.02), shape, jnp.float32)
        return x + table[jnp.asarray(ordering.order)[t]]

    def rotate(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        return x


class Rotary(Positions):
    """Turns pairs of features by angles that grow with the coordinates (arXiv 2104.09864).

    The pairs are shared out among the event's axes that have more than one cell, so that attention
    depends on distances along each axis.

    Attributes:
      base: of the geometric series of wavelengths.
    """

    base: float = 10_000.0

    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        return x

    def rotate(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        pairs = x.shape[-1] // 2
        axes = [axis for axis, cells in enumerate(ordering.cells) if cells > 1] or [0]
        if pairs < len(axes):
            raise ValueError(
                f"heads: expected at least {2 * len(axes)} features in each, two for each axis of "
                f"the event {ordering.event}, got {x.shape[-1]}"
            )
        axis_of_pair = np.array(axes)[np.arange(pairs) * len(axes) // pairs]
        place = np.concatenate([np.arange(n) for n in np.bincount(axis_of_pair) if n])
        count = np.bincount(axis_of_pair)[axis_of_pair]
        frequency = self.base ** -(place / count)
        coordinates = jnp.asarray(ordering.coordinates)[t]  # [slots, axes]
        angle = coordinates[:, axis_of_pair] * frequency  # [slots, pairs]
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        first, second = x[..., :pairs], x[..., pairs:]
        turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
        return turned.astype(x.dtype)
