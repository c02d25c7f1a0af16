"""Masked convolutions over an image, with the colours of a pixel in order."""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering

View = Literal["before", "above", "left"]


class Pixel(NamedTuple):
    """Coordinates of a step in an image.

    Attributes:
      row: of the pixel, a traced scalar or a Python integer as all here.
      column: of the pixel.
      colour: which of the steps that share the pixel.
      colours: how many they are. The features of a pixel stand in as many equal groups.
    """

    row: Any
    column: Any
    colour: Any
    colours: int

    @classmethod
    def of(cls, t: Any, ordering: Ordering) -> "Pixel":
        """The coordinates of step t of an ordering with a grid."""
        assert ordering.grid is not None
        width, colours = ordering.grid[1], ordering.channels
        return cls(t // colours // width, t // colours % width, t % colours, colours)

    def get_group(self, x: jax.Array) -> jax.Array:
        """The channels of the step's colour: `[..., features]` -> `[..., features / colours]`."""
        size = x.shape[-1] // self.colours
        return jax.lax.dynamic_slice_in_dim(x, self.colour * size, size, axis=-1)

    def set_group(self, x: jax.Array, part: jax.Array) -> jax.Array:
        """Sets the channels of the step's colour: `[..., features]` -> the same."""
        return jax.lax.dynamic_update_slice_in_dim(x, part, self.colour * part.shape[-1], axis=-1)


class PixelDense(nn.Module):
    """A dense layer at each pixel: a masked 1x1 convolution, if nothing came earlier.

    Inputs and outputs stand in equal groups, one for each colour of the pixel, except for those
    inputs that came before the pixel, which all outputs see (arXiv 1601.06759, Section 3.4):

               type A               type B
               earlier  R G B       earlier  R G B
        R      x        . . .       x        x . .
        G      x        x . .       x        x x .
        B      x        x x .       x        x x x

    Attributes:
      features: outputs.
      sees_itself: type B.
    """

    features: int
    sees_itself: bool = True

    def __call__(self, x: jax.Array, colours: int, earlier: int = 0) -> jax.Array:
        """All colours at once.

        Args:
          x: `[..., inputs]`.
          colours: how many a pixel has.
          earlier: how many of the inputs, the first, came before the pixel.

        Returns:
          `[..., features]`.
        """
        kernel, bias = self._weights(x.shape[-1], colours, earlier)
        return (x.reshape(-1, x.shape[-1]) @ kernel + bias).reshape(*x.shape[:-1], -1)

    def step(self, pixel: Pixel, x: jax.Array, earlier: int = 0) -> jax.Array:
        """One colour: `[batch, inputs]` -> `[batch, features / colours]`."""
        kernel, bias = self._weights(x.shape[-1], pixel.colours, earlier)
        return x @ pixel.get_group(kernel) + pixel.get_group(bias)

    @nn.compact
    def _weights(self, inputs: int, colours: int, earlier: int) -> tuple[jax.Array, jax.Array]:
        shape = (inputs, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        source = np.arange(inputs - earlier) * colours // max(inputs - earlier, 1)
        target = np.arange(self.features) * colours // self.features
        mask = np.ones(shape, bool)
        mask[earlier:] = source[:, None] < target + self.sees_itself
        return kernel if mask.all() else jnp.where(mask, kernel, 0), bias


class MaskedConv(nn.Module):
    """A masked convolution over the pixels before each pixel, or over a part of them.

    For 3x3 kernels; type B also has the taps drawn as `b`.

        before        above         left
        x x x         x x x         . . .
        x b .         b b b         x b .
        . . .         . . .         . . .

    In the pixel itself (but for `above`) the colours are masked as in `PixelDense`; with several
    colours type A has a tap there, too. Only the taps that the mask allows are gathered, then
    multiplied once. While decoding, a ring of rows keeps what the kernel can still reach.

    Attributes:
      features: output channels.
      kernel: side of the square kernel, odd.
      sees_itself: type B.
      view: which part.
    """

    features: int
    kernel: int
    sees_itself: bool
    view: View = "before"

    def setup(self) -> None:
        self.dense = PixelDense(self.features, self.sees_itself)

    def __call__(self, x: jax.Array, colours: int) -> jax.Array:
        """`[batch, height, width, channels]` -> `[batch, height, width, features]`."""
        side = self.kernel // 2
        padded = jnp.pad(x, ((0, 0), (self._rows - 1, 0), (side, side), (0, 0)))
        taps, earlier = self._gather(padded, colours)
        return self.dense(taps, colours, earlier)

    def init_rows(self, batch: int, width: int, channels: int, dtype: Any) -> jax.Array:
        """A ring of the rows within reach, with the kernel's margin on both sides."""
        return jnp.zeros((batch, self._rows, width + self.kernel - 1, channels), dtype)

    def write(self, rows: jax.Array, x: jax.Array, pixel: Pixel) -> jax.Array:
        """Takes pixels of a row into the ring.

        Args:
          rows: the ring.
          x: `[batch, pixels, channels / colours]`, of the pixel's colour.
          pixel: the first of them. The one before the image, a zero, goes where zeros are read.
        """
        column, channel = pixel.column + self.kernel // 2, pixel.colour * x.shape[-1]
        start = (0, pixel.row % self._rows, column, channel)
        return jax.lax.dynamic_update_slice(rows, x[:, None], start)

    def step(self, pixel: Pixel, rows: jax.Array) -> jax.Array:
        """One step, from the ring: `[batch, features / colours]`."""
        window = jax.lax.dynamic_slice_in_dim(rows, pixel.column, self.kernel, axis=2)
        count, before = self._taps(pixel.colours)
        taps = self._in_order(window, pixel).reshape(len(rows), -1)
        channels = rows.shape[-1]
        return self.dense.step(pixel, taps[:, : count * channels], before * channels)

    def row(self, pixel: Pixel, rows: jax.Array) -> jax.Array:
        """The whole row that the pixel is in, from the ring of rows: `[batch, width, features]`."""
        taps, earlier = self._gather(self._in_order(rows, pixel), pixel.colours)
        return self.dense(taps[:, 0], pixel.colours, earlier)

    @property
    def _rows(self) -> int:
        return 1 if self.view == "left" else self.kernel // 2 + 1

    def _in_order(self, rows: jax.Array, pixel: Pixel) -> jax.Array:
        """The ring from its oldest row to that of the pixel."""
        return rows[:, (pixel.row + 1 + np.arange(self._rows)) % self._rows]

    def _taps(self, colours: int) -> tuple[int, int]:
        """How many taps of the window, in raster order, are seen, and how many came before."""
        above = (self._rows - 1) * self.kernel
        if self.view == "above":
            above += self.kernel * self.sees_itself
            return above, above
        before = above + self.kernel // 2
        return before + (self.sees_itself or colours > 1), before

    def _gather(self, padded: jax.Array, colours: int) -> tuple[jax.Array, int]:
        """The taps of each pixel side by side, and how many inputs came before the pixel."""
        count, before = self._taps(colours)
        height, width = padded.shape[1] - self._rows + 1, padded.shape[2] - self.kernel + 1
        taps = [
            padded[:, row : row + height, column : column + width]
            for row, column in (divmod(tap, self.kernel) for tap in range(count))
        ]
        return jnp.concatenate(taps, axis=-1), before * padded.shape[-1]


class PixelHead(nn.Module):
    """The two 1x1 layers after the convolutions.

    Attributes:
      channels: between them.
    """

    channels: int

    def setup(self) -> None:
        self.head = PixelDense(self.channels)

    def __call__(self, x: jax.Array, features: int, colours: int) -> jax.Array:
        """`[batch, height, width, channels]` -> `[batch, length, features]`."""
        x = nn.relu(self.head(nn.relu(x), colours))
        return self._readout(features * colours)(x, colours).reshape(len(x), -1, features)

    def init_cache(self, batch: int, channels: int, dtype: Any) -> Cache:
        """The inputs of the two layers at a pixel, as far as its colours have come."""
        return jnp.zeros((batch, channels), dtype), jnp.zeros((batch, self.channels), dtype)

    def step(
        self, pixel: Pixel, cache: Cache, x: jax.Array, features: int
    ) -> tuple[Cache, jax.Array]:
        """One step: `[batch, channels / colours]` -> the cache and `[batch, features]`."""
        inputs, hidden = cache
        inputs = pixel.set_group(inputs, nn.relu(x))
        hidden = pixel.set_group(hidden, nn.relu(self.head.step(pixel, inputs)))
        return (inputs, hidden), self._readout(features * pixel.colours).step(pixel, hidden)

    @nn.compact
    def _readout(self, features: int) -> PixelDense:
        return PixelDense(features, name="readout")


def reach(view: View, kernel: int, sees_itself: bool, ordering: Ordering) -> np.ndarray:
    """`[length, length]` booleans: the receptive field (columns) of each step (row).

    Args:
      view: which part, as of `MaskedConv`.
      kernel: side of the kernel.
      sees_itself: type B.
      ordering: of the steps, with a grid.
    """
    assert ordering.grid is not None
    pixel, colour = np.divmod(np.arange(ordering.length), ordering.channels)
    row, column = np.divmod(pixel, ordering.grid[1])
    up, left, later = (x[:, None] - x for x in (row, column, colour))  # from s to t
    near = (up <= kernel // 2) & (abs(left) <= kernel // 2)
    if view == "above":
        return near & (up >= 1 - sees_itself)
    in_row = (up == 0) & ((left > 0) | ((left == 0) & (later >= 1 - sees_itself)))
    return near & (in_row | ((up > 0) & (view == "before")))


def check_kernels(**sides: int) -> None:
    """Raises ValueError unless the sides are odd, and a first layer, of type A, has a tap."""
    for name, side in sides.items():
        least = 3 if name == "first_kernel" else 1
        if side % 2 == 0:
            raise ValueError(f"{name}: expected an odd number, got {side}")
        if side < least:
            raise ValueError(f"{name}: expected at least {least}, got {side}")


def check_colours(ordering: Ordering, **channels: int) -> None:
    """Raises ValueError unless the colours of a pixel can share out each number of channels."""
    for name, count in channels.items():
        if count % ordering.channels:
            raise ValueError(
                f"{name}: expected a multiple of {ordering.channels}, the colours of a pixel, "
                f"got {count}"
            )
