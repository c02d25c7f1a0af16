"""The log-probability of events, as functions beside `sample`."""

from functools import partial
from typing import Any

import jax

from ar_jax.checks import check_variables
from ar_jax.contexts import Condition
from ar_jax.models.autoregressive import Array, Model
from ar_jax.models.batch import check_batch


def log_prob(
    model: Model,
    variables: Any,
    x: Array,
    condition: Condition = None,
    lengths: Array | None = None,
    seen: Array | None = None,
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
      seen: `[batch, *event]` booleans, which variables count, for an `AnyOrderModel`; the others
        may be NaN; None for all.

    Returns:
      `[batch]`, nats; for continuous heads of the density.

    Raises:
      ValueError: when x, the condition, the lengths, what is seen or the variables do not fit the
        model.
    """
    told = {name: v for name, v in {"lengths": lengths, "seen": seen}.items() if v is not None}
    check_variables(variables)
    check_batch(model, {"x": x, "y": condition, **told})  # `jit` hides the values from the model
    return _apply(model, "__call__", variables, x, condition, **told)


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


def _score(model: Model, method: str, variables: Any, x: Array, condition: Condition) -> jax.Array:
    check_variables(variables)
    model.check(x, condition)  # `jit` hides the values from the model's own checks
    return _apply(model, method, variables, x, condition)


@partial(jax.jit, static_argnames=("model", "method"))
def _apply(
    model: Any, method: str, variables: Any, x: Any, condition: Any, **told: Any
) -> jax.Array:
    return model.apply(variables, x, condition, method=method, **told)
