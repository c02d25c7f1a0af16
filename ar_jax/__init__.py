"""ar_jax: deep autoregressive generative models in JAX."""

from ar_jax import conditionals, contexts, flows, heads, orderings
from ar_jax.decoding import Sampler
from ar_jax.ensemble import Ensemble
from ar_jax.model import AutoregressiveModel, sample, stream

__all__ = [
    "AutoregressiveModel",
    "Ensemble",
    "Sampler",
    "conditionals",
    "contexts",
    "flows",
    "heads",
    "orderings",
    "sample",
    "stream",
]
