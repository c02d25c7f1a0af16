"""A density of any shape over a real number, by a monotone spline."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.checks import check_positive
from ar_jax.heads.base import Family, ValueSampler
from ar_jax.heads.mixture import LOG_SCALE, check_untruncated
from ar_jax.heads.support import Reals, Support
from ar_jax.math.splines import inverse_rational_quadratic, knots_of, rational_quadratic


class NeuralSpline(Family):
    """A real number whose image under a monotone rational-quadratic spline is logistic.

        u = spline((x - m) / s),   P(x < a) = sigmoid(u(a)),   p(x) = sigmoid'(u) du/dx

    The spline (Neural Spline Flows, arXiv 1906.04032) bends -bound ... bound to itself and leaves
    the rest, so that the tails are logistic. The quantile function, its inverse, is exact:
    a draw is the quantile of a uniform number. Temperature T multiplies u by the root of T, towards
    the median; T = 0 gives where the density is highest, to a 32nd of a bin's height in u.
    Conditionals see the number itself.

    Attributes:
      bins: of the spline; the features of a variable are m, log s, and the logarithms of widths, of
        heights and of inner slopes, up to what `ar_jax.math.splines` makes of them.
      bound: where the spline ends, in units of s.
    """

    bins: int = 8
    bound: float = 6.0

    @property
    def parameters(self) -> int:
        return 2 + 3 * self.bins - 1

    def encode(self, value: jax.Array) -> jax.Array:
        return value

    def log_density(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        mean, log_scale, spline = _parts(parameters)
        z = (value - mean) * jnp.exp(-log_scale)
        u, log_slope = rational_quadratic(z, spline, self.bound)
        return jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u) + log_slope - log_scale

    def draw(
        self, parameters: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        mean, log_scale, spline = _parts(parameters)
        u = jax.vmap(lambda key, x: jax.random.logistic(key, x.shape, x.dtype))(keys, mean)
        temperature = jnp.asarray(sampler.temperature, u.dtype)
        u *= jnp.sqrt(temperature)
        z = jax.lax.cond(
            temperature > 0,
            lambda: inverse_rational_quadratic(u, spline, self.bound)[0],
            lambda: self._mode(spline),
        )
        value = mean + jnp.exp(log_scale) * z
        return value, self.log_density(parameters, value)

    def _mode(self, spline: jax.Array) -> jax.Array:
        """Where the standard density is highest, which the spline's bounds enclose: `[...]`."""
        edges = knots_of(spline, self.bound).y
        inner = edges[..., :-1, None] + jnp.diff(edges)[..., None] * jnp.arange(32) / 32
        u = jnp.concatenate([inner.reshape(*spline.shape[:-1], -1), edges[..., -1:]], axis=-1)
        z, log_slope = inverse_rational_quadratic(u, spline[..., None, :], self.bound)
        height = jax.nn.log_sigmoid(u) + jax.nn.log_sigmoid(-u) - log_slope
        highest = jnp.argmax(height, axis=-1, keepdims=True)
        return jnp.take_along_axis(z, highest, axis=-1)[..., 0]

    @property
    def dtype(self) -> DTypeLike:
        return jnp.result_type(float)

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Reals(),) * block_size

    def check_block(self, block_size: int) -> None:
        check_positive(bins=self.bins)
        if not 0 < self.bound < math.inf:
            raise ValueError(f"bound: expected above 0 and finite, got {self.bound}")

    def check_sampler(self, sampler: ValueSampler) -> None:
        check_untruncated(self, sampler)


def _parts(parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mean and logarithm of the scale, each `[...]`, and the spline's `[..., 3 bins - 1]`."""
    log_scale = jnp.clip(parameters[..., 1], -LOG_SCALE, LOG_SCALE)
    return parameters[..., 0], log_scale, parameters[..., 2:]
