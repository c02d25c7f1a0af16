"""Linear prediction: of sound, what the last samples leave to be learned."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.conditionals.base import Conditional, SequenceConditional
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering

FLOOR = 1e-3
"""The least scale."""


class Past(NamedTuple):
    """What is kept of the steps before slot t - 1."""

    steps: jax.Array  # [batch, order]
    correlations: jax.Array  # [batch, order, order + 1]: after each of them, at lags 0 ... order
    prediction: jax.Array  # [batch], of step t - 1
    scale: jax.Array  # [batch], of what that prediction misses


class LinearPrediction(SequenceConditional):
    """A network whose features are relative to a linear prediction that adapts at every step.

    Before step t, least squares over the past, weighted by lambda^age, finds the coefficients that
    would have predicted it best (covariance method; Makhoul, Proc. IEEE 63(4), 1975),

        a_t = argmin_a sum_{s<t} lambda^(t-1-s) (x_s - sum_i a_i x_{s-i})^2,   m_t = a_t . x_{t-i},

    and the mean of what such predictions missed is the scale sigma_t. The network sees what was
    missed, (x_s - m_s) / sigma_s, and the scales, both by logarithms, and its features are those of
    components with a logit, a mean and the logarithm of a scale each (`CoarseFineLogistic`,
    `LogisticMixture` of single variables): a mean mu becomes m_t + sigma_t mu, the logarithm of a
    scale s becomes s + log sigma_t. Nothing of it is stored or sent: decoding finds it again.

    Attributes:
      conditional: the network.
      order: how many steps the prediction reads.
      memory: of the least squares, 1 / (1 - lambda), in steps; that of the scale is half of it.
    """

    conditional: Conditional
    order: int = 24
    memory: float = 64.0

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        if inputs != 1:
            raise ValueError(f"head: expected one that shows a step as 1 number, got {inputs}")
        past = Past(
            jnp.zeros((batch, self.order), template.dtype),
            jnp.zeros((batch, self.order, self.order + 1), template.dtype),
            jnp.full(batch, 1 - FLOOR, template.dtype),  # missed by that much, the scale stays 1
            jnp.ones(batch, template.dtype),
        )
        seen = jnp.zeros((batch, 2), template.dtype)
        return past, self.conditional.init_cache(seen, ordering, context)

    def extend(
        self, cache: Cache, previous: jax.Array, t: int | jax.Array, ordering: Ordering,
        features: int,
    ) -> tuple[Cache, jax.Array]:  # fmt: skip
        past, inner = cache
        slots = jnp.arange(previous.shape[1])
        x = jnp.where(t + slots > 0, previous[..., 0], 0)  # [batch, k]: steps t - 1 ...
        steps = jnp.concatenate([past.steps, x], axis=1)
        lags = jnp.arange(self.order + 1)
        at = self.order + slots[:, None]
        correlations = _averages(
            past.correlations[:, -1], x[..., None] * steps[:, at - lags], 1 - 1 / self.memory
        )
        correlations = jnp.concatenate([past.correlations, correlations], axis=1)
        recent = steps[:, at - lags[:-1]]  # [batch, k, order], the latest first
        prediction = (self._coefficients(correlations, at) * recent).sum(axis=-1)

        before = jnp.concatenate([past.prediction[:, None], prediction[:, :-1]], axis=1)
        missed, weight = x - before, 2 / self.memory
        scale = FLOOR + _averages(past.scale - FLOOR, weight * jnp.abs(missed), 1 - weight)
        scale_before = jnp.concatenate([past.scale[:, None], scale[:, :-1]], axis=1)
        seen = jnp.stack([jnp.arcsinh(missed / scale_before), jnp.log(scale)], axis=-1)

        inner, out = self.conditional.extend(inner, seen, t, ordering, features)
        kind = jnp.arange(features) % 3  # a logit, a mean, the logarithm of a scale
        scale_of, prediction_of = scale[..., None], prediction[..., None]
        out = jnp.where(kind == 1, prediction_of + scale_of * out, out)
        out = jnp.where(kind == 2, jnp.log(scale_of) + out, out)
        past = Past(
            steps[:, -self.order :], correlations[:, -self.order :], prediction[:, -1], scale[:, -1]
        )
        return (past, inner), out

    def _coefficients(self, correlations: jax.Array, at: jax.Array) -> jax.Array:
        """Least squares after each step `[batch, k, order]`.

        sum_s lambda^(t-s) x_{s-i} x_{s-j} is the correlation at lag |i - j|, min(i, j) steps ago.
        """
        i, j = np.indices((self.order + 1, self.order + 1))
        products = correlations[:, at[..., None] - np.minimum(i, j), np.abs(i - j)]
        ridge = 1e-5 * products[..., :1, :1] + FLOOR**2
        matrix = products[..., 1:, 1:] + ridge * jnp.eye(self.order, dtype=products.dtype)
        return jnp.linalg.solve(matrix, products[..., 1:, :1])[..., 0]

    def context_dependency_mask(self, ordering: Ordering, context_length: int) -> np.ndarray:
        return self.conditional.context_dependency_mask(ordering, context_length)

    def check(self, ordering: Ordering) -> None:
        check_positive(order=self.order)
        if not self.memory > 2:
            raise ValueError(f"memory: expected more than 2 steps, got {self.memory}")
        self.conditional.check(ordering)


def _averages(start: jax.Array, values: jax.Array, decay: float) -> jax.Array:
    """c_t = decay c_{t-1} + values_t: `[batch, k, ...]` -> the same."""

    def add(total: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        total = decay * total + value
        return total, total

    return jax.lax.scan(add, start, values.swapaxes(0, 1))[1].swapaxes(0, 1)
