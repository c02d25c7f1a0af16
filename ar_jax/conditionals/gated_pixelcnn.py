"""Gated PixelCNN: two stacks of gated convolutions, which see all that came before."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_at_least, check_positive
from ar_jax.conditionals.base import Conditional, image_grid
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.masked_conv import (
    MaskedConv,
    Pixel,
    PixelDense,
    PixelHead,
    check_colours,
    check_kernels,
    reach,
)
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering


class StackCache(NamedTuple):
    """What a layer's vertical stack keeps, new with each row."""

    above: jax.Array  # a ring of rows of what it reads
    linked: jax.Array  # [batch, width, 2 * channels], what it tells the horizontal stack
    bias: jax.Array  # [batch, 2 * channels]


class RowCache(NamedTuple):
    """What a layer's horizontal stack keeps of the row, and of the pixel as far as it has come."""

    left: jax.Array  # a ring of one row of what it reads
    gated: jax.Array  # [batch, channels]
    bias: jax.Array  # [batch, 2 * channels]


class GatedLayer(nn.Module):
    """One layer of the two stacks.

        vertical     v --- conv above ---+--- gate -------------------> v
                                         |
                                        1x1
                                         |
        horizontal   h --- conv left ----+--- gate --- 1x1 ---+-------> h
                     '----------------------------------------'

    Each convolution, biased by the context, gives twice the channels; the gate multiplies the tanh
    of one half by the sigmoid of the other. The first layer reads the image in both stacks, without
    the pixel itself, and adds nothing to what it read.

    Attributes:
      channels: of what a stack hands on.
      kernel: side of the convolutions.
      is_first: of the layers.
    """

    channels: int
    kernel: int
    is_first: bool

    def setup(self) -> None:
        wide, sees_itself = 2 * self.channels, not self.is_first
        self.vertical = MaskedConv(wide, self.kernel, sees_itself, "above")
        self.horizontal = MaskedConv(wide, self.kernel, sees_itself, "left")
        self.vertical_bias, self.horizontal_bias = ContextBias(wide), ContextBias(wide)
        self.link = nn.Dense(wide, use_bias=False)
        self.out = PixelDense(self.channels)

    def __call__(
        self, v: jax.Array, h: jax.Array, context: ContextVectors, colours: int
    ) -> tuple[jax.Array, jax.Array]:
        """Both stacks `[batch, height, width, channels]` -> the same."""
        tall = self.vertical(v, colours) + self.vertical_bias(context)[:, None, None]
        wide = self.horizontal(h, colours) + self.horizontal_bias(context)[:, None, None]
        out = self.out(gate(wide + self.link(tall), colours), colours)
        return gate(tall), out if self.is_first else h + out

    def init_cache(
        self, width: int, inputs: int, dtype: Any, context: ContextVectors
    ) -> tuple[StackCache, RowCache]:
        """Those before the first step of an image of that width, with so many inputs a pixel."""
        batch = len(context[0])
        above = self.vertical.init_rows(batch, width, inputs, dtype)
        linked = jnp.zeros((batch, width, 2 * self.channels), dtype)
        left = self.horizontal.init_rows(batch, width, inputs, dtype)
        gated = jnp.zeros((batch, self.channels), dtype)
        return (
            StackCache(above, linked, self.vertical_bias(context)),
            RowCache(left, gated, self.horizontal_bias(context)),
        )

    def vertical_row(
        self, pixel: Pixel, cache: StackCache, v: jax.Array
    ) -> tuple[StackCache, jax.Array]:
        """Computes a row of the vertical stack.

        Args:
          pixel: coordinates of the first step of the row.
          cache: of the vertical stack; in the first layer it holds the image above.
          v: `[batch, width, channels]`, the row from the layer before; ignored in the first layer.

        Returns:
          The cache, and `[batch, width, channels]`.
        """
        above = cache.above if self.is_first else self.vertical.write(cache.above, v, pixel)
        tall = self.vertical.row(pixel, above) + cache.bias[:, None]
        return StackCache(above, self.link(tall), cache.bias), gate(tall)

    def horizontal_step(
        self, pixel: Pixel, cache: RowCache, linked: jax.Array, h: jax.Array, newest: Pixel
    ) -> tuple[RowCache, jax.Array]:
        """Computes one step of the horizontal stack.

        Args:
          pixel: coordinates of the step.
          cache: of the horizontal stack.
          linked: `[batch, width, 2 * channels]`, what the vertical stack says of the row.
          h: `[batch, channels / colours]`, the newest input.
          newest: where that stands: at the step before in the first layer, else at the step.

        Returns:
          The cache, and `[batch, channels / colours]`.
        """
        left = self.horizontal.write(cache.left, h[:, None], newest)
        linked = jax.lax.dynamic_index_in_dim(linked, pixel.column, axis=1, keepdims=False)
        wide = self.horizontal.step(pixel, left) + pixel.get_group(linked + cache.bias)
        gated = pixel.set_group(cache.gated, gate(wide))
        out = self.out.step(pixel, gated)
        return RowCache(left, gated, cache.bias), out if self.is_first else h + out


