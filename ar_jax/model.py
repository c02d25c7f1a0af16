"""The autoregressive model: an ordering, a conditional, a head and a context, composed."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_integers, check_positive, check_shape, is_concrete
from ar_jax.conditionals.base import Cache, Conditional, check_follows, lookup, shift
from ar_jax.contexts import Condition, Context, Nothing, Vectors, count_of, map_condition
from ar_jax.decoding import (
    AnySampler,
    Carry,
    Guidance,
    GuidedSampler,
    Known,
    ProcessedSampler,
    Processor,
    Sampler,
    advance,
    begin,
    decode,
    ended,
    example_keys,
    processors_of,
)
from ar_jax.heads import Discrete, DiscretizedLogisticMixture, Integers
from ar_jax.heads.base import Head
from ar_jax.orderings import Ordering, Raster

Array = jax.Array | np.ndarray
Variables = Any
"""The pytree that `init` returns."""


class Model(Protocol):
    """What is trained, scored and drawn from: `AutoregressiveModel`, `Ensemble`, `Flow`."""

    @property
    def ordering(self) -> Ordering: ...
    @property
    def head(self) -> Head: ...
    @property
    def context(self) -> Context: ...
    def init(self, *args: Any, **kwargs: Any) -> Any: ...
    def apply(self, *args: Any, **kwargs: Any) -> Any: ...
    def check(self, x: Any, condition: Any = None) -> None: ...
    def check_parts(self) -> None: ...


class AutoregressiveModel(nn.Module):
    """p(x | y) = prod_t p(x_t | x_<t, y), exactly.

    Attributes:
      ordering: which variable comes when.
      conditional: computes the features of each step from the steps before it.
      head: the distribution of one step given its features.
      context: turns the condition y into what the conditional reads.
    """

    ordering: Ordering
    conditional: Conditional
    head: Head
    context: Context = dataclasses.field(default_factory=Nothing)

    def __call__(
        self,
        x: Array,
        condition: Condition = None,
        lengths: Array | None = None,
    ) -> jax.Array:
        """Log-probability of a batch of events.

        Args:
          x: `[batch, *event]`, integers for discrete heads, floating point for continuous ones.
          condition: y, as the context takes it; None if there is none.
          lengths: `[batch]` integers, how many steps of each event count; None for all.

        Returns:
          `[batch]`, nats; for continuous heads of the density.

        Raises:
          ValueError: when x, the condition or the lengths do not fit the model. Where values
            cannot be looked at (inside `jit`), those outside the support have minus infinity.
        """
        log_prob = self.step_log_probs(x, condition)
        if lengths is not None:
            lengths = jnp.asarray(lengths)
            check_shape("lengths", lengths, (len(x),))
            check_integers("lengths", lengths, 0, self.ordering.length)
            log_prob = jnp.where(jnp.arange(self.ordering.length) < lengths[:, None], log_prob, 0)
        return log_prob.sum(axis=1)

    def step_log_probs(self, x: Array, condition: Condition = None) -> jax.Array:
        """log p(x_t | x_<t, y) of each step, in the ordering's order: `[batch, length]`, nats."""
        steps, features = self._step_features(x, condition)
        log_prob = self.head.log_prob(features, steps)
        return jnp.where(self.ordering.valid, log_prob, 0).sum(axis=-1)

    def log_pmf(self, x: Array, condition: Condition = None) -> jax.Array:
        """Log-probability of every value of each variable, given those before it in the chain.

        For a `Discrete` head or a `DiscretizedLogisticMixture`, and an ordering of one cell a step.

        Returns:
          `[batch, length, block_size, values]`, nats.
        """
        steps, features = self._step_features(x, condition)
        head: Any = self.head
        return head.log_pmf(features, steps)[:, :, 0]

    def _step_features(self, x: Array, condition: Condition) -> tuple[jax.Array, jax.Array]:
        """The steps and the features that predict them, both `[batch, length, width, ...]`."""
        self.check(x, condition)
        steps = self.ordering.to_steps(jnp.asarray(x))
        condition = map_condition(jnp.asarray, condition)
        encoded = self._encode(steps)
        context = self._context(condition, encoded)
        features = self.conditional(encoded, self.ordering, context, self._features)
        chex.assert_shape(features, (*steps.shape[:2], self._features))
        steps, before, features = map(self.ordering.by_cell, (steps, shift(steps), features))
        return steps, self.head.after(features, before)

    def init_cache(self, batch: int, condition: Condition = None) -> Cache:
        """The conditional's cache before the first step."""
        blank = self._encode(self.blank(batch))
        return self.conditional.init_cache(blank, self.ordering, self._context(condition, blank))

    def step(self, cache: Cache, previous: jax.Array, t: Any) -> tuple[Cache, jax.Array]:
        """The features of step t `[batch, features]`, from the value at t - 1 (at 0 zeros)."""
        cache, features = self.conditional.step(
            cache, self._encode(previous), t, self.ordering, self._features
        )
        after = self.head.after(*map(self.ordering.by_cell, (features, previous)))
        return cache, after.reshape(features.shape)

    def extend(self, cache: Cache, previous: jax.Array, t: Any) -> tuple[Cache, jax.Array]:
        """The features of k steps `[batch, k, features]`, from values `[batch, k, step_size]`."""
        cache, features = self.conditional.extend(
            cache, self._encode(previous), t, self.ordering, self._features
        )
        after = self.head.after(*map(self.ordering.by_cell, (features, previous)))
        return cache, after.reshape(features.shape)

    def begin(
        self, batch: int, condition: Condition = None, first: jax.Array | None = None
    ) -> tuple[Cache, jax.Array]:
        """The cache after known first steps `[batch, n, step_size]`, and the last of these."""
        cache = self.init_cache(batch, condition)
        if first is None or first.shape[1] == 0:
            return cache, self.blank(batch)
        return self.extend(cache, shift(first), 0)[0], first[:, -1]

    def draw(
        self, cache: Cache, previous: jax.Array, t: Any, keys: jax.Array, sampler: AnySampler
    ) -> tuple[Cache, jax.Array, jax.Array]:
        """Draws step t: cache, values `[batch, step_size]`, their log-probability `[batch]`."""
        cache, features = self.step(cache, previous, t)
        batch, width = len(features), self.ordering.width
        if width > 1:  # cells of a step have keys of their own
            keys = jax.vmap(lambda key: jax.random.split(key, width))(keys).ravel()
        told = guided = features.reshape(batch * width, -1)
        support = self.head.support(self.ordering.block_size)
        if isinstance(sampler, GuidedSampler) and not all(kind.listed for kind in support):
            guided = sampler.extrapolate(told)
        value, log_prob = self.head.sample(guided, keys, sampler)
        if guided is not told:
            log_prob = self.head.log_prob(told, value)
        counts = lookup(self.ordering.valid, t)
        log_prob = jnp.where(counts, log_prob.reshape(batch, width), 0).sum(axis=-1)
        return cache, value.reshape(batch, -1), log_prob

    def decode(
        self,
        keys: jax.Array,
        condition: Condition = None,
        sampler: AnySampler = Sampler(),
        prefix: Known | None = None,
        prefilled: int = 0,
    ) -> tuple[jax.Array, jax.Array]:
        """Draws events; `sample` is the interface to this.

        Args:
          keys: `[batch]` random keys.
          condition: y.
          sampler: how a value is drawn.
          prefix: known first steps `[batch, n, step_size]`, and how many of them count `[batch]`.
          prefilled: how many count for every example; these are read in one pass.

        Returns:
          Events `[batch, *event]`, and the log-probability of what was drawn `[batch]` nats.
        """
        model, variables = self.unbind()
        first = None if prefix is None else prefix[0][:, :prefilled]
        cache, previous = self.begin(len(keys), condition, first)

        def step(*state: Any) -> Any:
            return model.apply(variables, *state, method="draw")

        length = self.ordering.length
        carry = begin(cache, previous, length, sampler, prefix)
        steps, log_prob = decode(step, carry, keys, prefilled, length, sampler, prefix)
        if first is not None:
            steps = jnp.concatenate([first, steps], axis=1)
        return self.ordering.to_event(steps), log_prob

    def blank(self, batch: int) -> jax.Array:
        """`[batch, step_size]`: a value that stands where none is read."""
        return jnp.zeros((batch, self.ordering.step_size), self.head.dtype)

    def _encode(self, steps: jax.Array) -> jax.Array:
        return self._encode_cells(self.ordering.by_cell(steps)).reshape(*steps.shape[:-1], -1)

    def _encode_cells(self, value: jax.Array) -> jax.Array:
        encoded = self.head.encode(value)
        if not jnp.issubdtype(encoded.dtype, jnp.floating):
            raise ValueError(f"head.encode: expected floating point, got {encoded.dtype}")
        # The network computes in the dtype of its parameters, so half of them make half precision.
        parameters = jax.tree.leaves(self.variables.get("params", {}))
        return encoded.astype(jnp.result_type(*parameters) if parameters else encoded.dtype)

    def _context(self, condition: Condition, encoded: jax.Array) -> Vectors:
        """The context's vectors, of the dtype of the encoded steps, and their mask."""
        if self.context.of_steps and condition is not None:
            condition = self._encode_cells(jnp.asarray(condition))
        vectors, mask = self.context(condition, len(encoded))
        chex.assert_equal_shape_prefix([vectors, mask], 2)
        return vectors.astype(encoded.dtype), mask

    @property
    def _features(self) -> int:
        return self.ordering.width * self.head.features(self.ordering.block_size)

    def check(self, x: Any, condition: Any = None) -> None:
        """Raises ValueError when the parts do not fit together, or x or y does not fit them."""
        check_shape("x", x, ("batch", *self.ordering.event))
        check_positive(examples=len(x))
        self.check_parts()
        steps = self.ordering.to_steps(np.asarray(x) if is_concrete(x) else x)
        self.head.check("x", self.ordering.by_cell(steps))
        self.context.check(condition, len(x))

    def check_parts(self) -> None:
        """Raises ValueError when the conditional or the head cannot follow the ordering."""
        check_follows(self.conditional, self.ordering)
        self.head.check_block(self.ordering.block_size)
        if self.context.of_steps and self.ordering.block_size > 1:
            raise ValueError(
                f"context: expected steps of one variable for {type(self.context).__name__}, "
                f"got {self.ordering.block_size}"
            )
        if self.head.looks_back and not self.ordering.is_chain:
            raise ValueError(
                f"head: {type(self.head).__name__} looks back at the step before, where a Graph "
                "asks for one that depends on the features only"
            )


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
      key: random key.
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
        or processors allowed nothing at a step.
    """
    given = check_given(
        model, key, condition, batch_size, sampler, guidance, processors, prefix, prefix_lengths
    )
    events, log_prob = (x[: given.batch] for x in _sample(model, variables, given))
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
    given = check_given(
        model, key, condition, batch_size, sampler, guidance, processors, prefix, prefix_lengths
    )

    def draw() -> Iterator[jax.Array]:
        carry = _begin(model, variables, given)
        for t in range(given.prefilled, model.ordering.length):
            carry, value, over = _advance(
                model, variables, carry, given.keys, jnp.asarray(t), given.sampler, given.rest
            )
            if processors and over:
                return
            if processors:
                check_possible((value < 0).any(axis=1)[: given.batch])
            yield value[: given.batch]

    return draw()


def lengthen(
    model: AutoregressiveModel, variables: Variables, length: int, condition: Condition = None
) -> AutoregressiveModel:
    """The same model over longer events, for texts without an end in sight.

        longer = ar.lengthen(model, variables, 100_000)
        for step in ar.stream(longer, variables, key, batch_size=1): ...

    A step costs what it did, in constant memory: of recurrent and state-space networks, causal
    convolutions, and transformers with a sliding window whose positions are relative (`Rotary`,
    whose angles at step t are rounded by about 1e-7 t in float32).

    Args:
      model: over events `(n,)`, or `(n, 1, ...)`, in raster order.
      variables: its own.
      length: n from now on.
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
    if caches(longer) != caches(of_length(2 * length)):
        raise ValueError(
            "conditional: expected one whose memory is bounded (a Transformer with a window), got "
            f"{type(model.conditional).__name__} that keeps all steps"
        )
    return longer


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("keys", "condition", "sampler", "prefix"),
    meta_fields=("batch", "prefilled"),
)
@dataclasses.dataclass(frozen=True)
class Given:
    """What events are drawn from, checked."""

    batch: int
    """How many events are asked for; with guidance, twice as many are drawn."""
    keys: jax.Array
    condition: Condition
    sampler: AnySampler
    prefix: Known | None
    prefilled: int
    """How many steps are known of every example."""

    @property
    def first(self) -> jax.Array | None:
        """The steps that are known of every example."""
        return None if self.prefix is None else self.prefix[0][:, : self.prefilled]

    @property
    def rest(self) -> Known | None:
        """The prefix, if it has more than these."""
        longer = self.prefix is not None and self.prefix[0].shape[1] > self.prefilled
        return self.prefix if longer else None


