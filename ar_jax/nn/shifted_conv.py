"""Shifted convolutions and the gated residual block of PixelCNN++ and PixelSNAIL."""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.sequence import dense_2d, shift


class ShiftedConv(nn.Module):
    """A convolution whose window ends in the row of its own pixel o.

        down        down and right
        x x x         x x
        x o x         x o

    The taps are gathered, then multiplied once. While decoding, a ring of rows keeps what the
    kernel can still reach.

    Attributes:
      features: output channels.
      kernel: height and width.
      right: whether it is shifted to the right too, so as to see nothing there; else the width of
        the kernel is odd.
      stride: 1, or 2 to halve the height and the width (rounded up).
      scale: of the outputs at first, relative to the inputs.
    """

    features: int
    kernel: tuple[int, int]
    right: bool
    stride: int = 1
    scale: float = 1.0

    def setup(self) -> None:
        init = nn.initializers.variance_scaling(self.scale**2, "fan_in", "truncated_normal")
        self.dense = nn.Dense(self.features, kernel_init=init)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` -> `[batch, height, width, features]`."""
        above, sides = _margins(self.kernel, self.right)
        return self._convolve(jnp.pad(x, ((0, 0), above, sides, (0, 0))))

    def init_rows(self, batch: int, width: int, channels: int, dtype: Any) -> jax.Array:
        """A ring of as many rows as the kernel has, with its margins on both sides."""
        height, columns = self.kernel
        return jnp.zeros((batch, height, width + columns - 1, channels), dtype)

    def write(self, rows: jax.Array, x: jax.Array, slot: Any, column: Any) -> jax.Array:
        """Takes some columns of a row into the ring.

        Args:
          rows: the ring.
          x: `[batch, columns, channels]`.
          slot: the number of the row modulo the height of the kernel.
          column: the first of them.
        """
        _, (left, _) = _margins(self.kernel, self.right)
        start = (0, slot, column + left, 0)
        return jax.lax.dynamic_update_slice(rows, x[:, None], start, allow_negative_indices=False)

    def read(self, rows: jax.Array, slot: Any, column: Any, columns: int) -> jax.Array:
        """The output for some columns of the newest row: `[batch, columns / stride, features]`."""
        height, width = self.kernel
        window = take(rows, column, columns + width - 1, axis=2)
        window = take(jnp.concatenate([window, window], axis=1), slot + 1, height, axis=1)
        return self._convolve(window)[:, 0]

    def step(
        self, rows: jax.Array, x: jax.Array, slot: Any, column: Any
    ) -> tuple[jax.Array, jax.Array]:
        """Takes in `[batch, columns, channels]` and computes the output of the same columns."""
        rows = self.write(rows, x, slot, column)
        return rows, self.read(rows, slot, column, x.shape[1])

    def _convolve(self, padded: jax.Array) -> jax.Array:
        if padded.shape[1:3] == self.kernel:  # one pixel
            return self.dense(padded.reshape(len(padded), 1, 1, -1))
        return dense_2d(
            self.dense, jnp.concatenate(_taps(padded, self.kernel, self.stride), axis=-1)
        )


class TransposedConv(nn.Module):
    """A shifted transposed convolution of stride 2: it doubles the height and the width.

    Each pixel adds to the four that it stands for and, unless shifted to the right, to the two on
    their left:

        down        down and right
        x o o         o o
        x o o         o o

    Attributes:
      features: output channels.
      right: whether it is shifted to the right too.
    """

    features: int
    right: bool

    def setup(self) -> None:
        height, width = kernel_size(self.right)
        self.dense = nn.Dense(height * width * self.features, use_bias=False)
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` -> `[batch, 2 * height, 2 * width, features]`."""
        batch, height, width, _ = x.shape
        taps = dense_2d(self.dense, x).reshape(batch, height, width, *kernel_size(self.right), -1)
        *left, even, odd = jnp.moveaxis(taps, 4, 0)  # [batch, height, width, 2 rows, features]
        for taken in left:
            odd += jnp.roll(taken, -1, axis=2).at[:, :, -1].set(0)
        y = jnp.stack([even, odd], axis=3).swapaxes(3, 4).swapaxes(2, 3)
        return y.reshape(batch, 2 * height, 2 * width, -1) + self.bias


class GatedBlockCache(NamedTuple):
    """What a gated block keeps while decoding."""

    first: jax.Array  # a ring of rows
    second: jax.Array
    bias: jax.Array  # [batch, 2 * channels], of the context


class GatedBlock(nn.Module):
    """The gated residual block of PixelCNN++ (arXiv 1701.05517).

        a, b = conv(dropout(f(conv(f(x)) + V f(aux)))) + W context
        out = x + a * sigmoid(b)

    It starts near the identity, as the published code does.

    Attributes:
      channels: of input and output.
      kernel: of both convolutions; (1, 1) for a block that stays in its pixel.
      right: whether they are shifted to the right too.
      dropout: between the convolutions.
      activation: f; concat_elu(x) = elu([x, -x]).
    """

    channels: int
    kernel: tuple[int, int]
    right: bool
    dropout: float
    activation: Literal["concat_elu", "elu"]

    def setup(self) -> None:
        self.first = ShiftedConv(self.channels, self.kernel, self.right)
        self.aux = nn.Dense(self.channels)
        self.second = ShiftedConv(2 * self.channels, self.kernel, self.right, scale=0.1)
        self.context_bias = ContextBias(2 * self.channels)
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, x: jax.Array, aux: jax.Array | None, bias: jax.Array) -> jax.Array:
        """All pixels.

        Args:
          x: `[batch, height, width, channels]`.
          aux: `[batch, height, width, any]`, the auxiliary input; None if there is none.
          bias: `[batch, 2 * channels]`, the `context_bias`.
        """
        inside = self._join(self.first(self._activate(x)), aux)
        return x + gate(self.second(inside) + bias[:, None, None])

    def init_cache(
        self, batch: int, width: int, dtype: Any, context: ContextVectors
    ) -> GatedBlockCache:
        """The rings before the first row, and the context's bias."""
        channels = self.channels * (2 if self.activation == "concat_elu" else 1)
        return GatedBlockCache(
            self.first.init_rows(batch, width, channels, dtype),
            self.second.init_rows(batch, width, channels, dtype),
            self.context_bias(context),
        )

    def step(
        self, cache: GatedBlockCache, x: jax.Array, aux: jax.Array | None, slot: Any, column: Any
    ) -> tuple[GatedBlockCache, jax.Array]:
        """Some columns of a row `[batch, columns, channels]`, as in `ShiftedConv.step`."""
        first, y = self.first.step(cache.first, self._activate(x), slot, column)
        second, y = self.second.step(cache.second, self._join(y, aux), slot, column)
        return GatedBlockCache(first, second, cache.bias), x + gate(y + cache.bias[:, None])

    def _join(self, x: jax.Array, aux: jax.Array | None) -> jax.Array:
        if aux is not None:
            x += dense_2d(self.aux, self._activate(aux))
        return self.drop(self._activate(x), deterministic=not self.has_rng("dropout"))

    def _activate(self, x: jax.Array) -> jax.Array:
        concatenated = self.activation == "concat_elu"
        return nn.elu(jnp.concatenate([x, -x], axis=-1) if concatenated else x)


