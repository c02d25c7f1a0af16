"""Long short-term memory."""

from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_number
from ar_jax.conditionals.recurrent import Recurrent, RecurrentLayer, init_memory, lstm
from ar_jax.orderings import Ordering


class LSTMLayer(RecurrentLayer):
    """One layer of an LSTM; the equations are those of `LSTM`.

    Attributes:
      forget_bias: initial bias of the forget gate.
    """

    forget_bias: float

    gates = 4

    def init_bias(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jnp.zeros(shape, dtype).at[self.width : 2 * self.width].set(self.forget_bias)

    def init_state(self, batch: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
        hidden = jnp.zeros((batch, self.width), jnp.result_type(dtype, self.kernel))
        return hidden, init_memory((batch, self.width), dtype)

    def update(self, state: Any, inputs: jax.Array) -> tuple[Any, jax.Array]:
        hidden, cell = state
        hidden, cell = lstm(inputs + hidden @ self.kernel, cell)
        return (hidden, cell), hidden


class LSTM(Recurrent):
    """A stack of long short-term memories (Hochreiter and Schmidhuber, 1997).

    With the forget gates of Gers et al. (2000), open at first. With x the inputs and h the hidden
    state before:

        i, f, o = sigmoid(U x + W h + b)      input, forget and output gates
        g       = tanh(U x + W h + b)         content
        c      <- f * c + i * g               the cell
        h      <- o * tanh(c)

        h2 --> h2 --> h2 --> h2               t = 3 depends on all earlier steps
        ^      ^      ^      ^
        h1 --> h1 --> h1 --> h1
        ^      ^      ^      ^
        start  x0     x1     x2

    The default size is that of the largest character model of arXiv 1506.02078.

    Attributes:
      layers: how many.
      width: of each layer's hidden state.
      dropout: on what each layer passes up, not on what it passes on in time (arXiv 1409.2329).
      forget_bias: of the forget gates at first; 1 lets a new network remember.
    """

    forget_bias: float = 1.0

    def check(self, ordering: Ordering) -> None:
        super().check(ordering)
        check_number("forget_bias", self.forget_bias, "a finite number", lambda bias: True)

    def layer(self) -> LSTMLayer:
        return LSTMLayer(self.width, self.forget_bias)