def check_given(
    model: Model,
    key: jax.Array,
    condition: Condition,
    batch_size: int | None,
    sampler: Sampler,
    guidance: Guidance | None,
    processors: Sequence[Processor],
    prefix: Array | None,
    prefix_lengths: Array | None,
) -> Given:
    """Checks what events are drawn from; the arguments are those of `sample`."""
    sizes = {"condition": count_of(condition), "prefix": None if prefix is None else len(prefix)}
    sizes |= {"batch_size": None if batch_size is None else int(batch_size)}
    sizes = {name: size for name, size in sizes.items() if size is not None}
    if len(set(sizes.values())) != 1 or min(sizes.values()) < 1:
        raise ValueError(
            "batch_size: expected it, a condition or a prefix to say how many events to draw, and "
            f"all to agree on at least 1, got {sizes or 'none of them'}"
        )
    (batch,) = set(sizes.values())
    condition = map_condition(jnp.asarray, condition)
    model.check_parts()
    model.context.check(condition, batch)
    if all(map(is_concrete, jax.tree.leaves(sampler))):
        sampler.check()
        model.head.check_sampler(sampler)
    # Arrays, so that 1 and 1.0 are the same to the compiler.
    sampler = jax.tree.map(lambda number: jnp.asarray(number, float), sampler)
    if prefix is not None and np.shape(prefix)[1:2] != (0,):
        known, prefilled = _check_prefix(model, prefix, prefix_lengths)
    elif prefix_lengths is not None:
        raise ValueError("prefix_lengths: expected a prefix as well, got None")
    else:
        known, prefilled = None, 0
    keys, drawn_with = example_keys(key, batch), sampler
    if processors:
        _check_processors(model, processors, batch, known)
        drawn_with = ProcessedSampler(sampler, tuple(processors))
    if guidance is None:
        return Given(batch, keys, condition, drawn_with, known, prefilled)
    if not isinstance(model, AutoregressiveModel):
        raise ValueError(
            f"guidance: expected an AutoregressiveModel for it, got {type(model).__name__}"
        )
    if condition is None:
        raise ValueError("guidance: expected a condition as well, got None")
    negative = map_condition(jnp.asarray, guidance.negative)
    if negative is None:
        negative = model.context.missing(condition)
        model.context.check(None, batch)  # which tells why there may be no absence
    model.context.check(negative, batch)
    shapes, others = (jax.tree.map(jnp.shape, y) for y in (condition, negative))
    if shapes != others:
        raise ValueError(f"guidance: expected a negative of shape {shapes}, got {others}; pad one")
    condition = jax.tree.map(lambda *y: jnp.concatenate(y), condition, negative)
    keys, known = jax.tree.map(lambda x: jnp.concatenate([x, x]), (keys, known))
    guided = GuidedSampler(drawn_with, jnp.asarray(guidance.scale, float))
    return Given(batch, keys, condition, guided, known, prefilled)


