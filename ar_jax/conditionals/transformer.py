"""Decoder-only transformers."""

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Initializer

from ar_jax.checks import check_at_least, check_fractions, check_number, check_positive
from ar_jax.conditionals.base import SequenceConditional
from ar_jax.nn.attention import attend, merge
from ar_jax.nn.attention_patterns import Causal, KVCache, Pattern, SlidingWindow, join
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.feed_forward import LECUN, Activation, FeedForward, MixtureOfExperts
from ar_jax.nn.positions import Learned, Positions, Rotation, rotate
from ar_jax.nn.sequence import Cache, dense_2d
from ar_jax.orderings import Ordering

Norm = Literal["layer", "rms"]


class CrossAttentionKV(NamedTuple):
    """Keys and values that the cross-attention of a block attends to."""

    keys: jax.Array  # [batch, key_value_heads, context_length, features]
    values: jax.Array
    mask: jax.Array  # [batch, context_length]


class LayerCache(NamedTuple):
    """The key-value caches of one block."""

    kv: KVCache
    cross: CrossAttentionKV | None


class Initial(NamedTuple):
    """Initialisers of the weights of a transformer."""

    embed: Initializer = LECUN
    attention: Initializer = LECUN
    attention_out: Initializer = LECUN
    up: Initializer = LECUN
    down: Initializer = LECUN
    readout: Initializer = LECUN


