"""Decoder-only transformers."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.conditionals.base import Cache, Conditional, Context, shift
from ar_jax.conditionals.positions import Learned, Positions
from ar_jax.orderings import Ordering


class Memory(NamedTuple):
    """What a block's cross-attention looks at."""

    keys: jax.Array  # [batch, heads, context_length, features]
    values: jax.Array
    mask: jax.Array  # [batch, context_length]


class LayerCache(NamedTuple):
    """What a block keeps of the prefix and of the slots so far."""

    keys: jax.Array  # [batch, heads, prefix + length, features]
    values: jax.Array
    memory: Memory | None


class Block(nn.Module):
    """Self-attention, cross-attention if there is something to cross to, feed-forward; pre-norm.

    Attributes:
      width: of the residual stream.
      heads: of attention; they divide the width.
      hidden: units of the feed-forward layer.
      dropout: on what each sublayer adds.
      cross_attention: whether the block looks at the context by attention of its own.
    """

    width: int
    heads: int
    hidden: int
    dropout: float
    cross_attention: bool

    def setup(self) -> None:
        self.drop = nn.Dropout(self.dropout)
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(), nn.LayerNorm()
        self.query_key_value = nn.Dense(3 * self.width)
        self.attention_out = nn.Dense(self.width)
        self.up, self.down = nn.Dense(self.hidden), nn.Dense(self.width)
        if self.cross_attention:
            self.cross_norm = nn.LayerNorm()
            self.cross_query, self.cross_out = nn.Dense(self.width), nn.Dense(self.width)
            self.cross_key_value = nn.Dense(2 * self.width)

    def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """`[batch, slots, width]` -> queries, keys, values `[batch, heads, slots, features]`."""
        query, key, value = jnp.split(flat(self.query_key_value, self.attention_norm(x)), 3, -1)
        return self._split(query), self._split(key), self._split(value)

    def project_context(self, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[batch, context_length, width]` -> keys, values."""
        key, value = jnp.split(self.cross_key_value(vectors), 2, axis=-1)
        return self._split(key), self._split(value)

    def update(
        self,
        x: jax.Array,
        attended: jax.Array,
        memory: Memory | None,
    ) -> jax.Array:
        """Adds to `[batch, slots, width]` what was attended to, and all that follows in the block.

        Args:
          x: the residual stream.
          attended: `[batch, heads, slots, features]`.
          memory: what cross-attention looks at.
        """
        x += self._drop(flat(self.attention_out, merge(attended)))
        if memory is not None:
            query = self._split(flat(self.cross_query, self.cross_norm(x)))
            crossed = attend(query, memory.keys, memory.values, memory.mask[:, None])
            x += self._drop(flat(self.cross_out, merge(crossed)))
        hidden = nn.gelu(flat(self.up, self.feed_forward_norm(x)))
        return x + self._drop(flat(self.down, hidden))

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)

    def _drop(self, x: jax.Array) -> jax.Array:
        return self.drop(x, deterministic=not self.has_rng("dropout"))


class Transformer(Conditional):
    """A decoder-only transformer (arXiv 1706.03762, pre-norm as in GPT-2).

    Slot t holds the step before it (a learned start at t = 0) and predicts step t. The context
    stands before the first slot as a prefix (without a position), or is read by cross-attention.
    With a prefix c of two:

                  c0 c1 | s  x0 x1
        c0, c1     x  x | .  .  .       the prefix sees itself
        t=0        x  x | x  .  .
        t=1        x  x | x  x  .
        t=2        x  x | x  x  x

    Scoring is prefill: one pass of `extend` from an empty cache over all slots.

    Attributes:
      layers: number of blocks.
      width: of the residual stream.
      heads: of attention.
      hidden: units of the feed-forward layers; 0 stands for 4 * width.
      positions: `positions.Learned()` or `positions.Rotary()`.
      dropout: on embeddings and on what each sublayer adds.
      cross_attention: read the context by attention in every block, rather than as a prefix.
    """

    layers: int = 4
    width: int = 128
    heads: int = 4
    hidden: int = 0
    positions: Positions = dataclasses.field(default_factory=Learned)
    dropout: float = 0.0
    cross_attention: bool = False

    def setup(self) -> None:
        if self.width % (2 * self.heads):
            raise ValueError(
                f"heads: expected twice their number to divide the width {self.width}, "
                f"got {self.heads}"
            )
        self.embed = nn.Dense(self.width)
        self.start = self.param("start", nn.initializers.normal(0.02), (self.width,), jnp.float32)
        self.prefix = nn.Dense(self.width)
        self.blocks = [
            Block(
                self.width, self.heads, self.hidden or 4 * self.width, self.dropout,
                self.cross_attention,
            )
            for _ in range(self.layers)
        ]  # fmt: skip
        self.norm = nn.LayerNorm()
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self, steps: jax.Array, ordering: Ordering, context: Context, features: int
    ) -> jax.Array:
        cache = self.init_cache(steps[:, 0], ordering, context)
        return self.extend(cache, shift(steps), 0, ordering, features)[1]

    def init_cache(self, blank: jax.Array, ordering: Ordering, context: Context) -> Cache:
        vectors, mask = context
        shape = (len(blank), self.heads, ordering.length, self.width // self.heads)
        empty = jnp.zeros(shape, blank.dtype)
        if mask.shape[1] == 0:
            return mask, [LayerCache(empty, empty, None)] * self.layers
        if self.cross_attention:
            memories = [Memory(*block.project_context(vectors), mask) for block in self.blocks]
            return mask[:, :0], [LayerCache(empty, empty, memory) for memory in memories]
        layers, x = [], self.prefix(vectors)
        for block in self.blocks:
            query, key, value = block.project(x)
            x = block.update(x, attend(query, key, value, mask[:, None]), None)
            keys, values = (jnp.concatenate([y, empty], axis=2) for y in (key, value))
            layers.append(LayerCache(keys, values, None))
        return mask, layers

    def step(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        cache, out = self.extend(cache, previous[:, None], t, ordering, features)
        return cache, out[:, 0]

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        prefix, layers = cache
        slots = t + jnp.arange(previous.shape[1])
        causal = jnp.arange(ordering.length) <= slots[:, None]  # [slots, length]
        mask = jnp.concatenate(
            [
                jnp.broadcast_to(prefix[:, None], (len(prefix), len(slots), prefix.shape[1])),
                jnp.broadcast_to(causal, (len(prefix), *causal.shape)),
            ],
            axis=-1,
        )
        x = jnp.where((slots == 0)[:, None], self.start, flat(self.embed, previous))
        x = self.positions.add(x, slots, ordering)
        x = self.drop(x, deterministic=not self.has_rng("dropout"))
        extended = []
        for block, (keys, values, memory) in zip(self.blocks, layers, strict=True):
            query, key, value = block.project(x)
            query, key = (self.positions.rotate(y, slots, ordering) for y in (query, key))
            at = prefix.shape[1] + t
            keys, values = (
                jax.lax.dynamic_update_slice_in_dim(old, new, at, axis=2)
                for old, new in ((keys, key), (values, value))
            )
            x = block.update(x, attend(query, keys, values, mask), memory)
            extended.append(LayerCache(keys, values, memory))
        return (prefix, extended), self.readout(self.norm(x), features)


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> jax.Array:
    """Scaled dot-product attention.

    Args:
      query: `[batch, heads, slots, features]`.
      key: `[batch, heads, places, features]`.
      value: as key.
      mask: `[batch, slots or 1, places]`, true where a slot may look.

    Returns:
      `[batch, heads, slots, features]`.
    """
    scores = jnp.einsum("bhsf,bhpf->bhsp", query, key) / query.shape[-1] ** 0.5
    scores = jnp.where(mask[:, None], scores, jnp.finfo(scores.dtype).min)
    return jnp.einsum("bhsp,bhpf->bhsf", nn.softmax(scores), value)


def merge(x: jax.Array) -> jax.Array:
    """`[batch, heads, slots, features]` -> `[batch, slots, heads * features]`."""
    batch, heads, slots, features = x.shape
    return x.swapaxes(1, 2).reshape(batch, slots, heads * features)


def flat(dense: nn.Dense, x: jax.Array) -> jax.Array:
    """A dense layer on `[batch, slots, features]` as one product over all slots: faster on CPU."""
    return dense(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
