"""Coarse and fine digits of numbers with many levels, such as 16-bit samples of sound."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.checks import check_levels, check_positive
from ar_jax.heads.base import Head, ValueSampler
from ar_jax.heads.logistic import log_interval
from ar_jax.heads.support import Integers, Support
from ar_jax.math.precision import at_least_float32


class _Mixture(NamedTuple):
    """What the features of a number stand for."""

    log_weights: jax.Array  # [..., numbers, components]
    means: jax.Array
    precisions: jax.Array


class CoarseFineLogistic(Head):
    """Levels 0 ... base^2 - 1 under a discretised mixture of logistics, as coarse and fine digits.

    The factorisation is that of WaveRNN (arXiv 1802.08435).

    Level base * high + low is the pair (high, low). A component gives it the mass of its bin, the
    outermost of which reach to infinity, as in `DiscretizedLogisticMixture`; the mass of a high
    digit is that of `base` bins side by side, so that both digits have exact distributions,

        p(high, low) = p(high) p(low | high),

    and drawing a level (or coding it) takes 2 * base masses in place of base^2.

    Conditionals see the level, centred, in units of the high digit; the means and scales are in
    the same units. The features of a number are, for each component, its logit, its mean and the
    logarithm of its scale.

    Attributes:
      base: of the digits, at least 2; 256 makes the 65,536 levels of 16 bits.
      components: of the mixture.
    """

    base: int = 256
    components: int = 10

    def num_params(self, block_size: int) -> int:
        return block_size // 2 * 3 * self.components

    def encode(self, value: jax.Array) -> jax.Array:
        high, low = jnp.moveaxis(value.reshape(*value.shape[:-1], -1, 2), -1, 0)
        return high - (self.base - 1) / 2.0 + (low - (self.base - 1) / 2.0) / self.base

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        mixture = self._mixture(features)
        high, low = jnp.moveaxis(value.reshape(*value.shape[:-1], -1, 2), -1, 0)
        log_bin = self._log_mass(mixture, self.base * high + low, 1)
        log_prob = jax.nn.logsumexp(mixture.log_weights + log_bin, axis=-1).sum(axis=-1)
        supported = ((value >= 0) & (value < self.base)).all(axis=-1)
        return jnp.where(supported, log_prob, -jnp.inf)

    def log_pmf(self, features: jax.Array, value: jax.Array) -> jax.Array:
        """Log-probability of every value of each digit, a low one given the high one before it.

        Args:
          features: `[..., features]`.
          value: `[..., block_size]`; low digits are not read.

        Returns:
          `[..., block_size, base]` nats.
        """
        mixture = self._mixture(features)
        high = value.reshape(*value.shape[:-1], -1, 2)[..., 0]
        pairs = jnp.stack([self._log_high(mixture), self._log_low(mixture, high)], axis=-2)
        return pairs.reshape(*value.shape, self.base)

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        mixture = self._mixture(features)
        keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
        high = sampler(keys[:, 0], self._log_high(mixture))
        low = sampler(keys[:, 1], self._log_low(mixture, high))
        value = jnp.stack([high, low], axis=-1).reshape(len(features), -1)
        return value, self.log_prob(features, value)

    def _mixture(self, features: jax.Array) -> _Mixture:
        parameters = at_least_float32(features).reshape(
            *features.shape[:-1], -1, self.components, 3
        )
        logits, means, log_scales = jnp.moveaxis(parameters, -1, 0)
        # The bounds keep a scale and its inverse in range; no bin is narrow or wide enough to care.
        precisions = jnp.exp(-jnp.clip(log_scales, -20.0, 20.0))
        return _Mixture(jax.nn.log_softmax(logits, axis=-1), means, precisions)

    def _log_mass(self, mixture: _Mixture, first: jax.Array, bins: int) -> jax.Array:
        """Log-mass that each component gives to so many bins from the first on.

        Args:
          mixture: of each number.
          first: `[..., numbers]`, levels.
          bins: how many.

        Returns:
          `[..., numbers, components]` nats.
        """
        first, levels = first[..., None], self.base**2
        low = (first - levels / 2) / self.base - mixture.means
        ends = first <= 0, first >= levels - bins
        return log_interval(low, bins / self.base, mixture.precisions, *ends)

    def _log_high(self, mixture: _Mixture) -> jax.Array:
        """`[..., numbers, base]`: log p(high)."""
        every = self.base * jnp.arange(self.base).reshape(-1, *[1] * (mixture.means.ndim - 1))
        log_masses = mixture.log_weights + self._log_mass(mixture, every, self.base)
        return jnp.moveaxis(jax.nn.logsumexp(log_masses, axis=-1), 0, -1)

    def _log_low(self, mixture: _Mixture, high: jax.Array) -> jax.Array:
        """`[..., numbers, base]`: log p(low | high)."""
        first = self.base * high
        every = first + jnp.arange(self.base).reshape(-1, *[1] * high.ndim)
        log_masses = mixture.log_weights + self._log_mass(mixture, every, 1)
        log_joint = jnp.moveaxis(jax.nn.logsumexp(log_masses, axis=-1), 0, -1)
        return jax.nn.log_softmax(log_joint, axis=-1)  # over the bins of the high digit

    @property
    def dtype(self) -> DTypeLike:
        return jnp.int32

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(self.base - 1),) * block_size

    def check_block(self, block_size: int) -> None:
        check_levels(self.base)
        check_positive(components=self.components)
        if block_size % 2:
            raise ValueError(f"block: expected pairs of digits, got {block_size} variables")