class Beginning(NamedTuple):
    """What `AboveAndLeft` keeps while decoding."""

    above: jax.Array  # a ring of rows
    row: jax.Array  # [batch, width, features], what the row above adds
    left: jax.Array  # a ring of rows


class AboveAndLeft(nn.Module):
    """The first layer of a stream over the pixels above and to the left of its own, o.

        x x x       a 1x3 convolution of the row above, and a 2x1 convolution of the column
        x o .       on the left

    Attributes:
      features: output channels.
    """

    features: int

    def setup(self) -> None:
        self.above = ShiftedConv(self.features, (1, 3), right=False)
        self.left = ShiftedConv(self.features, (2, 1), right=True)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` -> `[batch, height, width, features]`."""
        return shift(self.above(x)) + shift_right(self.left(x))

    def init_cache(self, batch: int, width: int, channels: int, dtype: Any) -> Beginning:
        """The rings before the first pixel."""
        return Beginning(
            self.above.init_rows(batch, width, channels, dtype),
            jnp.zeros((batch, width, self.features), dtype),
            self.left.init_rows(batch, width, channels, dtype),
        )

    def step(
        self, cache: Beginning, x: jax.Array, t: Any, width: int
    ) -> tuple[Beginning, jax.Array]:
        """Takes in pixel t - 1 and computes pixel t.

        Args:
          cache: after pixel t - 2.
          x: `[batch, channels]`; zero at t = 0.
          t: raster number.
          width: of the image.

        Returns:
          The cache, and `[batch, features]`.
        """
        row, column = t // width, t % width
        row_before, column_before = (t - 1) // width, (t - 1) % width
        above = self.above.write(cache.above, x[:, None], 0, column_before)
        current = nn.cond(
            column == 0,
            lambda conv, _: jnp.where(row > 0, conv.read(above, 0, 0, width), 0),
            lambda _, current: current,
            self.above,
            cache.row,
        )
        left, from_left = self.left.step(cache.left, x[:, None], row_before % 2, column_before)
        out = take(current, column, 1, axis=1)[:, 0]
        out += jnp.where(column > 0, from_left[:, 0], 0)
        return Beginning(above, current, left), out


def take(x: jax.Array, start: Any, size: int, axis: int) -> jax.Array:
    """A slice from a traced start, not counted from the end when negative: fewer operations."""
    return jax.lax.dynamic_slice_in_dim(x, start, size, axis, allow_negative_indices=False)


def gate(x: jax.Array) -> jax.Array:
    """Half of the features, gated by the other half."""
    value, opened = jnp.split(x, 2, axis=-1)
    return value * nn.sigmoid(opened)


def mark_inside(x: jax.Array) -> jax.Array:
    """Adds a feature of ones, which tells pixels from the zeros of the margins."""
    return jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)


def shift_right(x: jax.Array) -> jax.Array:
    """One column to the right, zeros first: `[batch, height, width, ...]`."""
    return jnp.roll(x, 1, axis=2).at[:, :, 0].set(0)


def kernel_size(right: bool) -> tuple[int, int]:
    """Height and width of the kernels of the vertical and of the horizontal stream."""
    return (2, 2) if right else (2, 3)


def reach(sees: np.ndarray, kernel: tuple[int, int], right: bool, stride: int = 1) -> np.ndarray:
    """What the output of a `ShiftedConv` depends on.

    Args:
      sees: `[height, width, any]` booleans, what its input depends on.
      kernel: height and width.
      right: whether it is shifted to the right too.
      stride: 1 or 2.
    """
    padded = np.pad(sees, (*_margins(kernel, right), (0, 0)))[None]
    return np.any(_taps(padded, kernel, stride), axis=0)[0]


def _margins(kernel: tuple[int, int], right: bool) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of zeros before and after the image."""
    height, width = kernel
    after = 0 if right else width // 2
    return (height - 1, 0), (width - 1 - after, after)


def _taps(padded: Any, kernel: tuple[int, int], stride: int) -> list[Any]:
    """For each tap of the kernel, the pixels `[batch, height, width, ...]` that it meets."""
    height, width = padded.shape[1] - kernel[0] + 1, padded.shape[2] - kernel[1] + 1
    return [
        padded[:, row : row + height : stride, column : column + width : stride]
        for row in range(kernel[0])
        for column in range(kernel[1])
    ]
