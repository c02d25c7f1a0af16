"""Row LSTM: a recurrent network that takes in an image row by row."""

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
from ar_jax.nn.masked_conv import (
    MaskedConv,
    Pixel,
    PixelDense,
    check_colours,
    check_kernels,
)
from ar_jax.orderings import Ordering


class RowLSTMCache(NamedTuple):
    """What a layer keeps of the current row and of the one above."""

    inputs: jax.Array  # [batch, 1, width and the kernel's margin, 2 * channels]
    hidden: jax.Array  # [batch, 2, width and the margin, channels], even and odd rows
    cells: jax.Array  # [batch, width, channels]
    bias: jax.Array  # [batch, 4 * channels], of the context


class ResidualRowLSTM(ResidualLayer):
    """All pixels of a row at once, from the states of the row above.

    Attributes:
      channels: of the states.
      kernel: pixels of the row above that a state is connected to, odd.
    """

    kernel: int

    def setup(self) -> None:
        gates = 4 * self.channels
        self.inputs = MaskedConv(gates, self.kernel, sees_itself=True, view="left")
        self.context_bias = ContextBias(gates)
        shape = (self.kernel * self.channels, gates)
        self.recurrent = self.param("recurrent", nn.initializers.lecun_normal(), shape, jnp.float32)
        self.up = PixelDense(2 * self.channels)

    def __call__(self, x: jax.Array, context: ContextVectors, colours: int) -> jax.Array:
        batch, _, width, _ = x.shape
        gates = self.inputs(x, colours) + self.context_bias(context)[:, None, None]

        def row(state: Any, gates: jax.Array) -> Any:
            hidden, cells = state  # [batch, width, channels]
            gates += self._windows(hidden) @ self.recurrent
            hidden, cells = lstm_of_colours(gates, cells, colours)
            return (hidden, cells), hidden

        shape = (batch, width, self.channels)
        state = jnp.zeros(shape, x.dtype), init_memory(shape, x.dtype)
        _, hidden = jax.lax.scan(row, state, gates.swapaxes(0, 1))
        return x + self.up(hidden.swapaxes(0, 1), colours)

    def init_cache(self, template: jax.Array, width: int, context: ContextVectors) -> RowLSTMCache:
        batch, margin = len(template), self.kernel - 1
        return RowLSTMCache(
            inputs=self.inputs.init_rows(batch, width, 2 * self.channels, template.dtype),
            hidden=jnp.zeros((batch, 2, width + margin, self.channels), template.dtype),
            cells=init_memory((batch, width, self.channels), template.dtype),
            bias=self.context_bias(context),
        )

    def step(
        self, pixel: Pixel, cache: RowLSTMCache, x: jax.Array
    ) -> tuple[RowLSTMCache, jax.Array]:
        inputs = self.inputs.write(cache.inputs, x[:, None], pixel)
        gates = self.inputs.step(pixel, inputs) + pixel.get_group(cache.bias)
        start = (0, (pixel.row + 1) % 2, pixel.column, 0)
        size = (len(x), 1, self.kernel, self.channels)
        above = jax.lax.dynamic_slice(cache.hidden, start, size).reshape(len(x), -1)
        cell = jax.lax.dynamic_index_in_dim(cache.cells, pixel.column, axis=1, keepdims=False)
        part, cell_part = lstm(
            gates + above @ pixel.get_group(self.recurrent), pixel.get_group(cell)
        )
        start = (0, pixel.row % 2, pixel.column + self.kernel // 2, 0)
        size = (len(x), 1, 1, self.channels)
        hidden = jax.lax.dynamic_slice(cache.hidden, start, size)
        hidden, cell = (
            pixel.set_group(hidden, part[:, None, None]),
            pixel.set_group(cell, cell_part),
        )
        cache = RowLSTMCache(
            inputs=inputs,
            hidden=jax.lax.dynamic_update_slice(cache.hidden, hidden, start),
            cells=jax.lax.dynamic_update_slice(cache.cells, cell[:, None], (0, pixel.column, 0)),
            bias=cache.bias,
        )
        return cache, x + self.up.step(pixel, hidden[:, 0, 0])

    def _windows(self, hidden: jax.Array) -> jax.Array:
        """Each pixel's neighbours: `[batch, width, channels]` -> `[.., kernel * channels]`."""
        width, half = hidden.shape[1], self.kernel // 2
        padded = jnp.pad(hidden, ((0, 0), (half, half), (0, 0)))
        return jnp.concatenate([padded[:, i : i + width] for i in range(self.kernel)], axis=-1)


class RowLSTM(PixelNetwork):
    """PixelRNN with LSTM layers that run from row to row (arXiv 1601.06759, section 3.1).

    A layer's gates hear from its inputs at the pixel and left of it, by a k x 1 convolution of type
    B, and from the hidden states of the row above, by one without a mask:

        i, f, o = sigmoid(K_is * x + K_ss * h)     x: the row, h: states of the row above
        g       = tanh(K_is * x + K_ss * h)
        c      <- f c + i g
        h      <- o tanh(c)

    What a pixel p sees in one layer with k = 3: a triangle above, that more layers widen.

        x x x x x x .
        . x x x x . .
        . . x p . . .

    The default size is that of the paper's model of CIFAR-10. Decoding keeps two rows. Accepts
    orderings with a grid. A step with several variables shows all its channels together;
    where each colour of a pixel is a step, channels and gates stand in as many groups, and all but
    the hidden states of other pixels are masked as in `PixelCNN` (Section 3.4).

    Attributes:
      layers: of LSTM.
      channels: of their states (h in the paper; the skips have 2h).
      head_channels: of the layer before the last.
      first_kernel: side of the first convolution, odd.
      kernel: of the layers' convolutions (k), odd.
    """

    layers: int = 12
    channels: int = 128
    head_channels: int = 1024
    kernel: int = 3

    @property
    def depth(self) -> int:
        return self.layers

    def layer(self) -> ResidualRowLSTM:
        return ResidualRowLSTM(self.channels, self.kernel)

    def layer_reach(self, ordering: Ordering) -> np.ndarray:
        (up, left), half = up_and_left(ordering), self.kernel // 2
        near = (up >= 0) & (-half * up <= left) & (left <= half * (up + 1))
        return near & np.tri(ordering.length, dtype=bool)  # in the pixel itself: colours in order

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering, ordering.channels)
        check_positive(layers=self.layers, channels=self.channels, head_channels=self.head_channels)
        check_kernels(first_kernel=self.first_kernel, kernel=self.kernel)
        check_colours(ordering, channels=self.channels, head_channels=self.head_channels)