def gate(x: jax.Array, colours: int = 1) -> jax.Array:
    """tanh * sigmoid of the halves of each colour's group: `[..., 2 * features]` -> half of it."""
    halves = x.reshape(*x.shape[:-1], colours, 2, -1)
    gated = jnp.tanh(halves[..., 0, :]) * nn.sigmoid(halves[..., 1, :])
    return gated.reshape(*x.shape[:-1], -1)


class GatedPixelCNN(Conditional):
    """Two stacks of gated convolutions (van den Oord et al., arXiv 1606.05328, Figure 2).

    The vertical stack sees the rows above a pixel p, the horizontal one what is left of it, and at
    every layer what the vertical one saw. No spot is blind: after four layers of 3x3 kernels

        v v v v v v v v v
        v v v v v v v v v
        v v v v v v v v v
        v v v v v v v v v
        h h h h p . . . .

    Accepts orderings with a grid. A step with several variables shows all its channels together;
    where each colour of a pixel is a step, the channels of the horizontal stack stand in as many
    groups, and the masks let R see what came before the pixel, G also R, and B also R and G. The
    paper's network for ImageNet has 20 layers of 384 channels with 5x5 kernels.

    Decoding computes the vertical stack a row at a time, when the row above is complete.

    Attributes:
      layers: after the first.
      channels: of each stack.
      head_channels: of the layer before the last.
      first_kernel: side of the kernels of the first layer, odd.
      kernel: side of the others, odd.
    """

    layers: int = 10
    channels: int = 128
    head_channels: int = 32
    first_kernel: int = 7
    kernel: int = 3

    def setup(self) -> None:
        kernels = [self.first_kernel] + [self.kernel] * self.layers
        self.gated = [GatedLayer(self.channels, k, i == 0) for i, k in enumerate(kernels)]
        self.last = PixelHead(self.head_channels)

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: ContextVectors, features: int
    ) -> jax.Array:
        height, width = image_grid(self, ordering, ordering.channels)
        v = h = steps.reshape(len(steps), height, width, -1)
        for layer in self.gated:
            v, h = layer(v, h, context, ordering.channels)
        return self.last(h, features, ordering.channels)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        _, width = image_grid(self, ordering, ordering.channels)
        inputs = [inputs * ordering.channels] + [self.channels] * self.layers
        caches = [
            layer.init_cache(width, channels, template.dtype, context)
            for layer, channels in zip(self.gated, inputs, strict=True)
        ]
        stacks, rows = zip(*caches, strict=True)
        return stacks, rows, self.last.init_cache(batch, self.channels, template.dtype)

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        stacks, rows, last = cache
        newest, pixel = Pixel.of(t - 1, ordering), Pixel.of(t, ordering)
        previous = jnp.where(t > 0, previous, 0)
        above = self.gated[0].vertical.write(stacks[0].above, previous[:, None], newest)
        stacks = (stacks[0]._replace(above=above), *stacks[1:])

        def begin_row(stacks: tuple[StackCache, ...]) -> tuple[StackCache, ...]:
            begun, v = [], previous
            for layer, stack in zip(self.gated, stacks, strict=True):
                stack, v = layer.vertical_row(pixel, stack, v)
                begun.append(stack)
            return tuple(begun)

        begins = (pixel.column == 0) & (pixel.colour == 0)
        stacks = jax.lax.cond(begins, begin_row, lambda stacks: stacks, stacks)
        h, stepped = previous, []
        for layer, stack, row in zip(self.gated, stacks, rows, strict=True):
            row, h = layer.horizontal_step(pixel, row, stack.linked, h, newest)
            stepped.append(row)
            newest = pixel
        last, out = self.last.step(pixel, last, h, features)
        return (stacks, tuple(stepped), last), out

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        above = reach("above", self.first_kernel, False, ordering)
        mask = above | reach("left", self.first_kernel, False, ordering)
        vertical, horizontal = (
            reach(view, self.kernel, True, ordering).astype(np.float32)
            for view in ("above", "left")
        )
        for _ in range(self.layers):
            above = (vertical @ above) > 0
            mask = above | ((horizontal @ mask) > 0)
        return mask

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering, ordering.channels)
        check_at_least(0, layers=self.layers)
        check_positive(channels=self.channels, head_channels=self.head_channels)
        check_kernels(first_kernel=self.first_kernel, kernel=self.kernel)
        check_colours(ordering, channels=self.channels, head_channels=self.head_channels)
