"""Temporal convolutional network."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_fractions, check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.causal_conv import CausalConv, band, check_taps, reach
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.sequence import Cache, dense_2d
from ar_jax.orderings import Ordering

TemporalBlockCache = list[tuple[jax.Array, jax.Array]]
"""For each convolution of a block, its ring and the context's bias `[batch, 1, channels]`."""


class TemporalBlock(nn.Module):
    """Two dilated causal convolutions, each with ReLU and dropout, around a skip; then ReLU.

    Where the block changes the number of channels, the skip is a 1x1 layer.

    Attributes:
      channels: of both convolutions.
      kernel: number of taps.
      dilation: distance of neighbouring taps.
      dropout: of whole channels, after each convolution.
      weight_norm: of the convolutions.
    """

    channels: int
    kernel: int
    dilation: int
    dropout: float
    weight_norm: bool

    def setup(self) -> None:
        self.convs = [
            CausalConv(self.channels, self.kernel, self.dilation, self.weight_norm)
            for _ in range(2)
        ]
        self.context_biases = [ContextBias(self.channels) for _ in range(2)]
        self.drop = nn.Dropout(self.dropout, broadcast_dims=(1,))
        self.skip = nn.Dense(self.channels)

    def init_cache(self, inputs: int, context: ContextVectors, dtype: Any) -> TemporalBlockCache:
        """The cache before the first slot, for that many channels that come in."""
        return [
            (conv.init_ring(len(context[0]), channels, dtype), context_bias(context)[:, None])
            for conv, context_bias, channels in zip(
                self.convs, self.context_biases, (inputs, self.channels), strict=True
            )
        ]

    def extend(
        self, cache: TemporalBlockCache, x: jax.Array, t: Any
    ) -> tuple[TemporalBlockCache, jax.Array]:
        """Slots t ... t + k - 1 at once: `[batch, k, inputs]` -> `[batch, k, channels]`."""
        extended, inside = [], x
        for conv, (ring, bias) in zip(self.convs, cache, strict=True):
            ring, inside = conv.extend(ring, inside, t)
            inside = self.drop(nn.relu(inside + bias), deterministic=not self.has_rng("dropout"))
            extended.append((ring, bias))
        skip = x if x.shape[-1] == self.channels else dense_2d(self.skip, x)
        return extended, nn.relu(skip + inside)


class TCN(SequenceConditional):
    """Residual blocks of dilated causal convolutions (Bai et al., arXiv 1803.01271).

    Block i has two convolutions of dilation 2^i. What the features at t see of the steps s with
    kernel 2 and two blocks:

        features                   o     t
        dilation 2           o---o---o   (two convolutions)
        dilation 1         o-o-o-o-o-o
        steps          x x x x x x x     t-7 ... t-1

    The context, pooled to one vector, biases every convolution. The defaults are the paper's for
    images as sequences of 784 pixels.

    Attributes:
      layers: residual blocks.
      channels: of the convolutions.
      kernel: number of taps of each convolution, at least 2.
      dropout: of whole channels, after each convolution.
      weight_norm: learn the length and the direction of each kernel apart, as the paper does.
    """

    layers: int = 8
    channels: int = 25
    kernel: int = 7
    dropout: float = 0.0
    weight_norm: bool = True

    def setup(self) -> None:
        self.blocks = [
            TemporalBlock(self.channels, self.kernel, 2**i, self.dropout, self.weight_norm)
            for i in range(self.layers)
        ]

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        widths = [template.shape[-1], *[self.channels] * (self.layers - 1)]
        return [
            block.init_cache(inputs, context, template.dtype)
            for block, inputs in zip(self.blocks, widths, strict=True)
        ]

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        slots = t + jnp.arange(previous.shape[1])
        x, extended = jnp.where(slots[:, None] > 0, previous, 0), []
        for block, block_cache in zip(self.blocks, cache, strict=True):
            block_cache, x = block.extend(block_cache, x, t)
            extended.append(block_cache)
        return extended, self.readout(x, features)

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        dilations = [2**block for block in range(self.layers) for _ in range(2)]
        return band(reach(self.kernel, dilations), ordering.length, shift=1)

    def check(self, ordering: Ordering) -> None:
        check_positive(layers=self.layers, channels=self.channels)
        check_fractions(dropout=self.dropout)
        check_taps(self.kernel)
