"""Diagonal BiLSTM: a recurrent network that crosses an image along both of its diagonals."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.conditionals.base import Context, ContextBias, flat, image_grid
from ar_jax.conditionals.masked_conv import Place, check_kernels
from ar_jax.conditionals.pixel_network import PixelNetwork, ResidualLayer, up_and_left
from ar_jax.conditionals.recurrent import init_memory, lstm
from ar_jax.orderings import Ordering


class DiagonalLSTM(nn.Module):
    """From the upper left corner to the lower right one, a diagonal at a time.

    Attributes:
      channels: of the states.
    """

    channels: int

    def setup(self) -> None:
        gates = 4 * self.channels
        self.inputs, self.context_bias = nn.Dense(gates), ContextBias(gates)
        shape = (2 * self.channels, gates)
        self.recurrent = self.param("recurrent", nn.initializers.lecun_normal(), shape, jnp.float32)

    def __call__(self, x: jax.Array, context: Context) -> jax.Array:
        """`[batch, height, width, features]` -> hidden states `[.., channels]`."""
        batch, height, _, _ = x.shape
        gates = self.project(x, self.context_bias(context)[:, None, None])

        def diagonal(state: Any, gates: jax.Array) -> Any:
            hidden, cell = state  # [batch, height, channels]: the pixels on the left
            above = jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), (0, 0)))
            hidden, cell = self.update(gates, hidden, above, cell)
            return (hidden, cell), hidden

        shape = (batch, height, self.channels)
        state = jnp.zeros(shape, x.dtype), init_memory(shape, x.dtype)
        # Before its row begins the gates are 0, which leaves a state of 0 as it is.
        _, hidden = jax.lax.scan(diagonal, state, skew(gates).transpose(2, 0, 1, 3))
        return unskew(hidden.transpose(1, 2, 0, 3))

    def project(self, x: jax.Array, bias: jax.Array) -> jax.Array:
        """What the inputs `[..., features]` and the context add to the gates."""
        return flat(self.inputs, x) + bias

    def update(
        self, gates: jax.Array, left: jax.Array, above: jax.Array, cell: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The hidden state and the cell, from the hidden states around and the cell on the left."""
        around = jnp.concatenate([left, above], axis=-1)
        return lstm(gates + around @ self.recurrent, cell)


class DiagonalCache(NamedTuple):
    """What a layer keeps of the current row and of the one above."""

    left_hidden: jax.Array  # [batch, 1 + width, channels], a zero before the row
    left_cell: jax.Array  # [batch, channels]
    left_bias: jax.Array  # [batch, 4 * channels], of the context
    inputs: jax.Array  # [batch, width, 2 * channels]
    right_hidden: jax.Array  # [batch, width, channels], of the row above
    right_bias: jax.Array  # [batch, 4 * channels]


