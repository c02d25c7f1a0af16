"""What the recurrent networks over an image share: PixelRNN's residual layers."""

from abc import ABC, abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Cache, Conditional, Context, ContextBias, image_grid
from ar_jax.conditionals.masked_conv import MaskedConv, PixelHead, Place, reach
from ar_jax.orderings import Ordering


class ResidualLSTM(nn.Module, ABC):
    """A two-dimensional LSTM around a skip: 2h channels in, h in its states, 2h out by a 1x1 layer.

    Attributes:
      channels: of the states (h).
    """

    channels: int

    @abstractmethod
    def __call__(self, x: jax.Array, context: Context) -> jax.Array:
        """`[batch, height, width, 2 * channels]` -> the same."""

    @abstractmethod
    def init_cache(self, blank: jax.Array, width: int, context: Context) -> Cache:
        """The cache before the first pixel; of `blank` the batch and the dtype are read."""

    @abstractmethod
    def at(self, place: Place, cache: Cache, x: jax.Array) -> tuple[Cache, jax.Array]:
        """One pixel: `[batch, 2 * channels]` -> the cache and the same."""


class PixelRNN(Conditional):
    """PixelRNN (van den Oord et al., arXiv 1601.06759), the base of `RowLSTM` and `DiagonalBiLSTM`.

    A 7x7 convolution of type A, residual LSTM layers, then two 1x1 layers (the paper's Table 1 and
    Figure 5). The context, pooled to one vector, biases the first layer and the gates of each LSTM.

    Attributes:
      layers: of LSTM.
      channels: of their states (h in the paper; the skips have 2h).
      head_channels: of the layer before the last.
      first_kernel: side of the first convolution, odd.
    """

    layers: int = 7
    channels: int = 16
    head_channels: int = 32
    first_kernel: int = 7

    def setup(self) -> None:
        self.first = MaskedConv(2 * self.channels, self.first_kernel, sees_itself=False)
        self.first_bias = ContextBias(2 * self.channels)
        self.residuals = [self.layer() for _ in range(self.layers)]
        self.last = PixelHead(self.head_channels)

    @abstractmethod
    def layer(self) -> ResidualLSTM:
        """A layer of the stack."""

    @abstractmethod
    def layer_reach(self, up: np.ndarray, left: np.ndarray) -> np.ndarray:
        """Whether a pixel sees, in one layer, the one that is so far up and left of it."""

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: Context, features: int
    ) -> jax.Array:
        height, width = image_grid(self, ordering)
        x = steps.reshape(len(steps), height, width, -1)
        x = self.first(x, colours=1) + self.first_bias(context)[:, None, None]
        for residual in self.residuals:
            x = residual(x, context)
        return self.last(x, features, colours=1)

    def init_cache(self, blank: jax.Array, ordering: Ordering, context: Context) -> Cache:
        batch, inputs = blank.shape
        _, width = image_grid(self, ordering)
        rows = self.first.init_rows(batch, width, inputs, blank.dtype)
        residuals = [residual.init_cache(blank, width, context) for residual in self.residuals]
        return rows, self.first_bias(context), residuals

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        rows, bias, residuals = cache
        before, place = Place.of(t - 1, ordering), Place.of(t, ordering)
        rows = self.first.write(rows, jnp.where(t > 0, previous, 0)[:, None], before)
        x = self.first.at(place, rows) + bias
        stepped = []
        for residual, state in zip(self.residuals, residuals, strict=True):
            state, x = residual.at(place, state, x)
            stepped.append(state)
        out = self.last(x[:, None, None], features, colours=1)  # an image of one pixel
        return (rows, bias, stepped), out[:, 0]

    def visible(self, ordering: Ordering) -> np.ndarray:
        row, column = np.divmod(np.arange(ordering.length), image_grid(self, ordering)[1])
        up, left = row[:, None] - row, column[:, None] - column  # from t to s
        layer = self.layer_reach(up, left).astype(np.float32)
        sees = reach("before", self.first_kernel, False, ordering)
        for _ in range(self.layers):
            sees = (layer @ sees) > 0
        return sees