class Block(nn.Module):
    """A transformer block: self-attention, cross-attention to a context if asked for, feed-forward.

    Attributes: as of `DecoderOnly`, with
      initial: how the weights start.
    """

    width: int
    heads: int
    hidden: int
    dropout: float
    cross_attention: bool
    key_value_heads: int = 0
    query_width: int = 0
    activation: Activation = "gelu"
    norm: Norm = "layer"
    norm_epsilon: float = 1e-6
    post_norm: bool = False
    bias: bool = True
    qk_norm: bool = False
    experts: int = 0
    experts_per_token: int = 2
    initial: Initial = Initial()

    def setup(self) -> None:
        initial, query_width = self.initial, self.query_width or self.width
        shared = self.key_value_heads or self.heads
        key_width, value_width = (x * shared // self.heads for x in (query_width, self.width))

        def dense(features: int, kernel_init: Initializer) -> nn.Dense:
            return nn.Dense(features, self.bias, kernel_init=kernel_init)

        self.drop = nn.Dropout(self.dropout)
        self.attention_norm, self.feed_forward_norm = self._norm(), self._norm()
        self.query_key_value = dense(query_width + key_width + value_width, initial.attention)
        self.attention_out = dense(self.width, initial.attention_out)
        if self.qk_norm:
            self.query_norm, self.key_norm = self._norm(), self._norm()
        if self.cross_attention:
            self.cross_norm = self._norm()
            self.cross_query = dense(query_width, initial.attention)
            self.cross_key_value = dense(key_width + value_width, initial.attention)
            self.cross_out = dense(self.width, initial.attention_out)
        if self.experts:
            self.feed_forward = MixtureOfExperts(
                self.experts, self.experts_per_token, self.hidden, self.activation,
                initial.up, initial.down,
            )  # fmt: skip
        else:
            self.feed_forward = FeedForward(
                self.hidden, self.activation, self.bias, initial.up, initial.down
            )
        nn.share_scope(self, self.feed_forward)
        self.splits = (query_width, query_width + key_width)

    def __call__(
        self,
        x: jax.Array,
        cache: LayerCache,
        pattern: Pattern,
        prefix: jax.Array,
        t: Any,
        rotation: Rotation,
    ) -> tuple[jax.Array, LayerCache]:
        """Slots t, t + 1, ... `[batch, slots, width]` -> the same, and the cache after them."""
        query, *new = self.project(x)
        query, key = (rotate(y, rotation) for y in (query, new[0]))
        attended, kv = pattern.extend(query, KVCache(key, new[1]), cache.kv, prefix, t)
        return self.update(x, attended, cache.cross), LayerCache(kv, cache.cross)

    def begin(self, x: jax.Array, mask: jax.Array, slots: int) -> tuple[jax.Array, LayerCache]:
        """The cache before the first slot, with a context.

        Args:
          x: `[batch, context_length, width]`, the prefix in this block, or the context's vectors
            for cross-attention.
          mask: `[batch, context_length]`.
          slots: how many will be kept.

        Returns:
          The prefix in the next block, or the context's vectors, and the cache.
        """
        empty = self.empty(len(x), slots, x.dtype)
        if self.cross_attention:
            return x, LayerCache(empty, CrossAttentionKV(*self.project_context(x), mask))
        query, key, value = self.project(x)
        x = self.update(x, attend(query, key, value, mask[:, None]), None)
        return x, LayerCache(join(KVCache(key, value), empty), None)

    def empty(self, batch: int, slots: int, dtype: Any) -> KVCache:
        """Keys and values of so many slots, all zero."""
        shared = self.key_value_heads or self.heads
        sizes = (self.query_width or self.width) // self.heads, self.width // self.heads
        return KVCache(*(jnp.zeros((batch, shared, slots, size), dtype) for size in sizes))

    def project(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """`[batch, slots, width]` -> queries, keys, values `[batch, heads, slots, features]`."""
        x = dense_2d(self.query_key_value, self._before(self.attention_norm, x))
        query, key, value = jnp.split(x, self.splits, axis=-1)
        return self._query(query), *self._key_value(key, value)

    def project_context(self, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
        """`[batch, context_length, width]` -> keys, values."""
        key, value = jnp.split(self.cross_key_value(vectors), [self.splits[1] - self.splits[0]], -1)
        return self._key_value(key, value)

    def update(
        self, x: jax.Array, attended: jax.Array, cross: CrossAttentionKV | None
    ) -> jax.Array:
        """Adds to `[batch, slots, width]` what was attended to, and all that follows in the block.

        Args:
          x: the residual stream.
          attended: `[batch, heads, slots, features]`.
          cross: the keys and values of cross-attention; None without it.
        """
        x = self._add(self.attention_norm, x, dense_2d(self.attention_out, merge(attended)))
        if cross is not None:
            query = self._query(dense_2d(self.cross_query, self._before(self.cross_norm, x)))
            crossed = attend(query, cross.keys, cross.values, cross.mask[:, None])
            x = self._add(self.cross_norm, x, dense_2d(self.cross_out, merge(crossed)))
        added = self.feed_forward(self._before(self.feed_forward_norm, x))
        return self._add(self.feed_forward_norm, x, added)

    def _norm(self) -> nn.LayerNorm | nn.RMSNorm:
        return norm(self.norm, self.norm_epsilon)

    def _add(self, normalise: nn.Module, x: jax.Array, added: jax.Array) -> jax.Array:
        x += self.drop(added, deterministic=not self.has_rng("dropout"))
        return normalise(x) if self.post_norm else x

    def _before(self, normalise: nn.Module, x: jax.Array) -> jax.Array:
        return x if self.post_norm else normalise(x)

    def _query(self, x: jax.Array) -> jax.Array:
        query = _split(x, self.heads)
        return self.query_norm(query) if self.qk_norm else query

    def _key_value(self, key: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        shared = self.key_value_heads or self.heads
        key, value = _split(key, shared), _split(value, shared)
        return (self.key_norm(key) if self.qk_norm else key), value


class ScannedBlocks(nn.Module):
    """Successive blocks, the body of a scan over layers."""

    blocks: Sequence[Block]


class DecoderOnly(SequenceConditional):
    """What decoder-only transformers share; they differ in the patterns of their attention.

    Slot t holds the step before it (a learned start at t = 0) and predicts step t. The context
    stands before the first slot as a prefix (without a position), or is read by cross-attention.
    Scoring is prefill: one pass of `extend` from an empty cache over all slots.

    Attributes:
      layers: number of blocks.
      width: size of the residual stream.
      heads: number of attention heads.
      hidden: units of the feed-forward layers; 0 stands for 4 * width. For as many parameters
        `swiglu` takes 8/3 * width.
      positions: `positions.Learned()`, `Sinusoidal()`, `Axial()` or `Rotary()`.
      dropout: on embeddings and on what each sublayer adds.
      cross_attention: read the context by attention in every block, rather than as a prefix.
      key_value_heads: number of heads of keys and values: 1 is multi-query attention (arXiv
        1911.02150), fewer than `heads` grouped-query (arXiv 2305.13245); 0 stands for `heads`.
      query_width: size of all queries of a layer together; 0 stands for `width`.
      qk_norm: normalise each head's queries and keys (arXiv 2302.05442).
      activation: activation of the feed-forward layers.
      norm: normalisation, LayerNorm or RMSNorm (arXiv 1910.07467).
      norm_epsilon: epsilon of the normalisation, for numerical stability.
      post_norm: normalise after each sublayer's addition (arXiv 1706.03762), not before the
        sublayer (GPT-2).
      bias: whether the linear maps of the blocks have one.
      projections: linear maps lead from the encoded steps and the context's vectors to `width`, and
        from there to the head's features. Without them all are of `width` already, as with
        `Categorical(values, embedding=width, unembedding="tied")`.
      context_start: the first vector of the context stands at t = 0 in place of the learned start.
      experts: feed-forward layers to choose from at each slot; 0 stands for one without a choice.
      experts_per_token: how many of them a slot goes through.
      remat: keep only what enters each block, and compute the block again in the backward pass.
      scan_layers: scan over the layers with stacked parameters `stage`, rather than unroll them
        as `blocks_0` ...: the same function. It compiles faster and decodes slower.
    """

    layers: int = 4
    width: int = 128
    heads: int = 4
    hidden: int = 0
    positions: Positions = dataclasses.field(default_factory=Learned)
    dropout: float = 0.0
    cross_attention: bool = False
    key_value_heads: int = 0
    query_width: int = 0
    qk_norm: bool = False
    activation: Activation = "gelu"
    norm: Norm = "layer"
    norm_epsilon: float = 1e-6
    post_norm: bool = False
    bias: bool = True
    projections: bool = True
    context_start: bool = False
    experts: int = 0
    experts_per_token: int = 2
    remat: bool = False
    scan_layers: bool = False

    period: ClassVar[int] = 1
    """After how many layers the patterns come again."""

    @abstractmethod
    def patterns(self, ordering: Ordering) -> tuple[Pattern, ...]:
        """The attention patterns of `period` successive layers."""

    @property
    def initial(self) -> Initial:
        """How the weights start."""
        return Initial()

    def setup(self) -> None:
        initial = self.initial
        self.embed = nn.Dense(self.width, kernel_init=initial.embed)
        if not self.context_start:
            initial_start = nn.initializers.normal(0.02)
            self.start = self.param("start", initial_start, (self.width,), jnp.float32)
        self.prefix = nn.Dense(self.width)
        block = Block(
            width=self.width,
            heads=self.heads,
            hidden=self.hidden or 4 * self.width,
            dropout=self.dropout,
            cross_attention=self.cross_attention,
            key_value_heads=self.key_value_heads,
            query_width=self.query_width,
            activation=self.activation,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            post_norm=self.post_norm,
            bias=self.bias,
            qk_norm=self.qk_norm,
            experts=self.experts,
            experts_per_token=self.experts_per_token,
            initial=initial,
            parent=None,
        )
        if self.scan_layers:
            self.stage = ScannedBlocks([block.clone() for _ in range(self.period)])
        else:
            self.blocks = [block.clone() for _ in range(self.layers)]
        self.readout_norm = norm(self.norm, self.norm_epsilon)
        self.drop = nn.Dropout(self.dropout)

    def init_cache(self, template: jax.Array, ordering: Ordering, context: ContextVectors) -> Cache:
        vectors, mask = context
        if self.context_start:
            if mask.shape[1] == 0:
                raise ValueError("context: expected a vector to stand at the start, got none")
            start = self._enter(self.prefix, vectors[:, 0])
            vectors, mask = vectors[:, 1:], mask[:, 1:]
        else:
            start = jnp.broadcast_to(self.start, (len(template), self.width))

        def begin(block: Block, pattern: Pattern, x: jax.Array, _: Any) -> Any:
            slots = pattern.cache_length(ordering.length)
            if mask.shape[1] == 0:
                return x, LayerCache(block.empty(len(x), slots, x.dtype), None)
            return block.begin(x, mask, slots)

        if mask.shape[1] == 0:
            vectors = template
        elif not self.cross_attention:
            vectors = self._enter(self.prefix, vectors)
        caches = self._through(begin, ordering, vectors, None)[1]
        return start, mask[:, :0] if self.cross_attention else mask, caches

    def extend(
        self, cache: Cache, previous: jax.Array, t: Any, ordering: Ordering, features: int
    ) -> tuple[Cache, jax.Array]:
        start, prefix, caches = cache
        slots = t + jnp.arange(previous.shape[1])
        entered = self._enter(partial(dense_2d, self.embed), previous)
        x = jnp.where((slots == 0)[:, None], start[:, None], entered)
        x = self.positions.add(x, slots, ordering)
        x = self.drop(x, deterministic=not self.has_rng("dropout"))
        size = (self.query_width or self.width) // self.heads
        rotation = self.positions.rotation(size, slots, ordering)

        def run(block: Block, pattern: Pattern, x: jax.Array, cache: LayerCache) -> Any:
            return block(x, cache, pattern, prefix, t, rotation)

        x, caches = self._through(run, ordering, x, caches)
        return (start, prefix, caches), self.readout(
            x if self.post_norm else self.readout_norm(x), features
        )

    def dependency_mask(self, ordering: Ordering) -> np.ndarray:
        """A slot reaches those that its layers' patterns lead back to, one after the other.

        Slot s holds step s - 1, so that step s is visible where slot s + 1 is reached.
        """
        return np.pad(self._reached(ordering)[:, 1:], ((0, 0), (0, 1)))

    def context_dependency_mask(self, ordering: Ordering, context_length: int) -> np.ndarray:
        """All of the prefix; a vector at the start where that slot is reached."""
        mask = super().context_dependency_mask(ordering, context_length)
        if self.context_start:
            mask[:, 0] = self._reached(ordering)[:, 0]
        return mask

    def _reached(self, ordering: Ordering) -> np.ndarray:
        """`[length, length]` booleans: whether slot t (row) depends on slot s (column)."""
        length = ordering.length
        t, s = np.ogrid[:length, :length]
        patterns = [np.asarray(pattern.mask(t, s)) for pattern in self.patterns(ordering)]
        reached = np.eye(length)
        for layer in range(self.layers):
            reached = (patterns[layer % len(patterns)] @ reached > 0).astype(float)
        return reached > 0

    def check(self, ordering: Ordering) -> None:
        check_fractions(dropout=self.dropout)
        check_positive(width=self.width, heads=self.heads)
        check_at_least(0, layers=self.layers, hidden=self.hidden, query_width=self.query_width)
        check_at_least(0, key_value_heads=self.key_value_heads, experts=self.experts)
        check_number("norm_epsilon", self.norm_epsilon, "above 0 and finite", lambda e: e > 0)
        self.positions.check()
        shared, query_width = self.key_value_heads or self.heads, self.query_width or self.width
        for expected, got in (
            (f"heads: expected twice their number to divide the width {width}", self.heads)
            for width in {self.width, query_width}
            if width % (2 * self.heads)
        ):
            raise ValueError(f"{expected}, got {got}")
        if self.heads % shared:
            raise ValueError(
                f"key_value_heads: expected a divisor of the {self.heads} heads, got {shared}"
            )
        if self.experts and not 1 <= self.experts_per_token <= self.experts:
            raise ValueError(
                f"experts_per_token: expected 1 ... {self.experts}, got {self.experts_per_token}"
            )
        if self.scan_layers and self.layers % self.period:
            raise ValueError(
                f"layers: expected a multiple of {self.period} to scan, got {self.layers}"
            )

    @nn.compact
    def readout(self, x: jax.Array, features: int) -> jax.Array:
        if not self.projections:
            return self._of_width("the head's features", features, x)
        return dense_2d(nn.Dense(features, kernel_init=self.initial.readout, name="readout"), x)

    def _enter(self, projection: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
        """Into the stream: `[..., inputs]` -> `[..., width]`."""
        if not self.projections:
            return self._of_width("encoded steps and context vectors", x.shape[-1], x)
        return projection(x)

    def _of_width(self, what: str, size: int, x: jax.Array) -> jax.Array:
        if size != self.width:
            raise ValueError(
                f"projections: expected True, or {what} of width {self.width}, got {size}"
            )
        return x

    def _through(
        self, run: Callable[..., Any], ordering: Ordering, x: jax.Array, caches: Any
    ) -> tuple[jax.Array, Any]:
        """`run(block, pattern, x, cache) -> (x, cache)` for one layer after the other."""
        patterns = self.patterns(ordering)

        def through(blocks: Sequence[Block], x: jax.Array, caches: Any) -> tuple[jax.Array, Any]:
            out = []
            for i, block in enumerate(blocks):

                def layer(block: Block, x: jax.Array, cache: Any, i: int = i) -> Any:
                    return run(block, patterns[i % len(patterns)], x, cache)

                x, cache = (nn.remat(layer) if self.remat else layer)(
                    block, x, None if caches is None else caches[i]
                )
                out.append(cache)
            return x, out

        if not self.scan_layers:
            return through(self.blocks, x, caches)
        scan = nn.scan(
            lambda stage, x, caches: through(stage.blocks, x, caches),
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            length=self.layers // self.period,
        )
        return scan(self.stage, x, caches)


class Transformer(DecoderOnly):
    """A decoder-only transformer (Vaswani et al., arXiv 1706.03762; pre-norm as in GPT-2).

    With a prefix c of two vectors:

                  c0 c1 | s  x0 x1
        c0, c1     x  x | .  .  .       the prefix attends to itself
        t=0        x  x | x  .  .
        t=1        x  x | x  x  .
        t=2        x  x | x  x  x

    With a window of 2, no more than that many slots are kept, whatever the length; L layers see
    L * (window - 1) + 1 steps back:

        t=2        x  x | .  x  x

    Attributes: those of `DecoderOnly`, and
      window: number of positions attended to, the own one the last; 0 stands for all.
    """

    window: int = 0

    def patterns(self, ordering: Ordering) -> tuple[Pattern, ...]:
        return (SlidingWindow(self.window) if self.window else Causal(),)

    def check(self, ordering: Ordering) -> None:
        super().check(ordering)
        check_at_least(0, window=self.window)


def norm(kind: Norm, epsilon: float) -> nn.LayerNorm | nn.RMSNorm:
    """A normalisation of features."""
    return nn.LayerNorm(epsilon) if kind == "layer" else nn.RMSNorm(epsilon)


def _split(x: jax.Array, heads: int) -> jax.Array:
    """`[batch, slots, heads * features]` -> `[batch, heads, slots, features]`."""
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)
