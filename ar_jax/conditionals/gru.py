"""Gated recurrent units."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.conditionals.recurrent import Recurrent, RecurrentLayer, init_memory


class GRULayer(RecurrentLayer):
    """One layer of a GRU; the equations are those of `GRU`."""

    gates = 3

    def setup(self) -> None:
        super().setup()
        shape = (self.width,)  # added before the reset gate, where the other gates need no second
        self.candidate_bias = self.param(
            "candidate_bias", nn.initializers.zeros, shape, jnp.float32
        )

    def init_state(self, batch: int, dtype: Any) -> jax.Array:
        return init_memory((batch, self.width), dtype)

    def update(self, state: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        products = state.astype(inputs.dtype) @ self.kernel
        reset, keep, content = jnp.split(inputs.astype(state.dtype), 3, axis=-1)
        of_reset, of_keep, of_content = jnp.split(products.astype(state.dtype), 3, axis=-1)
        keep = nn.sigmoid(keep + of_keep)
        of_content = nn.sigmoid(reset + of_reset) * (of_content + self.candidate_bias)
        state = (1 - keep) * jnp.tanh(content + of_content) + keep * state
        return state, state.astype(inputs.dtype)


class GRU(Recurrent):
    """A stack of gated recurrent units (Cho et al., arXiv 1406.1078).

    In the form of cuDNN and torch, with the reset gate after the product. With x the inputs and h
    the hidden state before:

        r, z = sigmoid(U x + W h + b)         reset and update gates
        n    = tanh(U x + b + r * (W h + b'))  candidate
        h   <- (1 - z) * n + z * h

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
    """

    def layer(self) -> GRULayer:
        return GRULayer(self.width)
