"""How a layer reads the condition: the vectors that a context made of it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

ContextVectors = tuple[jax.Array, jax.Array]
"""Vectors `[batch, context_length, width]`, and which of them count `[batch, context_length]`."""


class ContextBias(nn.Module):
    """What the context adds to a layer: a linear map of its mean, 0 where there is none.

    Attributes:
      features: of the layer.
    """

    features: int

    @nn.compact
    def __call__(self, context: ContextVectors) -> jax.Array:
        """`[batch, features]`."""
        pooled = pool(context)
        if pooled.shape[1] == 0:
            return jnp.zeros((len(pooled), self.features), pooled.dtype)
        return nn.Dense(self.features, use_bias=False)(pooled)


def pool(context: ContextVectors) -> jax.Array:
    """The mean of the vectors that count `[batch, width]`; of width 0 if there is no context."""
    vectors, mask = context
    if vectors.shape[1] == 0:
        return vectors.reshape(len(vectors), 0)
    count = jnp.maximum(mask.sum(axis=1, keepdims=True), 1)
    return jnp.where(mask[..., None], vectors, 0).sum(axis=1) / count
