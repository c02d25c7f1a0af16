"""NADE, the neural autoregressive distribution estimator."""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering


class NADE(SequenceConditional):
    """One hidden layer for each step, tied among the steps (Larochelle and Murray 2011).

    The hidden layers of all steps share their weights (arXiv 1605.02226), so that one more step
    adds one term to a running sum:

        h_t        = activation(c + U context + sum_{s<t} W_s x_s)
        features_t = b_t + V_t h_t

              c  x0 x1 x2 x3
        h_0   x  .  .  .  .
        h_1   x  x  .  .  .
        h_2   x  x  x  .  .
        h_3   x  x  x  x  .

    The sum is all that decoding keeps. Scoring goes over chunks of steps, whose sums are one
    product each, and computes a chunk again for its gradient: hidden layers are held for no more
    than a chunk. W, V and b belong to the cells of the event, so that models of several orderings
    may share them in an `ar_jax.Ensemble` (EoNADE, arXiv 1310.1757).

    Attributes:
      hidden: units of a hidden layer.
      activation: of the hidden units.
      chunk: steps that are scored at once: more cost arithmetic, fewer are more of a loop.
    """

    hidden: int = 500
    activation: Literal["sigmoid", "tanh", "relu", "softplus"] = "sigmoid"
    chunk: int = 16

    def setup(self) -> None:
        zeros = nn.initializers.zeros
        self.hidden_bias = self.param("hidden_bias", zeros, (self.hidden,), jnp.float32)
        self.context_bias = ContextBias(self.hidden)

    def check(self, ordering: Ordering) -> None:
        check_positive(hidden=self.hidden, chunk=self.chunk)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        total = self.hidden_bias + self.context_bias(context)  # [batch, hidden]
        return total.astype(jnp.promote_types(template.dtype, jnp.float32))

    @nn.compact
    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        batch, k, width = previous.shape
        length, normal = ordering.length, nn.initializers.lecun_normal
        kernel = self.param("kernel", normal(), (length, width, self.hidden), jnp.float32)
        readout_kernel = self.param(
            "readout_kernel", normal(batch_axis=0), (length, self.hidden, features), jnp.float32
        )
        readout_bias = self.param(
            "readout_bias", nn.initializers.zeros, (length, features), jnp.float32
        )
        size = min(self.chunk, k)
        chunks = -(-k // size)
        slots = t + jnp.arange(chunks * size)  # the last chunk may go past the last step
        order = jnp.asarray(ordering.order)
        before = order[jnp.clip(slots - 1, 0, length - 1)]
        at = order[jnp.minimum(slots, length - 1)]
        previous = jnp.pad(previous, ((0, 0), (0, chunks * size - k), (0, 0)))
        previous = jnp.where((slots > 0)[:, None], previous, 0)  # step 0 has nothing before it

        body = jax.checkpoint(partial(_chunk, getattr(nn, self.activation)), prevent_cse=False)
        parts = (
            previous.reshape(batch, chunks, size, width).swapaxes(0, 1),
            kernel[before].reshape(chunks, size * width, -1),
            readout_kernel[at].reshape(chunks, size, -1, features),
            readout_bias[at].reshape(chunks, size, features),
        )
        total, out = jax.lax.scan(body, cache, parts)  # [chunks, batch, size, features]
        return total, out.swapaxes(0, 1).reshape(batch, -1, features)[:, :k]


def _chunk(
    activation: Any, total: jax.Array, part: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    """The sum before some steps `[batch, hidden]` -> that after them, and their features."""
    previous, kernel, readout_kernel, readout_bias = part
    batch, size, width = previous.shape
    up_to = jnp.tri(size, dtype=previous.dtype)[:, :, None] * previous[:, None]
    sums = jnp.matmul(
        up_to.reshape(batch * size, size * width), kernel, preferred_element_type=total.dtype
    )
    totals = total[:, None] + sums.reshape(batch, size, -1)  # [batch, size, hidden]
    h = activation(totals).astype(previous.dtype)
    return totals[:, -1], jnp.einsum("bth,thf->btf", h, readout_kernel) + readout_bias