@partial(jax.jit, static_argnames="model")
def _sample(model: Model, variables: Variables, given: Given) -> tuple[jax.Array, jax.Array]:
    decoded: Any = model.apply(
        variables, given.keys, given.condition, given.sampler, given.prefix, given.prefilled,
        method="decode",
    )  # fmt: skip
    return decoded


@partial(jax.jit, static_argnames="model")
def _begin(model: Model, variables: Variables, given: Given) -> Carry:
    begun: Any = model.apply(
        variables, len(given.keys), given.condition, given.first, method="begin"
    )
    cache, previous = begun
    return begin(cache, previous, model.ordering.length, given.sampler, given.prefix)


@partial(jax.jit, static_argnames="model", donate_argnames="carry")
def _advance(
    model: Model,
    variables: Variables,
    carry: Carry,
    keys: jax.Array,
    t: jax.Array,
    sampler: AnySampler,
    known: Known | None,
) -> tuple[Carry, jax.Array, Any]:
    """What goes on, the values, and whether all examples had ended before."""

    def step(*state: Any) -> Any:
        return model.apply(variables, *state, method="draw")

    over = ended(carry, t, sampler, known).all() if processors_of(sampler) else False
    carry, value, _ = advance(step, carry, keys, t, sampler, known)
    return carry, value, over


def check_possible(impossible: jax.Array) -> None:
    """Raises ValueError where processors allowed nothing: `[batch]` booleans."""
    if impossible.any():
        raise ValueError(
            "processors: expected a value to be allowed at each step, got none for examples "
            f"{np.flatnonzero(impossible).tolist()}"
        )


def listed_values(model: Model) -> int:
    """How many values a variable has; raises ValueError when these or the steps are others."""
    head, one_cell = model.head, model.ordering.width == 1
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
    model: Model, processors: Sequence[Processor], batch: int, known: Known | None
) -> None:
    """Raises ValueError for processors that do not fit."""
    values, length = check_single(model), model.ordering.length
    steps = np.full(batch, length)
    if known is not None and is_concrete(known[1]):
        steps -= np.asarray(known[1])
    for processor in processors:
        if all(map(is_concrete, jax.tree.leaves(processor))):
            processor.check(values, steps)


def _check_prefix(model: Model, prefix: Array, lengths: Array | None) -> tuple[Known, int]:
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
    prefilled = int(np.asarray(lengths).min()) if is_concrete(lengths) else 0
    return (jnp.asarray(prefix, model.head.dtype), jnp.asarray(lengths)), prefilled
