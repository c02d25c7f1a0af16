"""PixelCNN: residual masked convolutions over an image."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Cache, Conditional, Context, ContextBias, image_grid
from ar_jax.conditionals.masked_conv import MaskedConv
from ar_jax.orderings import Ordering


class ResidualBlock(nn.Module):
    """1x1 halving the channels, masked 3x3 of type B, 1x1 back, around a skip.

    Attributes:
      channels: of the masked convolution; its input and output have twice as many.
      kernel: side of the masked convolution.
    """

    channels: int
    kernel: int

    def setup(self) -> None:
        self.down = nn.Dense(self.channels)
        self.conv = MaskedConv(self.channels, self.kernel, sees_itself=True)
        self.up = nn.Dense(2 * self.channels)
        self.context_bias = ContextBias(self.channels)

    def __call__(self, x: jax.Array, context: Context) -> jax.Array:
        bias = self.context_bias(context)[:, None, None]
        inside = nn.relu(self.down(nn.relu(x)) + bias)
        return x + self.up(nn.relu(self.conv(inside)))

    def init_rows(self, batch: int, width: int, dtype: Any) -> jax.Array:
        """The ring of the masked convolution."""
        return self.conv.init_rows(batch, width, self.channels, dtype)

    def step(
        self, rows: jax.Array, x: jax.Array, bias: jax.Array, t: Any, width: int
    ) -> tuple[jax.Array, jax.Array]:
        """One pixel `[batch, 2 * channels]`, with the context's bias `[batch, channels]`."""
        inside = nn.relu(self.down(nn.relu(x)) + bias)
        rows, out = self.conv.step(rows, inside, t, t, width)
        return rows, x + self.up(nn.relu(out))


class PixelCNN(Conditional):
    """Residual masked convolutions (van den Oord et al., arXiv 1601.06759, Figure 5).

    A 7x7 convolution of type A, residual blocks of type B, then two 1x1 layers. The context, pooled
    to one vector, biases the channels of every layer. What a pixel p sees with 3x3 kernels: a
    triangle above with its blind spot on the right (arXiv 1606.05328, Figure 1).

        x x x x .
        x x x . .
        x x p . .

    Accepts orderings with a grid. A step with several variables shows all its channels together.

    Attributes:
      blocks: residual blocks.
      channels: of the masked convolutions in the blocks (h in the paper; the skips have 2h).
      head_channels: of the layer before the last.
      first_kernel: side of the first convolution, odd.
      kernel: side of the others, odd.
    """

    blocks: int = 15
    channels: int = 16
    head_channels: int = 32
    first_kernel: int = 7
    kernel: int = 3

    def setup(self) -> None:
        self.first = MaskedConv(2 * self.channels, self.first_kernel, sees_itself=False)
        self.first_bias = ContextBias(2 * self.channels)
        self.residuals = [ResidualBlock(self.channels, self.kernel) for _ in range(self.blocks)]
        self.head = nn.Dense(self.head_channels)

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: Context, features: int
    ) -> jax.Array:
        batch, length, inputs = steps.shape
        height, width = image_grid(self, ordering)
        x = self.first(steps.reshape(batch, height, width, inputs))
        x += self.first_bias(context)[:, None, None]
        for block in self.residuals:
            x = block(x, context)
        return self._head(x.reshape(batch, length, -1), features)

    def init_cache(self, blank: jax.Array, ordering: Ordering, context: Context) -> Cache:
        batch, inputs = blank.shape
        _, width = image_grid(self, ordering)
        rows = self.first.init_rows(batch, width, inputs, blank.dtype)
        blocks = [
            (block.init_rows(batch, width, blank.dtype), block.context_bias(context))
            for block in self.residuals
        ]
        return (rows, self.first_bias(context)), blocks

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        (rows, bias), blocks = cache
        _, width = image_grid(self, ordering)
        rows, x = self.first.step(rows, jnp.where(t > 0, previous, 0), t - 1, t, width)
        x += bias
        stepped = []
        for block, (block_rows, block_bias) in zip(self.residuals, blocks, strict=True):
            block_rows, x = block.step(block_rows, x, block_bias, t, width)
            stepped.append((block_rows, block_bias))
        return ((rows, bias), stepped), self._head(x, features)

    def visible(self, ordering: Ordering) -> np.ndarray:
        row, column = np.divmod(np.arange(ordering.length), image_grid(self, ordering)[1])
        up, left = row[:, None] - row, column[:, None] - column  # from t to s

        def reach(kernel: int, above: np.ndarray) -> np.ndarray:
            return above & (up <= kernel // 2) & (abs(left) <= kernel // 2)

        sees = reach(self.first_kernel, (up > 0) | ((up == 0) & (left > 0)))
        block = reach(self.kernel, (up > 0) | ((up == 0) & (left >= 0)))
        for _ in range(self.blocks):
            sees = (block.astype(np.float32) @ sees) > 0
        return sees

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering)
        for name in ("first_kernel", "kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name}: expected an odd number, got {getattr(self, name)}")

    def _head(self, x: jax.Array, features: int) -> jax.Array:
        return self.readout(nn.relu(self.head(nn.relu(x))), features)
