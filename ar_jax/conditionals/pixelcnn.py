"""PixelCNN: residual masked convolutions over an image."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Cache, Conditional, Context, ContextBias, image_grid
from ar_jax.conditionals.masked_conv import (
    MaskedConv,
    PixelDense,
    PixelHead,
    Place,
    check_colours,
    check_kernels,
    reach,
)
from ar_jax.orderings import Ordering


class BlockCache(NamedTuple):
    """What a block keeps of the rows within reach, and of the pixel as far as it has come."""

    inputs: jax.Array  # [batch, 2 * channels]
    rows: jax.Array
    convolved: jax.Array  # [batch, channels]
    bias: jax.Array  # [batch, channels]


class ResidualBlock(nn.Module):
    """1x1 halving the channels, masked 3x3 of type B, 1x1 back, around a skip.

    Attributes:
      channels: of the masked convolution; its input and output have twice as many.
      kernel: side of the masked convolution.
    """

    channels: int
    kernel: int

    def setup(self) -> None:
        self.down = PixelDense(self.channels)
        self.conv = MaskedConv(self.channels, self.kernel, sees_itself=True)
        self.up = PixelDense(2 * self.channels)
        self.context_bias = ContextBias(self.channels)

    def __call__(self, x: jax.Array, context: Context, colours: int) -> jax.Array:
        bias = self.context_bias(context)[:, None, None]
        inside = nn.relu(self.down(nn.relu(x), colours) + bias)
        return x + self.up(nn.relu(self.conv(inside, colours)), colours)

    def init_cache(self, width: int, dtype: Any, context: Context) -> BlockCache:
        """The cache before the first step of an image of that width."""
        bias = self.context_bias(context)
        batch, channels = bias.shape
        return BlockCache(
            inputs=jnp.zeros((batch, 2 * channels), dtype),
            rows=self.conv.init_rows(batch, width, channels, dtype),
            convolved=jnp.zeros((batch, channels), dtype),
            bias=bias,
        )

    def at(self, place: Place, cache: BlockCache, x: jax.Array) -> tuple[BlockCache, jax.Array]:
        """One step: `[batch, 2 * channels / colours]` -> the cache and the same."""
        inputs = place.put(cache.inputs, nn.relu(x))
        inside = nn.relu(self.down.at(place, inputs) + place.part(cache.bias))
        rows = self.conv.write(cache.rows, inside[:, None], place)
        convolved = place.put(cache.convolved, nn.relu(self.conv.at(place, rows)))
        return BlockCache(inputs, rows, convolved, cache.bias), x + self.up.at(place, convolved)


class PixelCNN(Conditional):
    """Residual masked convolutions (van den Oord et al., arXiv 1601.06759, Figure 5).

    A 7x7 convolution of type A, residual blocks of type B, then two 1x1 layers. The context, pooled
    to one vector, biases the channels of every layer. What a pixel p sees with 3x3 kernels: a
    triangle above with its blind spot on the right (arXiv 1606.05328, Figure 1).

        x x x x .
        x x x . .
        x x p . .

    Accepts orderings with a grid. A step with several variables shows all its channels together;
    where each colour of a pixel is a step, the channels stand in as many groups, and in every layer
    the masks let R see what came before the pixel, G also R, and B also R and G (Section 3.4).

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
        self.last = PixelHead(self.head_channels)
        nn.share_scope(self, self.last)

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: Context, features: int
    ) -> jax.Array:
        height, width = image_grid(self, ordering, ordering.channels)
        x = steps.reshape(len(steps), height, width, -1)
        x = self.first(x, ordering.channels) + self.first_bias(context)[:, None, None]
        for block in self.residuals:
            x = block(x, context, ordering.channels)
        return self.last(x, features, ordering.channels)

    def init_cache(self, blank: jax.Array, ordering: Ordering, context: Context) -> Cache:
        batch, inputs = blank.shape
        _, width = image_grid(self, ordering, ordering.channels)
        rows = self.first.init_rows(batch, width, ordering.channels * inputs, blank.dtype)
        blocks = [block.init_cache(width, blank.dtype, context) for block in self.residuals]
        last = self.last.init_cache(batch, 2 * self.channels, blank.dtype)
        return (rows, self.first_bias(context)), blocks, last

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        (rows, bias), blocks, last = cache
        before, place = Place.of(t - 1, ordering), Place.of(t, ordering)
        rows = self.first.write(rows, jnp.where(t > 0, previous, 0)[:, None], before)
        x = self.first.at(place, rows) + place.part(bias)
        stepped = []
        for block, block_cache in zip(self.residuals, blocks, strict=True):
            block_cache, x = block.at(place, block_cache, x)
            stepped.append(block_cache)
        last, out = self.last.at(place, last, x, features)
        return ((rows, bias), stepped, last), out

    def visible(self, ordering: Ordering) -> np.ndarray:
        sees = reach("before", self.first_kernel, False, ordering)
        block = reach("before", self.kernel, True, ordering).astype(np.float32)
        for _ in range(self.blocks):
            sees = (block @ sees) > 0
        return sees

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering, ordering.channels)
        check_kernels(self.first_kernel, self.kernel)
        check_colours(ordering, channels=self.channels, head_channels=self.head_channels)
