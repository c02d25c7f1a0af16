"""Infilling: what is missing of an event, whatever it is, from what is known."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_positive, check_shape, is_concrete
from ar_jax.contexts import Condition
from ar_jax.decoding import Sampler, example_keys
from ar_jax.inference.sampling import SamplingInputs, check_drawn, check_inputs
from ar_jax.models.any_order import AnyOrderModel
from ar_jax.models.autoregressive import Array, Variables
from ar_jax.models.order_agnostic import OrderAgnosticModel

Choice = Callable[[jax.Array, jax.Array], jax.Array]
"""(log-probabilities of what was drawn, keys) -> scores, all `[batch, ...]`; the highest stay."""


def infill(
    model: AnyOrderModel,
    variables: Variables,
    key: jax.Array,
    x: Array,
    missing: Array,
    *,
    condition: Condition = None,
    sampler: Sampler = Sampler(),
    return_log_prob: bool = False,
) -> jax.Array | tuple[jax.Array, jax.Array]:
    """Draws what is missing from p(missing | known, y), one cell after the other.

    The known cells come first in the order of each example, and then the missing ones: an exact
    draw from the model of that order. With nothing known it is `sample`; with nothing missing the
    event stays.

    Args:
      model: one that follows any order.
      variables: trained ones.
      key: random key; example i draws with `fold_in(key, i)`.
      x: `[batch, *event]`, an array and no tracer; what is missing of it is not read.
      missing: `[batch, *event]` booleans, which variables; whole cells.
      condition: y, as the context takes it.
      sampler: exact, or cut and sharpened.
      return_log_prob: whether to return the log-probability as well.

    Returns:
      Events `[batch, *event]`; with `return_log_prob` also log p(drawn | known, y) under the model
      itself, `[batch]` nats.

    Raises:
      ValueError: when an argument does not fit the model, or a cell is missing in part.
    """
    steps, gone = _given_cells(model, x, missing)
    ranks = np.argsort(gone, axis=1, kind="stable")  # known ones first, then in the model's order
    known = np.take_along_axis(steps, ranks[..., None], axis=1)
    counts = (~gone).sum(axis=1)
    inputs = check_inputs(model, variables, key, condition, None, sampler, None, (), known, counts)
    events, log_prob = _infill(model, variables, inputs, jnp.asarray(model.ordering.order[ranks]))
    check_drawn(events, log_prob)
    return (events, log_prob) if return_log_prob else events


def at_random(log_prob: jax.Array, keys: jax.Array) -> jax.Array:
    """Any cells stay, so that each round is exact but for what it draws at once."""
    return jax.vmap(lambda key: jax.random.uniform(key, log_prob.shape[1:]))(keys)


def most_confident(log_prob: jax.Array, keys: jax.Array) -> jax.Array:
    """The likeliest draws stay (MaskGIT, arXiv 2202.04200): sharper than the model itself."""
    return log_prob


def infill_in_rounds(
    model: OrderAgnosticModel,
    variables: Variables,
    key: jax.Array,
    x: Array,
    missing: Array,
    rounds: int,
    *,
    choice: Choice = at_random,
    condition: Condition = None,
    sampler: Sampler = Sampler(),
) -> jax.Array:
    """Draws what is missing in a few passes, several cells at once.

    Each round draws all cells that are missing, independently given the known ones, and keeps an
    equal share of them. What is kept together does not know of each other: fewer rounds are faster
    and further from the model. As many rounds as there are cells, `at_random`, draw one by one in a
    random order.

    Args:
      model: an order-agnostic model.
      variables: trained ones.
      key: random key; example i draws with `fold_in(key, i)`.
      x: `[batch, *event]`, an array and no tracer; what is missing of it is not read.
      missing: `[batch, *event]` booleans, which variables; whole cells.
      rounds: how many passes.
      choice: which draws stay: `at_random`, `most_confident`, or a function of yours, for each of
        which a program is compiled.
      condition: y, as the context takes it.
      sampler: how a value is drawn.

    Returns:
      Events `[batch, *event]`.

    Raises:
      ValueError: when an argument does not fit the model, or a cell is missing in part.
    """
    if not isinstance(model, OrderAgnosticModel):
        raise ValueError(
            "model: expected an OrderAgnosticModel to draw several cells at once, got "
            f"{type(model).__name__}"
        )
    check_positive(rounds=rounds)
    steps, gone = _given_cells(model, x, missing)
    inputs = check_inputs(
        model, variables, key, condition, len(gone), sampler, None, (), None, None
    )
    events, log_prob = _in_rounds(
        model, variables, inputs, jnp.asarray(steps), jnp.asarray(gone), rounds, choice
    )
    check_drawn(events, log_prob)
    return events


def _given_cells(model: AnyOrderModel, x: Array, missing: Array) -> tuple[np.ndarray, np.ndarray]:
    """The steps `[batch, length, step_size]`, zeros where missing; and which are `[batch, length]`.

    Raises ValueError for what is not given as it should.
    """
    if not isinstance(model, AnyOrderModel):
        raise ValueError(
            "model: expected an AnyOrderModel or an OrderAgnosticModel, which know any part of an "
            f"event, got {type(model).__name__}"
        )
    if not (is_concrete(x) and is_concrete(missing)):
        raise ValueError("x: expected arrays to look at, for x and missing, got tracers of a jit")
    x, missing = np.asarray(x), np.asarray(missing)
    check_shape("x", x, ("batch", *model.ordering.event))
    check_positive(examples=len(x))
    model.check_parts()
    check_shape("missing", missing, x.shape)
    if missing.dtype != bool:
        raise ValueError(f"missing: expected booleans, got {missing.dtype}")
    by_cell = model.ordering.to_steps(missing)
    gone = np.asarray(by_cell.any(axis=2))
    if (gone != by_cell.all(axis=2)).any():
        raise ValueError(
            f"missing: expected whole cells of {list(model.ordering.block)}, got parts of some"
        )
    steps = np.where(by_cell, x.dtype.type(0), model.ordering.to_steps(x))
    model.head.check("x", model.ordering.by_cell(steps))
    return steps.astype(model.head.dtype), gone


@partial(jax.jit, static_argnames="model")
def _infill(
    model: AnyOrderModel, variables: Variables, inputs: SamplingInputs, order: jax.Array
) -> tuple[jax.Array, jax.Array]:
    decoded: Any = model.apply(
        variables, inputs.keys, inputs.condition, inputs.sampler, inputs.prefix,
        inputs.prefill_length, order,
        method="decode",
    )  # fmt: skip
    return decoded


@partial(jax.jit, static_argnames=("model", "rounds", "choice"))
def _in_rounds(
    model: OrderAgnosticModel,
    variables: Variables,
    inputs: SamplingInputs,
    steps: jax.Array,
    missing: jax.Array,
    rounds: int,
    choice: Choice,
) -> tuple[jax.Array, jax.Array]:
    """Events, and the sum of the log-probabilities that each cell had in its round."""
    batch, length, _ = steps.shape
    fold = jax.vmap(jax.random.fold_in, (0, None))
    count = missing.sum(axis=1, keepdims=True)

    def draw(model: OrderAgnosticModel, features: jax.Array, keys: jax.Array) -> Any:
        return model.head.sample(features, keys, inputs.sampler)

    def one_round(carry: tuple[jax.Array, jax.Array, jax.Array], i: jax.Array) -> Any:
        steps, missing, total = carry
        features: Any = model.apply(
            variables, steps, ~missing, inputs.condition, method="masked_features"
        )
        of_round = fold(inputs.keys, i)
        keys = jax.vmap(partial(example_keys, batch=length))(of_round)
        drawn, log_prob = nn.apply(draw, model)(
            variables,
            features.reshape(batch * length, -1),
            keys.reshape(batch * length, *keys.shape[2:]),
        )
        log_prob = log_prob.reshape(batch, length)
        score = choice(log_prob, fold(of_round, length))
        rank = jnp.argsort(jnp.lexsort((-score, ~missing), axis=1), axis=1)  # missing ones first
        left = count * (rounds - 1 - i) // rounds
        now = missing & (rank < missing.sum(axis=1, keepdims=True) - left)
        steps = jnp.where(now[..., None], drawn.reshape(steps.shape), steps)
        return (steps, missing & ~now, total + jnp.where(now, log_prob, 0).sum(axis=1)), None

    start = steps, missing, jnp.zeros(batch)
    (steps, _, total), _ = jax.lax.scan(one_round, start, jnp.arange(rounds))
    return model.ordering.to_event(steps), total
