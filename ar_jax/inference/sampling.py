"""Sampling: events drawn from a model, whole or step by step."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import (
    as_keys,
    check_integers,
    check_positive,
    check_shape,
    check_variables,
    in_place,
    is_concrete,
)
from ar_jax.contexts import Condition, count_of, map_condition
from ar_jax.decoding import (
    AnySampler,
    Carry,
    Guidance,
    GuidedSampler,
    Prefix,
    ProcessedSampler,
    Processor,
    Sampler,
    advance,
    begin,
    ended,
    example_keys,
    processors_of,
)
from ar_jax.heads import Discrete, DiscretizedLogisticMixture, Integers
from ar_jax.models.autoregressive import Array, AutoregressiveModel, Model, Variables


def sample(
    model: Model,
    variables: Variables,
    key: jax.Array,
    *,
    condition: Condition = None,
    batch_size: int | None = None,
    sampler: Sampler = Sampler(),
    guidance: Guidance | None = None,
    processors: Sequence[Processor] = (),
    prefix: Array | None = None,
    prefix_lengths: Array | None = None,
    return_log_prob: bool = False,
) -> jax.Array | tuple[jax.Array, jax.Array]:
    """Draws events from p(x | y) in one compiled scan.

    Example i at step t draws with `fold_in(fold_in(key, i), t)`: the same for any batch size.

    Args:
      model: the model.
      variables: what `model.init` returned, or trained ones.
      key: random key, of `jax.random.key` or `jax.random.PRNGKey`.
      condition: `[batch, ...]`, y as the context takes it; None for none.
      batch_size: how many events; left out, as many as there are conditions or prefixes.
      sampler: exact, or cut and sharpened.
      guidance: how far the condition is exaggerated, for an `AutoregressiveModel`; None for not.
      processors: what changes the probabilities by the values before: `RepetitionPenalty`, `Stop`,
        `Constraint`, `Automaton`; after the guidance, before the sampler. For an
        `AutoregressiveModel` whose steps are one variable of finitely many values.
      prefix: `[batch, n, step_size]`, the first n steps in the ordering's order, which are kept;
        `model.ordering.to_steps(x)[:, :n]` of an event.
      prefix_lengths: `[batch]`, how many of the n steps are known for each example; None for all.
      return_log_prob: whether to return the log-probability as well.

    Returns:
      Events `[batch, *event]`, with zeros after the step where a processor ended one (`lengths`
      tells where); with `return_log_prob` also log p(drawn | prefix, y) up to there, `[batch]`
      nats, under the model itself whatever the sampler.

    Raises:
      ValueError: when the sampler, the condition, the prefix or a processor does not fit the model,
        a number is not finite (of the sampler, the guidance or the parameters), or processors
        allowed nothing at a step.
    """
    inputs = check_inputs(
        model, variables, key, condition, batch_size, sampler, guidance, processors, prefix,
        prefix_lengths,
    )  # fmt: skip
    events, log_prob = (x[: inputs.batch] for x in _sample(model, variables, inputs))
    check_drawn(events, log_prob)
    if processors and is_concrete(log_prob):
        check_possible(jnp.isneginf(log_prob))
    return (events, log_prob) if return_log_prob else events


def stream(
    model: AutoregressiveModel,
    variables: Variables,
    key: jax.Array,
    *,
    condition: Condition = None,
    batch_size: int | None = None,
    sampler: Sampler = Sampler(),
    guidance: Guidance | None = None,
    processors: Sequence[Processor] = (),
    prefix: Array | None = None,
    prefix_lengths: Array | None = None,
) -> Iterator[jax.Array]:
    """Draws as `sample` does, and gives each step as soon as it is drawn.

    The draws are those of `sample`, up to rounding. A step is a compiled program of its own, so
    that the event as a whole takes longer.

    Args: as of `sample`.

    Yields:
      `[batch, step_size]`: the values of one step after the other, the first after those that
      the prefix knows of every example; until processors have ended all examples.

    Raises:
      ValueError: when the sampler, the condition, the prefix or a processor does not fit the model;
        while drawing, when processors allow nothing at a step.
    """
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(
            f"model: expected an AutoregressiveModel to stream from, got {type(model).__name__}"
        )
    inputs = check_inputs(
        model, variables, key, condition, batch_size, sampler, guidance, processors, prefix,
        prefix_lengths,
    )  # fmt: skip

    def draw() -> Iterator[jax.Array]:
        carry = _begin(model, variables, inputs)
        for t in range(inputs.prefill_length, model.ordering.length):
            carry, value, log_prob, over = _advance(
                model, variables, carry, inputs.keys, jnp.asarray(t), inputs.sampler, inputs.rest
            )
            if processors and over:
                return
            check_drawn(value[: inputs.batch], log_prob[: inputs.batch])
            if processors:
                check_possible((value < 0).any(axis=1)[: inputs.batch])
            yield value[: inputs.batch]

    return draw()


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("keys", "condition", "sampler", "prefix"),
    meta_fields=("batch", "prefill_length"),
)
@dataclasses.dataclass(frozen=True)
class SamplingInputs:
    """The checked arguments of `sample` and its kin."""

    batch: int
    """How many events are asked for; with guidance, twice as many are drawn."""
    keys: jax.Array
    condition: Condition
    sampler: AnySampler
    prefix: Prefix | None
    prefill_length: int
    """How many steps of the prefix all examples have; one pass reads these."""

    @property
    def first(self) -> jax.Array | None:
        """The steps that are known of every example."""
        return None if self.prefix is None else self.prefix[0][:, : self.prefill_length]

    @property
    def rest(self) -> Prefix | None:
        """The prefix, if it has more than these."""
        longer = self.prefix is not None and self.prefix[0].shape[1] > self.prefill_length
        return self.prefix if longer else None


def check_inputs(
    model: Model,
    variables: Variables,
    key: jax.Array,
    condition: Condition,
    batch_size: int | None,
    sampler: Sampler,
    guidance: Guidance | None,
    processors: Sequence[Processor],
    prefix: Array | None,
    prefix_lengths: Array | None,
) -> SamplingInputs:
    """Checks what events are drawn from; the arguments are those of `sample`."""
    sizes = {"condition": count_of(condition), "prefix": None if prefix is None else len(prefix)}
    if batch_size is not None:
        check_positive(batch_size=batch_size)
    sizes |= {"batch_size": None if batch_size is None else int(batch_size)}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    if len(set(sizes.values())) != 1 or min(sizes.values()) < 1:
        raise ValueError(
            "batch_size: expected it, a condition or a prefix to say how many events to draw, and "
            f"all to agree on at least 1, got {sizes or 'none of them'}"
        )
    (batch,) = set(sizes.values())
    key = as_keys("key", key)
    model.check_parts()
    model.context.check(condition, batch)
    condition = map_condition(jnp.asarray, condition)
    sampler.check()
    if all(map(is_concrete, jax.tree.leaves(sampler))):
        model.head.check_sampler(sampler)
    check_variables(variables)
    # Arrays, so that 1 and 1.0 are the same to the compiler.
    sampler = jax.tree.map(lambda number: jnp.asarray(number, float), sampler)
    if prefix is not None and np.shape(prefix)[1:2] != (0,):
        known, prefill_length = _check_prefix(model, prefix, prefix_lengths)
    elif prefix_lengths is not None:
        raise ValueError("prefix_lengths: expected a prefix as well, got None")
    else:
        known, prefill_length = None, 0
    keys, drawn_with = example_keys(key, batch), sampler
    if processors:
        _check_processors(model, processors, batch, known)
        drawn_with = ProcessedSampler(sampler, tuple(processors))
    if guidance is None:
        return SamplingInputs(batch, keys, condition, drawn_with, known, prefill_length)
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(
            f"guidance: expected an AutoregressiveModel for it, got {type(model).__name__}"
        )
    if condition is None:
        raise ValueError("guidance: expected a condition as well, got None")
    guidance.check()
    negative = guidance.negative
    if negative is None:
        negative = model.context.missing(condition)
        model.context.check(None, batch)  # which tells why there may be no absence
    model.context.check(negative, batch)
    negative = map_condition(jnp.asarray, negative)
    shapes, others = (jax.tree.map(jnp.shape, y) for y in (condition, negative))
    if shapes != others:
        raise ValueError(f"guidance: expected a negative of shape {shapes}, got {others}; pad one")
    condition = jax.tree.map(lambda *y: jnp.concatenate(y), condition, negative)
    keys, known = jax.tree.map(lambda x: jnp.concatenate([x, x]), (keys, known))
    guided = GuidedSampler(drawn_with, jnp.asarray(guidance.scale, float))
    return SamplingInputs(batch, keys, condition, guided, known, prefill_length)


@partial(jax.jit, static_argnames="model")
def _sample(
    model: Model, variables: Variables, inputs: SamplingInputs
) -> tuple[jax.Array, jax.Array]:
    decoded: Any = model.apply(
        variables, inputs.keys, inputs.condition, inputs.sampler, inputs.prefix,
        inputs.prefill_length,
        method="decode",
    )  # fmt: skip
    return decoded


@partial(jax.jit, static_argnames="model")
def _begin(model: Model, variables: Variables, inputs: SamplingInputs) -> Carry:
    begun: Any = model.apply(
        variables, len(inputs.keys), inputs.condition, inputs.first, method="begin"
    )
    cache, previous = begun
    return begin(cache, previous, model.ordering.length, inputs.sampler, inputs.prefix)


@partial(jax.jit, static_argnames="model", donate_argnames="carry")
def _advance(
    model: Model,
    variables: Variables,
    carry: Carry,
    keys: jax.Array,
    t: jax.Array,
    sampler: AnySampler,
    known: Prefix | None,
) -> tuple[Carry, jax.Array, jax.Array, Any]:
    """What goes on, the values, their log-probability, and whether all had ended before."""

    def step(*state: Any) -> Any:
        return model.apply(variables, *state, method="draw")

    over = ended(carry, t, sampler, known).all() if processors_of(sampler) else False
    return *advance(step, carry, keys, t, sampler, known), over


def check_possible(impossible: jax.Array) -> None:
    """Raises ValueError where processors allowed nothing: `[batch]` booleans."""
    if impossible.any():
        raise ValueError(
            "processors: expected a value to be allowed at each step, got none for examples "
            f"{np.flatnonzero(impossible).tolist()}"
        )


def check_drawn(values: jax.Array, log_prob: jax.Array) -> None:
    """Raises ValueError where numbers overflowed, so that what was drawn means nothing.

    Args:
      values: `[batch, ...]`, what was drawn.
      log_prob: `[batch, ...]`, of it.
    """
    if not is_concrete(log_prob):
        return
    xp = in_place()
    broken = xp.isnan(xp.reshape(log_prob, (len(log_prob), -1))).any(axis=1)
    if jnp.issubdtype(values.dtype, jnp.floating):
        broken |= ~xp.isfinite(xp.reshape(values, (len(log_prob), -1))).all(axis=1)
    if broken.any():
        raise ValueError(
            "variables: expected a model whose probabilities are numbers, got NaN or infinity for "
            f"examples {np.flatnonzero(broken).tolist()}; what its network computes is too large"
        )


def listed_values(model: Model) -> int:
    """How many values a variable has; raises ValueError when these or the steps are others."""
    head, one_cell = model.head, model.ordering.cells_per_step == 1
    listed = isinstance(head, Discrete | DiscretizedLogisticMixture)
    if not (isinstance(model, AutoregressiveModel) and listed and one_cell):
        raise ValueError(
            "model: expected an AutoregressiveModel of variables of finitely many values and one "
            f"cell a step, got {type(model).__name__} of {type(head).__name__}"
        )
    kind = head.support(model.ordering.block_size)[0]
    assert isinstance(kind, Integers)
    return kind.largest + 1


def check_single(model: Model) -> int:
    """How many values a step has; raises ValueError unless it is one variable of a finite list."""
    values = listed_values(model)
    if model.ordering.step_size > 1:
        raise ValueError(f"model: expected steps of one variable, got {model.ordering.step_size}")
    return values


def _check_processors(
    model: Model, processors: Sequence[Processor], batch: int, known: Prefix | None
) -> None:
    """Raises ValueError for processors that do not fit."""
    values, length = check_single(model), model.ordering.length
    steps = np.full(batch, length)
    if known is not None and is_concrete(known[1]):
        steps -= np.asarray(known[1])
    for processor in processors:
        processor.check(values, steps)


def _check_prefix(model: Model, prefix: Array, lengths: Array | None) -> tuple[Prefix, int]:
    """The prefix and how many of its steps count for each example, and for every one."""
    check_shape("prefix", prefix, ("batch", "n", model.ordering.step_size))
    batch, count = np.shape(prefix)[:2]
    if count > model.ordering.length:
        raise ValueError(
            f"prefix: expected at most the event's {model.ordering.length} steps, got {count}"
        )
    known: Any = np.asarray(prefix) if is_concrete(prefix) else prefix
    model.head.check("prefix", model.ordering.by_cell(known))
    lengths = np.full(batch, count) if lengths is None else lengths
    check_shape("prefix_lengths", lengths, (batch,))
    check_integers("prefix_lengths", lengths, 0, count)
    if is_concrete(known) and is_concrete(lengths):
        model.head.check_prefix(known, np.asarray(lengths))
    prefill_length = int(np.asarray(lengths).min()) if is_concrete(lengths) else 0
    return (jnp.asarray(prefix, model.head.dtype), jnp.asarray(lengths)), prefill_length
