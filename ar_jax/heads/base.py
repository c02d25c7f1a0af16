"""Heads: the distribution of one step given its features."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import flax.linen as nn
import jax
import numpy as np
from jax.typing import DTypeLike

from ar_jax.checks import is_concrete
from ar_jax.heads.support import Support
from ar_jax.math.precision import at_least_float32


class ValueSampler(Protocol):
    """Draws a value from its log-probabilities; `ar_jax.Sampler` is one."""

    @property
    def temperature(self) -> Any:
        """The exponent is its inverse; 0 is greedy."""
        ...

    @property
    def truncates(self) -> Any:
        """Whether some values are left out."""
        ...

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """`[batch]` keys and `[batch, ..., values]` nats -> `[batch, ...]` integers."""
        ...


class Head(nn.Module, ABC):
    """The distribution of one step: of its variables, `[..., block_size]`, given features.

    A head says how many features it reads, and the conditional's last layer makes exactly those:
    for most heads they are the parameters of the distribution.
    """

    depends_on_previous: ClassVar[bool] = False
    """Whether the distribution of a step also depends on the value before it (see `after`)."""

    @abstractmethod
    def num_params(self, block_size: int) -> int:
        """Number of features that parametrise a step of `block_size` variables."""

    @abstractmethod
    def encode(self, value: jax.Array) -> jax.Array:
        """Encodes a step as input of the conditional: `[..., block_size]` -> `[..., features]`."""

    @abstractmethod
    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        """Log-probability of a step.

        Args:
          features: `[..., features]`.
          value: `[..., block_size]`.

        Returns:
          `[...]` nats, of the dtype of the features or float32, whichever is wider; minus infinity
          for values outside the support.
        """

    @abstractmethod
    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        """Draws a step.

        Args:
          features: `[batch, features]`.
          keys: `[batch]` random keys.
          sampler: how a value is drawn.

        Returns:
          Values `[batch, block_size]`, and their log-probability under the head itself (whatever
          the sampler) `[batch]` nats.
        """

    @property
    @abstractmethod
    def dtype(self) -> DTypeLike:
        """The dtype of the values."""

    @abstractmethod
    def support(self, block_size: int) -> tuple[Support, ...]:
        """The support of each variable of a step."""

    def after(self, features: jax.Array, previous: jax.Array) -> jax.Array:
        """Adjusts the features of a step to the value before it (see `depends_on_previous`).

        Args:
          features: `[..., features]`, from the conditional.
          previous: `[..., block_size]`, the step before; zeros before the first.
        """
        return features

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError when steps `[..., block_size]` have values outside the support."""
        value = np.asarray(value) if is_concrete(value) else value
        support = self.support(value.shape[-1])
        for kind in set(support):
            which = [variable for variable, one in enumerate(support) if one == kind]
            kind.check(name, value[..., np.array(which)])

    def check_prefix(self, prefix: np.ndarray, lengths: np.ndarray) -> None:
        """Raises ValueError when a step cannot follow the one before it.

        Args:
          prefix: `[batch, n, block_size]`.
          lengths: `[batch]`, how many of the steps count.
        """

    def check_block(self, block_size: int) -> None:
        """Raises ValueError when a step of this many variables does not fit."""

    def check_sampler(self, sampler: ValueSampler) -> None:
        """Raises ValueError when this head cannot be sampled so."""


class Family(Head):
    """A distribution of one variable; those of a step are independent given the features."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Number of parameters of the distribution of one variable."""

    @abstractmethod
    def log_density(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        """`[..., parameters]` and `[...]` -> `[...]` nats."""

    @abstractmethod
    def draw(
        self, parameters: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        """Values and their log-densities, both `[batch, block_size]`.

        Args:
          parameters: `[batch, block_size, parameters]`.
          keys: `[batch]` random keys.
          sampler: how a value is drawn.
        """

    def num_params(self, block_size: int) -> int:
        return block_size * self.parameters

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        parameters = at_least_float32(features).reshape(*value.shape, self.parameters)
        return self.log_density(parameters, value).sum(axis=-1)

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        parameters = at_least_float32(features).reshape(len(features), -1, self.parameters)
        value, log_density = self.draw(parameters, keys, sampler)
        return value, log_density.sum(axis=-1)
