"""The log-probability of events, as functions beside `sample`."""

from functools import partial
from typing import Any

import jax

from ar_jax.checks import check_integers, check_shape, check_variables
from ar_jax.contexts import Condition
from ar_jax.models.autoregressive import Array, Model


def log_prob(
    model: Model,
    variables: Any,
    x: Array,
    condition: Condition = None,
    lengths: Array | None = None,
) -> jax.Array:
    """log p(x | y) of a batch of events, exactly (teacher forcing: one pass).

        log_prob = ar.log_prob(model, variables, x, condition=y)
        perplexity = jnp.exp(-log_prob.sum() / x.size)

    Args:
      model: the model.
      variables: its variables, as `init` or `ar.load` returns them.
      x: `[batch, *event]`, integers for discrete heads, floating point for continuous ones.
      condition: y, as the model's context takes it; None if there is none.
      lengths: `[batch]` integers, how many steps of each event count; None for all.

    Returns:
      `[batch]`, nats; for continuous heads of the density.

    Raises:
      ValueError: when x, the condition, the lengths or the variables do not fit the model.
    """
    if lengths is not None:
        check_shape("lengths", lengths, (len(x),))
        check_integers("lengths", lengths, 0, model.ordering.length)
    return _score(model, "__call__", variables, x, condition, lengths)


def step_log_probs(
    model: Model, variables: Any, x: Array, condition: Condition = None
) -> jax.Array:
    """log p(x_t | x_<t, y) of each step, in the ordering's order.

    Args: as of `log_prob`.

    Returns:
      `[batch, length]`, nats.
    """
    return _score(model, "step_log_probs", variables, x, condition)


def log_pmf(model: Model, variables: Any, x: Array, condition: Condition = None) -> jax.Array:
    """log p(v | x_<t, y) of every value v that each variable could have had.

    For a `Discrete` head or a `DiscretizedLogisticMixture`, and an ordering of one cell a step.

    Args: as of `log_prob`.

    Returns:
      `[batch, length, block_size, values]`, nats.
    """
    return _score(model, "log_pmf", variables, x, condition)


def _score(model: Model, method: str, variables: Any, x: Array, *args: Any) -> jax.Array:
    check_variables(variables)
    model.check(x, args[0])  # `jit` hides the values from the model's own checks
    return _apply(model, method, variables, x, *args)


@partial(jax.jit, static_argnames=("model", "method"))
def _apply(model: Any, method: str, variables: Any, x: Any, *args: Any) -> jax.Array:
    return model.apply(variables, x, *args, method=method)
