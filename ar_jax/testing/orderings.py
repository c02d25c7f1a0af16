"""The law of orderings."""

import jax.numpy as jnp
import numpy as np

from ar_jax.orderings import Ordering


def check_ordering(ordering: Ordering) -> None:
    """To steps and back is the identity, each cell comes once, coordinates say where.

    Args:
      ordering: any.
    """
    count = int(np.prod(ordering.event))
    event = np.arange(2 * count).reshape(2, *ordering.event)
    steps = ordering.to_steps(jnp.asarray(event))
    assert steps.shape == (2, ordering.length, ordering.step_size), "steps have the wrong shape"
    np.testing.assert_array_equal(ordering.to_event(steps), event, "to_event undoes to_steps")
    assert sorted(ordering.order) == list(range(ordering.count)), "a cell comes twice or never"
    visited = ordering.cell_indices[ordering.valid]
    np.testing.assert_array_equal(visited, ordering.order, "steps visit the cells in order")
    assert not np.triu(ordering.causal_mask).any(), "a cell depends on itself or a later one"
    step = np.nonzero(ordering.valid)[0]
    assert not np.any(ordering.causal_mask & (step[:, None] == step)), "a step depends on itself"
    sides = zip(ordering.event, ordering.block, strict=True)
    corners = np.ix_(*[range(0, size, side) for size, side in sides])
    first = event[0][corners][tuple(ordering.coordinates.T)]
    got = ordering.by_cell(steps)[0, ordering.valid, 0]
    np.testing.assert_array_equal(got, first, "coordinates say where a cell is")
    if ordering.grid is not None:
        order = ordering.order.reshape(*ordering.grid, ordering.channels)
        for axis in (0, 1, 2):
            assert len(np.unique(np.diff(order, axis=axis))) <= 1, "the grid keeps neighbours"
