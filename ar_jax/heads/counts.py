"""Families of counts: integers from 0 on, without end."""

from abc import abstractmethod
from math import log, pi

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.heads.base import Family, ValueSampler
from ar_jax.heads.mixture import check_untruncated
from ar_jax.heads.support import Integers, Support

LARGEST = Integers().largest

_State = tuple[jax.Array, jax.Array, jax.Array]
"""State of the rejection sampler: the next key, the proposal, and whether it is accepted."""


class Counts(Family):
    """A family over 0, 1, 2, ...

    There is no list of values that a sampler could weigh anew. At temperature 1 draws are exact. At
    temperature T such a draw, spread evenly over the unit around it, has its distance from the most
    likely count multiplied by the root of T, is rounded, and is 0 if that is below: close to
    p^(1/T) where p is close to a broad Gaussian, and another distribution elsewhere. T = 0 gives
    the most likely count. Conditionals see log(1 + count). Where features are cut, their gradients
    are zero.
    """

    @abstractmethod
    def draw_exactly(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        """Draws whole numbers: `[..., parameters]` -> `[...]`, floating point."""

    @abstractmethod
    def mode(self, parameters: jax.Array) -> jax.Array:
        """The most likely count: `[..., parameters]` -> `[...]`, floating point."""

    def encode(self, value: jax.Array) -> jax.Array:
        possible = jnp.maximum(value, 0)  # log_prob tells of the others
        return jnp.log1p(possible.astype(jnp.result_type(float)))

    def draw(
        self, parameters: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
        drawn, mode = jax.vmap(self.draw_exactly)(parameters, keys[:, 0]), self.mode(parameters)
        shape, dtype = drawn.shape[1:], drawn.dtype
        spread = jax.vmap(lambda key: jax.random.uniform(key, shape, dtype, -0.5, 0.5))(keys[:, 1])
        temperature = jnp.asarray(sampler.temperature, dtype)
        stretched = mode + jnp.round(jnp.sqrt(temperature) * (drawn - mode + spread))
        count = jnp.where(temperature == 1, drawn, stretched)
        # float32 has no LARGEST: of what is too large for int32, the largest that it has below.
        count = jnp.clip(count, 0, LARGEST - 127).astype(jnp.int32)
        return count, self.log_density(parameters, count)

    @property
    def dtype(self) -> DTypeLike:
        return jnp.int32

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(),) * block_size

    def check_sampler(self, sampler: ValueSampler) -> None:
        check_untruncated(self, sampler)


class Poisson(Counts):
    """Counts whose variance is their mean; the feature is the logarithm of both, cut to -20 ... 16.

    Draws are exact to the rounding of floats, by rejection.
    """

    @property
    def parameters(self) -> int:
        return 1

    def log_density(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        return _log_poisson(_cut_mean(parameters[..., 0]), value)

    def draw_exactly(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        return _draw_poisson(_cut_mean(parameters[..., 0]), key)

    def mode(self, parameters: jax.Array) -> jax.Array:
        return jnp.floor(jnp.exp(_cut_mean(parameters[..., 0])))


class NegativeBinomial(Counts):
    """Counts of mean m and variance m + m^2 / r: Poisson ones whose rate is a Gamma of shape r.

        p(n) = Gamma(n + r) / (Gamma(r) n!) (r / (r + m))^r (m / (r + m))^n

    The features are log m, cut to -20 ... 16, and log r, cut to -6 ... 16 (with alpha = 1 / r, the
    head of DeepAR, arXiv 1704.04110). Draws are exact to the rounding of floats; those too large
    for int32 are cut.
    """

    @property
    def parameters(self) -> int:
        return 2

    def log_density(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        log_mean, log_shape = _mean_and_shape(parameters)
        mean, shape, count = jnp.exp(log_mean), jnp.exp(log_shape), value.astype(log_mean.dtype)
        # The saddle point of a binomial (Loader 2000): no term is large where others cancel it.
        n = jnp.maximum(count, 1)
        total, rest = n + shape, shape + mean
        log_total, log_rest = jnp.log(total), jnp.logaddexp(log_shape, log_mean)
        from_shape = _deviance((n - mean) / rest, log_total - log_rest)
        log_share = log_total - log_rest + log_mean - jnp.log(n)
        from_count = _deviance(shape / rest * (mean / n - 1), log_share)
        some = _stirling(total) - _stirling(shape) - _stirling(n) - shape * from_shape
        some += 0.5 * (log_shape - log_total - jnp.log(n) - log(2 * pi)) - n * from_count
        none = -shape * jax.nn.softplus(log_mean - log_shape)
        return jnp.where(count > 0, some, jnp.where(count < 0, -jnp.inf, none))

    def draw_exactly(self, parameters: jax.Array, key: jax.Array) -> jax.Array:
        log_mean, log_shape = _mean_and_shape(parameters)
        of_rate, of_count = jax.random.split(key)
        log_gamma = jax.random.loggamma(of_rate, jnp.exp(log_shape), dtype=log_mean.dtype)
        log_rate = jnp.clip(log_gamma + log_mean - log_shape, -80, log(LARGEST))
        return _draw_poisson(log_rate, of_count)

    def mode(self, parameters: jax.Array) -> jax.Array:
        log_mean, log_shape = _mean_and_shape(parameters)
        return jnp.floor(jnp.exp(log_mean) * jnp.maximum(-jnp.expm1(-log_shape), 0))


def _cut_mean(log_mean: jax.Array) -> jax.Array:
    return jnp.clip(log_mean, -20.0, 16.0)


def _mean_and_shape(parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _cut_mean(parameters[..., 0]), jnp.clip(parameters[..., 1], -6.0, 16.0)


def _log_poisson(log_rate: jax.Array, count: jax.Array) -> jax.Array:
    """n log(rate) - rate - log n!, by its saddle point (Loader 2000): no large terms cancel."""
    rate, count = jnp.exp(log_rate), count.astype(log_rate.dtype)
    n = jnp.maximum(count, 1)
    some = -_stirling(n) - n * _deviance((rate - n) / n, log_rate - jnp.log(n))
    some -= 0.5 * (jnp.log(n) + log(2 * pi))
    return jnp.where(count > 0, some, jnp.where(count < 0, -jnp.inf, -rate))


def _deviance(x: jax.Array, log_ratio: jax.Array) -> jax.Array:
    """x - log(1 + x), whose logarithm is given too; by its series where the two nearly cancel."""
    near = jnp.abs(x) < 0.5
    small = jnp.where(near, x, 0)
    v = small / (2 + small)  # log(1 + x) = 2 artanh(v)
    series = sum(v ** (2 * k) / (2 * k + 3) for k in range(10))
    return jnp.where(near, small * v - 2 * v**3 * series, x - log_ratio)


def _stirling(x: jax.Array) -> jax.Array:
    """What Stirling's formula leaves: log Gamma(x + 1) - (x + 1/2) log x + x - log(2 pi) / 2."""
    large = x > 8
    small = jnp.where(large, 1, x)
    inverse = 1 / jnp.where(large, x, 8)
    square = inverse**2
    series = 1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))
    direct = jax.lax.lgamma(small + 1) - (small + 0.5) * jnp.log(small) + small - 0.5 * log(2 * pi)
    return jnp.where(large, inverse * (1 / 12 - square * series), direct)


def _draw_poisson(log_rate: jax.Array, key: jax.Array) -> jax.Array:
    """Rejection for log-concave masses (Devroye, Computing 39, 1987): four or five tries each.

    With p the mass of the mode m, p(m + k) <= p min(1, exp(1 - p |k|)), so that the hat
    p min(1, exp(1 + p / 2 - p |y|)) lies above the mass of the integer closest to m + y.
    """
    mode = jnp.floor(jnp.exp(log_rate))
    log_peak = _log_poisson(log_rate, mode)
    peak = jnp.exp(log_peak)
    flat = 1 + peak / 2  # as far as p |y| goes where the hat is flat
    shape, dtype = mode.shape, mode.dtype

    def propose(state: _State) -> _State:
        key, count, accepted = state
        key, where, far, sign, chance = jax.random.split(key, 5)
        along = jax.random.uniform(where, shape, dtype) * (1 + flat)
        scaled = jnp.where(along < flat, along, flat + jax.random.exponential(far, shape, dtype))
        proposed = mode + jax.random.rademacher(sign, shape, dtype) * jnp.round(scaled / peak)
        log_hat = log_peak + jnp.minimum(0, flat - scaled)
        log_share = -jax.random.exponential(chance, shape, dtype)
        above = log_share > _log_poisson(log_rate, proposed) - log_hat
        return key, jnp.where(accepted, count, proposed), accepted | ~above  # NaN is accepted

    start = key, jnp.zeros_like(mode), jnp.zeros(shape, bool)
    return jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)[1]
