"""PixelSNAIL: shifted convolutions and attention over all that came before."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_fractions, check_positive
from ar_jax.conditionals.base import Conditional, image_grid
from ar_jax.nn.attention import attend_causally
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.sequence import Cache, dense_2d, shift
from ar_jax.nn.shifted_conv import (
    AboveAndLeft,
    GatedBlock,
    GatedBlockCache,
    kernel_size,
    mark_inside,
)
from ar_jax.orderings import Ordering


class StageCache(NamedTuple):
    """What a stage keeps while decoding."""

    blocks: list[GatedBlockCache]
    biases: list[jax.Array]  # of the content's, the query's and the last block, [batch, any]
    x: jax.Array  # [batch, 1, 1, channels], the newest, before attention
    keys: jax.Array  # [batch, 1, length, key]
    values: jax.Array  # [batch, 1, length, value]


class SNAILStage(nn.Module):
    """Gated blocks, then attention to the pixels before one's own.

    A key and a value are made of the pixel itself, of what the blocks tell of those before it, and
    of its coordinates; a query of the latter two. Both pass a gated block that stays in its pixel,
    as does what was attended to, which joins the stream as the auxiliary input of another.

    Attributes:
      blocks: gated blocks.
      channels: of each.
      inputs: of the image.
      key: size of keys and queries.
      value: size of values.
      dropout: in each gated block.
    """

    blocks: int
    channels: int
    inputs: int
    key: int
    value: int
    dropout: float

    def setup(self) -> None:
        def block(channels: int, kernel: tuple[int, int]) -> GatedBlock:
            return GatedBlock(channels, kernel, True, self.dropout, "elu")

        kernel = kernel_size(right=True)
        self.residuals = [block(self.channels, kernel) for _ in range(self.blocks)]
        self.content_block = block(self.inputs + self.channels + 2, (1, 1))
        self.query_block = block(self.channels + 2, (1, 1))
        self.last_block = block(self.channels, (1, 1))
        self.key_value = nn.Dense(self.key + self.value)
        self.query = nn.Dense(self.key)

    def __call__(
        self, image: jax.Array, x: jax.Array, coordinates: jax.Array, context: ContextVectors
    ) -> jax.Array:
        """All pixels.

        Args:
          image: `[batch, height, width, inputs]`.
          x: `[batch, height, width, channels]`, the stream.
          coordinates: `[batch, height, width, 2]`.
          context: for the bias of each gated block.

        Returns:
          `[batch, height, width, channels]`.
        """
        for block in self.residuals:
            x = block(x, None, block.context_bias(context))
        biases = self._biases(context)
        keys, values = self._remember(image, x, coordinates, biases)
        # Row t is the query of pixel t + 1, with the keys up to t; the first pixel attends to none.
        ahead = jnp.roll(self._ask(x, coordinates, biases), -1, axis=2)
        nothing = jnp.zeros((len(x), 0), bool)
        attended = shift(attend_causally(ahead, keys, values, nothing, 0)[:, 0])
        return self._merge(x, attended, biases)

    def init_cache(
        self, batch: int, length: int, width: int, dtype: Any, context: ContextVectors
    ) -> StageCache:
        """The cache before the first pixel."""
        return StageCache(
            [block.init_cache(batch, width, dtype, context) for block in self.residuals],
            self._biases(context),
            jnp.zeros((batch, 1, 1, self.channels), dtype),
            jnp.zeros((batch, 1, length, self.key), dtype),
            jnp.zeros((batch, 1, length, self.value), dtype),
        )

    def step(
        self,
        cache: StageCache,
        previous: jax.Array,
        x: jax.Array,
        place_before: jax.Array,
        place: jax.Array,
        t: Any,
        width: int,
    ) -> tuple[StageCache, jax.Array]:
        """One pixel.

        Args:
          cache: before it.
          previous: `[batch, 1, 1, inputs]`, pixel t - 1 of the image.
          x: `[batch, 1, channels]`, the stream.
          place_before: `[batch, 1, 1, 2]`, coordinates of pixel t - 1.
          place: those of pixel t.
          t: its raster number.
          width: of the image.
        """
        blocks = []
        for block, before in zip(self.residuals, cache.blocks, strict=True):
            after, x = block.step(before, x, None, t // width % 2, t % width)
            blocks.append(after)
        x = x[:, None]
        key, value = self._remember(previous, cache.x, place_before, cache.biases)
        at = jnp.maximum(t - 1, 0)  # at 0: set again at 1, and not read before
        keys, values = (
            jax.lax.dynamic_update_slice_in_dim(old, new, at, axis=2)
            for old, new in ((cache.keys, key), (cache.values, value))
        )
        query = self._ask(x, place, cache.biases)
        nothing = jnp.zeros((len(x), 0), bool)
        attended = jnp.where(t > 0, attend_causally(query, keys, values, nothing, t - 1), 0)
        after = StageCache(blocks, cache.biases, x, keys, values)
        return after, self._merge(x, attended[:, 0], cache.biases)[:, 0]

    def _biases(self, context: ContextVectors) -> list[jax.Array]:
        blocks = (self.content_block, self.query_block, self.last_block)
        return [block.context_bias(context) for block in blocks]

    def _remember(
        self, image: jax.Array, x: jax.Array, coordinates: jax.Array, biases: list[jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Keys and values `[batch, 1, pixels, size]`."""
        content = jnp.concatenate([image, x, coordinates], axis=-1)
        y = dense_2d(self.key_value, self.content_block(content, None, biases[0]))
        y = y.reshape(len(x), 1, -1, self.key + self.value)
        return y[..., : self.key], y[..., self.key :]

    def _ask(self, x: jax.Array, coordinates: jax.Array, biases: list[jax.Array]) -> jax.Array:
        """Queries `[batch, 1, pixels, key]`."""
        place = jnp.concatenate([x, coordinates], axis=-1)
        y = dense_2d(self.query, self.query_block(place, None, biases[1]))
        return y.reshape(len(x), 1, -1, self.key)

    def _merge(self, x: jax.Array, attended: jax.Array, biases: list[jax.Array]) -> jax.Array:
        """`[batch, height, width, channels]`, with `[batch, pixels, value]` attended to."""
        return self.last_block(x, attended.reshape(*x.shape[:-1], self.value), biases[2])


