"""Masked dense layers: each unit is connected to the steps up to its degree.

The *degree* of a source or unit is the number of steps that it may depend on: the context has
degree 0, step s degree s + 1, the features of step t degree t. A unit is connected to the sources
of at most its own degree. Weights belong to the cells of the event, so that one set of them serves
every ordering.

In a `Graph` degree t stands for the set of parents of the t-th cell visited, degree count + t for
that cell itself, and a unit is connected to the sources whose set is a part of its own.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.nn.context import ContextVectors, pool
from ar_jax.nn.sequence import lookup
from ar_jax.orderings import Graph, Ordering


class MaskedDense(NamedTuple):
    """A dense layer whose kernel is masked by the degrees of its units and sources."""

    kernel: jax.Array  # [units, sources]
    bias: jax.Array  # [units]
    units: np.ndarray  # [units], degrees
    sources: np.ndarray  # [sources], degrees
    ordering: Ordering

    def __call__(self, x: jax.Array, rows: Any = slice(None)) -> jax.Array:
        """`[batch, sources]` -> `[batch, rows]`, the units asked for."""
        if isinstance(self.ordering, Graph):
            mask = jnp.asarray(connection_mask(self.units, self.sources, self.ordering))[rows]
        else:
            mask = self.sources <= jnp.asarray(self.units)[rows, None]
        return x @ jnp.where(mask, self.kernel[rows], 0).T + self.bias[rows]


def masked_dense(
    module: nn.Module, name: str, units: np.ndarray, sources: np.ndarray, ordering: Ordering
) -> MaskedDense:
    """A layer whose parameters belong to the module, between units and sources of those degrees."""
    kernel = nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
    return MaskedDense(
        module.param(f"{name}_kernel", kernel, (len(units), len(sources)), jnp.float32),
        module.param(f"{name}_bias", nn.initializers.zeros, (len(units),), jnp.float32),
        units,
        sources,
        ordering,
    )


def connection_mask(units: np.ndarray, sources: np.ndarray, ordering: Ordering) -> np.ndarray:
    """The mask of a kernel `[units, sources]`: which weights the degrees allow."""
    if isinstance(ordering, Graph):
        return ordering.includes[np.ix_(units, sources)]
    return sources <= units[:, None]


def cell_degrees(ordering: Ordering) -> np.ndarray:
    """`[count]`: the degrees of the cells as sources, in raster order."""
    visits = np.argsort(ordering.order)
    return visits + (1 if ordering.is_sequential else ordering.count)


class Inputs(NamedTuple):
    """The context, and the steps so far, each at its cell of the event."""

    context: jax.Array  # [batch, width of the context]
    steps: jax.Array  # [batch, count, inputs of a cell]

    @classmethod
    def empty(cls, template: jax.Array, ordering: Ordering, context: ContextVectors) -> "Inputs":
        """Those before the first step; `template` `[batch, inputs]` is any step."""
        batch, inputs = template.shape
        shape = (batch, ordering.count, inputs // ordering.cells_per_step)
        return cls(pool(context), jnp.zeros(shape, template.dtype))

    def extend(self, previous: jax.Array, t: Any, ordering: Ordering) -> "Inputs":
        """With steps t - 1 ... t + k - 2, `[batch, k, inputs]`; at t = 0 the first is ignored."""
        # At t = 0 the first of them is no step. It is rolled to step k - 1, which no unit of this
        # call may read and the next call overwrites: shapes stay the same for a traced t.
        previous = jnp.where(t == 0, jnp.roll(previous, -1, axis=1), previous)
        slots = jnp.maximum(t - 1, 0) + jnp.arange(previous.shape[1])
        # The padding of a step is written to a cell beyond the last, and so dropped.
        places = np.where(ordering.valid, ordering.cell_indices, ordering.count)
        cells = jnp.asarray(places)[slots].ravel()
        previous = previous.reshape(len(previous), len(cells), -1)
        return self._replace(steps=self.steps.at[:, cells].set(previous, mode="drop"))

    def flat(self) -> jax.Array:
        """The sources of the first layer: `[batch, sources]`."""
        return jnp.concatenate([self.context, self.steps.reshape(len(self.steps), -1)], axis=-1)

    def degrees(self, ordering: Ordering) -> np.ndarray:
        """The degrees of `flat`: `[sources]`."""
        of_steps = cell_degrees(ordering).repeat(self.steps.shape[-1])
        return np.concatenate([np.zeros(self.context.shape[-1], int), of_steps])


def readout(
    module: nn.Module, x: jax.Array, sources: np.ndarray, t: Any, k: int, ordering: Ordering,
    features: int,
) -> jax.Array:  # fmt: skip
    """The last layer: the features of steps t ... t + k - 1.

    Args:
      module: the module that owns the parameters.
      x: `[batch, sources]`.
      sources: `[sources]`, the degrees of x.
      t: the first step.
      k: how many steps.
      ordering: the ordering of the steps.
      features: number of features of each step.

    Returns:
      `[batch, k, features]`.
    """
    own = features // ordering.cells_per_step  # features of a cell
    degrees = np.argsort(ordering.order).repeat(own)
    layer = masked_dense(module, "readout", degrees, sources, ordering)
    if k == ordering.length:  # gather the outputs, which are smaller than the weights
        cells = layer(x).reshape(len(x), -1, own)
        return cells[:, ordering.cell_indices.ravel()].reshape(len(x), k, features)

    def compute(cells: Any) -> jax.Array:
        # The rows of the kernel that belong to these cells: [cells * own].
        rows = (cells[:, None] * own + np.arange(own)).ravel()
        values = layer(x, rows).reshape(len(x), len(cells), own)
        # [batch, valid cells, own] -> [batch, k, cells_per_step * own]; a step that is not full
        # repeats its last cell.
        last = [np.cumsum(ordering.valid[i : i + k]) - 1 for i in range(ordering.length + 1 - k)]
        return values[:, lookup(np.stack(last), t)].reshape(len(x), k, features)

    cells = [
        ordering.cell_indices[i : i + k][ordering.valid[i : i + k]]
        for i in range(ordering.length + 1 - k)
    ]
    return switch_on_size(compute, cells, t)


def switch_on_size(
    compute: Callable[[Any], jax.Array], rows: Sequence[np.ndarray], t: Any
) -> jax.Array:
    """`compute(rows[t])` for a traced t, with one `lax.switch` branch for each number of rows."""
    if isinstance(t, int):
        return compute(rows[t])
    # Shapes are static inside `jit`, so that steps with equally many rows share a branch.
    sizes = sorted({len(own) for own in rows})

    def branch(size: int) -> jax.Array:
        # Steps of another size fill the table with zeros, which this branch never reads.
        table = [own if len(own) == size else np.zeros(size, int) for own in rows]
        return compute(jnp.asarray(np.stack(table))[t])

    which = np.array([sizes.index(len(own)) for own in rows])
    return jax.lax.switch(jnp.asarray(which)[t], [partial(branch, size) for size in sizes])
