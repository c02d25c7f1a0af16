"""The Sparse Transformer."""

import dataclasses
from math import isqrt
from typing import ClassVar, Literal

import flax.linen as nn

from ar_jax.checks import check_at_least, check_positive
from ar_jax.conditionals.transformer import DecoderOnly, Initial
from ar_jax.nn.attention_patterns import Column, Local, Pattern, SlidingWindow, Summaries
from ar_jax.nn.feed_forward import Activation
from ar_jax.nn.positions import Axial, Positions
from ar_jax.orderings import Ordering


class SparseTransformer(DecoderOnly):
    """The Sparse Transformer (Child et al., arXiv 1904.10509): two patterns by turns.

    Together the two lead to each slot before, so that two layers see all; a slot attends to about
    2 sqrt(length) places rather than to all before it. What the slot q attends to in odd and in
    even layers, with a stride of 6:

            strided (images)                      fixed (text)
        . . . . . .    . x . . . .         . . . . . .    . . . . . x
        . . x x x x    . x . . . .         . . . . . .    . . . . . x
        x q . . . .    . q . . . .         x q . . . .    . q . . . .

    Weights start as in the paper: those that add to the residual stream smaller, the deeper the
    network; each step's distribution uniform. The defaults are its network for CIFAR-10.

    Attributes: those of `DecoderOnly`, and
      pattern: `strided` attends to the last `stride` slots, then to every stride-th before;
        `fixed` to one's own block of `stride`, then to the last slots of each block.
      stride: 0 stands for the width of the image, or for the root of the length of other sequences.
      summaries: how many slots at the end of each block the fixed pattern shows to all later ones.
    """

    layers: int = 128
    width: int = 256
    heads: int = 2
    hidden: int = 512
    query_width: int = 128
    positions: Positions = dataclasses.field(default_factory=lambda: Axial(scale=0.0045))
    dropout: float = 0.25
    activation: Activation = "quick_gelu"
    pattern: Literal["strided", "fixed"] = "strided"
    stride: int = 0
    summaries: int = 8

    period: ClassVar[int] = 2

    def patterns(self, ordering: Ordering) -> tuple[Pattern, ...]:
        stride = self.stride
        if stride == 0:
            width = None if ordering.grid is None else ordering.grid[1] * ordering.channels
            stride = width or isqrt(ordering.length)
        if self.pattern == "strided":
            return SlidingWindow(stride), Column(stride)
        return Local(stride, 0), Summaries(stride, min(self.summaries, stride))

    @property
    def initial(self) -> Initial:
        scaled, scale = nn.initializers.variance_scaling, 0.125**2
        inward = scaled(scale, "fan_in", "normal")
        outward = scaled(scale / (2 * max(self.layers, 1)), "fan_in", "normal")
        return Initial(inward, inward, outward, inward, outward, nn.initializers.zeros)

    def check(self, ordering: Ordering) -> None:
        super().check(ordering)
        check_at_least(0, stride=self.stride)
        check_positive(summaries=self.summaries)
