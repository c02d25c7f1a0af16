"""What all networks over sequences share."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Cache = Any
"""A pytree of arrays that a conditional carries from step to step while decoding."""


def shift(x: jax.Array) -> jax.Array:
    """One step later, zeros first: `[batch, length, ...]` -> the same."""
    return jnp.roll(x, 1, axis=1).at[:, 0].set(jnp.zeros_like(x[:, 0]))


def dense_2d(dense: nn.Dense, x: jax.Array) -> jax.Array:
    """A dense layer on `[batch, slots, features]` as one product over all slots: faster on CPU."""
    return dense(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def lookup(table: np.ndarray, t: Any) -> Any:
    """`table[t]`: a constant for a Python integer, so that branches on it fold away."""
    return table[t] if isinstance(t, int) else jnp.asarray(table)[t]
