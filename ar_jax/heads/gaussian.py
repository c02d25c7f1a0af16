"""Mixtures of Gaussians over real numbers."""

from math import log, pi
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.checks import check_floats
from ar_jax.heads.base import Family, Sampler


class GaussianMixture(Family):
    """A mixture of Gaussians for each variable (as in RNADE, arXiv 1306.0186).

    Temperature T divides the log-weights of the components by T and multiplies their variances
    by T, which for one component is p^(1/T). T = 0 gives the mean of the component at which the
    mixture's density is highest. Conditionals see the number itself.

    Attributes:
      components: of the mixture; the features of a variable are their logits, means and logarithms
        of standard deviations.
    """

    components: int = 10

    @property
    def parameters(self) -> int:
        return 3 * self.components

    def encode(self, value: jax.Array) -> jax.Array:
        return value

    def log_density(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        log_weights, means, log_stds = self._mixture(parameters)
        standardised = (value[..., None] - means) * jnp.exp(-log_stds)
        log_gaussians = -0.5 * (standardised**2 + log(2 * pi)) - log_stds
        return jax.nn.logsumexp(log_weights + log_gaussians, axis=-1)

    def draw(self, parameters: jax.Array, keys: jax.Array, sampler: Sampler) -> jax.Array:
        log_weights, means, log_stds = self._mixture(parameters)
        keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
        component = sampler(keys[:, 0], log_weights)[..., None]
        mean, log_std = (
            jnp.take_along_axis(x, component, axis=-1)[..., 0] for x in (means, log_stds)
        )
        noise = jax.vmap(lambda key, x: jax.random.normal(key, x.shape, x.dtype))(keys[:, 1], mean)
        drawn = mean + jnp.exp(log_std) * jnp.sqrt(sampler.temperature) * noise
        heights = self.log_density(parameters[..., None, :], means)  # [batch, block_size, means]
        peak = jnp.argmax(heights, axis=-1, keepdims=True)
        mode = jnp.take_along_axis(means, peak, axis=-1)[..., 0]
        return jnp.where(sampler.temperature > 0, drawn, mode)

    def _mixture(self, parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Log-weights, means and logarithms of standard deviations, each `[..., components]`."""
        logits, means, log_stds = jnp.split(parameters, 3, axis=-1)
        # The bounds keep a deviation, its inverse and their squares in the range of float32.
        return jax.nn.log_softmax(logits), means, jnp.clip(log_stds, -20.0, 20.0)

    @property
    def dtype(self) -> DTypeLike:
        return jnp.result_type(float)

    def check(self, name: str, value: Any) -> None:
        check_floats(name, value)

    def check_sampler(self, sampler: Sampler) -> None:
        if sampler.truncates:
            raise ValueError(
                "sampler: expected a temperature only, since top_k, top_p and min_p cut a list of "
                f"values and GaussianMixture has none, got {sampler}"
            )
