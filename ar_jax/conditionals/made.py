"""Masked dense networks."""

from itertools import pairwise
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Cache, Conditional, Context, lookup, pool
from ar_jax.orderings import Ordering


class MADE(Conditional):
    """A masked multi-layer perceptron (Germain et al., arXiv 1502.03509).

    Each unit has a *degree*, the number of steps that it may see, and listens to units of at most
    its own degree. The context has degree 0, step s has degree s + 1, the output of step t has
    degree t, and the degrees of hidden units are spread evenly over 0 ... length - 1. With four
    steps, four hidden units and a context c, the masks are

        hidden     c  x0 x1 x2 x3        output  h0 h1 h2 h3  c  x0 x1 x2 x3
        h0 (0)     x  .  .  .  .         t=0     x  .  .  .   x  .  .  .  .
        h1 (1)     x  x  .  .  .         t=1     x  x  .  .   x  x  .  .  .
        h2 (2)     x  x  x  .  .         t=2     x  x  x  .   x  x  x  .  .
        h3 (3)     x  x  x  x  .         t=3     x  x  x  x   x  x  x  x  .

    The output also listens to the inputs themselves (the paper's direct connections), so that it
    sees every earlier step however few the hidden units. With no hidden layer this is a fully
    visible sigmoid belief network.

    Hidden units stand in the order of their degrees. Decoding computes each of them once, at the
    step where its inputs are complete.

    Attributes:
      hidden: units of each hidden layer.
      activation: of the hidden units.
    """

    hidden: tuple[int, ...] = (512,)
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: Context, features: int
    ) -> jax.Array:
        batch, length, width = steps.shape
        inputs = self._inputs(steps.reshape(batch, -1), context)
        *hidden, output = self._layers(inputs.shape[-1], width, length, features)
        x = inputs
        for layer in hidden:
            x = self._activate(layer(x))
        x = jnp.concatenate([x, inputs], axis=-1) if hidden else inputs
        return output(x).reshape(batch, length, features)

    def check(self, ordering: Ordering) -> None:
        if min(self.hidden, default=1) < 1:
            raise ValueError(f"hidden: expected at least 1 unit in each layer, got {self.hidden}")

    def init_cache(self, blank: jax.Array, ordering: Ordering, context: Context) -> Cache:
        batch, width = blank.shape
        steps = jnp.zeros((batch, ordering.length * width), blank.dtype)
        return self._inputs(steps, context), [
            jnp.zeros((batch, units), blank.dtype) for units in self.hidden
        ]

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        inputs, hidden = cache
        width = previous.shape[-1]
        start = inputs.shape[-1] - ordering.length * width  # after the context
        # At t = 0 this fills the place of step 0, which is set again before anyone reads it.
        at = start + jnp.maximum(t - 1, 0) * width
        inputs = jax.lax.dynamic_update_slice_in_dim(inputs, previous, at, axis=1)
        *layers, output = self._layers(inputs.shape[-1], width, ordering.length, features)
        x, completed = inputs, []
        for layer, units in zip(layers, hidden, strict=True):
            x = self._complete(layer, x, units, t, ordering.length)
            completed.append(x)
        x = jnp.concatenate([x, inputs], axis=-1) if hidden else inputs
        return (inputs, completed), output.slice(t * features, features)(x)

    def _complete(
        self, layer: "_MaskedLayer", x: jax.Array, units: jax.Array, t: Any, length: int
    ) -> jax.Array:
        """Computes the hidden units of degree t, if there are any."""
        count = units.shape[-1]
        degrees = hidden_degrees(count, length)
        group = int(np.bincount(degrees).max())
        has_units = np.isin(np.arange(length), degrees)
        first = np.minimum(np.searchsorted(degrees, np.arange(length)), count - group)

        def compute(units: jax.Array) -> jax.Array:
            start = lookup(first, t)
            value = self._activate(layer.slice(start, group)(x))
            return jax.lax.dynamic_update_slice_in_dim(units, value, start, axis=1)

        return jax.lax.cond(lookup(has_units, t), compute, lambda units: units, units)

    @nn.compact
    def _layers(self, inputs: int, width: int, length: int, features: int) -> list["_MaskedLayer"]:
        """The hidden layers and the output, for that many inputs of `width` numbers a step."""
        context = np.zeros(inputs - length * width, int)
        input_degrees = np.concatenate([context, 1 + np.arange(length).repeat(width)])
        degrees = [input_degrees] + [hidden_degrees(units, length) for units in self.hidden]
        layers = list(pairwise(degrees))
        sources = np.concatenate([degrees[-1], input_degrees]) if self.hidden else input_degrees
        layers.append((sources, np.arange(length).repeat(features)))
        kernel, bias = nn.initializers.lecun_normal(), nn.initializers.zeros
        return [
            _MaskedLayer(
                self.param(f"kernel_{i}", kernel, (len(sources), len(units)), jnp.float32),
                self.param(f"bias_{i}", bias, (len(units),), jnp.float32),
                jnp.asarray(sources),
                jnp.asarray(units),
            )
            for i, (sources, units) in enumerate(layers)
        ]

    def _inputs(self, steps: jax.Array, context: Context) -> jax.Array:
        """The context before the steps `[batch, length * width]`."""
        return jnp.concatenate([pool(context), steps], axis=-1)

    def _activate(self, x: jax.Array) -> jax.Array:
        return getattr(nn, self.activation)(x)


class _MaskedLayer(NamedTuple):
    """A dense layer whose units listen to sources of at most their own degree."""

    kernel: jax.Array  # [sources, units]
    bias: jax.Array  # [units]
    sources: jax.Array  # [sources], degrees
    units: jax.Array  # [units], degrees

    def __call__(self, x: jax.Array) -> jax.Array:
        mask = self.sources[:, None] <= self.units
        return x @ jnp.where(mask, self.kernel, 0) + self.bias

    def slice(self, start: Any, size: int) -> "_MaskedLayer":
        """The layer with `size` of its units only."""
        kernel, bias, units = (
            jax.lax.dynamic_slice_in_dim(x, start, size, axis=-1)
            for x in (self.kernel, self.bias, self.units)
        )
        return _MaskedLayer(kernel, bias, self.sources, units)


def hidden_degrees(units: int, length: int) -> np.ndarray:
    """`[units]`: the degrees of a hidden layer, rising, in equal groups spread over the steps."""
    group = -(-units // length)
    groups = -(-units // group)
    return np.arange(units) // group * length // groups
