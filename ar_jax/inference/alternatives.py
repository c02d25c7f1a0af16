"""Alternatives: what else each value of an event might have been."""

from functools import partial
from typing import Any

import jax

from ar_jax.checks import check_positive, check_variables
from ar_jax.contexts import Condition
from ar_jax.inference.sampling import listed_values
from ar_jax.models.autoregressive import Array, AutoregressiveModel, Variables


def top_k_alternatives(
    model: AutoregressiveModel,
    variables: Variables,
    x: Array,
    k: int,
    condition: Condition = None,
) -> tuple[jax.Array, jax.Array]:
    """The k most likely values of each variable, given all that comes before it in the chain.

    Args:
      model: of variables of finitely many values.
      variables: its own.
      x: `[batch, *event]`, e.g. what was drawn.
      k: how many.
      condition: `[batch, ...]`, y as the context takes it; None for none.

    Returns:
      Values, the most likely first, and their log-probabilities in nats: `[batch, *event, k]` each.

    Raises:
      ValueError: when x or the condition does not fit the model, or it has no such k values.
    """
    values = listed_values(model)
    check_positive(k=k)
    if k > values:
        raise ValueError(f"k: expected 1 ... {values}, got {k}")
    model.check(x, condition)
    check_variables(variables)
    return _alternatives(model, variables, x, condition, k)


@partial(jax.jit, static_argnames=("model", "k"))
def _alternatives(
    model: AutoregressiveModel, variables: Variables, x: Any, condition: Any, k: int
) -> tuple[jax.Array, jax.Array]:
    log_pmf: Any = model.apply(variables, x, condition, method="log_pmf")
    log_prob, value = jax.lax.top_k(log_pmf, k)  # [batch, length, block_size, k]
    to_event = jax.vmap(model.ordering.to_event, in_axes=-1, out_axes=-1)
    return to_event(value), to_event(log_prob)
