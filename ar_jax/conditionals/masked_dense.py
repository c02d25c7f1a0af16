"""Masked dense layers: units that listen only to the steps up to their degree.

The *degree* of a source or unit is the number of steps that it may see: the context has degree 0,
step s degree s + 1, the features of step t degree t. Weights belong to the cells of the event, so
that one set of them serves every ordering.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Context, pool
from ar_jax.orderings import Ordering


class MaskedDense(NamedTuple):
    """A dense layer whose units listen to sources of at most their own degree."""

    kernel: jax.Array  # [units, sources]
    bias: jax.Array  # [units]
    units: np.ndarray  # [units], degrees
    sources: np.ndarray  # [sources], degrees

    def __call__(self, x: jax.Array, rows: Any = slice(None)) -> jax.Array:
        """`[batch, sources]` -> `[batch, rows]`, the units asked for."""
        mask = jnp.asarray(self.sources) <= jnp.asarray(self.units)[rows, None]
        return x @ jnp.where(mask, self.kernel[rows], 0).T + self.bias[rows]


def masked_dense(
    module: nn.Module, name: str, units: np.ndarray, sources: np.ndarray
) -> MaskedDense:
    """A layer whose parameters belong to the module, between units and sources of those degrees."""
    kernel = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    return MaskedDense(
        module.param(f"{name}_kernel", kernel, (len(units), len(sources)), jnp.float32),
        module.param(f"{name}_bias", nn.initializers.zeros, (len(units),), jnp.float32),
        units,
        sources,
    )


class Inputs(NamedTuple):
    """The context, and the steps so far, each at its cell of the event."""

    context: jax.Array  # [batch, width of the context]
    steps: jax.Array  # [batch, length, width]

    @classmethod
    def empty(cls, blank: jax.Array, ordering: Ordering, context: Context) -> "Inputs":
        """Those before the first step; `blank` `[batch, width]` is any step."""
        batch, width = blank.shape
        return cls(pool(context), jnp.zeros((batch, ordering.length, width), blank.dtype))

    def extend(self, previous: jax.Array, t: Any, ordering: Ordering) -> "Inputs":
        """With steps t - 1 ... t + k - 2, `[batch, k, width]`; at t = 0 the first is ignored."""
        # At 0 it goes last, into a cell that is set again before anyone looks there.
        previous = jnp.where(t == 0, jnp.roll(previous, -1, axis=1), previous)
        slots = jnp.maximum(t - 1, 0) + jnp.arange(previous.shape[1])
        cells = jnp.asarray(ordering.order)[slots]
        return self._replace(steps=self.steps.at[:, cells].set(previous))

    def flat(self) -> jax.Array:
        """`[batch, sources]`."""
        return jnp.concatenate([self.context, self.steps.reshape(len(self.steps), -1)], axis=-1)

    def degrees(self, ordering: Ordering) -> np.ndarray:
        """`[sources]`."""
        of_steps = 1 + np.argsort(ordering.order).repeat(self.steps.shape[-1])
        return np.concatenate([np.zeros(self.context.shape[-1], int), of_steps])


def readout(
    module: nn.Module, x: jax.Array, sources: np.ndarray, t: Any, k: int, ordering: Ordering,
    features: int,
) -> jax.Array:  # fmt: skip
    """The last layer: the features of steps t ... t + k - 1.

    Args:
      module: whose parameters these are.
      x: `[batch, sources]`.
      sources: their degrees.
      t: the first step.
      k: how many steps.
      ordering: of the steps.
      features: how many at each step.

    Returns:
      `[batch, k, features]`.
    """
    degrees = np.argsort(ordering.order).repeat(features)
    layer = masked_dense(module, "readout", degrees, sources)
    if k == ordering.length:  # all at once: the weights stay where they are
        return layer(x).reshape(-1, k, features)[:, ordering.order]
    cells = jnp.asarray(ordering.order)[t + jnp.arange(k)]
    rows = (cells[:, None] * features + jnp.arange(features)).ravel()
    return layer(x, rows).reshape(-1, k, features)
