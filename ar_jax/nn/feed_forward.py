"""Feed-forward layers: what a transformer does at each slot by itself."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Initializer

from ar_jax.nn.sequence import dense_2d

Activation = Literal["relu", "gelu", "quick_gelu", "swiglu"]
"""`quick_gelu` is x sigmoid(1.702 x); `swiglu` (arXiv 2002.05202) gates one product by another."""

LECUN = nn.initializers.lecun_normal()


class FeedForward(nn.Module):
    """Two layers: width -> hidden -> width.

    Attributes:
      hidden: units between.
      activation: of these; `swiglu` has a third matrix, the gate's.
      bias: whether the layers have one.
      up_init: initial weights of the first layer.
      down_init: of the second.
    """

    hidden: int
    activation: Activation = "gelu"
    bias: bool = True
    up_init: Initializer = LECUN
    down_init: Initializer = LECUN

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, slots, width]` -> the same."""
        up = nn.Dense(
            widened(self.hidden, self.activation), self.bias, kernel_init=self.up_init, name="up"
        )
        down = nn.Dense(x.shape[-1], self.bias, kernel_init=self.down_init, name="down")
        return dense_2d(down, activate(dense_2d(up, x), self.activation))


class MixtureOfExperts(nn.Module):
    """Several feed-forward layers, of which each token goes through its own few (arXiv 1701.06538).

    A router scores the experts for each token; the token's k best are weighed by the softmax of
    their scores (as in Mixtral, arXiv 2401.04088). With k = 2 of four experts:

                  expert 0  1  2  3
        token a          .  .7 .  .3
        token b          .4 .  .6 .
        token c          .  .8 .2 .

    Dropless: every token gets exactly its k experts, whatever the load. The tokens stand sorted by
    expert, in blocks that belong to one expert each (as in MegaBlocks, arXiv 2211.15841), at most
    a quarter of them padding; so the arithmetic is that of k experts, not of all.

    Nothing balances the load: the training loss is the log-likelihood and no more, so that some
    experts may come to do most of the work.

    Attributes:
      experts: how many there are.
      per_token: how many of them each token goes through.
      hidden: units of each.
      activation: of these.
      up_init: initial weights of the first layer.
      down_init: of the second.
    """

    experts: int
    per_token: int
    hidden: int
    activation: Activation = "gelu"
    up_init: Initializer = LECUN
    down_init: Initializer = LECUN

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[batch, slots, width]` -> the same."""
        width = x.shape[-1]
        tokens = x.reshape(-1, width)
        scores = nn.Dense(self.experts, use_bias=False, name="router")(tokens)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        best, expert = jax.lax.top_k(scores.astype(wide), self.per_token)  # [tokens, per_token]
        weight = nn.softmax(best).astype(x.dtype)
        units = widened(self.hidden, self.activation)
        up = self.param("up", _each(self.up_init), (self.experts, width, units), jnp.float32)
        down = self.param(
            "down", _each(self.down_init), (self.experts, self.hidden, width), jnp.float32
        )
        place, owner, size = blocks(expert.ravel(), self.experts)
        # [blocks, size, width]; places that no token fills hold zeros.
        block = jnp.zeros((len(owner) * size, width), x.dtype)
        block = block.at[place].set(jnp.repeat(tokens, self.per_token, axis=0), unique_indices=True)
        block = block.reshape(len(owner), size, width)
        hidden = activate(jnp.einsum("nsd,ndh->nsh", block, up[owner]), self.activation)
        out = jnp.einsum("nsh,nhd->nsd", hidden, down[owner]).reshape(-1, width)
        out = out[place].reshape(*weight.shape, width)
        return jnp.einsum("tk,tkd->td", weight, out).reshape(x.shape)


def blocks(expert: jax.Array, experts: int) -> tuple[jax.Array, jax.Array, int]:
    """Where tokens stand when each expert's fill whole blocks of their own.

    Args:
      expert: `[tokens]`, each token's.
      experts: how many there are.

    Returns:
      The place of each token `[tokens]`, the expert of each block `[blocks]`, and a block's size.
    """
    count = len(expert)
    size = max(count // (4 * experts), 1)
    # Each expert leaves less than a block empty, and no two tokens need the same block of one.
    total = min(count // size + experts, count)
    load = jnp.zeros(experts, jnp.int32).at[expert].add(1)
    end = jnp.cumsum(-(-load // size))  # the block after each expert's last
    owner = jnp.minimum(jnp.searchsorted(end, jnp.arange(total), side="right"), experts - 1)
    order = jnp.argsort(expert, stable=True)
    rank = jnp.arange(count) - (jnp.cumsum(load) - load)[expert[order]]  # among its expert's
    start = jnp.concatenate([jnp.zeros(1, end.dtype), end[:-1]]) * size
    place = (
        jnp.zeros(count, jnp.int32).at[order].set((start[expert[order]] + rank).astype(np.int32))
    )
    return place, owner, size


def widened(hidden: int, activation: Activation) -> int:
    """How many numbers `activate` needs for so many units."""
    return 2 * hidden if activation == "swiglu" else hidden


def activate(x: jax.Array, activation: Activation) -> jax.Array:
    """`[..., widened(hidden)]` -> `[..., hidden]`."""
    if activation == "swiglu":
        gate, x = jnp.split(x, 2, axis=-1)
        return nn.silu(gate) * x
    if activation == "quick_gelu":
        return x * nn.sigmoid(1.702 * x)
    return getattr(nn, activation)(x)


def _each(initial: Initializer) -> Initializer:
    """The initial weights of several experts `[experts, in, out]`, each drawn by itself."""

    def draw(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        keys = jax.random.split(key, shape[0])
        return jax.vmap(lambda key: initial(key, shape[1:], dtype))(keys)

    return draw
