"""The masked transformer: any steps from any others, in a pass for each set of known ones."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import check_at_least, check_fractions, check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.conditionals.transformer import Block
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.positions import Learned
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering


class MaskedTransformer(SequenceConditional):
    """A transformer without an order, as BERT: what is not known is a mask (arXiv 1810.04805).

    One pass gives the features of all steps from those that are known, here x1 and x3:

                      x0 x1 x2 x3
        features 0     .  x  .  x
        features 2     .  x  .  x

    As a conditional it makes a pass for each step, with those before it known: scoring an event
    costs `length` passes, and so does drawing one. An `OrderAgnosticModel` is trained with one.

    Attributes:
      layers: number of blocks.
      width: of the residual stream.
      heads: of attention.
      hidden: units of the feed-forward layers; 0 stands for 4 * width.
      dropout: on what each sublayer adds.
    """

    layers: int = 4
    width: int = 128
    heads: int = 4
    hidden: int = 0
    dropout: float = 0.0

    def setup(self) -> None:
        self.embed, self.prefix = nn.Dense(self.width), nn.Dense(self.width)
        self.positions = Learned()
        self.mask = self.param("mask", nn.initializers.normal(0.02), (self.width,), jnp.float32)
        self.blocks = [
            Block(self.width, self.heads, self.hidden or 4 * self.width, self.dropout, False)
            for _ in range(self.layers)
        ]
        self.readout_norm = nn.LayerNorm(1e-6)

    def masked(
        self,
        steps: jax.Array,
        known: jax.Array,
        ordering: Ordering,
        context: ContextVectors,
        features: int,
    ) -> jax.Array:
        """The features of all steps, from the known ones.

        Args:
          steps: `[batch, length, inputs]`, encoded; those that are not known are not read.
          known: `[batch or 1, length]` booleans.
          ordering: of the steps.
          context: vectors and mask, read by all steps.
          features: how many the head reads.

        Returns:
          `[batch, length, features]`.
        """
        vectors, counts = context
        before, length = vectors.shape[1], steps.shape[1]
        x = jnp.where(known[..., None], self.embed(steps), self.mask)
        x = self.positions.add(x, jnp.arange(length), ordering)
        if before:
            x = jnp.concatenate([self.prefix(vectors), x], axis=1)
        counts = jnp.concatenate([counts, jnp.ones((len(x), length), bool)], axis=1)
        for block in self.blocks:
            x, _ = block.begin(x, counts, 0)
        return self.readout(self.readout_norm(x[:, before:]), features)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        return jnp.zeros((batch, ordering.length + 1, inputs), template.dtype), context

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        shifted, context = cache  # one step later, so that the one before the first has a place
        shifted = jax.lax.dynamic_update_slice_in_dim(shifted, previous, t, axis=1)
        steps, times = shifted[:, 1:], t + jnp.arange(previous.shape[1])
        if self.is_initializing():
            known = jnp.zeros((1, ordering.length), bool)
            out = self.masked(steps, known, ordering, context, features)[:, : len(times)]
            return (shifted, context), out
        module, variables = self.unbind()
        key = self.make_rng("dropout") if self.has_rng("dropout") else None

        def features_at(t: jax.Array) -> jax.Array:
            rngs = {} if key is None else {"dropout": jax.random.fold_in(key, t)}
            known = (jnp.arange(ordering.length) < t)[None]
            out: Any = module.apply(
                variables, steps, known, ordering, context, features, method="masked", rngs=rngs
            )
            return out[:, t]

        return (shifted, context), jax.lax.map(features_at, times).swapaxes(0, 1)

    def check(self, ordering: Ordering) -> None:
        check_fractions(dropout=self.dropout)
        check_positive(width=self.width, heads=self.heads)
        check_at_least(0, layers=self.layers, hidden=self.hidden)
        if self.width % self.heads:
            raise ValueError(
                f"heads: expected a divisor of the width {self.width}, got {self.heads}"
            )
