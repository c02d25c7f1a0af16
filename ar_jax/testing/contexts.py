"""The law of contexts."""

from typing import Any

import jax
import numpy as np

from ar_jax.contexts import Context
from ar_jax.testing.base import apply, random_variables


def check_context(context: Context, condition: Any) -> None:
    """Presence is told apart from absence, and dropout happens only where it is asked for.

    Args:
      context: any.
      condition: `[batch, ...]`, several different ones; None for `Nothing`.
    """
    batch = 16
    if condition is None:
        vectors, mask = apply(context, {}, None, batch)
        assert vectors.shape[:2] == mask.shape == (batch, 0), "nothing has no vectors"
        return
    condition = np.resize(condition, (batch, *np.shape(condition)[1:]))
    variables = random_variables(context, condition, batch)
    present, mask = apply(context, variables, condition, batch)
    assert present.shape[:2] == mask.shape == (batch, mask.shape[1]), "vectors fit their mask"
    assert mask.any(axis=1).all(), "each example is told something"
    again, _ = apply(context, variables, condition, batch)
    np.testing.assert_array_equal(present, again, "without a dropout rng nothing is random")
    if getattr(context, "dropout", 0) == 0:
        absent, _ = apply(context, variables, None, batch)
        assert np.isnan(absent).all(), "an absence that was never trained is not made up"
        return
    null, null_mask = apply(context, variables, None, batch)
    (null,) = np.unique(np.asarray(null)[np.asarray(null_mask)], axis=0)
    rngs = {"dropout": jax.random.key(1)}
    dropped, dropped_mask = apply(context, variables, condition, batch, rngs=rngs)
    alone = np.asarray(dropped_mask).sum(axis=1) == 1
    is_null = alone & np.all(np.asarray(dropped)[:, 0] == null, axis=-1)
    same = np.all(np.asarray(dropped == present).reshape(batch, -1), axis=1)
    assert np.all(is_null | same), "dropout changes a condition to the null and nothing else"
    assert is_null.any(), "dropout takes some conditions"
    assert same.any(), "dropout leaves some conditions"
