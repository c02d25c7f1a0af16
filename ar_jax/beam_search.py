"""Beam search: the most likely events, or nearly, kept side by side."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_positive
from ar_jax.contexts import Condition
from ar_jax.decoding import Sampler
from ar_jax.heads import DiscretizedLogisticMixture
from ar_jax.heads.discrete import Discrete
from ar_jax.model import Array, AutoregressiveModel, Given, Variables, check_given


def beam_search(
    model: AutoregressiveModel,
    variables: Variables,
    *,
    beams: int,
    condition: Condition = None,
    batch_size: int | None = None,
    prefix: Array | None = None,
    end: int = -1,
    length_penalty: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Events of high probability: at each step the best continuations of the best so far.

    With as many beams as there are events it finds the most likely ones, exactly; fewer may miss
    them. Continuations are ranked by log p divided by length^length_penalty.

    Args:
      model: whose steps are one variable of finitely many values.
      variables: its own.
      beams: how many events are kept side by side.
      condition: `[batch, ...]`, y as the context takes it; None for none.
      batch_size: how many searches; left out, as many as there are conditions or prefixes.
      prefix: `[batch, n, 1]`, first steps that are given.
      end: the value that ends an event, after which comes nothing but it, at 0 nats; -1 for none.
      length_penalty: 0 ranks by log p, which favours short events; 1 by its mean over the values
        up to the end.

    Returns:
      Events `[batch, beams, *event]`, the best first, and log p(event | prefix, y)
      `[batch, beams]` nats.

    Raises:
      ValueError: when the condition or the prefix does not fit the model, or its steps are others.
    """
    check_positive(beams=beams)
    model.check_parts()
    head = model.head
    if model.ordering.step_size > 1 or not isinstance(head, Discrete | DiscretizedLogisticMixture):
        raise ValueError(
            "model: expected steps of one variable of finitely many values, got "
            f"{model.ordering.step_size} of {type(head).__name__}"
        )
    given = check_given(
        model, jax.random.key(0), condition, batch_size, Sampler(), None, prefix, None
    )
    events, log_prob = _search(model, variables, given, beams, end, length_penalty)
    shape = given.batch, beams, *model.ordering.event
    return model.ordering.to_event(events).reshape(shape), log_prob


@partial(jax.jit, static_argnames=("model", "beams", "end"))
def _search(
    model: AutoregressiveModel,
    variables: Variables,
    given: Given,
    beams: int,
    end: int,
    length_penalty: float,
) -> tuple[jax.Array, jax.Array]:
    """Steps `[batch * beams, length, 1]`, and their log-probability `[batch, beams]`."""
    batch, start, length = given.batch, given.prefilled, model.ordering.length

    def begin(rows: int) -> Any:
        condition, first = jax.tree.map(
            lambda x: jnp.repeat(x, rows // batch, axis=0), (given.condition, given.first)
        )
        return model.apply(variables, rows, condition, first, method="begin")

    def log_pmf(model: AutoregressiveModel, features: jax.Array, value: jax.Array) -> jax.Array:
        return model.head.log_pmf(features, value)[:, 0]

    cache, _ = begin(batch * beams)
    # A cache's axes are its own affair: that of the batch is the one which grows with it.
    more, _ = jax.eval_shape(lambda: begin(2 * batch * beams))
    axes = jax.tree.map(_axis_that_differs, cache, more)

    def body(carry: Any, t: jax.Array) -> tuple[Any, None]:
        cache, steps, log_prob, count, ended = carry
        previous = jnp.where(t > 0, steps[:, t - 1], 0)
        cache, features = model.apply(variables, cache, previous, t, method="step")
        log_next: Any = model.apply(variables, features, previous, method=log_pmf)
        values = log_next.shape[-1]
        nothing_more = jnp.where(jnp.arange(values) == end, 0, -jnp.inf)
        log_next = jnp.where(ended[..., None], nothing_more, log_next.reshape(batch, beams, values))
        total, count = log_prob[..., None] + log_next, count + ~ended
        score = total / count[..., None] ** length_penalty
        _, best = jax.lax.top_k(score.reshape(batch, beams * values), beams)
        parent, value = jnp.divmod(best, values)
        log_prob = jnp.take_along_axis(total.reshape(batch, -1), best, axis=1)
        count, ended = (jnp.take_along_axis(x, parent, axis=1) for x in (count, ended))
        rows = (jnp.arange(batch)[:, None] * beams + parent).ravel()
        cache = jax.tree.map(partial(_take, rows), cache, axes)
        steps = steps[rows].at[:, t, 0].set(value.ravel())
        return (cache, steps, log_prob, count, ended | (value == end)), None

    steps = jnp.zeros((batch * beams, length, 1), jnp.int32)
    if given.first is not None:
        steps = steps.at[:, :start].set(jnp.repeat(given.first, beams, axis=0))
    alone = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)  # as yet all beams are the same
    blank = jnp.zeros((batch, beams), int), jnp.zeros((batch, beams), bool)
    carry = cache, steps, jnp.tile(alone, (batch, 1)), *blank
    (_, steps, log_prob, _, _), _ = jax.lax.scan(body, carry, jnp.arange(start, length))
    return steps, log_prob


def _take(rows: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    return x if axis < 0 else jnp.take(x, rows, axis)


def _axis_that_differs(x: jax.Array, more: jax.ShapeDtypeStruct) -> int:
    """-1 if there is none."""
    differs = [axis for axis, size in enumerate(x.shape) if size != more.shape[axis]]
    return differs[0] if differs else -1
