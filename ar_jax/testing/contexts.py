"""The law of contexts."""

from typing import Any

import jax
import numpy as np

from ar_jax.contexts import Context, Several
from ar_jax.testing.base import apply, random_variables, resized


def check_context(context: Context, condition: Any) -> None:
    """Conditions are told apart, and from absence; dropout happens only where it is asked for.

    Args:
      context: any.
      condition: `[batch, ...]`, several different ones; None for `Nothing`.
    """
    batch = 16

    def tell(y: Any, **rngs: jax.Array) -> list[np.ndarray]:
        """The vectors that count, of each example."""
        vectors, mask = apply(context, variables, y, batch, rngs=rngs)
        assert vectors.shape[:2] == mask.shape == (batch, mask.shape[1]), "vectors fit their mask"
        return [own[counts] for own, counts in zip(*map(np.asarray, (vectors, mask)), strict=True)]

    if condition is None:
        variables = {}
        assert not np.concatenate(tell(None)).size, "nothing has no vectors"
        return
    condition = resized(condition, batch)
    variables = random_variables(context, condition, batch)
    present, absent = tell(condition), tell(None)
    assert all(map(len, present)), "each example is told something"
    assert all(map(_same, present, tell(condition))), "without a dropout rng nothing is random"
    distinct = {b"".join(y[i].tobytes() for y in jax.tree.leaves(condition)) for i in range(batch)}
    assert len({x.tobytes() for x in present}) == len(distinct), "they are told apart"
    parts = context.contexts if isinstance(context, Several) else (context,)
    trained = np.array([getattr(part, "dropout", 0) > 0 for part in parts])
    law = "an absence is made up only where it was trained"
    for vectors in absent:
        np.testing.assert_array_equal(~np.isnan(vectors).all(axis=-1), trained, law)
    if not trained.all():
        return
    missing = context.missing(condition)
    assert all(map(_same, tell(missing), absent)), "what is missing is absent"
    first = jax.tree.map(lambda y, none: np.concatenate([y[:1], none[1:]]), condition, missing)
    assert all(map(_same, tell(first), [*present[:1], *absent[1:]])), "for one example alone"
    dropped = tell(condition, dropout=jax.random.key(1))
    same, gone = (np.array(list(map(_same, dropped, whole))) for whole in (present, absent))
    assert np.all(same | gone) or len(parts) > 1, "dropout takes a whole condition"
    assert gone.any(), "dropout takes some conditions"
    assert same.any(), "dropout leaves some conditions"


def _same(x: np.ndarray, y: np.ndarray) -> bool:
    return np.array_equal(x, y)
