"""Mixtures of densities over real numbers."""

from abc import abstractmethod

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from ar_jax.checks import check_positive
from ar_jax.heads.base import Head, ValueSampler
from ar_jax.heads.support import Reals, Support
from ar_jax.math.precision import at_least_float32

LOG_SCALE = 20.0
"""Logarithms of scales are cut to this on either side, beyond which their gradients are zero: a
scale, its inverse and their squares stay in the range of float32."""


class Mixture(Head):
    """A mixture of densities for each variable, or for each group of variables.

        p(x) = sum_k w_k prod_i p_k(x_i),   i over the variables of a group

    Variables of one group share the component that they come from, which ties them together; groups
    are independent given the features. Temperature T divides the log-weights of the components by T
    and draws from the component at temperature T, so that T close to 0 gives the peak of the
    heaviest component; T = 0 gives the peak at which the mixture's density is highest, which may be
    another's. Conditionals see the numbers themselves.

    Attributes:
      components: of the mixture.
      group: how many variables share a component; a block holds whole groups.
    """

    components: int = 10
    group: int = 1

    @property
    @abstractmethod
    def num_component_params(self) -> int:
        """Number of parameters of one component, besides its weight."""

    @abstractmethod
    def log_component(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        """Log-density of a component: `[..., parameters]` and `[..., group]` -> `[...]` nats."""

    @abstractmethod
    def draw_component(
        self, parameters: jax.Array, key: jax.Array, temperature: jax.Array
    ) -> jax.Array:
        """Draws from components at a temperature: `[groups, parameters]` -> `[groups, group]`."""

    def peak(self, parameters: jax.Array) -> jax.Array:
        """Where a component's density is highest: `[..., parameters]` -> `[..., group]`."""
        return parameters[..., : self.group]

    def num_params(self, block_size: int) -> int:
        return block_size // self.group * self.components * (1 + self.num_component_params)

    def encode(self, value: jax.Array) -> jax.Array:
        return value

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        groups = value.reshape(*value.shape[:-1], -1, self.group)
        return self._log_density(self._mixture(features), groups).sum(axis=-1)

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        mixture = self._mixture(features)
        keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
        component = sampler(keys[:, 0], _log_weights(mixture))[..., None, None]
        parameters = jnp.take_along_axis(mixture, component, axis=-2)[..., 0, 1:]
        temperature = jnp.asarray(sampler.temperature, mixture.dtype)
        value = jax.lax.cond(
            temperature > 0,
            lambda: jax.vmap(self.draw_component, (0, 0, None))(
                parameters, keys[:, 1], temperature
            ),
            lambda: self._highest_peak(mixture),
        )
        return value.reshape(len(features), -1), self._log_density(mixture, value).sum(axis=-1)

    def _highest_peak(self, mixture: jax.Array) -> jax.Array:
        """`[..., components, 1 + parameters]` -> `[..., group]`."""
        peaks = self.peak(mixture[..., 1:])  # [..., components, group]
        heights = self._log_density(mixture[..., None, :, :], peaks)
        highest = jnp.argmax(heights, axis=-1)[..., None, None]
        return jnp.take_along_axis(peaks, highest, axis=-2)[..., 0, :]

    def _mixture(self, features: jax.Array) -> jax.Array:
        """`[..., groups, components, 1 + parameters]`: logit and parameters of each component."""
        shape = (*features.shape[:-1], -1, 1 + self.num_component_params, self.components)
        return at_least_float32(features).reshape(shape).swapaxes(-1, -2)

    def _log_density(self, mixture: jax.Array, value: jax.Array) -> jax.Array:
        """`[..., components, 1 + parameters]` and `[..., group]` -> `[...]` nats."""
        log_densities = self.log_component(mixture[..., 1:], value[..., None, :])
        return jax.nn.logsumexp(_log_weights(mixture) + log_densities, axis=-1)

    @property
    def dtype(self) -> DTypeLike:
        return jnp.result_type(float)

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Reals(),) * block_size

    def check_block(self, block_size: int) -> None:
        check_positive(components=self.components, group=self.group)
        if block_size % self.group:
            raise ValueError(
                f"block: expected a multiple of {self.group} variables, since that many share a "
                f"component, got {block_size}"
            )

    def check_sampler(self, sampler: ValueSampler) -> None:
        check_untruncated(self, sampler)


class LocationScaleMixture(Mixture):
    """A mixture whose components move and stretch one standard density.

    A component at temperature T has its scale times the root of T: for a Gaussian, its density to
    the power 1 / T.
    """

    @property
    @abstractmethod
    def shapes(self) -> int:
        """Number of parameters of a variable that shape the standard density."""

    @abstractmethod
    def log_standard(self, z: jax.Array, shape: jax.Array) -> jax.Array:
        """The standard log-density at `[..., group]`, shaped by `[..., shapes * group]`."""

    @abstractmethod
    def draw_standard(self, key: jax.Array, shape: jax.Array) -> jax.Array:
        """Draws from the standard density: `[groups, shapes * group]` -> `[groups, group]`."""

    @property
    def num_component_params(self) -> int:
        return (2 + self.shapes) * self.group

    def log_component(self, parameters: jax.Array, value: jax.Array) -> jax.Array:
        mean, log_scale, shape = self._parts(parameters)
        log_density = self.log_standard((value - mean) * jnp.exp(-log_scale), shape) - log_scale
        return log_density.sum(axis=-1)

    def draw_component(
        self, parameters: jax.Array, key: jax.Array, temperature: jax.Array
    ) -> jax.Array:
        mean, log_scale, shape = self._parts(parameters)
        return mean + jnp.exp(log_scale) * jnp.sqrt(temperature) * self.draw_standard(key, shape)

    def _parts(self, parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Mean and logarithm of the scale, each `[..., group]`, and what shapes the density."""
        mean, log_scale, shape = jnp.split(parameters, [self.group, 2 * self.group], axis=-1)
        return mean, jnp.clip(log_scale, -LOG_SCALE, LOG_SCALE), shape


def check_untruncated(head: Head, sampler: ValueSampler) -> None:
    """Raises ValueError for a sampler that cuts a list of values, of which the head has none."""
    if sampler.truncates:
        raise ValueError(
            "sampler: expected a temperature only, since top_k, top_p and min_p cut a list of "
            f"values and {type(head).__name__} has none, got {sampler}"
        )


def _log_weights(mixture: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(mixture[..., 0], axis=-1)
