"""The same model over events of another length."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_positive
from ar_jax.contexts import Condition, count_of
from ar_jax.models.autoregressive import AutoregressiveModel, Variables
from ar_jax.orderings import Raster

BEYOND = 2**24
"""Steps that no window reaches back: caches that are still larger at twice as many keep all."""


def with_length(
    model: AutoregressiveModel, variables: Variables, length: int, condition: Condition = None
) -> AutoregressiveModel:
    """The same model over events of another length, for texts without an end in sight.

        longer = ar.with_length(model, variables, 100_000)
        for step in ar.stream(longer, variables, key, batch_size=1): ...

    A step costs what it did, in constant memory: of recurrent and state-space networks, causal
    convolutions, and transformers with a sliding window whose positions are relative (`Rotary`,
    whose angles at step t are rounded by about 1e-7 t in float32).

    Args:
      model: over events `(n,)`, or `(n, 1, ...)`, in raster order.
      variables: its own.
      length: n from now on; shorter ones may be given, too.
      condition: one as the model takes it; None if it needs none.

    Raises:
      ValueError: when the events are others, a parameter belongs to a place, or all steps are kept.
    """
    check_positive(length=length)
    ordering = model.ordering
    if not isinstance(ordering, Raster) or ordering.length != ordering.cells[0]:
        raise ValueError(
            "ordering: expected a Raster whose steps follow each other along the first axis, got "
            f"{ordering}"
        )

    def of_length(length: int) -> AutoregressiveModel:
        event = (length, *ordering.event[1:])
        return model.clone(ordering=dataclasses.replace(ordering, event=event))

    def step(model: AutoregressiveModel) -> Any:
        cache, previous = model.begin(batch, condition)
        return model.step(cache, previous, 0)

    def shapes(function: Any) -> Any:
        return jax.tree.map(jnp.shape, jax.eval_shape(function))

    def caches(model: AutoregressiveModel) -> Any:
        return shapes(lambda: model.apply(variables, batch, condition, method="init_cache"))

    batch, longer = count_of(condition) or 1, of_length(length)
    init: Any = longer.init
    needed = shapes(lambda: init(jax.random.key(0), method=step))
    if jax.tree.map(jnp.shape, variables) != needed:
        raise ValueError(
            "model: expected parameters that serve events of any length, got some that belong to "
            "a place (of a transformer's positions, Rotary has none)"
        )
    far = max(length, BEYOND)
    if caches(of_length(far)) != caches(of_length(2 * far)):
        raise ValueError(
            "conditional: expected one whose memory is bounded (a Transformer with a window), got "
            f"{type(model.conditional).__name__} that keeps all steps"
        )
    return longer
