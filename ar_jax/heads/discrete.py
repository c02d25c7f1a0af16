"""Families of a finite set of values."""

from abc import abstractmethod
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.checks import check_levels, check_positive
from ar_jax.heads.base import Family, ValueSampler
from ar_jax.heads.support import Integers, Support
from ar_jax.math.mu_law import expand
from ar_jax.math.precision import at_least_float32


class Discrete(Family):
    """A family over the integers from 0 to some largest one."""

    @abstractmethod
    def log_probabilities(self, parameters: jax.Array) -> jax.Array:
        """Log-probability of every value: `[..., parameters]` -> `[..., values]` nats."""

    def log_pmf(self, features: jax.Array, value: jax.Array) -> jax.Array:
        """Log-probability of every value of each variable: `[..., block_size, values]` nats.

        Args:
          features: `[..., features]`.
          value: `[..., block_size]`, the step; independent variables do not look at it.
        """
        return self.log_probabilities(
            at_least_float32(features).reshape(*value.shape, self.parameters)
        )

    def log_density(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        log_pmf = self.log_probabilities(parameters)
        possible = (value >= 0) & (value < log_pmf.shape[-1])
        return jnp.where(possible, _look_up(log_pmf, value), -jnp.inf)

    def draw(
        self, parameters: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        log_pmf = self.log_probabilities(parameters)
        value = sampler(keys, log_pmf)
        return value, _look_up(log_pmf, value)

    @property
    def dtype(self) -> DTypeLike:
        return jnp.int32


def _look_up(log_pmf: jax.Array, value: jax.Array) -> jax.Array:
    """`[..., values]` and `[...]` -> `[...]`; values outside take the place of the closest."""
    index = jnp.asarray(value, jnp.int32)[..., None]
    return jnp.take_along_axis(log_pmf, index, axis=-1, mode="clip")[..., 0]


class Bernoulli(Discrete):
    """0 or 1; the feature of a variable is its logit. Conditionals see plus or minus one."""

    @property
    def parameters(self) -> int:
        return 1

    def encode(self, value: jax.Array) -> jax.Array:
        return 2.0 * value - 1.0

    def log_probabilities(self, parameters: jax.Array) -> jax.Array:
        logit = parameters[..., 0]
        return jnp.stack([jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)], axis=-1)

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(1),) * block_size


class Categorical(Discrete):
    """One of several values. Conditionals see an embedding.

    Attributes:
      values: how many there are.
      embedding: size of the embedding of one variable.
      unembedding: what makes the logits of the features: nothing, they are the logits; or, of
        features of the embedding's size, the embedding itself, transposed (arXiv 1608.05859), or a
        matrix of its own.
    """

    values: int
    embedding: int = 32
    unembedding: Literal["none", "tied", "own"] = "none"

    def setup(self) -> None:
        self.embed = nn.Embed(self.values, self.embedding)
        if self.unembedding == "own":
            self.unembed = nn.Dense(self.values, use_bias=False)

    @property
    def parameters(self) -> int:
        return self.values if self.unembedding == "none" else self.embedding

    def encode(self, value: jax.Array) -> jax.Array:
        possible = jnp.clip(value, 0, self.values - 1)  # log_prob tells of the others
        return self.embed(possible).reshape(*value.shape[:-1], -1)

    def check_block(self, block_size: int) -> None:
        check_positive(values=self.values, embedding=self.embedding)

    def logits(self, parameters: jax.Array) -> jax.Array:
        """Of every value: `[..., parameters]` -> `[..., values]`."""
        match self.unembedding:
            case "none":
                return parameters
            case "tied":
                return self.embed.attend(parameters)
            case "own":
                return self.unembed(parameters)

    def log_probabilities(self, parameters: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(self.logits(parameters), axis=-1)

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(self.values - 1),) * block_size


class MuLaw(Discrete):
    """One of the levels of mu-law sound (WaveNet, arXiv 1609.03499); its features are their logits.

    Conditionals see the amplitude that the level stands for, -1 ... 1.

    Attributes:
      levels: how many, at least 2; those of `ar_jax.data.mu_law` are 256.
    """

    levels: int = 256

    @property
    def parameters(self) -> int:
        return self.levels

    def encode(self, value: jax.Array) -> jax.Array:
        return expand(jnp.asarray(value, jnp.result_type(float)), self.levels)

    def log_probabilities(self, parameters: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(parameters, axis=-1)

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(self.levels - 1),) * block_size

    def check_block(self, block_size: int) -> None:
        check_levels(self.levels)
