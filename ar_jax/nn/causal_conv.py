"""Dilated causal convolutions over a sequence."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_at_least


class CausalConv(nn.Module):
    """A dilated causal convolution: a position and those before it.

    With kernel 3 and dilation 2, the output at slot t reads

        t-5 t-4 t-3 t-2 t-1  t
         .   x   .   x   .   x

    The taps are gathered, then multiplied once. While decoding, a ring keeps the inputs that the
    kernel can still reach, the one of slot s at place s % size, so that a step moves nothing else.

    Attributes:
      features: output channels.
      kernel: number of taps, at least 2.
      dilation: distance of neighbouring taps.
      weight_norm: learn the kernel's length and direction apart (arXiv 1602.07868).
    """

    features: int
    kernel: int
    dilation: int = 1
    weight_norm: bool = False

    def init_ring(self, batch: int, channels: int, dtype: Any) -> jax.Array:
        """What stands before the first slot: zeros."""
        return init_ring(batch, channels, self.kernel, self.dilation, dtype)

    @nn.compact
    def extend(self, ring: jax.Array, x: jax.Array, t: Any) -> tuple[jax.Array, jax.Array]:
        """Slots t ... t + k - 1 at once.

        Args:
          ring: after the slots before t.
          x: `[batch, k, channels]`.
          t: the first of the slots, a traced scalar or a Python integer.

        Returns:
          The ring, and `[batch, k, features]`.
        """
        ring, taps = take_in(ring, x, t, self.kernel, self.dilation)
        gathered = jnp.concatenate(taps, axis=-1).reshape(x.shape[0] * x.shape[1], -1)
        shape = (gathered.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        if self.weight_norm:
            length = jnp.linalg.norm(kernel, axis=0)
            kernel *= self.param("length", lambda key: length) / length
        return ring, (gathered @ kernel + bias).reshape(*x.shape[:2], -1)


class DepthwiseConv(nn.Module):
    """A causal convolution of each channel by itself.

    Attributes:
      kernel: number of taps, at least 2.
    """

    kernel: int

    @nn.compact
    def extend(self, ring: jax.Array, x: jax.Array, t: Any) -> tuple[jax.Array, jax.Array]:
        """As in `CausalConv`: `[batch, k, channels]` -> the same."""
        init = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform", in_axis=0, out_axis=())
        kernel = self.param("kernel", init, (self.kernel, x.shape[-1]), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],), jnp.float32)
        ring, taps = take_in(ring, x, t, self.kernel, 1)
        return ring, sum((w * tap for w, tap in zip(kernel, taps, strict=True)), start=bias)


def init_ring(batch: int, channels: int, kernel: int, dilation: int, dtype: Any) -> jax.Array:
    """Zeros for the inputs that such a kernel can still reach."""
    return jnp.zeros((batch, (kernel - 1) * dilation, channels), dtype)


def take_in(
    ring: jax.Array, x: jax.Array, t: Any, kernel: int, dilation: int
) -> tuple[jax.Array, list[jax.Array]]:
    """Adds the inputs of slots t ... t + k - 1 to a ring, and gathers the taps of these slots.

    Args:
      ring: `[batch, (kernel - 1) * dilation, channels]`.
      x: `[batch, k, channels]`.
      t: the first of the slots.
      kernel: number of taps.
      dilation: distance of neighbouring taps.

    Returns:
      The ring, and for each tap, the oldest first, `[batch, k, channels]`.
    """
    size, slots = ring.shape[1], x.shape[1]
    if slots == 1:
        older = [
            jax.lax.dynamic_slice_in_dim(ring, (t + tap * dilation) % size, 1, axis=1)
            for tap in range(kernel - 1)
        ]
        return jax.lax.dynamic_update_slice_in_dim(ring, x, t % size, axis=1), [*older, x]
    inputs = jnp.concatenate([ring[:, (t + np.arange(size)) % size], x], axis=1)
    taps = [inputs[:, tap * dilation :][:, :slots] for tap in range(kernel)]
    return inputs[:, slots + (np.arange(size) - t - slots) % size], taps


def check_taps(kernel: int) -> None:
    """Raises ValueError when a kernel would see its own slot only."""
    check_at_least(2, kernel=kernel)


def reach(kernel: int, dilations: Sequence[int]) -> np.ndarray:
    """The receptive field of stacked causal convolutions: `[field]` booleans, 0 back first."""
    seen = np.ones(1, bool)
    for dilation in dilations:
        taps = np.arange((kernel - 1) * dilation + 1) % dilation == 0
        seen = np.convolve(seen, taps) > 0
    return seen


def band(seen: np.ndarray, length: int, shift: int = 0) -> np.ndarray:
    """`[length, length]` booleans: whether s (column) is in the field of t - shift (row)."""
    back = np.arange(length)[:, None] - np.arange(length) - shift
    return (back >= 0) & (back < len(seen)) & seen[np.clip(back, 0, len(seen) - 1)]
