"""PixelCNN: residual masked convolutions over an image."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_at_least, check_positive
from ar_jax.conditionals.base import image_grid
from ar_jax.conditionals.pixel_network import PixelNetwork, ResidualLayer
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.masked_conv import (
    MaskedConv,
    Pixel,
    PixelDense,
    check_colours,
    check_kernels,
    reach,
)
from ar_jax.orderings import Ordering


class ResidualBlockCache(NamedTuple):
    """What a block keeps of the rows within reach, and of the pixel as far as it has come."""

    inputs: jax.Array  # [batch, 2 * channels]
    rows: jax.Array
    convolved: jax.Array  # [batch, channels]
    bias: jax.Array  # [batch, channels]


class PixelResidualBlock(ResidualLayer):
    """1x1 halving the channels, masked 3x3 of type B, 1x1 back, around a skip.

    Attributes:
      channels: of the masked convolution; its input and output have twice as many.
      kernel: side of the masked convolution.
    """

    kernel: int

    def setup(self) -> None:
        self.down = PixelDense(self.channels)
        self.conv = MaskedConv(self.channels, self.kernel, sees_itself=True)
        self.up = PixelDense(2 * self.channels)
        self.context_bias = ContextBias(self.channels)

    def __call__(self, x: jax.Array, context: ContextVectors, colours: int) -> jax.Array:
        bias = self.context_bias(context)[:, None, None]
        inside = nn.relu(self.down(nn.relu(x), colours) + bias)
        return x + self.up(nn.relu(self.conv(inside, colours)), colours)

    def init_cache(
        self, template: jax.Array, width: int, context: ContextVectors
    ) -> ResidualBlockCache:
        bias, dtype = self.context_bias(context), template.dtype
        batch, channels = bias.shape
        return ResidualBlockCache(
            inputs=jnp.zeros((batch, 2 * channels), dtype),
            rows=self.conv.init_rows(batch, width, channels, dtype),
            convolved=jnp.zeros((batch, channels), dtype),
            bias=bias,
        )

    def step(
        self, pixel: Pixel, cache: ResidualBlockCache, x: jax.Array
    ) -> tuple[ResidualBlockCache, jax.Array]:
        inputs = pixel.set_group(cache.inputs, nn.relu(x))
        inside = nn.relu(self.down.step(pixel, inputs) + pixel.get_group(cache.bias))
        rows = self.conv.write(cache.rows, inside[:, None], pixel)
        convolved = pixel.set_group(cache.convolved, nn.relu(self.conv.step(pixel, rows)))
        return ResidualBlockCache(inputs, rows, convolved, cache.bias), x + self.up.step(
            pixel, convolved
        )


class PixelCNN(PixelNetwork):
    """Residual masked convolutions (van den Oord et al., arXiv 1601.06759, Figure 5).

    A 7x7 convolution of type A, residual blocks of type B, then two 1x1 layers. The context, pooled
    to one vector, biases the first layer and the first of each block. What a pixel p sees with 3x3
    kernels: a triangle above with its blind spot on the right (arXiv 1606.05328, Figure 1).

        x x x x x .
        x x x x . .
        x x p . . .

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
    kernel: int = 3

    @property
    def depth(self) -> int:
        return self.blocks

    def layer(self) -> PixelResidualBlock:
        return PixelResidualBlock(self.channels, self.kernel)

    def layer_reach(self, ordering: Ordering) -> np.ndarray:
        return reach("before", self.kernel, True, ordering)

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering, ordering.channels)
        check_at_least(0, blocks=self.blocks)
        check_positive(channels=self.channels, head_channels=self.head_channels)
        check_kernels(first_kernel=self.first_kernel, kernel=self.kernel)
        check_colours(ordering, channels=self.channels, head_channels=self.head_channels)
