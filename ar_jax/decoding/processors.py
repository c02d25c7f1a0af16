"""Processors: what changes the probabilities of a value by the values before it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_array

from ar_jax.checks import (
    check_integers,
    check_number,
    check_positive,
    check_shape,
    is_concrete,
)
from ar_jax.decoding.samplers import SMALLEST, Sampler, Wrapper

State = Any
"""A pytree of arrays `[batch, ...]` that a processor carries from step to step."""


class Processor(ABC):
    """Changes log_pmf before a value is drawn, by a state that is carried beside the cache.

    For steps of one variable of finitely many values. The state is an explicit pytree of the same
    compiled program. The inherited one holds the steps so far `[batch, length]`: the known first
    steps at once, -1 where none is drawn yet.
    """

    def check(self, values: int, steps: np.ndarray) -> None:  # noqa: B027
        """Raises ValueError for what cannot be.

        Args:
          values: how many the variable has.
          steps: `[batch]`, how many are drawn of each example.
        """

    def init(self, steps: jax.Array) -> State:
        """The state before the first draw: `[batch, length]`, -1 where nothing is known."""
        return steps

    @abstractmethod
    def __call__(self, log_pmf: jax.Array, state: State, t: Any) -> jax.Array:
        """What step t is drawn from: `[batch, values]` nats, of any sum; -inf is never drawn."""

    def advance(self, state: State, value: jax.Array, t: Any) -> State:
        """The state after a value `[batch]` was drawn at t."""
        return state.at[:, t].set(value)

    def done(self, state: State, t: Any) -> jax.Array | bool:
        """`[batch]` booleans: whether a text ended before step t, so that nothing more is drawn."""
        return False


@partial(jax.tree_util.register_dataclass, data_fields=("penalty", "also"), meta_fields=())
@dataclass(frozen=True)
class RepetitionPenalty(Processor):
    """Draws what came before, prefix included, less often (CTRL, arXiv 1909.05858).

        p(value)^penalty  if it came before, else p(value),  renormalised.

    The paper divides logits, which have no origin of their own; here they are log-probabilities.

    Attributes:
      penalty: above 1 punishes, below 1 rewards, 1 does nothing.
      also: `[n]`, values that count as seen besides the steps, e.g. those of a condition.
    """

    penalty: Any
    also: Any = ()

    def check(self, values: int, steps: np.ndarray) -> None:
        check_number(
            "repetition penalty", self.penalty, "above 0 and finite", lambda p: p >= SMALLEST
        )
        if len(self.also):
            check_shape("also", self.also, ("n",))
            check_integers("also", self.also, 0, values - 1)

    def __call__(self, log_pmf: jax.Array, state: State, t: Any) -> jax.Array:
        also = jnp.broadcast_to(jnp.asarray(self.also, int), (len(state), len(self.also)))
        before = jnp.concatenate([also, jnp.where(state < 0, log_pmf.shape[-1], state)], axis=1)
        rows = jnp.arange(len(before))[:, None]
        seen = jnp.zeros(log_pmf.shape, bool).at[rows, before].set(True, mode="drop")
        # However large the penalty is, what was possible stays so.
        punished = jnp.maximum(self.penalty * log_pmf, jnp.finfo(log_pmf.dtype).min)
        return jnp.where(seen & (log_pmf > -jnp.inf), punished, log_pmf)


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("allowed",))
@dataclass(frozen=True)
class Constraint(Processor):
    """Draws only what a function allows.

    Where it allows nothing that the model gives any probability, `sample` and `stream` raise;
    inside `jit` the value is -1 and its log-probability minus infinity.

    Attributes:
      allowed: `(steps [batch, length], t) -> [batch, values]` booleans, which values step t may
        have; steps from t on are -1 where they are not known. It is traced.
    """

    allowed: Callable[[jax.Array, Any], jax.Array]

    def __call__(self, log_pmf: jax.Array, state: State, t: Any) -> jax.Array:
        allowed = jnp.asarray(self.allowed(state, t))
        if allowed.shape != log_pmf.shape or allowed.dtype != bool:
            raise ValueError(
                f"allowed: expected booleans {list(log_pmf.shape)} from the function, got "
                f"{allowed.dtype} {list(allowed.shape)}"
            )
        return jnp.where(allowed, log_pmf, -jnp.inf)


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("sequences",))
@dataclass(frozen=True)
class Stop(Processor):
    """Ends a text where one of some sequences of values was drawn; those of a prefix do not count.

    Attributes:
      sequences: of at least one value each.
    """

    sequences: tuple[tuple[int, ...], ...]

    def check(self, values: int, steps: np.ndarray) -> None:
        for sequence in self.sequences:
            if not 1 <= len(sequence) <= steps.max():
                raise ValueError(
                    f"stop: expected sequences of 1 ... {steps.max()} values, as many as are "
                    f"drawn, got {list(sequence)}, which cannot occur"
                )
            if not all(0 <= value < values and value == int(value) for value in sequence):
                raise ValueError(
                    f"stop: expected values 0 ... {values - 1}, got {list(sequence)}, which cannot "
                    "occur"
                )

    def init(self, steps: jax.Array) -> State:
        """The last values drawn, as many as the longest sequence has."""
        return jnp.full((len(steps), max(map(len, self.sequences), default=0)), -1)

    def __call__(self, log_pmf: jax.Array, state: State, t: Any) -> jax.Array:
        return log_pmf

    def advance(self, state: State, value: jax.Array, t: Any) -> State:
        return jnp.concatenate([state, value[:, None]], axis=1)[:, 1:]

    def done(self, state: State, t: Any) -> jax.Array | bool:
        ended = jnp.zeros(len(state), bool)
        for sequence in self.sequences:
            ended |= (state[:, -len(sequence) :] == jnp.array(sequence)).all(axis=1)
        return ended


@partial(jax.tree_util.register_dataclass, data_fields=("table", "distance"), meta_fields=())
@dataclass(frozen=True)
class Automaton(Processor):
    """Draws what a finite automaton accepts, e.g. that of a regular expression.

    What is drawn after the prefix is accepted as a whole: a value is drawn only where enough steps
    remain to come to an accepting state. A text ends once nothing more can follow, and goes on as
    long as something can, unless a value of its own ends it (see `regular_expression`).

    Attributes:
      table: `[states, values]` integers, the state after each value; -1 where it may not come. The
        first state is the start.
      distance: `[states]` integers, how many values lead to an accepting state at least.
    """

    table: Any
    distance: Any

    @classmethod
    def accepting(cls, table: np.ndarray, accepting: np.ndarray) -> "Automaton":
        """That of a table whose states `[n]` accept."""
        after = [np.unique(row[row >= 0]) for row in table]
        before = np.repeat(np.arange(len(table)), [len(states) for states in after])
        ways = np.ones(len(before)), (np.concatenate(after), before)
        back = csr_array(ways, (len(table), len(table)))
        distance, steps, reached = np.full(len(table), NEVER), 0, np.unique(accepting)
        while len(reached):
            distance[reached] = steps
            reached = np.unique(back[reached].indices)
            reached = reached[distance[reached] == NEVER]
            steps += 1
        return cls(jnp.asarray(table, jnp.int32), jnp.asarray(distance, jnp.int32))

    def check(self, values: int, steps: np.ndarray) -> None:
        check_shape("table", self.table, ("states", "values"))
        states, columns = np.shape(self.table)
        if columns != values:
            raise ValueError(f"table: expected a column for each of {values} values, got {columns}")
        check_positive(states=states)
        check_integers("table", self.table, -1, states - 1)
        check_shape("distance", self.distance, (states,))
        check_integers("distance", self.distance, 0, NEVER)
        if not (is_concrete(self.table) and is_concrete(self.distance)):
            return
        needed = int(self.distance[0])
        if needed > steps.min():
            shortest = "nothing" if needed == NEVER else f"{needed} steps at least"
            raise ValueError(
                f"pattern: expected one that matches within the {steps.min()} steps that are "
                f"drawn, got one that matches {shortest}"
            )

    def init(self, steps: jax.Array) -> State:
        """The automaton's state, and the number of steps, each `[batch]`."""
        batch, length = steps.shape
        return jnp.zeros(batch, jnp.int32), jnp.full(batch, length)

    def __call__(self, log_pmf: jax.Array, state: State, t: Any) -> jax.Array:
        return jnp.where(self._allowed(state, t), log_pmf, -jnp.inf)

    def advance(self, state: State, value: jax.Array, t: Any) -> State:
        at, length = state
        return self.table[at, value], length

    def done(self, state: State, t: Any) -> jax.Array | bool:
        return (self.distance[state[0]] == 0) & ~self._allowed(state, t).any(axis=-1)

    def _allowed(self, state: State, t: Any) -> jax.Array:
        """`[batch, values]`: those after which an accepting state can be reached in time."""
        at, length = state
        after = self.table[at]
        return (after >= 0) & (self.distance[after] < (length - t)[:, None])


