"""Mixtures of von Mises densities over angles."""

from math import log, pi

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.heads.mixture import Mixture
from ar_jax.heads.support import Reals, Support

_State = tuple[jax.Array, jax.Array, jax.Array]
"""State of the rejection sampler: the next key, the proposal, and whether it is accepted."""


class VonMisesMixture(Mixture):
    """A mixture of von Mises densities, exp(c cos(x - m)) / (2 pi I_0(c)), over -pi ... pi radians.

    Draws are exact to the rounding of floats: a Gaussian that lies above the density, and rejection
    until each is accepted. A component at temperature T has the concentration c / T, its density to
    the power 1 / T. Conditionals see cosine and sine. The features of a group are the components'
    logits, means m, which may be any number of turns away, and logarithms of concentrations.
    """

    @property
    def num_component_params(self) -> int:
        return 2 * self.group

    def encode(self, value: jax.Array) -> jax.Array:
        return jnp.concatenate([jnp.cos(value), jnp.sin(value)], axis=-1)

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        inside = Reals(-pi, pi).holds(value).all(axis=-1)
        return jnp.where(inside, super().log_prob(features, value), -jnp.inf)

    def log_component(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        mean, log_concentration = self._parts(parameters)
        # cos(x) - 1 = -2 sin(x / 2)^2, which does not cancel where the concentration is large.
        below = 2 * jnp.exp(log_concentration) * jnp.sin((value - mean) / 2) ** 2
        return -(below + log(2 * pi) + _log_scaled_bessel(log_concentration)).sum(axis=-1)

    def draw_component(
        self, parameters: jax.Array, key: jax.Array, temperature: jax.Array
    ) -> jax.Array:
        mean, log_concentration = self._parts(parameters)
        # From 1e-12 on, where the density is flat: of 0 the Gaussian would be infinitely wide.
        concentration = jnp.maximum(jnp.exp(log_concentration) / temperature, 1e-12)
        # |sin(x / 2)| >= |x| / pi: the Gaussian exp(-2 c x^2 / pi^2) lies above exp(-2 c sin^2).
        scale = pi / 2 / jnp.sqrt(concentration)

        def propose(state: _State) -> _State:
            key, angle, accepted = state
            key, gaussian, uniform = jax.random.split(key, 3)
            proposed = scale * jax.random.truncated_normal(gaussian, -pi / scale, pi / scale)
            excess = jnp.sin(proposed / 2) ** 2 - (proposed / pi) ** 2  # at least 0
            chance = jnp.exp(-2 * concentration * excess)
            unlucky = jax.random.uniform(uniform, chance.shape, chance.dtype) >= chance
            return key, jnp.where(accepted, angle, proposed), accepted | ~unlucky  # NaN is accepted

        start = key, jnp.zeros_like(mean), jnp.zeros(mean.shape, bool)
        _, angle, _ = jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)
        return _wrap(mean + angle)

    def peak(self, parameters: jax.Array) -> jax.Array:
        return _wrap(super().peak(parameters))

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Reals(-pi, pi),) * block_size

    def _parts(self, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and logarithm of the concentration, each `[..., group]`."""
        mean, log_concentration = jnp.split(parameters, 2, axis=-1)
        return mean, jnp.clip(log_concentration, -20.0, 35.0)  # deviations down to 2.5e-8


def _wrap(angle: jax.Array) -> jax.Array:
    turns = jnp.round(angle / (2 * pi))  # none of an angle within a turn, which stays as it is
    return jnp.clip(angle - 2 * pi * turns, -pi, pi)


def _log_scaled_bessel(log_x: jax.Array) -> jax.Array:
    """log(I_0(x) exp(-x)); far out by its asymptotic series, as its derivative cancels there."""
    far = log_x > log(50)
    near = jnp.exp(jnp.where(far, 0, log_x))
    inverse = jnp.exp(-jnp.where(far, log_x, log(50)))
    terms = np.cumprod([(2 * k - 1) ** 2 / (8 * k) for k in range(1, 9)])
    series = inverse * jnp.polyval(jnp.asarray(terms[::-1], log_x.dtype), inverse)
    asymptotic = jnp.log1p(series) - 0.5 * (log(2 * pi) + log_x)
    return jnp.where(far, asymptotic, jnp.log(jax.scipy.special.i0e(near)))
