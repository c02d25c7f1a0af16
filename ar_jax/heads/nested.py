"""A chain over the variables of a step: an autoregressive model inside it."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.typing import DTypeLike

from ar_jax.heads.base import Head, ValueSampler
from ar_jax.heads.support import Support


class Nested(Head):
    """The variables of a step by an autoregressive model whose condition is the features.

        head=Nested(AutoregressiveModel(
            ordering=Raster((4, 4, 1)), conditional=MADE((64,)), head=Bernoulli(),
            context=Vector(128)))

    makes a 4 x 4 patch one step, exactly: p(patch | features) is a product again.

    Attributes:
      model: an `AutoregressiveModel` whose event has the variables of a step and whose context is
        `contexts.Vector`; its size is the number of features.
    """

    model: nn.Module

    @property
    def _model(self) -> Any:
        return self.model  # known by what it does, since heads come before the model

    def num_params(self, block_size: int) -> int:
        return self._model.context.size

    def encode(self, value: jax.Array) -> jax.Array:
        return self._model.head.encode(value)

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        event = value.reshape(-1, *self._model.ordering.event)
        return self._model(event, features.reshape(-1, features.shape[-1])).reshape(
            value.shape[:-1]
        )

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        event, log_prob = self._model.decode(keys, features, sampler)
        return event.reshape(len(features), -1), log_prob

    @property
    def dtype(self) -> DTypeLike:
        return self._model.head.dtype

    def support(self, block_size: int) -> tuple[Support, ...]:
        ordering = self._model.ordering
        steps = self._model.head.support(ordering.block_size) * ordering.length
        places = np.arange(block_size).reshape(1, ordering.length, -1)
        return tuple(steps[place] for place in ordering.to_event(places).ravel())

    def check_block(self, block_size: int) -> None:
        context, ordering = self._model.context, self._model.ordering
        if not hasattr(context, "size") or context.dropout:
            raise ValueError(
                "model: expected a nested model with the context Vector(size, dropout=0), which "
                f"reads the features, got {context}"
            )
        if block_size != ordering.length * ordering.block_size:
            raise ValueError(
                f"block: expected the variables of the nested event {ordering.event}, "
                f"got {block_size}"
            )

    def check_sampler(self, sampler: ValueSampler) -> None:
        self._model.head.check_sampler(sampler)
