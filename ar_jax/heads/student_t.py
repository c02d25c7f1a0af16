"""Mixtures of Student's t over real numbers."""

from math import log, pi

import jax
import jax.numpy as jnp

from ar_jax.heads.mixture import LocationScaleMixture
from ar_jax.math.splines import squash


class StudentTMixture(LocationScaleMixture):
    """A mixture of Student's t: densities whose tails fall as a power, for data with outliers.

    Temperature multiplies the squares of the scales. The features of a group are the components'
    logits, means, logarithms of scales, and what `squash` takes to the logarithms of degrees of
    freedom: 20 of a feature of 0, and between 0.6 and 665 of any.
    """

    @property
    def shapes(self) -> int:
        return 1

    def log_standard(self, z: jax.Array, shape: jax.Array) -> jax.Array:
        log_freedom = _log_freedom(shape)
        half = jnp.exp(log_freedom) / 2
        # Gamma(half + 1/2) / Gamma(half) and (1 + z^2 / freedom)^-(half + 1/2), each by logarithms.
        far = jnp.log1p(z**2 * jnp.exp(-log_freedom))
        return _log_gamma_ratio(half) - (half + 0.5) * far - 0.5 * (log_freedom + log(pi))

    def draw_standard(self, key: jax.Array, shape: jax.Array) -> jax.Array:
        return jax.random.t(key, jnp.exp(_log_freedom(shape)), dtype=shape.dtype)


def _log_freedom(shape: jax.Array) -> jax.Array:
    return 3 + squash(shape, 3.5)


def _log_gamma_ratio(x: jax.Array) -> jax.Array:
    """log Gamma(x + 1/2) - log Gamma(x), whose terms nearly cancel where x is large."""
    large = x > 16
    small = jnp.where(large, 1, x)
    inverse = 1 / jnp.where(large, x, 16)
    square = inverse**2
    series = inverse * (-1 / 8 + square * (1 / 192 - square * (1 / 640 - square * 17 / 14336)))
    direct = jax.lax.lgamma(small + 0.5) - jax.lax.lgamma(small)
    return jnp.where(large, -0.5 * jnp.log(inverse) + series, direct)
