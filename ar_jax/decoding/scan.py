"""The decoding loop: one scan over the steps of a sequence, and what each of them does."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ar_jax.decoding.guidance import GuidedSampler
from ar_jax.decoding.processors import (
    ProcessedSampler,
    State,
    advance_states,
    done,
    init_states,
    processors_of,
)
from ar_jax.decoding.samplers import Sampler

AnySampler = Sampler | ProcessedSampler | GuidedSampler

StepFunction = Callable[
    [Any, jax.Array, jax.Array, jax.Array, AnySampler], tuple[Any, jax.Array, jax.Array]
]
"""(cache, previous `[batch, step_size]`, t, keys `[batch]`, sampler) -> (cache, value, log_prob)"""

Prefix = tuple[jax.Array, jax.Array]
"""Values that are given rather than drawn `[batch, n, step_size]`, and how many of the n count for
each example `[batch]`."""


class Carry(NamedTuple):
    """What goes from step to step: the cache, the value before, and the processors' states."""

    cache: Any
    previous: jax.Array
    states: tuple[State, ...]


def begin(
    cache: Any, previous: jax.Array, length: int, sampler: AnySampler, prefix: Prefix | None
) -> Carry:
    """What goes into the first step that is drawn; the prefix is the event's first steps."""
    states = init_states(processors_of(sampler), len(previous), length, prefix)
    return Carry(cache, previous, states)


def decode(
    step: StepFunction,
    carry: Carry,
    keys: jax.Array,
    start: int,
    stop: int,
    sampler: AnySampler,
    prefix: Prefix | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Draws the steps `start ... stop - 1`, each from those before it.

    Once processors have ended all examples, nothing more is computed.

    Args:
      step: draws the value at t given the cache and the value at t - 1.
      carry: what goes into step `start`; the previous value is ignored at 0.
      keys: `[batch]` random keys, one for each example; step t draws with `fold_in(key, t)`.
      start: the first step to draw.
      stop: the step after the last.
      sampler: how a value is drawn.
      prefix: the first steps, at most up to stop.

    Returns:
      The values `[batch, stop - start, step_size]`, zeros after the end of an example; and the
      log-probability of those drawn, in nats `[batch]`.
    """

    def draw(carry: Carry, t: Any) -> tuple[Carry, tuple[jax.Array, jax.Array]]:
        carry, value, log_prob = advance(step, carry, keys, t, sampler, prefix)
        return carry, (value, log_prob)

    if not processors_of(sampler):
        _, (values, log_probs) = jax.lax.scan(draw, carry, jnp.arange(start, stop))
        return values.swapaxes(0, 1), log_probs.sum(axis=0)

    def goes_on(state: Any) -> jax.Array:
        carry, t, _, _ = state
        return (t < stop) & ~ended(carry, t, sampler, prefix).all()

    def body(state: Any) -> Any:
        carry, t, values, total = state
        carry, (value, log_prob) = draw(carry, t)
        return carry, t + 1, values.at[:, t - start].set(value), total + log_prob

    value, zero = jax.tree.map(jnp.zeros_like, jax.eval_shape(draw, carry, start)[1])
    values = jnp.repeat(value[:, None], stop - start, axis=1)
    return jax.lax.while_loop(goes_on, body, (carry, jnp.asarray(start), values, zero))[2:]


def advance(
    step: StepFunction,
    carry: Carry,
    keys: jax.Array,
    t: Any,
    sampler: AnySampler,
    prefix: Prefix | None,
) -> tuple[Carry, jax.Array, jax.Array]:
    """One step of `decode`: what goes on from it, the values, and their log-probability or 0."""
    cache, previous, states = carry
    keys = jax.vmap(_fold, (0, None))(keys, t)
    processors = processors_of(sampler)
    at = sampler
    if processors:
        assert isinstance(sampler, ProcessedSampler | GuidedSampler)
        at = sampler.at(states, t)
    cache, value, log_prob = step(cache, previous, t, keys, at)
    given = jnp.zeros(len(keys), bool)
    if prefix is not None:
        values, lengths = prefix
        given = t < lengths
        value = jnp.where(given[:, None], values[:, jnp.minimum(t, values.shape[1] - 1)], value)
        log_prob = jnp.where(given, 0, log_prob)
    if processors:
        after = ended(carry, t, sampler, prefix)
        value = jnp.where(after[:, None], 0, value)
        log_prob = jnp.where((value < 0).any(axis=1), -jnp.inf, jnp.where(after, 0, log_prob))
        drawn = ~(given | after)
        states = advance_states(processors, states, value[:, 0], t, drawn)
    return Carry(cache, value, states), value, log_prob


def ended(carry: Carry, t: Any, sampler: AnySampler, prefix: Prefix | None) -> jax.Array:
    """`[batch]` booleans: whether processors ended an example before step t."""
    after = done(processors_of(sampler), carry.states, len(carry.previous), t)
    return after if prefix is None else after & (t >= prefix[1])


def example_keys(key: jax.Array, batch: int) -> jax.Array:
    """`[batch]` keys: that of example i is the same in a batch of any size."""
    return jax.vmap(_fold, (None, 0))(key, jnp.arange(batch))


_fold = jax.random.fold_in
