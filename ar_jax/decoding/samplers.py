"""Samplers: how a value is drawn from the distribution of a variable."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_number

SMALLEST = float(np.finfo(np.float32).tiny)
"""Of numbers above 0 to divide by: machines take smaller ones for 0."""


class Wrapper:
    """What draws from another sampler, after it changed the probabilities."""

    sampler: Any

    @property
    def temperature(self) -> Any:
        """The sampler's."""
        return self.sampler.temperature

    @property
    def truncates(self) -> Any:
        """Whether the sampler does."""
        return self.sampler.truncates


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("temperature", "top_k", "top_p", "min_p"),
    meta_fields=(),
)
@dataclass(frozen=True)
class Sampler:
    """Draws from p(value)^(1/temperature), cut to the likely values. The default is exact.

    A value is kept when it passes each of the cuts, all made after the temperature.

    The numbers are leaves of a pytree: inside `jit` they are traced, and changing one does not
    compile again.

    Attributes:
      temperature: below 1 sharpens, above 1 flattens; 0 is greedy: the most likely value.
      top_k: keep the k most likely values; 0 keeps all.
      top_p: keep the fewest values whose probabilities reach p (nucleus, arXiv 1904.09751).
      min_p: keep values of at least this share of the highest probability (arXiv 2407.01082).
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def check(self) -> None:
        """Raises ValueError for a number outside its range; those that are traced are passed over.

        The smallest temperature above 0 is the smallest normal number of float32.
        """
        for name, expected, holds in (
            ("temperature", "0, or 1.2e-38 to 3.4e38", lambda t: t == 0 or t >= SMALLEST),
            ("top_k", "at least 0 and whole", lambda k: k >= 0 and k == round(k)),
            ("top_p", "above 0 and at most 1", lambda p: 0 < p <= 1),
            ("min_p", "0 to 1", lambda p: 0 <= p <= 1),
        ):
            check_number(name, getattr(self, name), expected, holds)

    @property
    def truncates(self) -> Any:
        """Whether some values are left out."""
        return (self.top_k > 0) | (self.top_p < 1) | (self.min_p > 0)

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """Draws one value for each row.

        Args:
          keys: `[batch]` random keys.
          log_pmf: `[batch, ..., values]` log-probabilities in nats.

        Returns:
          `[batch, ...]` integers.
        """
        # Below the likeliest, so that no temperature takes all to minus infinity, or any to NaN.
        highest = jnp.maximum(log_pmf.max(axis=-1, keepdims=True), jnp.finfo(log_pmf.dtype).min)
        temperature = jnp.where(self.temperature > 0, jnp.maximum(self.temperature, SMALLEST), 1)
        logits = jnp.where(log_pmf > -jnp.inf, (log_pmf - highest) / temperature, -jnp.inf)
        logits = jax.lax.cond(self.truncates, self._truncate, lambda x: x, logits)
        drawn = jax.vmap(jax.random.categorical)(keys, logits)
        drawn = jnp.where(self.temperature > 0, drawn, jnp.argmax(log_pmf, axis=-1))
        return drawn.astype(jnp.int32)

    def _truncate(self, logits: jax.Array) -> jax.Array:
        order = jnp.argsort(logits, axis=-1, descending=True)
        rank = jnp.argsort(order, axis=-1)
        probability = jax.nn.softmax(jnp.take_along_axis(logits, order, axis=-1))  # falling
        before = jnp.cumsum(probability, axis=-1) - probability
        keep = (self.top_k == 0) | (jnp.arange(logits.shape[-1]) < self.top_k)
        keep &= (before < self.top_p) | (self.top_p >= 1)  # rounding must not cut the tail
        keep &= probability >= self.min_p * probability[..., :1]
        keep |= jnp.arange(logits.shape[-1]) == 0  # also where top_p is 0 in the logits' dtype
        return jnp.where(jnp.take_along_axis(keep, rank, axis=-1), logits, -jnp.inf)
