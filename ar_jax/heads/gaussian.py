"""Mixtures of Gaussians over real numbers."""

from math import log, pi

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.heads.mixture import LOG_SCALE, LocationScaleMixture, Mixture


class GaussianMixture(LocationScaleMixture):
    """A mixture of Gaussians (as in RNADE, arXiv 1306.0186), within a component independent.

    Temperature multiplies the variances. The features of a group are the components' logits, then
    their means, then the logarithms of their standard deviations.
    """

    @property
    def shapes(self) -> int:
        return 0

    def log_standard(self, z: jax.Array, shape: jax.Array) -> jax.Array:
        return -0.5 * (z**2 + log(2 * pi))

    def draw_standard(self, key: jax.Array, shape: jax.Array) -> jax.Array:
        return jax.random.normal(key, (len(shape), self.group), shape.dtype)


class MultivariateGaussianMixture(Mixture):
    """A mixture of Gaussians over a group of variables, with a full covariance each.

    A component standardises its variables one after the other,

        z_i = (x_i - m_i + sum_{j < i} a_ij (x_j - m_j)) / s_i,   z ~ N(0, 1),

    so that its inverse covariance is A' diag(1 / s^2) A with A unit lower triangular, a Cholesky
    factorisation: any covariance has exactly one such m, a, s, and any numbers are one. Temperature
    multiplies the covariance. The features of a group are the components' logits, means, logarithms
    of s, and a row by row.
    """

    @property
    def num_component_params(self) -> int:
        return 2 * self.group + self.group * (self.group - 1) // 2

    def log_component(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        mean, log_scale, factor = self._parts(parameters)
        z = jnp.einsum("...ij,...j->...i", factor, value - mean) * jnp.exp(-log_scale)
        return (-0.5 * (z**2 + log(2 * pi)) - log_scale).sum(axis=-1)

    def draw_component(
        self, parameters: jax.Array, key: jax.Array, temperature: jax.Array
    ) -> jax.Array:
        mean, log_scale, factor = self._parts(parameters)
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        scaled = jnp.exp(log_scale) * jnp.sqrt(temperature) * noise
        solved = jax.scipy.linalg.solve_triangular(
            factor, scaled[..., None], lower=True, unit_diagonal=True
        )
        return mean + solved[..., 0]

    def _parts(self, parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Mean `[..., group]`, logarithm of s `[..., group]`, and A `[..., group, group]`."""
        n = self.group
        mean, log_scale, below = jnp.split(parameters, [n, 2 * n], axis=-1)
        factor = jnp.zeros((*mean.shape, n), mean.dtype).at[..., *np.tril_indices(n, -1)].set(below)
        return mean, jnp.clip(log_scale, -LOG_SCALE, LOG_SCALE), factor + jnp.eye(n)
