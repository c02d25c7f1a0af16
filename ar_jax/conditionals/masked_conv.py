"""The masked convolution over an image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


class MaskedConv(nn.Module):
    """A convolution that sees what comes before a pixel in raster order.

        type A        type B (also the pixel itself)
        x x x         x x x
        x . .         x x .
        . . .         . . .

    Only the taps that the mask allows are gathered, then multiplied once. While decoding, a ring of
    rows keeps what the kernel can still reach.

    Attributes:
      features: output channels.
      kernel: side of the square kernel, odd.
      sees_itself: type B.
    """

    features: int
    kernel: int
    sees_itself: bool

    def setup(self) -> None:
        self.dense = nn.Dense(self.features)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, height, width, channels]` -> `[batch, height, width, features]`."""
        _, height, width, _ = x.shape
        half = self.kernel // 2
        padded = jnp.pad(x, ((0, 0), (half, 0), (half, half), (0, 0)))
        taps = [
            padded[:, row : row + height, column : column + width]
            for row in range(half + 1)
            for column in range(self.kernel)
            if row < half or column < half + self.sees_itself
        ]
        return self.dense(jnp.concatenate(taps, axis=-1))

    def init_rows(self, batch: int, width: int, channels: int, dtype: Any) -> jax.Array:
        """A ring of the rows within reach, with the kernel's margin on both sides."""
        half = self.kernel // 2
        return jnp.zeros((batch, half + 1, width + 2 * half, channels), dtype)

    def step(
        self, rows: jax.Array, x: jax.Array, at: Any, t: Any, width: int
    ) -> tuple[jax.Array, jax.Array]:
        """Takes in pixel `at` and computes pixel t.

        Args:
          rows: the ring.
          x: `[batch, channels]`, the input at raster number `at`; zero at -1.
          at: raster number of the newest input: t for type B, t - 1 for type A.
          t: raster number of the output.
          width: of the image.

        Returns:
          The ring, and `[batch, features]`.
        """
        half = self.kernel // 2
        ring = half + 1
        row, column = at // width, at % width
        start = (0, row % ring, column + half, 0)
        rows = jax.lax.dynamic_update_slice(rows, x[:, None, None], start)
        row, column = t // width, t % width
        window = jax.lax.dynamic_slice_in_dim(rows, column, self.kernel, axis=2)
        window = window[:, (row + 1 + np.arange(ring)) % ring]  # the oldest row first
        allowed = half * self.kernel + half + self.sees_itself
        taps = window.reshape(len(x), ring * self.kernel, -1)[:, :allowed]
        return rows, self.dense(taps.reshape(len(x), -1))
