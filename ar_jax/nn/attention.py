"""Attention: each slot averages the values of the places that it may look at."""

from functools import partial
from itertools import pairwise
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

BLOCK = 128
"""Slots that look together; up to so many are one plain masked square."""

GROUPS = 8
"""Groups of blocks that differ in how many places they look at: each is compiled by itself."""


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array) -> jax.Array:
    """Scaled dot-product attention; the softmax is in float32 or wider.

    Args:
      query: `[batch, heads, slots, features]`.
      key: `[batch, key_value_heads, places, features]`, each for heads / key_value_heads
        successive heads.
      value: `[batch, key_value_heads, places, value_features]`.
      mask: `[batch or 1, slots or 1, places]`, true where a slot may look.

    Returns:
      `[batch, heads, slots, value_features]`.
    """
    batch, heads, slots, size = query.shape
    shared = key.shape[1]
    wide = jnp.promote_types(query.dtype, jnp.float32)
    # The heads that share a key stand below each other, as more rows of one product.
    query = (query * size**-0.5).reshape(batch, shared, -1, size)
    mask = mask if mask.shape[1] == 1 else jnp.tile(mask, (1, heads // shared, 1))
    scores = jnp.einsum("bhsf,bhpf->bhsp", query, key, preferred_element_type=wide)
    scores = jnp.where(mask[:, None], scores, jnp.finfo(wide).min)
    weights = nn.softmax(scores).astype(value.dtype)
    return jnp.einsum("bhsp,bhpf->bhsf", weights, value).reshape(batch, heads, slots, -1)


def attend_causally(
    query: jax.Array, key: jax.Array, value: jax.Array, prefix: jax.Array, t: Any
) -> jax.Array:
    """Attention to the prefix and to all slots up to one's own.

    Many slots look in blocks, each at the places before its end if t is an integer, so that the
    masked half is skipped. Their weights are computed again in the backward pass: what is kept
    grows with the length, not with its square. With three blocks:

        x x | . . | . .       blocks 1, 2 and 3 look at 2, 4 and 6 places
        x x | . . | . .
        x x   x x | . .
        x x   x x | . .
        x x   x x   x x
        x x   x x   x x

    Args:
      query: `[batch, heads, slots, features]` of slots t, t + 1, ...
      key: `[batch, key_value_heads, prefix + places, features]`, of slots 0, 1, ... after a prefix.
      value: as key.
      prefix: `[batch, prefix]`, which places of the prefix count.
      t: the first slot.

    Returns:
      `[batch, heads, slots, features]`.
    """
    before, slots = prefix.shape[1], query.shape[2]

    def look(key: jax.Array, value: jax.Array, query: jax.Array, start: Any) -> jax.Array:
        at = start + jnp.arange(query.shape[2])
        seen = jnp.arange(key.shape[2] - before) <= at[:, None]
        return attend(query, key, value, after_prefix(prefix, seen[None]))

    if slots <= BLOCK:
        # Decoding is compiled for a traced t, and reads all places.
        places = before + max(t + slots, 1) if isinstance(t, int) else key.shape[2]
        return look(key[:, :, :places], value[:, :, :places], query, t)
    look = jax.checkpoint(look)
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
    padded = jnp.pad(query, ((0, 0), (0, 0), (0, count * length - slots), (0, 0)))
    pieces = jnp.moveaxis(padded.reshape(batch, heads, count, length, size), 2, 0)
    starts = start + length * jnp.arange(count)
    out = jax.lax.map(lambda piece: look(*piece), (pieces, starts))
    return jnp.moveaxis(out, 0, 2).reshape(batch, heads, count * length, -1)[:, :, :slots]


def after_prefix(prefix: jax.Array, seen: jax.Array) -> jax.Array:
    """The mask of a prefix that all see `[batch, prefix]` before a mask of places.

    `[1, ..., slots, places]` -> `[batch or 1, ..., slots, prefix + places]`.
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