class PixelSNAIL(Conditional):
    """Shifted convolutions and causal attention in turn (Chen et al., arXiv 1712.09763).

    Each stage passes its stream through gated blocks with 2x2 convolutions, which see above and to
    the left, and then attends with one head to all pixels before its own, the first to none. What
    a pixel p sees through the first block, and through the attention after it:

        . . . . . . . .        x x x x x x x x
        . x x x x x . .        x x x x x x x x
        . x x x x x . .        x x x x x x x x
        . x x x x x . .        x x x x x x x x
        . x x x p . . .        x x x x p . . .

    The architecture is that of the authors' CIFAR-10 and ImageNet models. The context biases each
    gated block. The paper's weight normalisation with its data-dependent initialisation is left
    out, and a pixel's two coordinates come once, not once for each channel of the image.

    Accepts orderings with a grid. A step with several variables shows all its channels together.

    Attributes:
      stages: of convolutions and attention.
      blocks: gated blocks before the attention of each stage.
      channels: of each layer.
      key: size of keys and queries.
      value: size of values.
      dropout: in each gated block.
    """

    stages: int = 12
    blocks: int = 4
    channels: int = 256
    key: int = 16
    value: int = 128
    dropout: float = 0.5

    def setup(self) -> None:
        self.first = AboveAndLeft(self.channels)

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: ContextVectors, features: int
    ) -> jax.Array:
        batch, length, inputs = steps.shape
        image = steps.reshape(batch, *image_grid(self, ordering), inputs)
        coordinates = self._coordinates(ordering, image)
        coordinates = coordinates.reshape(*image.shape[:3], 2)
        x = self.first(mark_inside(image))
        for stage in self._stages(inputs):
            x = stage(image, x, coordinates, context)
        return self._head(x.reshape(batch, length, -1), features)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        _, width = image_grid(self, ordering)
        return self.first.init_cache(batch, width, inputs + 1, template.dtype), [
            stage.init_cache(batch, ordering.length, width, template.dtype, context)
            for stage in self._stages(inputs)
        ]

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        first, stages = cache
        _, width = image_grid(self, ordering)
        previous = jnp.where(t > 0, previous, 0)
        inside = jnp.where(t > 0, mark_inside(previous), 0)
        first, x = self.first.step(first, inside, t, width)
        coordinates = self._coordinates(ordering, previous)[:, :, None, None]
        place_before, place = coordinates[:, jnp.maximum(t - 1, 0)], coordinates[:, t]
        x, stepped = x[:, None], []
        for stage, before in zip(self._stages(previous.shape[-1]), stages, strict=True):
            after, x = stage.step(before, previous[:, None, None], x, place_before, place, t, width)
            stepped.append(after)
        return (first, stepped), self._head(x[:, 0], features)

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering)
        check_positive(stages=self.stages, blocks=self.blocks, channels=self.channels)
        check_positive(key=self.key, value=self.value)
        check_fractions(dropout=self.dropout)

    @nn.compact
    def _stages(self, inputs: int) -> list[SNAILStage]:
        size = (self.blocks, self.channels, inputs, self.key, self.value, self.dropout)
        return [SNAILStage(*size, name=f"stage_{i}") for i in range(self.stages)]

    def _coordinates(self, ordering: Ordering, x: jax.Array) -> jax.Array:
        """Row and column of each pixel `[batch, length, 2]`, from -1/2 to 1/2."""
        height, width = image_grid(self, ordering)
        rows, columns = np.indices((height, width)).reshape(2, -1)
        place = np.stack([rows / height, columns / width], axis=-1) - 0.5
        return jnp.broadcast_to(jnp.asarray(place, x.dtype), (len(x), *place.shape))

    def _head(self, x: jax.Array, features: int) -> jax.Array:
        return self.readout(nn.elu(x), features)
