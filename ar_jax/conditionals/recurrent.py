"""What recurrent networks share: the stack of layers, and the arithmetic of an LSTM."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import check_fractions, check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.sequence import Cache, dense_2d
from ar_jax.orderings import Ordering


class RecurrentLayer(nn.Module, ABC):
    """A recurrent layer: the products with its inputs for all slots at once, then slot by slot.

    Attributes:
      width: of the hidden state.
      gates: vectors of that width that the inputs and the hidden state are mapped to.
    """

    width: int
    gates: ClassVar[int]

    def setup(self) -> None:
        units = self.gates * self.width
        self.inputs = nn.Dense(units, bias_init=self.init_bias)
        self.context_bias = ContextBias(units)
        shape = (self.width, units)
        self.kernel = self.param("kernel", nn.initializers.orthogonal(), shape, jnp.float32)

    def __call__(self, state: Any, x: jax.Array, bias: jax.Array) -> tuple[Any, jax.Array]:
        """Runs over some slots.

        Args:
          state: after the slots before them.
          x: `[slots, batch, inputs]`.
          bias: `[batch, gates * width]`, from the context.

        Returns:
          The state after them, and the hidden states `[slots, batch, width]`.
        """
        return jax.lax.scan(self.update, state, dense_2d(self.inputs, x) + bias)

    def init_bias(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """The biases of the gates at first: zero."""
        return jnp.zeros(shape, dtype)

    @abstractmethod
    def init_state(self, batch: int, dtype: Any) -> Any:
        """The state before the first slot."""

    @abstractmethod
    def update(self, state: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        """One slot, given what its inputs add to the gates `[batch, gates * width]`.

        Returns:
          The state, and the hidden state that is shown to others `[batch, width]`.
        """


class Recurrent(SequenceConditional):
    """A stack of recurrent layers, the base of `GRU` and `LSTM`.

    Slot t takes in the step before it (a learned start at t = 0), and its state goes on to the next
    slot. Each layer's gates have a bias from the context, so that it reaches every step. Decoding
    carries the states only.

    Attributes:
      layers: how many.
      width: of each layer's hidden state.
      dropout: on what each layer passes up, not on what it passes on in time (arXiv 1409.2329).
    """

    layers: int = 3
    width: int = 512
    dropout: float = 0.0

    def setup(self) -> None:
        self.stack = [self.layer() for _ in range(self.layers)]
        self.drop = nn.Dropout(self.dropout)

    @abstractmethod
    def layer(self) -> RecurrentLayer:
        """A layer of the stack."""

    def check(self, ordering: Ordering) -> None:
        check_positive(layers=self.layers, width=self.width)
        check_fractions(dropout=self.dropout)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        return [
            (layer.init_state(len(template), template.dtype), layer.context_bias(context))
            for layer in self.stack
        ]

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        x = self._begin(previous, t).swapaxes(0, 1)  # [slots, batch, inputs]
        extended = []
        for layer, (state, bias) in zip(self.stack, cache, strict=True):
            state, x = layer(state, x, bias)
            x = self.drop(x, deterministic=not self.has_rng("dropout"))
            extended.append((state, bias))
        return extended, self.readout(x, features).swapaxes(0, 1)

    @nn.compact
    def _begin(self, previous: jax.Array, t: Any) -> jax.Array:
        """`[batch, slots, inputs]` of slots t ..., with the learned start before step 0."""
        start = self.param("start", nn.initializers.zeros, previous.shape[-1:], jnp.float32)
        slots = t + jnp.arange(previous.shape[1])
        return jnp.where((slots == 0)[:, None], start, previous)


def lstm(gates: jax.Array, cell: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The new hidden state and cell of a long short-term memory.

        cell    <- forget * cell + input * content
        hidden  <- output * tanh(cell)

    Args:
      gates: `[..., 4 * width]`, before their nonlinearities: input, forget, content, output.
      cell: `[..., width]`, in float32 or wider, since it sums over many steps.
    """
    write, forget, content, show = jnp.split(gates.astype(cell.dtype), 4, axis=-1)
    cell = nn.sigmoid(forget) * cell + nn.sigmoid(write) * jnp.tanh(content)
    return (nn.sigmoid(show) * jnp.tanh(cell)).astype(gates.dtype), cell


def init_memory(shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Zeros in float32 or wider, for what sums over many steps."""
    return jnp.zeros(shape, jnp.promote_types(dtype, jnp.float32))
