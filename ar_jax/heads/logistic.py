"""Mixtures of logistics: over real numbers, and over grey levels and colours."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.checks import check_levels, check_positive
from ar_jax.heads.base import Head, ValueSampler
from ar_jax.heads.mixture import LocationScaleMixture
from ar_jax.heads.support import Integers, Support
from ar_jax.math.precision import at_least_float32


class LogisticMixture(LocationScaleMixture):
    """A mixture of logistics, densities whose logarithms fall linearly in the tails.

    Temperature multiplies the squares of the scales. The features of a group are the components'
    logits, then their means, then the logarithms of their scales.
    """

    @property
    def shapes(self) -> int:
        return 0

    def log_standard(self, z: jax.Array, shape: jax.Array) -> jax.Array:
        return jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)

    def draw_standard(self, key: jax.Array, shape: jax.Array) -> jax.Array:
        return jax.random.logistic(key, (len(shape), self.group), shape.dtype)


def log_interval(
    low: jax.Array, width: float, precision: jax.Array, lowest: jax.Array, highest: jax.Array
) -> jax.Array:
    """Log-mass that a logistic around 0 gives an interval.

    sigmoid(high) - sigmoid(low) = sigmoid(high) sigmoid(-low) (1 - exp(low - high)), of which
    each factor is exact in logarithms, however far out the interval lies.

    Args:
      low: where the interval begins.
      width: of the interval.
      precision: the inverse of the scale.
      lowest: whether it reaches from minus infinity.
      highest: whether it reaches to infinity.
    """
    below_high = jax.nn.log_sigmoid(precision * (low + width))
    above_low = jax.nn.log_sigmoid(-precision * low)
    both = below_high + above_low + jnp.log(-jnp.expm1(-width * precision))
    return jnp.where(lowest, below_high, jnp.where(highest, above_low, both))


class _Mixture(NamedTuple):
    """What the features of a chain stand for."""

    log_weights: jax.Array  # [..., chains, components]
    means: jax.Array  # [..., chains, components, channels]
    log_scales: jax.Array  # [..., chains, components, channels]
    slopes: jax.Array  # [..., chains, components, pairs of channels]


class DiscretizedLogisticMixture(Head):
    """Levels 0 ... levels - 1 as the bins of a mixture of logistics (PixelCNN++, arXiv 1701.05517).

    A component gives a level the mass of its bin; the outermost bins reach to infinity, so that the
    levels sum to one. Channels are a chain: they share the component, and the mean of each moves
    linearly with the channels before it,

        p(r, g, b) = sum_k w_k p_k(r) p_k(g | r) p_k(b | r, g).

    Sampling draws the channels one by one from their exact conditionals, as whole levels: what is
    drawn is what is scored. Variables of a step other than the channels of one pixel are
    independent given the features. Conditionals see the level rescaled to -1 ... 1.

    Attributes:
      levels: how many, at least 2.
      components: of the mixture.
      channels: the length of the chain; the last axis of a block holds whole chains.
    """

    levels: int = 256
    components: int = 10
    channels: int = 1

    def num_params(self, block_size: int) -> int:
        pairs = self.channels * (self.channels - 1) // 2
        return block_size // self.channels * self.components * (1 + 2 * self.channels + pairs)

    def encode(self, value: jax.Array) -> jax.Array:
        return 2.0 / (self.levels - 1) * value - 1.0

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        chains = self._chains(value)
        mixture = self._mixture(features)
        log_joint = mixture.log_weights  # of the component and the channels so far
        for channel in range(self.channels):
            log_joint += self._log_bin(mixture, channel, chains, chains[..., channel, None])
        log_prob = jax.nn.logsumexp(log_joint, axis=-1).sum(axis=-1)
        supported = ((value >= 0) & (value < self.levels)).all(axis=-1)
        return jnp.where(supported, log_prob, -jnp.inf)

    def log_pmf(self, features: jax.Array, value: jax.Array) -> jax.Array:
        """Log-probability of every level of each variable, given the channels before it.

        Args:
          features: `[..., features]`.
          value: `[..., block_size]`; the last channel of a chain is not read.

        Returns:
          `[..., block_size, levels]` nats.
        """
        chains = self._chains(value)
        mixture = self._mixture(features)
        log_joint, log_pmfs = mixture.log_weights, []
        for channel in range(self.channels):
            log_pmfs.append(self._conditional(mixture, channel, chains, log_joint))
            log_joint += self._log_bin(mixture, channel, chains, chains[..., channel, None])
        return jnp.stack(log_pmfs, axis=-2).reshape(*value.shape, self.levels)

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        mixture = self._mixture(features)
        log_joint = mixture.log_weights
        chains = jnp.zeros((*log_joint.shape[:-1], self.channels), jnp.int32)
        for channel in range(self.channels):
            log_pmf = self._conditional(mixture, channel, chains, log_joint)
            drawn = sampler(jax.vmap(jax.random.fold_in, (0, None))(keys, channel), log_pmf)
            chains = chains.at[..., channel].set(drawn)
            log_joint += self._log_bin(mixture, channel, chains, drawn[..., None])
        log_prob = jax.nn.logsumexp(log_joint, axis=-1).sum(axis=-1)
        return chains.reshape(len(features), -1), log_prob

    def _chains(self, value: jax.Array) -> jax.Array:
        return value.reshape(*value.shape[:-1], -1, self.channels)

    def _mixture(self, features: jax.Array) -> _Mixture:
        channels = self.channels
        each = self.num_params(channels) // self.components
        parameters = at_least_float32(features).reshape(
            *features.shape[:-1], -1, self.components, each
        )
        logits, means, log_scales, slopes = jnp.split(
            parameters, [1, 1 + channels, 1 + 2 * channels], axis=-1
        )
        log_weights = jax.nn.log_softmax(logits[..., 0], axis=-1)
        # The bounds keep a scale and its inverse in range; no bin is narrow or wide enough to care.
        return _Mixture(log_weights, means, jnp.clip(log_scales, -20.0, 20.0), jnp.tanh(slopes))

    def _log_bin(
        self, mixture: _Mixture, channel: int, chains: jax.Array, level: jax.Array
    ) -> jax.Array:
        """Log-mass that each component gives the bin of a level, given the channels before it."""
        before = self.encode(chains[..., None, :channel])  # [..., chains, 1, channel]
        first = channel * (channel - 1) // 2
        slopes = mixture.slopes[..., first : first + channel]
        mean = mixture.means[..., channel] + (slopes * before).sum(axis=-1)
        precision = jnp.exp(-mixture.log_scales[..., channel])
        bins = self.levels - 1
        # The edges in whole numbers first: rounded but once, however narrow the component is.
        low = (2.0 * level - self.levels) / bins - mean
        return log_interval(low, 2 / bins, precision, level <= 0, level >= bins)

    def _conditional(
        self, mixture: _Mixture, channel: int, chains: jax.Array, log_joint: jax.Array
    ) -> jax.Array:
        """`[..., chains, levels]`: the mixture of one channel, weighted by those before it."""
        log_weights = jax.nn.log_softmax(log_joint, axis=-1)
        every = jnp.arange(self.levels).reshape(-1, *[1] * log_joint.ndim)
        log_bins = self._log_bin(mixture, channel, chains, every)  # [levels, ..., components]
        return jnp.moveaxis(jax.nn.logsumexp(log_weights + log_bins, axis=-1), 0, -1)

    @property
    def dtype(self) -> DTypeLike:
        return jnp.int32

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(self.levels - 1),) * block_size

    def check_block(self, block_size: int) -> None:
        check_levels(self.levels)
        check_positive(components=self.components, channels=self.channels)
        if block_size % self.channels:
            raise ValueError(
                f"block: expected a multiple of {self.channels} variables, since the head chains "
                f"{self.channels} channels, got {block_size}"
            )