class ResidualDiagonalBiLSTM(ResidualLayer):
    """The sum of both directions; the one from the right comes a row later."""

    def setup(self) -> None:
        self.left, self.right = DiagonalLSTM(self.channels), DiagonalLSTM(self.channels)
        self.up = nn.Dense(2 * self.channels)

    def __call__(self, x: jax.Array, context: Context, colours: int) -> jax.Array:
        left = self.left(x, context)
        right = self.right(x[:, :, ::-1], context)[:, :, ::-1]
        right = jnp.pad(right[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        return x + flat(self.up, left + right)

    def init_cache(self, blank: jax.Array, width: int, context: Context) -> DiagonalCache:
        batch, dtype = len(blank), blank.dtype
        return DiagonalCache(
            left_hidden=jnp.zeros((batch, 1 + width, self.channels), dtype),
            left_cell=init_memory((batch, self.channels), dtype),
            left_bias=self.left.context_bias(context),
            inputs=jnp.zeros((batch, width, 2 * self.channels), dtype),
            right_hidden=jnp.zeros((batch, width, self.channels), dtype),
            right_bias=self.right.context_bias(context),
        )

    def at(
        self, place: Place, cache: DiagonalCache, x: jax.Array
    ) -> tuple[DiagonalCache, jax.Array]:
        column = place.column
        # At the start of a row, the direction from the right runs over the row above.
        starts = (place.row > 0) & (column == 0)
        right_hidden = jax.lax.cond(starts, self._sweep, lambda cache: cache.right_hidden, cache)
        around = jax.lax.dynamic_slice_in_dim(cache.left_hidden, column, 2, axis=1)
        hidden, cell = self.left.update(
            self.left.project(x, cache.left_bias),
            around[:, 0],
            around[:, 1],
            jnp.where(column > 0, cache.left_cell, 0),
        )
        out = hidden + jax.lax.dynamic_index_in_dim(right_hidden, column, axis=1, keepdims=False)
        cache = cache._replace(
            left_hidden=_put(cache.left_hidden, hidden, column + 1),
            left_cell=cell,
            inputs=_put(cache.inputs, x, column),
            right_hidden=right_hidden,
        )
        return cache, x + self.up(out)

    def _sweep(self, cache: DiagonalCache) -> jax.Array:
        """The hidden states from the right of the row whose inputs are now complete."""
        gates = self.right.project(cache.inputs, cache.right_bias[:, None])

        def pixel(state: Any, inputs: tuple[jax.Array, jax.Array]) -> Any:
            gates, above = inputs
            hidden, cell = state
            hidden, cell = self.right.update(gates, hidden, above, cell)
            return (hidden, cell), hidden

        shape, dtype = cache.left_cell.shape, cache.inputs.dtype
        state = jnp.zeros(shape, dtype), init_memory(shape, dtype)
        row = gates.swapaxes(0, 1), cache.right_hidden.swapaxes(0, 1)
        return jax.lax.scan(pixel, state, row, reverse=True)[1].swapaxes(0, 1)


class DiagonalBiLSTM(PixelNetwork):
    """PixelRNN whose LSTM layers see all that came before (arXiv 1601.06759, section 3.2).

    A layer has two directions. The one from the left hears from its input and from the hidden
    states on the left and above; a diagonal, from the lower left to the upper right, is computed at
    once. The one from the right is its mirror image, moved down by one row so that it sees no
    future pixel. With K_ss * h over the two hidden states, in both:

        i, f, o = sigmoid(K_is x + K_ss * h)
        g       = tanh(K_is x + K_ss * h)
        c      <- f c + i g                        c: of the pixel on the left (on the right)
        h      <- o tanh(c)

    What a pixel p sees in one layer, from the left (l), from the right (r) or both (b):

        l l l b r r r
        l l l b r r r
        l l l p . . .

    Together with the first convolution, of type A, which does not show a pixel to itself, one is
    missed: the last of the row above, unless it is within the reach of that convolution.

    The default size is that of the paper's best model of MNIST. Decoding runs the direction from
    the left pixel by pixel, and the one from the right over the row above, at the start of a row;
    it keeps one row. Accepts orderings with a grid. A step with several variables shows all its
    channels together.

    Attributes:
      layers: of LSTM.
      channels: of their states (h in the paper; the skips have 2h).
      head_channels: of the layer before the last.
      first_kernel: side of the first convolution, odd.
    """

    layers: int = 7

    @property
    def depth(self) -> int:
        return self.layers

    def layer(self) -> ResidualDiagonalBiLSTM:
        return ResidualDiagonalBiLSTM(self.channels)

    def layer_reach(self, ordering: Ordering) -> np.ndarray:
        up, left = up_and_left(ordering)
        return ((up >= 0) & (left >= 0)) | ((up >= 1) & (left <= 0))

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering)
        check_positive(layers=self.layers, channels=self.channels, head_channels=self.head_channels)
        check_kernels(first_kernel=self.first_kernel)


def skew(x: jax.Array) -> jax.Array:
    """Moves each row one further to the right than the one above, so that diagonals are columns.

    Args:
      x: `[batch, height, width, features]`.

    Returns:
      `[batch, height, height + width - 1, features]`, with zeros around.
    """
    batch, height, width, features = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, height), (0, 0)))
    x = x.reshape(batch, height * (height + width), features)
    return x[:, : height * (height + width - 1)].reshape(batch, height, -1, features)


def unskew(x: jax.Array) -> jax.Array:
    """The inverse of `skew`."""
    batch, height, columns, features = x.shape
    x = jnp.pad(x.reshape(batch, height * columns, features), ((0, 0), (0, height), (0, 0)))
    return x.reshape(batch, height, columns + 1, features)[:, :, : columns + 1 - height]


def _put(row: jax.Array, x: jax.Array, column: Any) -> jax.Array:
    """`row[:, column] = x`."""
    return jax.lax.dynamic_update_slice(row, x[:, None], (0, column, 0))
