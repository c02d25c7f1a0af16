"""PixelCNN++: two streams of shifted convolutions at several resolutions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_fractions, check_positive
from ar_jax.conditionals.base import Conditional, image_grid
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.sequence import Cache, shift
from ar_jax.nn.shifted_conv import (
    AboveAndLeft,
    GatedBlock,
    GatedBlockCache,
    ShiftedConv,
    TransposedConv,
    kernel_size,
    mark_inside,
    reach,
    take,
)
from ar_jax.orderings import Ordering


class ScaleCache(NamedTuple):
    """What a scale keeps while decoding."""

    blocks: list[GatedBlockCache]
    outputs: list[jax.Array]  # of each block, the newest [batch, columns, channels]
    below: "BelowCache | None"


class BelowCache(NamedTuple):
    """What a scale keeps of the coarser one below it."""

    halve: jax.Array  # a ring of rows, on the way down
    scale: ScaleCache
    doubled: jax.Array  # [batch, 2, width, channels], the two rows that came back


class Scale(nn.Module):
    """One resolution of a stream, and the coarser ones below it.

        x -> blocks ------------ skips ------------> blocks -> outputs
                  |                                 |
                  +-> halve -> coarser -> double -->+

    Attributes:
      blocks: gated blocks on the way down; on the way up there is one more, but at the coarsest.
      channels: of each.
      dropout: in each.
      right: whether this is the horizontal stream.
      coarser: how many scales below.
    """

    blocks: int
    channels: int
    dropout: float
    right: bool
    coarser: int

    def setup(self) -> None:
        kernel = kernel_size(self.right)
        self.layers = [
            GatedBlock(self.channels, kernel, self.right, self.dropout, "concat_elu")
            for _ in range(2 * self.blocks + (self.coarser > 0))
        ]
        if self.coarser > 0:
            self.halve = ShiftedConv(self.channels, kernel, self.right, stride=2)
            self.below = Scale(
                self.blocks, self.channels, self.dropout, self.right, self.coarser - 1
            )
            self.double = TransposedConv(self.channels, self.right)

    def __call__(
        self, x: jax.Array, aux: Sequence[Sequence[jax.Array]], context: ContextVectors
    ) -> list[list[jax.Array]]:
        """All pixels.

        Args:
          x: `[batch, height, width, channels]`.
          aux: what the vertical stream returned; nothing for that stream itself.
          context: for the bias of each block.

        Returns:
          The outputs of each block, of this scale first.
        """
        _, height, width, _ = x.shape
        own, *rest = aux or [[]]
        below: list[list[jax.Array]] = []

        def run(i: int, x: jax.Array, skips: list[jax.Array]) -> jax.Array:
            block = self.layers[i]
            return block(x, _join(own[i : i + 1], skips), block.context_bias(context))

        def descend(x: jax.Array) -> jax.Array:
            below.extend(self.below(self.halve(x), rest, context))
            return self.double(below[0][-1])[:, :height, :width]

        return [self._pass(x, run, descend), *below]

    def init_cache(self, batch: int, width: int, dtype: Any, context: ContextVectors) -> ScaleCache:
        """The cache before the first row."""
        blocks = [block.init_cache(batch, width, dtype, context) for block in self.layers]
        columns = 1 if self.right else width
        outputs = [jnp.zeros((batch, columns, self.channels), dtype) for _ in blocks]
        if self.coarser == 0:
            return ScaleCache(blocks, outputs, None)
        half = -(-width // 2)
        below = BelowCache(
            self.halve.init_rows(batch, width, self.channels, dtype),
            self.below.init_cache(batch, half, dtype, context),
            jnp.zeros((batch, 2, 2 * half, self.channels), dtype),
        )
        return ScaleCache(blocks, outputs, below)

    def step(
        self, cache: ScaleCache, x: jax.Array, aux: ScaleCache | None, row: Any, column: Any
    ) -> ScaleCache:
        """Some columns of a row: all of them for the vertical stream, one for the horizontal.

        Args:
          cache: before them.
          x: `[batch, columns, channels]`.
          aux: that of the vertical stream; None for that stream itself.
          row: which.
          column: the first of them.
        """
        columns, parity = x.shape[1], row % 2
        blocks, below = [], cache.below

        def run(i: int, x: jax.Array, skips: list[jax.Array]) -> jax.Array:
            rows = [] if aux is None else aux.outputs[i : i + 1]
            own = [take(y, column, columns, axis=1) for y in rows]
            after, x = self.layers[i].step(cache.blocks[i], x, _join(own, skips), parity, column)
            blocks.append(after)
            return x

        def descend(x: jax.Array) -> jax.Array:
            nonlocal below
            assert below is not None
            below = below._replace(halve=self.halve.write(below.halve, x, parity, column))

            def visit(self: Scale, below: BelowCache) -> BelowCache:
                x = self.halve.read(below.halve, parity, column, columns)
                own = None if aux is None or aux.below is None else aux.below.scale
                scale = self.below.step(below.scale, x, own, row // 2, column // 2)
                two_rows = self.double(scale.outputs[-1][:, None])
                start = (0, 0, column, 0)
                doubled = jax.lax.dynamic_update_slice(below.doubled, two_rows, start)
                return BelowCache(below.halve, scale, doubled)

            # A pixel of the scale below stands for 2 x 2 of this one, a row for two. It is computed
            # at the first of them, when its inputs are complete; all read its doubled output.
            first = (parity == 0) & (column % 2 == 0)
            below = nn.cond(first, visit, lambda _, below: below, self, below)
            return take(take(below.doubled, parity, 1, axis=1)[:, 0], column, columns, axis=1)

        outputs = self._pass(x, run, descend)
        return ScaleCache(blocks, outputs, below)

    def _pass(
        self,
        x: jax.Array,
        run: Callable[[int, jax.Array, list[jax.Array]], jax.Array],
        descend: Callable[[jax.Array], jax.Array],
    ) -> list[jax.Array]:
        """The outputs of the blocks, given how to run block i and how to visit the scale below."""
        skips, outputs = [x], []
        for i in range(len(self.layers)):
            if i == self.blocks:
                x = descend(x) if self.coarser > 0 else skips.pop()
            x = run(i, x, [skips.pop()] if i >= self.blocks else [])
            outputs.append(x)
            if i < self.blocks:
                skips.append(x)
        return outputs


class PixelCNNPlusPlus(Conditional):
    """Two streams at several resolutions (PixelCNN++, Salimans et al., arXiv 1701.05517).

    The vertical stream sees the rows above, through 2x3 convolutions shifted down; the horizontal
    one sees those and what is on the left, through 2x2 convolutions shifted down and right, and
    listens to the vertical one in each block. Strided convolutions halve the resolution twice,
    transposed ones double it again, with skips across:

        28x28  b b b b b - - - - - - - - - - - - - - - - b b b b b b
        14x14             b b b b b - - - - - b b b b b b
        7x7                         b b b b b b b b b b

    What a pixel p depends on at one scale of one block, without a blind spot; further blocks reach
    further, and twice as far at each coarser scale:

        x x x x x x x x x x x x     seven such rows
        . x x x x x p . . . . .

    The context biases each block. A step is a pixel with all its channels, whose coupling is the
    head's. Any size will do: an odd one is halved upwards, and cropped when doubled. The paper's
    weight normalisation with its data-dependent initialisation is left out.

    Decoding computes a row of the vertical stream at its first pixel, and a pixel of a coarser
    scale at the first of the four that it stands for. The cache holds a few rows of each layer.

    Accepts orderings with a grid.

    Attributes:
      blocks: gated blocks of a scale on the way down.
      channels: of each layer.
      scales: how many resolutions.
      dropout: in each block.
    """

    blocks: int = 5
    channels: int = 160
    scales: int = 3
    dropout: float = 0.5

    def setup(self) -> None:
        self.above = ShiftedConv(self.channels, kernel_size(right=False), right=False)
        self.above_and_left = AboveAndLeft(self.channels)
        self.vertical, self.horizontal = (
            Scale(self.blocks, self.channels, self.dropout, right, self.scales - 1)
            for right in (False, True)
        )

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: ContextVectors, features: int
    ) -> jax.Array:
        batch, length, inputs = steps.shape
        x = mark_inside(steps.reshape(batch, *image_grid(self, ordering), inputs))
        vertical = self.vertical(shift(self.above(x)), [], context)
        horizontal = self.horizontal(self.above_and_left(x), vertical, context)
        return self._head(horizontal[0][-1].reshape(batch, length, -1), features)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        _, width = image_grid(self, ordering)
        image = batch, width, inputs + 1, template.dtype
        layers = batch, width, template.dtype, context
        return (
            self.above.init_rows(*image),
            self.above_and_left.init_cache(*image),
            self.vertical.init_cache(*layers),
            self.horizontal.init_cache(*layers),
        )

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        above, above_and_left, vertical, horizontal = cache
        _, width = image_grid(self, ordering)
        row, column = t // width, t % width
        x = jnp.where(t > 0, mark_inside(previous), 0)
        above = self.above.write(above, x[:, None], (t - 1) // width % 2, (t - 1) % width)

        def begin_row(self: PixelCNNPlusPlus, vertical: ScaleCache) -> ScaleCache:
            x = jnp.where(row > 0, self.above.read(above, (row - 1) % 2, 0, width), 0)
            return self.vertical.step(vertical, x, None, row, 0)

        vertical = nn.cond(column == 0, begin_row, lambda _, same: same, self, vertical)
        above_and_left, x = self.above_and_left.step(above_and_left, x, t, width)
        horizontal = self.horizontal.step(horizontal, x[:, None], vertical, row, column)
        cache = above, above_and_left, vertical, horizontal
        return cache, self._head(horizontal.outputs[-1][:, 0], features)

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        height, width = image_grid(self, ordering)
        itself = np.eye(height * width, dtype=bool).reshape(height, width, -1)
        above, left = np.zeros_like(itself), np.zeros_like(itself)
        above[1:], left[:, 1:] = itself[:-1], itself[:, :-1]
        vertical = reach(above, (2, 3), right=False)
        horizontal = reach(above, (1, 3), right=False) | reach(left, (2, 1), right=True)
        _, horizontal = self._reach(vertical, horizontal, self.scales - 1)
        return horizontal.reshape(height * width, -1)

    def _reach(
        self, vertical: np.ndarray, horizontal: np.ndarray, coarser: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """What two streams `[height, width, length]` depend on after a scale and those below."""
        height, width, _ = vertical.shape

        def down(x: np.ndarray, stride: int = 1) -> np.ndarray:
            return reach(x, kernel_size(right=False), right=False, stride=stride)

        def right(x: np.ndarray, stride: int = 1) -> np.ndarray:
            return reach(x, kernel_size(right=True), right=True, stride=stride)

        skips = [(vertical, horizontal)]
        for _ in range(self.blocks):
            vertical = down(down(vertical))
            horizontal = right(right(horizontal) | vertical)
            skips.append((vertical, horizontal))
        if coarser > 0:
            halves = self._reach(down(vertical, 2), right(horizontal, 2), coarser - 1)
            vertical, horizontal = (x.repeat(2, 0).repeat(2, 1)[:height, :width] for x in halves)
            vertical[:, 1:-1:2] |= vertical[:, 2::2]
        else:
            vertical, horizontal = skips.pop()
        for vertical_skip, horizontal_skip in reversed(skips):
            vertical = down(down(vertical) | vertical_skip)
            horizontal = right(right(horizontal) | vertical | horizontal_skip)
        return vertical, horizontal

    def check(self, ordering: Ordering) -> None:
        image_grid(self, ordering)
        check_positive(blocks=self.blocks, channels=self.channels, scales=self.scales)
        check_fractions(dropout=self.dropout)

    def _head(self, x: jax.Array, features: int) -> jax.Array:
        return self.readout(nn.elu(x), features)


def _join(own: Sequence[jax.Array], skips: Sequence[jax.Array]) -> jax.Array | None:
    """The auxiliary input of a block: of the vertical stream, and across; None if there is none."""
    parts = [*own, *skips]
    return jnp.concatenate(parts, axis=-1) if parts else None
