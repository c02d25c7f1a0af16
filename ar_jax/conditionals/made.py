"""MADE, the masked autoencoder for distribution estimation."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_at_least
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.masked_dense import (
    Inputs,
    cell_degrees,
    connection_mask,
    masked_dense,
    readout,
    switch_on_size,
)
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering


class MADE(SequenceConditional):
    """A masked multi-layer perceptron (Germain et al., arXiv 1502.03509).

    Each unit has a *degree*, the number of steps that it may depend on, and is connected to units
    of at most its own degree. The context has degree 0, step s has degree s + 1, the output of
    step t has degree t, and the degrees of hidden units are spread evenly over 0 ... length - 1.
    With four steps, four hidden units and a context c, the masks are

        hidden     c  x0 x1 x2 x3        output  h0 h1 h2 h3  c  x0 x1 x2 x3
        h0 (0)     x  .  .  .  .         t=0     x  .  .  .   x  .  .  .  .
        h1 (1)     x  x  .  .  .         t=1     x  x  .  .   x  x  .  .  .
        h2 (2)     x  x  x  .  .         t=2     x  x  x  .   x  x  x  .  .
        h3 (3)     x  x  x  x  .         t=3     x  x  x  x   x  x  x  x  .

    The output also reads the inputs themselves (the paper's direct connections), so that it depends
    on every earlier step however few the hidden units. Without direct connections on those
    that the hidden units see: every earlier step if no layer has fewer units than there are steps.

    The paper's several masks, of orderings or of connectivities, are members of an
    `ar_jax.Ensemble` that share their weights.

    Decoding computes each hidden unit once, at the step where its inputs are complete.

    In a `Graph` a hidden unit belongs to a cell, whose parents it may see, and listens to units
    that see no others: the features of a cell depend on its parents only.

    Attributes:
      hidden: units of each hidden layer.
      activation: of the hidden units.
      residual: a first linear layer, and then a residual block of two layers for each of `hidden`,
        which are all of one size (ResidualMADE, Nash and Durkan, arXiv 1904.05626).
      connectivity: which hidden unit has which degree: at 0 they rise, others shuffle them.
      direct: whether the output reads the inputs, too.
    """

    hidden: tuple[int, ...] = (512,)
    activation: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    residual: bool = False
    connectivity: int = 0
    direct: bool = True

    follows_graphs = True

    def check(self, ordering: Ordering) -> None:
        if min(self.hidden, default=0) < 1:
            raise ValueError(
                f"hidden: expected at least 1 unit in each of at least 1 layer, got {self.hidden}"
            )
        check_at_least(0, connectivity=self.connectivity)
        if self.residual and len(set(self.hidden)) > 1:
            raise ValueError(f"hidden: expected residual blocks of one size, got {self.hidden}")

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        return Inputs.empty(template, ordering, context), [
            jnp.zeros((len(template), len(degrees)), template.dtype)
            for degrees in self._degrees(ordering.count)
        ]

    @nn.compact
    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        inputs, units = cache
        inputs = inputs.extend(previous, t, ordering)
        input_degrees, k = inputs.degrees(ordering), previous.shape[1]
        x = stream = inputs.flat()
        sources, completed = input_degrees, []
        for i, (old, degrees) in enumerate(zip(units, self._degrees(ordering.count), strict=True)):
            layer = masked_dense(self, f"hidden_{i}", degrees, sources, ordering)

            def compute(
                rows: Any, i: int = i, layer: Any = layer, x: jax.Array = x, stream: Any = stream
            ) -> jax.Array:
                y = layer(x, rows)
                if self.residual and i % 2 == 0:  # what a block adds to the stream
                    return y if i == 0 else stream[:, rows] + y
                return getattr(nn, self.activation)(y)

            x, sources = complete(compute, old, degrees, t, k, ordering), degrees
            stream = x if i % 2 == 0 else stream
            completed.append(x)
        if self.direct:
            x = jnp.concatenate([x, inputs.flat()], axis=-1)
            sources = np.concatenate([sources, input_degrees])
        return (inputs, completed), readout(self, x, sources, t, k, ordering, features)

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        if self.direct:
            return super().dependency_mask(ordering)
        seen, sources = np.eye(ordering.count, dtype=np.float32), cell_degrees(ordering)
        for units in (*self._degrees(ordering.count), np.argsort(ordering.order)):
            seen = (connection_mask(units, sources, ordering) @ seen > 0).astype(np.float32)
            sources = units
        return seen[np.ix_(ordering.order, ordering.order)] > 0

    def _degrees(self, count: int) -> list[np.ndarray]:
        """The degrees of the units of each hidden layer."""
        sizes = (self.hidden[0], *np.repeat(self.hidden, 2)) if self.residual else self.hidden
        if self.direct:
            layers = [hidden_degrees(size, count) for size in sizes]
        else:  # no degree is left out, if there are enough units
            layers = [np.arange(size) * count // size for size in sizes]
        if self.connectivity:
            # The layers of a stream have the same degrees.
            seeds = [0 if self.residual and i % 2 == 0 else i for i in range(len(layers))]
            rngs = [np.random.default_rng((self.connectivity, seed)) for seed in seeds]
            layers = [rng.permutation(x) for rng, x in zip(rngs, layers, strict=True)]
        return layers


def complete(
    compute: Callable[[Any], jax.Array],
    units: jax.Array,
    degrees: np.ndarray,
    t: Any,
    k: int,
    ordering: Ordering,
) -> jax.Array:
    """Computes the units whose inputs are complete at steps t ... t + k - 1, if there are any.

    Args:
      compute: maps unit indices `[rows]` to their values `[batch, rows]`.
      units: `[batch, units]`, the values so far.
      degrees: `[units]`, their degrees.
      t: the first step.
      k: how many steps.
      ordering: of the steps.

    Returns:
      `[batch, units]`.
    """
    if k == ordering.length:
        return compute(slice(None))
    step = np.nonzero(ordering.valid)[0][degrees]  # the step at which a unit's inputs are complete
    # Sorted by that step, the units of steps t ... t + k - 1 are one slice. Each unit belongs to
    # one step, so that decoding computes it once.
    by_step = np.argsort(step, kind="stable")
    edges = np.searchsorted(step[by_step], np.arange(ordering.length + 1))
    rows = [by_step[edges[i] : edges[i + k]] for i in range(ordering.length + 1 - k)]

    def update(rows: Any) -> jax.Array:
        return units.at[:, rows].set(compute(rows)) if len(rows) else units

    return switch_on_size(update, rows, t)


def hidden_degrees(units: int, length: int) -> np.ndarray:
    """`[units]`: the degrees of a hidden layer, rising, in equal groups spread over the steps."""
    group = -(-units // length)
    groups = -(-units // group)
    return np.arange(units) // group * length // groups
