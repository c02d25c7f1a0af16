"""The fully visible sigmoid belief network."""

from typing import Any

import flax.linen as nn
import jax

from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.masked_dense import Inputs, readout
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering


class FVSBN(SequenceConditional):
    """Features linear in the steps before (Neal 1992; Frey 1998): a regression of each step.

    With a Bernoulli head it is the fully visible sigmoid belief network. With four steps and a
    context c, the weights are

              c  x0 x1 x2 x3
        t=0   x  .  .  .  .
        t=1   x  x  .  .  .
        t=2   x  x  x  .  .
        t=3   x  x  x  x  .
    """

    follows_graphs = True

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        return Inputs.empty(template, ordering, context)

    @nn.compact
    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        inputs = cache.extend(previous, t, ordering)
        sources, k = inputs.degrees(ordering), previous.shape[1]
        return inputs, readout(self, inputs.flat(), sources, t, k, ordering, features)
