"""Mamba: state spaces that choose what to keep."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.conditionals.state_space import Mixer, StateSpace, checkpointed_scan, linear_recurrence
from ar_jax.math.precision import at_least_float32
from ar_jax.nn.causal_conv import DepthwiseConv, check_taps, init_ring
from ar_jax.nn.sequence import dense_2d
from ar_jax.orderings import Ordering


class MambaMixer(Mixer):
    """A gated branch through a short convolution and a selective state space.

    Attributes:
      width: of what comes in and goes out.
      state: numbers that each channel keeps.
      expand: channels inside, as a multiple of the width.
      kernel: taps of the convolution.
      rank: of the map to the step sizes.
    """

    state: int
    expand: int
    kernel: int
    rank: int

    def setup(self) -> None:
        self.channels = self.expand * self.width
        self.split = nn.Dense(2 * self.channels, use_bias=False)
        self.conv = DepthwiseConv(self.kernel)
        self.select = nn.Dense(self.rank + 2 * self.state, use_bias=False)
        self.step_sizes = nn.Dense(
            self.channels,
            kernel_init=nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
            bias_init=self._init_step_bias,
        )
        shape = (self.state, self.channels)
        self.decay_log = self.param("decay_log", self._init_decay, shape, jnp.float32)
        self.skip = self.param("skip", nn.initializers.ones, (self.channels,), jnp.float32)
        self.out = nn.Dense(self.width, use_bias=False)

    def init_state(self, batch: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
        state = jnp.zeros((batch, self.state, self.channels), jnp.promote_types(dtype, jnp.float32))
        return init_ring(batch, self.channels, self.kernel, 1, dtype), state

    def extend(
        self, state: tuple[jax.Array, jax.Array], x: jax.Array, t: Any
    ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        ring, hidden = state
        u, z = jnp.split(dense_2d(self.split, x), 2, axis=-1)
        ring, u = self.conv.extend(ring, u, t)
        u = nn.silu(u)
        sizes, write, read = jnp.split(
            dense_2d(self.select, u), [self.rank, self.rank + self.state], axis=-1
        )
        sizes = nn.softplus(at_least_float32(dense_2d(self.step_sizes, sizes)))
        rate = -jnp.exp(at_least_float32(self.decay_log))  # [state, channels]

        def body(hidden: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
            sizes, driven, write, read = inputs
            decay = jnp.exp(sizes[:, :, None] * rate)  # [batch, slots, state, channels]
            drive = jnp.einsum("bsc,bsn->bsnc", driven, write)
            states = linear_recurrence(decay, drive, hidden)
            return states[:, -1], jnp.einsum("bsnc,bsn->bsc", states, read)

        inputs = (sizes, sizes * u, at_least_float32(write), at_least_float32(read))
        hidden, y = checkpointed_scan(body, hidden, inputs)
        y = y.astype(x.dtype) + self.skip * u
        return (ring, hidden), dense_2d(self.out, y * nn.silu(z))

    def _init_step_bias(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """Step sizes between 0.001 and 0.1, evenly in their logarithm."""
        size = jnp.exp(jax.random.uniform(key, shape, dtype, *np.log([0.001, 0.1])))
        return size + jnp.log(-jnp.expm1(-size))  # the inverse of softplus

    def _init_decay(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """Rates 1, 2, 3 ... in each channel (S4D-Real)."""
        return jnp.broadcast_to(jnp.log(1 + jnp.arange(shape[0], dtype=dtype))[:, None], shape)


class Mamba(StateSpace):
    """Selective state spaces (Gu and Dao, arXiv 2312.00752).

    Layers of RMSNorm and a gated branch around a skip. With u and z two linear maps of the stream,
    u after a short causal convolution, each channel of u has a state of a few numbers. How fast
    they decay, what is written and what is read depends on u itself:

        step, B, C = linear(u_t),  step = softplus(linear(step))
        h_t = exp(-step * rate) * h_{t-1} + step * B u_t
        y_t = (C h_t + D u_t) * silu(z_t)

    The features at t see all the steps before it:

        t=0  . . . .
        t=1  x . . .
        t=2  x x . .
        t=3  x x x .

    The defaults are those of the smallest published model (130 million parameters).

    Attributes:
      layers: how many.
      width: of the residual stream.
      state: numbers that each channel keeps.
      expand: channels inside, as a multiple of the width.
      kernel: taps of the convolution, at least 2.
      dropout: on what each layer adds.
    """

    layers: int = 24
    width: int = 768
    dropout: float = 0.0
    state: int = 16
    expand: int = 2
    kernel: int = 4

    def mixer(self) -> MambaMixer:
        rank = -(-self.width // 16)
        return MambaMixer(self.width, self.state, self.expand, self.kernel, rank)

    def norm(self) -> nn.RMSNorm:
        return nn.RMSNorm()

    def check(self, ordering: Ordering) -> None:
        super().check(ordering)
        check_positive(state=self.state, expand=self.expand)
        check_taps(self.kernel)
