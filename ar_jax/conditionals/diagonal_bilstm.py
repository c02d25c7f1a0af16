"""Diagonal BiLSTM: a recurrent network that crosses an image along both of its diagonals."""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.conditionals.base import image_grid
from ar_jax.conditionals.pixel_network import (
    PixelNetwork,
    ResidualLayer,
    lstm_of_colours,
    up_and_left,
)
from ar_jax.conditionals.recurrent import init_memory, lstm
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.masked_conv import Pixel, PixelDense, check_colours, check_kernels
from ar_jax.orderings import Ordering


class DiagonalLSTM(nn.Module):
    """From the upper left corner to the lower right one, a diagonal at a time.

    Attributes:
      channels: of the states.
    """

    channels: int

    def setup(self) -> None:
        gates = 4 * self.channels
        self.inputs, self.context_bias = PixelDense(gates), ContextBias(gates)
        shape = (2 * self.channels, gates)
        self.recurrent = self.param("recurrent", nn.initializers.lecun_normal(), shape, jnp.float32)

    def __call__(self, x: jax.Array, context: ContextVectors, colours: int) -> jax.Array:
        """`[batch, height, width, features]` -> hidden states `[.., channels]`."""
        batch, height, _, _ = x.shape
        gates = self.inputs(x, colours) + self.context_bias(context)[:, None, None]

        def diagonal(state: Any, gates: jax.Array) -> Any:
            hidden, cell = state  # [batch, height, channels]: the pixels on the left
            above = jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), (0, 0)))
            gates += jnp.concatenate([hidden, above], axis=-1) @ self.recurrent
            hidden, cell = lstm_of_colours(gates, cell, colours)
            return (hidden, cell), hidden

        shape = (batch, height, self.channels)
        state = jnp.zeros(shape, x.dtype), init_memory(shape, x.dtype)
        # Before its row begins the gates are 0, which leaves a state of 0 as it is.
        _, hidden = jax.lax.scan(diagonal, state, skew(gates).transpose(2, 0, 1, 3))
        return unskew(hidden.transpose(1, 2, 0, 3))


class DiagonalCache(NamedTuple):
    """What a layer keeps of the current row and of the one above."""

    left_hidden: jax.Array  # [batch, 2, 1 + width, channels], even and odd rows, after a zero
    left_cell: jax.Array  # [batch, channels]
    left_bias: jax.Array  # [batch, 4 * channels], of the context
    inputs: jax.Array  # [batch, width, 2 * channels]
    right_hidden: jax.Array  # [batch, width, channels], of the row above
    right_bias: jax.Array  # [batch, 4 * channels]


class ResidualDiagonalBiLSTM(ResidualLayer):
    """The sum of both directions; the one from the right comes a row later."""

    def setup(self) -> None:
        self.left, self.right = DiagonalLSTM(self.channels), DiagonalLSTM(self.channels)
        self.up = PixelDense(2 * self.channels)

    def __call__(self, x: jax.Array, context: ContextVectors, colours: int) -> jax.Array:
        left = self.left(x, context, colours)
        right = self.right(x[:, :, ::-1], context, colours)[:, :, ::-1]
        right = jnp.pad(right[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
        return x + self.up(left + right, colours)

    def init_cache(self, template: jax.Array, width: int, context: ContextVectors) -> DiagonalCache:
        batch, dtype = len(template), template.dtype
        return DiagonalCache(
            left_hidden=jnp.zeros((batch, 2, 1 + width, self.channels), dtype),
            left_cell=init_memory((batch, self.channels), dtype),
            left_bias=self.left.context_bias(context),
            inputs=jnp.zeros((batch, width, 2 * self.channels), dtype),
            right_hidden=jnp.zeros((batch, width, self.channels), dtype),
            right_bias=self.right.context_bias(context),
        )

    def step(
        self, pixel: Pixel, cache: DiagonalCache, x: jax.Array
    ) -> tuple[DiagonalCache, jax.Array]:
        row, column = pixel.row % 2, pixel.column
        # At the start of a row, the direction from the right runs over the row above.
        starts = (pixel.row > 0) & (column == 0) & (pixel.colour == 0)
        right_hidden = jax.lax.cond(
            starts, partial(self._sweep, colours=pixel.colours), lambda cache: cache.right_hidden,
            cache,
        )  # fmt: skip
        inputs = pixel.set_group(_at(cache.inputs, column), x)
        around = jnp.concatenate(
            [
                _at(cache.left_hidden[:, row], column),
                _at(cache.left_hidden[:, 1 - row], column + 1),
            ],
            axis=-1,
        )
        gates = self.left.inputs.step(pixel, inputs) + pixel.get_group(cache.left_bias)
        part, cell_part = lstm(
            gates + around @ pixel.get_group(self.left.recurrent),
            jnp.where(column > 0, pixel.get_group(cache.left_cell), 0),
        )
        hidden = pixel.set_group(_at(cache.left_hidden[:, row], column + 1), part)
        start = (0, row, column + 1, 0)
        cache = cache._replace(
            left_hidden=jax.lax.dynamic_update_slice(
                cache.left_hidden, hidden[:, None, None], start
            ),
            left_cell=pixel.set_group(cache.left_cell, cell_part),
            inputs=jax.lax.dynamic_update_slice(cache.inputs, inputs[:, None], (0, column, 0)),
            right_hidden=right_hidden,
        )
        return cache, x + self.up.step(pixel, hidden + _at(right_hidden, column))

    def _sweep(self, cache: DiagonalCache, colours: int) -> jax.Array:
        """The hidden states from the right of the row whose inputs are now complete."""
        gates = self.right.inputs(cache.inputs, colours) + cache.right_bias[:, None]

        def pixel(state: Any, inputs: tuple[jax.Array, jax.Array]) -> Any:
            gates, above = inputs
            hidden, cell = state
            gates += jnp.concatenate([hidden, above], axis=-1) @ self.right.recurrent
            hidden, cell = lstm_of_colours(gates, cell, colours)
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
    it keeps two rows. Accepts orderings with a grid. A step with several variables shows all its
    channels together; where each colour of a pixel is a step, channels and gates stand in as many
    groups, and all but the hidden states of other pixels are masked as in `PixelCNN` (Section 3.4).

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
        seen = ((up >= 0) & (left >= 0)) | ((up >= 1) & (left <= 0))
        return seen & np.tri(ordering.length, dtype=bool)  # in the pixel itself: colours in order

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering, ordering.channels)
        check_positive(layers=self.layers, channels=self.channels, head_channels=self.head_channels)
        check_kernels(first_kernel=self.first_kernel)
        check_colours(ordering, channels=self.channels, head_channels=self.head_channels)


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


def _at(row: jax.Array, column: Any) -> jax.Array:
    """The pixel at a column: `[batch, columns, features]` -> `[batch, features]`."""
    return jax.lax.dynamic_index_in_dim(row, column, axis=1, keepdims=False)
