"""Attention patterns: which earlier positions each position attends to, and how it is computed."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.nn.attention import after_prefix, attend, attend_causally
from ar_jax.nn.sequence import lookup


class KVCache(NamedTuple):
    """The key-value cache: keys and values of the prefix and of the positions after it."""

    keys: jax.Array  # [batch, key_value_heads, prefix + cached, features]
    values: jax.Array  # [batch, key_value_heads, prefix + cached, value_features]


class Pattern(ABC):
    """A causal attention mask over positions, and the KV cache that it needs while decoding.

    Every position attends to itself, and to the whole prefix.
    """

    @abstractmethod
    def mask(self, t: Any, s: Any) -> Any:
        """Whether query t attends to key s: integers, or arrays of them that broadcast."""

    def cache_length(self, length: int) -> int:
        """How many positions the KV cache holds while decoding a sequence of that length."""
        return length

    @abstractmethod
    def extend(
        self, query: jax.Array, new: KVCache, kept: KVCache, prefix: jax.Array, t: Any
    ) -> tuple[jax.Array, KVCache]:
        """Attends from the queries of positions t ... t + k - 1, and updates the cache.

        Args:
          query: `[batch, heads, k, features]`.
          new: keys and values of the same k positions.
          kept: keys and values of the prefix and of the positions before t.
          prefix: `[batch, prefix]` booleans, the mask of the prefix.
          t: the first position; an integer 0 stands for prefill.

        Returns:
          Averaged values `[batch, heads, k, value_features]`, and the updated cache.
        """


@dataclass(frozen=True)
class Causal(Pattern):
    """Full causal attention: every position attends to itself and all earlier ones.

    t=0  x . . .
    t=1  x x . .
    t=2  x x x .
    t=3  x x x x
    """

    def mask(self, t: Any, s: Any) -> Any:
        return s <= t

    def extend(
        self, query: jax.Array, new: KVCache, kept: KVCache, prefix: jax.Array, t: Any
    ) -> tuple[jax.Array, KVCache]:
        kept = _write(kept, new, prefix.shape[1] + t)
        return attend_causally(query, kept.keys, kept.values, prefix, t), kept


class Grouped(Pattern):
    """A sparse pattern: queries that attend to almost the same keys form a group.

    Scoring is one batch of small products, `[groups, members, keys]`; decoding gathers the keys of
    the group that a query belongs to.
    """

    @abstractmethod
    def group(self, t: np.ndarray) -> np.ndarray:
        """The group that each position belongs to."""

    def extend(
        self, query: jax.Array, new: KVCache, kept: KVCache, prefix: jax.Array, t: Any
    ) -> tuple[jax.Array, KVCache]:
        length = kept.keys.shape[2] - prefix.shape[1]
        kept = _write(kept, new, prefix.shape[1] + t)
        if isinstance(t, int) and t == 0:
            return self.attend_together(query, kept, prefix), kept
        slots = t + jnp.arange(query.shape[2])
        seen = lookup(_rows(self, length), t if query.shape[2] == 1 else slots)
        attended = self._attend(
            query[:, :, :, None], kept, prefix, slots[:, None], jnp.atleast_2d(seen)
        )
        return attended[:, :, :, 0], kept

    def attend_together(self, query: jax.Array, kept: KVCache, prefix: jax.Array) -> jax.Array:
        """Prefill: attends from positions 0, 1, ... at once, `[batch, heads, slots, features]`."""
        slots = query.shape[2]
        members, seen = _groups(self, slots)  # [groups, members], [groups, keys]
        # [batch, heads, groups, members, features]; padding reads the last query, dropped below.
        grouped = jnp.take(query, members, axis=2, mode="clip")
        attended = self._attend(grouped, kept, prefix, members, seen)
        attended = attended.reshape(*query.shape[:2], members.size, -1)
        # Sorting the members puts the queries back in order, the padding last.
        return attended[:, :, np.argsort(members, axis=None, kind="stable")[:slots]]

    def _attend(self, query: jax.Array, kept: KVCache, prefix: jax.Array, t: Any, s: Any) -> Any:
        """Attends within each group, from its queries to its keys.

        Args:
          query: `[batch, heads, groups, members, features]`.
          kept: the cache.
          prefix: `[batch, prefix]` booleans, the mask of the prefix.
          t: `[groups, members]`, positions of the queries.
          s: `[groups, keys]`, positions of the keys.
        """
        before = prefix.shape[1]
        shared = np.broadcast_to(np.arange(before, dtype=np.int32), (len(s), before))
        places = jnp.concatenate([shared, before + s], axis=1)
        # [batch, key_value_heads, groups, prefix + keys, features]
        keys, values = (jnp.take(x, places, axis=2, mode="clip") for x in kept)
        t, s = t[:, :, None], s[:, None]  # [groups, members, 1], [groups, 1, keys]
        mask = after_prefix(prefix, jnp.asarray((s <= t) & self.mask(t, s))[None])
        return jax.vmap(attend, (2, 2, 2, 1), 2)(query, keys, values, mask)


@dataclass(frozen=True)
class SlidingWindow(Grouped):
    """Sliding-window attention to the last `size` positions, all that the cache holds.

    With a size of 3:

    t=0  x . . . .
    t=1  x x . . .
    t=2  x x x . .
    t=3  . x x x .
    t=4  . . x x x
    """

    size: int

    def mask(self, t: Any, s: Any) -> Any:
        return (s <= t) & (t - s < self.size)

    def group(self, t: np.ndarray) -> np.ndarray:
        return t // self.size

    def cache_length(self, length: int) -> int:
        return min(self.size, length)

    def extend(
        self, query: jax.Array, new: KVCache, kept: KVCache, prefix: jax.Array, t: Any
    ) -> tuple[jax.Array, KVCache]:
        before, slots = prefix.shape[1], query.shape[2]
        size = kept.keys.shape[2] - before  # a ring buffer: position s is stored at s % size
        if isinstance(t, int) and t == 0:
            first = KVCache(*(x[:, :, :before] for x in kept))
            attended = self.attend_together(query, join(first, new), prefix)
        else:
            at = t + jnp.arange(slots)
            # The position stored at each entry of the ring, negative where there is none yet: the
            # latest before t with that remainder.
            ring = t - 1 - (t - 1 - jnp.arange(size)) % size
            seen = jnp.concatenate([ring, at])
            mask = (seen >= 0) & self.mask(at[:, None], seen)
            attended = attend(query, *join(kept, new), after_prefix(prefix, mask[None]))
        # Only the last `size` of the new positions fit into the ring.
        last = np.arange(max(slots - size, 0), slots)
        at = before + (t + last) % size
        kept = KVCache(*(x.at[:, :, at].set(y[:, :, last]) for x, y in zip(kept, new, strict=True)))
        return attended, kept


@dataclass(frozen=True)
class Local(Grouped):
    """1D local attention (arXiv 1802.05751): a block of `query` positions, and `memory` before it.

    With blocks of 3 and a memory of 2:

    t=0  x . . . . .
    t=1  x x . . . .
    t=2  x x x . . .
    t=3  . x x x . .
    t=4  . x x x x .
    t=5  . x x x x x
    """

    query: int
    memory: int

    def mask(self, t: Any, s: Any) -> Any:
        return (s <= t) & (s >= t // self.query * self.query - self.memory)

    def group(self, t: np.ndarray) -> np.ndarray:
        return t // self.query


@dataclass(frozen=True)
class LocalImage(Grouped):
    """2D local attention: the own rectangle of an image, with margins above and beside it.

    The mask is causal within these. In an image 6 wide with rectangles of 2 by 2 and margins of
    1 and 1, the third pixel of the last row, q, attends to x:

        . . . . . .
        . x x x x .
        . x x x x .
        . x q . . .

    Attributes:
      width: width of the image.
      query: height and width of a rectangle.
      memory: rows above it, and columns at each side.
    """

    width: int
    query: tuple[int, int]
    memory: tuple[int, int]

    def mask(self, t: Any, s: Any) -> Any:
        (height, width), (above, beside) = self.query, self.memory
        top, left = t // self.width // height * height, t % self.width // width * width
        row, column = s // self.width, s % self.width
        near = (row >= top - above) & (column >= left - beside) & (column < left + width + beside)
        return (s <= t) & near

    def group(self, t: np.ndarray) -> np.ndarray:
        height, width = self.query
        return t // self.width // height * self.width + t % self.width // width


@dataclass(frozen=True)
class Column(Grouped):
    """Strided attention, to every `stride`-th position back: a column of an image of that width.

    With a stride of 2 (arXiv 1904.10509, strided):

    t=0  x . . . .
    t=1  . x . . .
    t=2  x . x . .
    t=3  . x . x .
    t=4  x . x . x
    """

    stride: int

    def mask(self, t: Any, s: Any) -> Any:
        return (s <= t) & ((t - s) % self.stride == 0)

    def group(self, t: np.ndarray) -> np.ndarray:
        return t % self.stride


@dataclass(frozen=True)
class Summaries(Grouped):
    """Fixed attention (arXiv 1904.10509): the last `count` of each `stride` positions, and itself.

    With a stride of 3 and a count of 1:

    t=0  x . . . . .
    t=1  . x . . . .
    t=2  . . x . . .
    t=3  . . x x . .
    t=4  . . x . x .
    t=5  . . x . . x
    """

    stride: int
    count: int

    def mask(self, t: Any, s: Any) -> Any:
        return (s <= t) & ((s % self.stride >= self.stride - self.count) | (s == t))

    def group(self, t: np.ndarray) -> np.ndarray:
        return t // self.stride


def _write(kept: KVCache, new: KVCache, at: Any) -> KVCache:
    """Writes new keys and values into the cache, from index `at` on."""
    update = jax.lax.dynamic_update_slice_in_dim
    return KVCache(*(update(x, y, at, axis=2) for x, y in zip(kept, new, strict=True)))


def join(first: KVCache, second: KVCache) -> KVCache:
    """Concatenates the keys and values of two runs of positions."""
    pairs = zip(first, second, strict=True)
    return KVCache(*(jnp.concatenate(pair, axis=2) for pair in pairs))


@lru_cache
def _groups(pattern: Grouped, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries of each group `[groups, members]`, and the keys that any of them attends to.

    Both are padded with `length`, a position that the causal mask excludes as a key.
    """
    slots = np.arange(length, dtype=np.int32)
    group = pattern.group(slots)
    members = [slots[group == which] for which in np.unique(group)]
    seen = [np.flatnonzero(pattern.mask(row[:, None], slots).any(axis=0)) for row in members]
    return _pad(members, length), _pad(seen, length)


@lru_cache
def _rows(pattern: Grouped, length: int) -> np.ndarray:
    """`[length, keys]`: the keys of the group that each position belongs to."""
    members, seen = _groups(pattern, length)
    # Row `length` takes what the padding of the members writes.
    rows = np.empty((length + 1, seen.shape[1]), np.int32)
    rows[members] = seen[:, None]
    return rows[:length]


def _pad(rows: list[np.ndarray], value: int) -> np.ndarray:
    out = np.full((len(rows), max(map(len, rows))), value, np.int32)
    for row, values in zip(out, rows, strict=True):
        row[: len(values)] = values
    return out
