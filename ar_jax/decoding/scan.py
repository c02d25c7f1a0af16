"""The decoding loop: one scan over the steps of a sequence, and what each of them does."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

StepFunction = Callable[[Any, jax.Array, jax.Array, jax.Array], tuple[Any, jax.Array, jax.Array]]
"""(cache, previous `[batch, step_size]`, t, keys `[batch]`) -> (cache, value, log_prob)."""

Known = tuple[jax.Array, jax.Array]
"""Values that are given rather than drawn `[batch, n, step_size]`, and how many of the n count for
each example `[batch]`."""


def decode(
    step: StepFunction,
    cache: Any,
    previous: jax.Array,
    keys: jax.Array,
    start: int,
    stop: int,
    known: Known | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Draws the steps `start ... stop - 1`, each from those before it.

    Args:
      step: draws the value at t given the cache and the value at t - 1.
      cache: the cache before `start`.
      previous: `[batch, step_size]`, the value at `start - 1`; read by nobody at 0.
      keys: `[batch]` random keys, one for each example; step t draws with `fold_in(key, t)`.
      start: the first step to draw.
      stop: the step after the last.
      known: the first steps, at most up to stop.

    Returns:
      The values `[batch, stop - start, step_size]`, and the log-probability of those drawn,
      in nats `[batch]`.
    """

    def body(carry: tuple[Any, jax.Array], t: jax.Array) -> Any:
        cache, value, log_prob = advance(step, *carry, keys, t, known)
        return (cache, value), (value, log_prob)

    _, (values, log_probs) = jax.lax.scan(body, (cache, previous), jnp.arange(start, stop))
    return values.swapaxes(0, 1), log_probs.sum(axis=0)


def advance(
    step: StepFunction,
    cache: Any,
    previous: jax.Array,
    keys: jax.Array,
    t: Any,
    known: Known | None,
) -> tuple[Any, jax.Array, jax.Array]:
    """One step of `decode`: the cache after it, the values, and their log-probability or 0."""
    cache, value, log_prob = step(cache, previous, t, jax.vmap(_fold, (0, None))(keys, t))
    if known is not None:
        values, lengths = known
        given = t < lengths
        value = jnp.where(given[:, None], values[:, jnp.minimum(t, values.shape[1] - 1)], value)
        log_prob = jnp.where(given, 0, log_prob)
    return cache, value, log_prob


def example_keys(key: jax.Array, batch: int) -> jax.Array:
    """`[batch]` keys: that of example i is the same in a batch of any size."""
    return jax.vmap(_fold, (None, 0))(key, jnp.arange(batch))


_fold = jax.random.fold_in
