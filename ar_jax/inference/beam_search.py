"""Beam search: the most likely events, or nearly, kept side by side."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_number, check_positive, is_concrete
from ar_jax.contexts import Condition
from ar_jax.decoding import (
    Processor,
    Sampler,
    advance_states,
    done,
    init_states,
    process,
    processors_of,
)
from ar_jax.inference.sampling import (
    SamplingInputs,
    check_drawn,
    check_inputs,
    check_possible,
    check_single,
)
from ar_jax.models.autoregressive import Array, AutoregressiveModel, Variables


def beam_search(
    model: AutoregressiveModel,
    variables: Variables,
    *,
    beams: int,
    condition: Condition = None,
    batch_size: int | None = None,
    prefix: Array | None = None,
    processors: Sequence[Processor] = (),
    length_penalty: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Events of high probability: at each step the best continuations of the best so far.

    With as many beams as there are events it finds the most likely ones, exactly; fewer may miss
    them. Continuations are ranked by log p divided by length^length_penalty, where log p is what
    the processors make of it.

    Args:
      model: whose steps are one variable of finitely many values.
      variables: its own.
      beams: how many events are kept side by side.
      condition: `[batch, ...]`, y as the context takes it; None for none.
      batch_size: how many searches; left out, as many as there are conditions or prefixes.
      prefix: `[batch, n, 1]`, first steps that are given.
      processors: as of `sample`; `Stop(((end,),))` ends events at a value, at 0 nats from there on.
      length_penalty: 0 ranks by log p, which favours short events; 1 by its mean over the values
        up to the end. Of events of n steps at most 60 / log(n) in size, so that n to its power is
        in the range of float32.

    Returns:
      Events `[batch, beams, *event]`, the best first, with zeros after the end; and
      log p(event | prefix, y) up to there `[batch, beams]` nats, under the model itself, minus
      infinity where there are no more events.

    Raises:
      ValueError: when the condition, the prefix or a processor does not fit the model, its steps
        are others, or processors allowed nothing at a step.
    """
    check_positive(beams=beams)
    model.check_parts()
    check_single(model)
    key = jax.random.key(0)  # nothing is drawn
    inputs = check_inputs(
        model, variables, key, condition, batch_size, Sampler(), None, processors, prefix, None
    )
    # The power of the longest length, and what is divided by it, must stay in range.
    most = 60 / math.log(max(model.ordering.length, 2))
    check_number(
        "length_penalty", length_penalty, f"-{most:.3g} to {most:.3g}", lambda p: abs(p) <= most
    )
    events, log_prob = _search(model, variables, inputs, beams, length_penalty)
    check_drawn(events, log_prob)
    if processors and is_concrete(log_prob):
        check_possible(jnp.isneginf(log_prob[:, 0]))
    shape = inputs.batch, beams, *model.ordering.event
    return model.ordering.to_event(events).reshape(shape), log_prob


@partial(jax.jit, static_argnames=("model", "beams"))
def _search(
    model: AutoregressiveModel,
    variables: Variables,
    inputs: SamplingInputs,
    beams: int,
    length_penalty: float,
) -> tuple[jax.Array, jax.Array]:
    """Steps `[batch * beams, length, 1]`, and their log-probability `[batch, beams]`."""
    batch, start, length = inputs.batch, inputs.prefill_length, model.ordering.length
    processors = processors_of(inputs.sampler)

    def begin(rows: int) -> Any:
        condition, first = jax.tree.map(
            lambda x: jnp.repeat(x, rows // batch, axis=0), (inputs.condition, inputs.first)
        )
        return model.apply(variables, rows, condition, first, method="begin")

    def log_pmf(model: AutoregressiveModel, features: jax.Array, value: jax.Array) -> jax.Array:
        return model.head.log_pmf(features, value)[:, 0]

    cache, _ = begin(batch * beams)
    # Where a conditional keeps the batch axis of its cache is its own affair: it is the axis that
    # grows when the batch does.
    more, _ = jax.eval_shape(lambda: begin(2 * batch * beams))
    axes = jax.tree.map(_axis_that_differs, cache, more)

    def body(carry: Any, t: jax.Array) -> tuple[Any, None]:
        cache, steps, states, score, log_prob, count = carry
        previous = jnp.where(t > 0, steps[:, t - 1], 0)
        cache, features = model.apply(variables, cache, previous, t, method="step")
        log_next: Any = model.apply(variables, features, previous, method=log_pmf)
        processed = process(processors, log_next, states, t)
        over = done(processors, states, batch * beams, t)
        # A beam that has ended goes on with the value 0 only, at no cost, and is not counted.
        nothing = jnp.where(jnp.arange(log_next.shape[-1]) == 0, 0, -jnp.inf)
        processed = jnp.where(over[:, None], nothing, processed)
        log_next = jnp.where(over[:, None], 0, log_next)
        count += ~over
        score, log_prob = score[:, None] + processed, log_prob[:, None] + log_next
        # The best of beams * values continuations of each example: [batch, beams * values].
        rank = (score / count[:, None] ** length_penalty).reshape(batch, -1)
        parent, value = jnp.divmod(jax.lax.top_k(rank, beams)[1], log_next.shape[-1])
        rows = (jnp.arange(batch)[:, None] * beams + parent).ravel()
        value = value.ravel()
        # Copy the caches and states of the parents: one may have several children, or none.
        cache = jax.tree.map(partial(_take, rows), cache, axes)
        states, over, count = jax.tree.map(lambda x: x[rows], (states, over, count))
        states = advance_states(processors, states, value, t, ~over)
        score, log_prob = score[rows, value], log_prob[rows, value]
        steps = steps[rows].at[:, t, 0].set(value)
        return (cache, steps, states, score, log_prob, count), None

    steps = jnp.zeros((batch * beams, length, 1), jnp.int32)
    known = (
        None
        if inputs.prefix is None
        else jax.tree.map(lambda x: jnp.repeat(x, beams, axis=0), inputs.prefix)
    )
    if known is not None:
        steps = steps.at[:, :start].set(known[0])
    states = init_states(processors, batch * beams, length, known)
    # The beams of an example start equal, so that only the first may be ranked.
    alone = jnp.where(jnp.arange(batch * beams) % beams == 0, 0.0, -jnp.inf)
    carry = cache, steps, states, alone, jnp.zeros_like(alone), jnp.zeros(batch * beams, int)
    (_, steps, _, score, log_prob, _), _ = jax.lax.scan(body, carry, jnp.arange(start, length))
    log_prob = jnp.where(jnp.isneginf(score), -jnp.inf, log_prob)
    return steps, log_prob.reshape(batch, beams)


def _take(rows: jax.Array, x: jax.Array, axis: int) -> jax.Array:
    return x if axis < 0 else jnp.take(x, rows, axis)


def _axis_that_differs(x: jax.Array, more: jax.ShapeDtypeStruct) -> int:
    """-1 if there is none."""
    differs = [axis for axis, size in enumerate(x.shape) if size != more.shape[axis]]
    return differs[0] if differs else -1