NEVER = np.iinfo(np.int32).max
"""The distance of a state from which no way leads to an accepting one."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("sampler", "processors", "states", "t"),
    meta_fields=(),
)
@dataclass(frozen=True)
class ProcessedSampler(Wrapper):
    """Draws step t from what processors make of the probabilities; -1 where they leave none.

    Attributes:
      sampler: draws from that.
      processors: one after the other.
      states: theirs, before t.
      t: the step; both come while decoding, by `at`.
    """

    sampler: Sampler
    processors: tuple[Processor, ...]
    states: tuple[State, ...] = ()
    t: Any = 0

    def at(self, states: tuple[State, ...], t: Any) -> "ProcessedSampler":
        """How step t is drawn, with the processors in these states."""
        return replace(self, states=states, t=t)

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """`[batch]` keys and `[batch, 1, values]` -> `[batch, 1]`."""
        processed = process(self.processors, log_pmf[:, 0], self.states, self.t)
        drawn = self.sampler(keys, jax.nn.log_softmax(processed, axis=-1)[:, None])
        return jnp.where((processed > -jnp.inf).any(axis=-1, keepdims=True), drawn, -1)


def processors_of(sampler: Any) -> tuple[Processor, ...]:
    """Those that a sampler has, if any."""
    return getattr(sampler, "processors", ())


def process(
    processors: Sequence[Processor], log_pmf: jax.Array, states: tuple[State, ...], t: Any
) -> jax.Array:
    """What processors, one after the other, make of `[batch, values]` nats."""
    for processor, state in zip(processors, states, strict=True):
        log_pmf = processor(log_pmf, state, t)
    return log_pmf


def init_states(
    processors: Sequence[Processor], batch: int, length: int, known: Any
) -> tuple[State, ...]:
    """The states before the first draw.

    Args:
      processors: whose.
      batch: how many events are drawn.
      length: of how many steps.
      known: steps `[batch, n, 1]` that are given, and how many of them count `[batch]`; or None.
    """
    steps = jnp.full((batch, length), -1)
    if processors and known is not None:
        given = jnp.arange(known[0].shape[1]) < known[1][:, None]
        steps = steps.at[:, : given.shape[1]].set(jnp.where(given, known[0][..., 0], -1))
    return tuple(processor.init(steps) for processor in processors)


def advance_states(
    processors: Sequence[Processor],
    states: tuple[State, ...],
    value: jax.Array,
    t: Any,
    where: jax.Array,
) -> tuple[State, ...]:
    """The states after values `[batch]`, of the examples `[batch]` where these were drawn."""

    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(where.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    return tuple(
        jax.tree.map(choose, processor.advance(state, value, t), state)
        for processor, state in zip(processors, states, strict=True)
    )


def done(
    processors: Sequence[Processor], states: tuple[State, ...], batch: int, t: Any
) -> jax.Array:
    """`[batch]` booleans: whether one of them ended the text before step t."""
    ended = jnp.zeros(batch, bool)
    for processor, state in zip(processors, states, strict=True):
        ended |= processor.done(state, t)
    return ended


def lengths(processors: Sequence[Processor], steps: Any, known: Any = 0) -> jax.Array:
    """How many steps texts have, up to where processors end them.

    Args:
      processors: those that the texts were drawn with.
      steps: `[batch, length]`, the drawn texts.
      known: how many of the steps were given, for all or `[batch]`.

    Returns:
      `[batch]`, at most `length`.

    Raises:
      ValueError: when the steps are no texts, or more are known than there are.
    """
    check_shape("steps", steps, ("batch", "length"))
    batch, length = np.shape(steps)
    check_integers("known", known, 0, length)
    steps = jnp.asarray(steps)
    known = jnp.broadcast_to(jnp.asarray(known), batch)

    def body(states: tuple[State, ...], t: jax.Array) -> tuple[tuple[State, ...], jax.Array]:
        drawn = (t >= known) & ~done(processors, states, batch, t)
        return advance_states(processors, states, steps[:, t], t, drawn), drawn

    states = init_states(processors, batch, length, (steps[..., None], known))
    return known + jax.lax.scan(body, states, jnp.arange(length))[1].sum(axis=0)
