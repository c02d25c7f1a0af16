"""Scaled dot-product attention under a mask, and causal attention block by block."""

from functools import partial
from itertools import pairwise
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 128
"""Queries of one block; up to so many are one plain masked square."""

GROUPS = 8
"""Groups of blocks that attend to different numbers of keys: each is compiled by itself."""


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> jax.Array:
    """Scaled dot-product attention; the softmax is in float32 or wider.

    Args:
      query: `[batch, heads, slots, features]`.
      key: `[batch, key_value_heads, keys, features]`, each shared by heads / key_value_heads
        successive heads (grouped-query attention).
      value: `[batch, key_value_heads, keys, value_features]`.
      mask: `[batch or 1, slots or 1, keys]`, true where a query may attend to a key.

    Returns:
      `[batch, heads, slots, value_features]`.
    """
    batch, heads, slots, size = query.shape
    shared = key.shape[1]
    wide = jnp.promote_types(query.dtype, jnp.float32)
    # Heads that share a key become more rows of one product:
    # [batch, key_value_heads, heads / key_value_heads * slots, features]
    query = (query * size**-0.5).reshape(batch, shared, -1, size)
    mask = mask if mask.shape[1] == 1 else jnp.tile(mask, (1, heads // shared, 1))
    scores = jnp.einsum("bhsf,bhpf->bhsp", query, key, preferred_element_type=wide)
    scores = jnp.where(mask[:, None], scores, jnp.finfo(wide).min)
    weights = nn.softmax(scores).astype(value.dtype)
    return jnp.einsum("bhsp,bhpf->bhsf", weights, value).reshape(batch, heads, slots, -1)


def attend_causally(
    query: jax.Array, key: jax.Array, value: jax.Array, prefix: jax.Array, t: Any
) -> jax.Array:
    """Causal attention to the prefix and to all positions up to the query's own.

    Many queries attend in blocks, each to the keys before its end if t is an integer, so that the
    masked half is skipped. The weights are computed again in the backward pass: memory grows with
    the length, not with its square. With three blocks:

        x x | . . | . .       blocks 1, 2 and 3 attend to 2, 4 and 6 keys
        x x | . . | . .
        x x   x x | . .
        x x   x x | . .
        x x   x x   x x
        x x   x x   x x

    Args:
      query: `[batch, heads, slots, features]`, at positions t, t + 1, ...
      key: `[batch, key_value_heads, prefix + keys, features]`, at 0, 1, ... after a prefix.
      value: `[batch, key_value_heads, prefix + keys, value_features]`.
      prefix: `[batch, prefix]` booleans, the mask of the prefix.
      t: the first position.

    Returns:
      `[batch, heads, slots, value_features]`.
    """
    before, slots = prefix.shape[1], query.shape[2]

    def look(key: jax.Array, value: jax.Array, query: jax.Array, start: Any) -> jax.Array:
        at = start + jnp.arange(query.shape[2])
        seen = jnp.arange(key.shape[2] - before) <= at[:, None]
        return attend(query, key, value, after_prefix(prefix, seen[None]))

    if slots <= BLOCK:
        # Decoding is compiled for a traced t, and reads the whole cache, masked.
        places = before + max(t + slots, 1) if isinstance(t, int) else key.shape[2]
        return look(key[:, :, :places], value[:, :, :places], query, t)
    look = jax.checkpoint(look)
    # The last key differs from group to group, and so does the compiled program: few groups suffice
    # to skip nearly half of the square.
    starts = np.linspace(0, slots, min(GROUPS, -(-slots // BLOCK)) + 1).astype(int)
    attended = []
    for start, stop in pairwise(starts):
        seen = before + t + int(stop) if isinstance(t, int) else key.shape[2]
        look_here = partial(look, key[:, :, :seen], value[:, :, :seen])
        attended.append(_in_pieces(look_here, query[:, :, start:stop], t + start))
    return jnp.concatenate(attended, axis=2)


def _in_pieces(look: Any, query: jax.Array, start: Any) -> jax.Array:
    """`look(query, start)`, at most about `BLOCK` slots at a time."""
    batch, heads, slots, size = query.shape
    count = -(-slots // BLOCK)
    if count == 1:
        return look(query, start)
    length = -(-slots // count)
    # [count, batch, heads, length, features]: the blocks of a group run one after the other.
    padded = jnp.pad(query, ((0, 0), (0, 0), (0, count * length - slots), (0, 0)))
    pieces = jnp.moveaxis(padded.reshape(batch, heads, count, length, size), 2, 0)
    starts = start + length * jnp.arange(count)
    out = jax.lax.map(lambda piece: look(*piece), (pieces, starts))
    return jnp.moveaxis(out, 0, 2).reshape(batch, heads, count * length, -1)[:, :, :slots]


def after_prefix(prefix: jax.Array, seen: jax.Array) -> jax.Array:
    """Puts the mask of a prefix, visible to all queries, `[batch, prefix]` before a mask of keys.

    `[1, ..., slots, keys]` -> `[batch or 1, ..., slots, prefix + keys]`.
    """
    batch, before = prefix.shape
    if before == 0:
        return seen
    prefix = prefix.reshape(batch, *(1,) * (seen.ndim - 2), before)
    shape = (batch, *seen.shape[1:-1])
    return jnp.concatenate(
        [jnp.broadcast_to(x, (*shape, x.shape[-1])) for x in (prefix, seen)], axis=-1
    )


def merge(x: jax.Array) -> jax.Array:
    """`[batch, heads, slots, features]` -> `[batch, slots, heads * features]`."""
    batch, heads, slots, features = x.shape
    return x.swapaxes(1, 2).reshape(batch, slots, heads * features)
