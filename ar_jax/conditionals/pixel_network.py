"""What the networks of "Pixel recurrent neural networks" share: PixelCNN, Row and Diagonal LSTM."""

from abc import ABC, abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Conditional, image_grid
from ar_jax.conditionals.recurrent import lstm
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.masked_conv import MaskedConv, Pixel, PixelHead, reach
from ar_jax.nn.sequence import Cache
from ar_jax.orderings import Ordering


class ResidualLayer(nn.Module, ABC):
    """A layer around a skip: 2h channels in, h inside, 2h out by a 1x1 layer.

    Attributes:
      channels: inside (h).
    """

    channels: int

    @abstractmethod
    def __call__(self, x: jax.Array, context: ContextVectors, colours: int) -> jax.Array:
        """`[batch, height, width, 2 * channels]` -> the same, with so many steps to a pixel."""

    @abstractmethod
    def init_cache(self, template: jax.Array, width: int, context: ContextVectors) -> Cache:
        """The cache before the first step; `template` gives its batch size and dtype."""

    @abstractmethod
    def step(self, pixel: Pixel, cache: Cache, x: jax.Array) -> tuple[Cache, jax.Array]:
        """One step: `[batch, 2 * channels / colours]` -> the cache and the same."""


class PixelNetwork(Conditional):
    """A convolution of type A, residual layers, then two 1x1 layers (arXiv 1601.06759, Table 1).

    Attributes:
      channels: inside the residual layers (h in the paper; the skips have 2h).
      head_channels: of the layer before the last.
      first_kernel: side of the first convolution, odd.
    """

    channels: int = 16
    head_channels: int = 32
    first_kernel: int = 7

    def setup(self) -> None:
        self.first = MaskedConv(2 * self.channels, self.first_kernel, sees_itself=False)
        self.first_bias = ContextBias(2 * self.channels)
        self.residuals = [self.layer() for _ in range(self.depth)]
        self.last = PixelHead(self.head_channels)
        nn.share_scope(self, self.last)  # its two layers are named as layers of the network

    @property
    @abstractmethod
    def depth(self) -> int:
        """How many residual layers there are."""

    @abstractmethod
    def layer(self) -> ResidualLayer:
        """Makes one residual layer."""

    @abstractmethod
    def layer_reach(self, ordering: Ordering) -> np.ndarray:
        """`[length, length]` booleans: the receptive field of a residual layer at each step."""

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: ContextVectors, features: int
    ) -> jax.Array:
        colours = ordering.channels
        height, width = image_grid(self, ordering, colours)
        x = steps.reshape(len(steps), height, width, -1)
        x = self.first(x, colours) + self.first_bias(context)[:, None, None]
        for residual in self.residuals:
            x = residual(x, context, colours)
        return self.last(x, features, colours)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        _, width = image_grid(self, ordering, ordering.channels)
        rows = self.first.init_rows(batch, width, ordering.channels * inputs, template.dtype)
        residuals = [residual.init_cache(template, width, context) for residual in self.residuals]
        last = self.last.init_cache(batch, 2 * self.channels, template.dtype)
        return rows, self.first_bias(context), residuals, last

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        rows, bias, residuals, last = cache
        before, pixel = Pixel.of(t - 1, ordering), Pixel.of(t, ordering)
        rows = self.first.write(rows, jnp.where(t > 0, previous, 0)[:, None], before)
        x = self.first.step(pixel, rows) + pixel.get_group(bias)
        stepped = []
        for residual, state in zip(self.residuals, residuals, strict=True):
            state, x = residual.step(pixel, state, x)
            stepped.append(state)
        last, out = self.last.step(pixel, last, x, features)
        return (rows, bias, stepped, last), out

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        mask = reach("before", self.first_kernel, False, ordering)
        layer = self.layer_reach(ordering).astype(np.float32)
        for _ in range(self.depth):
            mask = (layer @ mask) > 0
        return mask


def up_and_left(ordering: Ordering) -> tuple[np.ndarray, np.ndarray]:
    """`[length, length]` integers: how far step s (column) stands up and left of step t (row)."""
    assert ordering.grid is not None
    row, column = np.divmod(np.arange(ordering.length) // ordering.channels, ordering.grid[1])
    return row[:, None] - row, column[:, None] - column


def lstm_of_colours(gates: jax.Array, cell: jax.Array, colours: int) -> tuple[jax.Array, jax.Array]:
    """`lstm` for each colour's group of gates `[..., 4 * channels]` and cells `[..., channels]`."""
    shape = cell.shape
    gates, cell = (x.reshape(*x.shape[:-1], colours, -1) for x in (gates, cell))
    hidden, cell = lstm(gates, cell)
    return hidden.reshape(shape), cell.reshape(shape)
