"""Precision of floating-point computations."""

import jax
import jax.numpy as jnp


def at_least_float32(x: jax.Array) -> jax.Array:
    """Casts half precision to float32, for likelihoods and recurrences; wider dtypes stay."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
