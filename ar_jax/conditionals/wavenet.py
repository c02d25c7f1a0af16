"""WaveNet: gated dilated causal convolutions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.causal_conv import CausalConv, band, check_taps, reach
from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.sequence import Cache, dense_2d
from ar_jax.orderings import Ordering


class GatedLayer(nn.Module):
    """z = tanh(filter) * sigmoid(gate); adds maps of z to the residual stream and to the skips.

    Attributes:
      channels: channels of the residual stream and of z.
      skip_channels: channels of the skips.
      kernel: number of taps.
      dilation: distance between neighbouring taps.
      is_last: whether this is the last layer, after which the residual stream is unused.
    """

    channels: int
    skip_channels: int
    kernel: int
    dilation: int
    is_last: bool

    def setup(self) -> None:
        self.conv = CausalConv(2 * self.channels, self.kernel, self.dilation)
        self.context_bias = ContextBias(2 * self.channels)
        self.out = nn.Dense(self.skip_channels + (0 if self.is_last else self.channels))

    def extend(
        self, ring: jax.Array, x: jax.Array, bias: jax.Array, t: Any
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Slots t ... t + k - 1 at once.

        Args:
          ring: of the convolution, after the slots before t.
          x: `[batch, k, channels]`, the residual stream.
          bias: `[batch, k or 1, 2 * channels]`, of the context.
          t: the first of the slots.

        Returns:
          The ring, the residual stream and the skip `[batch, k, skip_channels]`.
        """
        ring, convolved = self.conv.extend(ring, x, t)
        filtered, gate = jnp.split(convolved + bias, 2, axis=-1)
        out = dense_2d(self.out, jnp.tanh(filtered) * nn.sigmoid(gate))
        skip, residual = jnp.split(out, [self.skip_channels], axis=-1)
        return ring, x if self.is_last else x + residual, skip


class WaveNet(SequenceConditional):
    """Dilated causal convolutions with gated units (van den Oord et al., arXiv 1609.03499).

    A causal convolution over the inputs, stacks of gated layers whose dilations double, then ReLU
    and two 1x1 layers on the sum of the skips. What the features at t see of the steps s with
    kernel 2 and one stack of three layers (the first convolution adds one step):

        features                     o       t
        dilation 4           o-------o
        dilation 2       o---o   o---o
        dilation 1     o-o o-o o-o o-o
        steps        x x x x x x x x x       t-9 ... t-1

    The context enters the gates of every layer. Globally, the mean of its vectors does at each
    step (a speaker). Locally, its n vectors stand for n equal spans of ceil(length / n) steps in
    order (a phoneme, a frame of a spectrogram): each is repeated over its span, the simpler of the
    paper's two ways. Padded vectors have spans too, and the last may be short or empty.

    The paper does not tell its size; the defaults are those of Deep Voice (arXiv 1702.07825).

    Attributes:
      layers: in each stack, with dilations 1, 2, 4 ...
      stacks: how often these dilations come.
      channels: of the residual stream and the gated units.
      skip_channels: of the skips and the layer before the last.
      kernel: number of taps of each convolution, at least 2.
      local: the vectors of the context stand for spans of the steps.
    """

    layers: int = 10
    stacks: int = 4
    channels: int = 64
    skip_channels: int = 256
    kernel: int = 2
    local: bool = False

    def setup(self) -> None:
        self.first = CausalConv(self.channels, self.kernel)
        last = self.layers * self.stacks - 1
        self.gated = [
            GatedLayer(self.channels, self.skip_channels, self.kernel, dilation, i == last)
            for i, dilation in enumerate(self._dilations)
        ]
        self.head = nn.Dense(self.skip_channels)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        batch, inputs = template.shape
        vectors, mask = context
        if self.local and mask.shape[1]:  # each span is biased by a vector of its own
            context = vectors.reshape(-1, 1, vectors.shape[-1]), mask.reshape(-1, 1)
        layers = [
            (
                layer.conv.init_ring(batch, self.channels, template.dtype),
                layer.context_bias(context).reshape(batch, -1, 2 * self.channels),
            )
            for layer in self.gated
        ]
        return self.first.init_ring(batch, inputs, template.dtype), layers

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        first, layers = cache
        slots = t + jnp.arange(previous.shape[1])
        first, x = self.first.extend(first, jnp.where(slots[:, None] > 0, previous, 0), t)
        extended, skips = [], jnp.zeros((), x.dtype)
        for layer, (ring, biases) in zip(self.gated, layers, strict=True):
            spans = biases.shape[1]
            bias = biases if spans == 1 else biases[:, slots // -(-ordering.length // spans)]
            ring, x, skip = layer.extend(ring, x, bias, t)
            skips += skip
            extended.append((ring, biases))
        hidden = nn.relu(dense_2d(self.head, nn.relu(skips)))
        return (first, extended), self.readout(hidden, features)

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        return band(reach(self.kernel, (1, *self._dilations)), ordering.length, shift=1)

    def context_dependency_mask(self, ordering: Ordering, context_length: int) -> np.ndarray:
        if not self.local or context_length == 0:
            return super().context_dependency_mask(ordering, context_length)
        span = np.arange(ordering.length) // -(-ordering.length // context_length)
        gates = band(reach(self.kernel, self._dilations[1:]), ordering.length)
        return gates @ (span[:, None] == np.arange(context_length))

    def check(self, ordering: Ordering) -> None:
        check_positive(layers=self.layers, stacks=self.stacks)
        check_positive(channels=self.channels, skip_channels=self.skip_channels)
        check_taps(self.kernel)

    @property
    def _dilations(self) -> tuple[int, ...]:
        return tuple(2**layer for _ in range(self.stacks) for layer in range(self.layers))
