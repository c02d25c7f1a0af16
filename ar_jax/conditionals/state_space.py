"""What state space models share: diagonal linear recurrences, and the stack of residual layers."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import check_fractions, check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.math.precision import at_least_float32
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.sequence import Cache, dense_2d
from ar_jax.orderings import Ordering

CHUNK = 32
"""Slots between the states that are kept for the backward pass."""


class Mixer(nn.Module, ABC):
    """Mixes the slots of a sequence by way of a state, whose size does not grow.

    Attributes:
      width: of what comes in and goes out.
    """

    width: int

    @abstractmethod
    def init_state(self, batch: int, dtype: Any) -> Any:
        """The state before the first slot."""

    @abstractmethod
    def extend(self, state: Any, x: jax.Array, t: Any) -> tuple[Any, jax.Array]:
        """Slots t ... t + k - 1 at once: the state, and `[batch, k, width]` -> the same."""


class StateSpace(SequenceConditional):
    """A stack of residual layers that mix the sequence by way of states: the base of state spaces.

    Slot t takes in the step before it (a learned start at t = 0). Each layer adds what its mixer
    makes of the normalised stream, biased by the pooled context; a last norm follows. The features
    at t see all that came before, and decoding carries the states only:

        h2 --> h2 --> h2 --> h2
        ^      ^      ^      ^
        h1 --> h1 --> h1 --> h1
        ^      ^      ^      ^
        start  x0     x1     x2

    Attributes:
      layers: how many.
      width: of the residual stream.
      dropout: on what each layer adds.
    """

    layers: int
    width: int
    dropout: float

    def setup(self) -> None:
        self.embed = nn.Dense(self.width)
        self.start = self.param("start", nn.initializers.normal(0.02), (self.width,), jnp.float32)
        self.mixers = [self.mixer() for _ in range(self.layers)]
        self.norms = [self.norm() for _ in range(self.layers)]
        self.last_norm = self.norm()
        self.context_biases = [ContextBias(self.width) for _ in range(self.layers)]
        self.drop = nn.Dropout(self.dropout)

    @abstractmethod
    def mixer(self) -> Mixer:
        """What mixes the sequence in a layer."""

    def norm(self) -> nn.Module:
        """What normalises the stream before each mixer, and at the end."""
        return nn.LayerNorm()

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        return [
            (mixer.init_state(len(template), template.dtype), context_bias(context)[:, None])
            for mixer, context_bias in zip(self.mixers, self.context_biases, strict=True)
        ]

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        slots = t + jnp.arange(previous.shape[1])
        x = jnp.where((slots == 0)[:, None], self.start, dense_2d(self.embed, previous))
        extended = []
        for norm, mixer, (state, bias) in zip(self.norms, self.mixers, cache, strict=True):
            state, mixed = mixer.extend(state, norm(x) + bias, t)
            x += self.drop(mixed, deterministic=not self.has_rng("dropout"))
            extended.append((state, bias))
        return extended, self.readout(self.last_norm(x), features)

    def check(self, ordering: Ordering) -> None:
        check_positive(layers=self.layers, width=self.width)
        check_fractions(dropout=self.dropout)


class DiagonalMixer(Mixer):
    """A linear time-invariant system with a diagonal complex transition, then a gate.

        h_t = decay * h_{t-1} + scale * B u_t
        y_t = Re(C h_t) + D u_t

    Complex matrices are kept as real ones, the real parts before the imaginary.

    Attributes:
      width: of u and y.
      state: how many complex numbers h has.
    """

    state: int

    def setup(self) -> None:
        self.inputs = nn.Dense(2 * self.state, use_bias=False, kernel_init=self.init_inputs)
        self.outputs = nn.Dense(self.width, use_bias=False, kernel_init=self.init_outputs)
        normal = nn.initializers.normal(1.0)
        self.skip = self.param("skip", normal, (self.width,), jnp.float32)

    def init_state(self, batch: int, dtype: Any) -> jax.Array:
        return jnp.zeros((batch, self.state), jnp.promote_types(dtype, jnp.complex64))

    def extend(self, state: jax.Array, x: jax.Array, t: Any) -> tuple[jax.Array, jax.Array]:
        decay, scale = self.dynamics()

        def body(state: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
            states = linear_recurrence(decay[None, None], drive, state)
            return states[:, -1], states

        real, imaginary = jnp.split(at_least_float32(dense_2d(self.inputs, x)), 2, axis=-1)
        state, states = checkpointed_scan(body, state, scale * jax.lax.complex(real, imaginary))
        parts = jnp.concatenate([states.real, states.imag], axis=-1).astype(x.dtype)
        return state, self.gate(dense_2d(self.outputs, parts) + self.skip * x)

    @abstractmethod
    def dynamics(self) -> tuple[jax.Array, jax.Array]:
        """Decay and scale, `[state]` each."""

    @abstractmethod
    def gate(self, y: jax.Array) -> jax.Array:
        """What happens to each slot by itself: `[batch, k, width]` -> the same."""

    @abstractmethod
    def init_inputs(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """B at first, transposed: `[width, 2 * state]`."""

    @abstractmethod
    def init_outputs(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """C at first, transposed: `[2 * state, width]`, the imaginary parts with a minus."""


def linear_recurrence(decay: jax.Array, drive: jax.Array, initial: jax.Array) -> jax.Array:
    """x_t = decay_t * x_{t-1} + drive_t, by an associative scan over the slots.

    Args:
      decay: `[batch or 1, slots or 1, ...]`.
      drive: `[batch, slots, ...]`.
      initial: `[batch, ...]`, x before the first slot.

    Returns:
      x, `[batch, slots, ...]`.
    """

    def compose(first: Any, second: Any) -> tuple[jax.Array, jax.Array]:
        return second[0] * first[0], second[0] * first[1] + second[1]

    begin = decay[:, :1] * initial[:, None] + drive[:, :1]
    drive = jnp.concatenate([begin, drive[:, 1:]], axis=1)
    decay = jnp.broadcast_to(decay, (len(decay), drive.shape[1], *decay.shape[2:]))
    return jax.lax.associative_scan(compose, (decay, drive), axis=1)[1]


def checkpointed_scan(
    body: Callable[[Any, Any], tuple[Any, jax.Array]], state: Any, inputs: Any
) -> tuple[Any, jax.Array]:
    """Runs a recurrence over slots, keeping few states for the backward pass.

    Chunks follow one another, and what happens within one is computed again in the backward pass.
    A CPU does within a chunk one slot after the other, which is the least work and stays in its
    cache (1.5 to 3 times faster); others do the chunk at once, by the body's associative scan.

    Args:
      body: takes a state and the inputs of some slots to the state after them and the outputs.
      state: before the first slot.
      inputs: pytree of `[batch, slots, ...]`.

    Returns:
      The state after the last slot, and the outputs `[batch, slots, ...]`.
    """
    if jax.tree.leaves(inputs)[0].shape[1] == 1:
        return body(state, inputs)
    by_slots = partial(scan_chunks, partial(scan_chunks, body, chunk=1), chunk=CHUNK)
    by_chunks = partial(scan_chunks, body, chunk=CHUNK)
    return jax.lax.platform_dependent(state, inputs, cpu=by_slots, default=by_chunks)


def scan_chunks(
    body: Callable[[Any, Any], tuple[Any, jax.Array]], state: Any, inputs: Any, chunk: int
) -> tuple[Any, jax.Array]:
    """Scans over chunks of positions; the last chunk may be shorter.

    Args:
      body: as in `checkpointed_scan`.
      state: before the first position.
      inputs: pytree of `[batch, slots, ...]`.
      chunk: positions for each call of the body, which the backward pass computes again.
    """
    slots = jax.tree.leaves(inputs)[0].shape[1]
    whole = slots - slots % chunk
    body = jax.checkpoint(body, prevent_cse=False)
    outputs = []
    if whole:

        def split(x: jax.Array) -> jax.Array:
            return x[:, :whole].reshape(len(x), -1, chunk, *x.shape[2:]).swapaxes(0, 1)

        state, out = jax.lax.scan(body, state, jax.tree.map(split, inputs))
        out = out.swapaxes(0, 1)
        outputs.append(out.reshape(len(out), whole, *out.shape[3:]))
    if whole < slots:
        state, out = body(state, jax.tree.map(lambda x: x[:, whole:], inputs))
        outputs.append(out)
    return state, jnp.concatenate(outputs, axis=1)
