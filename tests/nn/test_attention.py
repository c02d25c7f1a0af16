import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import ImageTransformer, SparseTransformer, Transformer
from ar_jax.nn.attention import attend, attend_causally
from ar_jax.nn.attention_patterns import (
    Causal,
    Column,
    KVCache,
    Local,
    LocalImage,
    SlidingWindow,
    Summaries,
)  # fmt: skip
from ar_jax.orderings import Raster


def by_loop(query, key, value, mask):
    """What each slot of each head averages, one after the other: `mask(batch, slot, place)`."""
    batch, heads, slots, size = query.shape
    shared = heads // key.shape[1]
    out = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, h, t in np.ndindex(batch, heads, slots):
        seen = [s for s in range(key.shape[2]) if mask(b, t, s)]
        weights = np.exp(key[b, h // shared, seen] @ query[b, h, t] / np.sqrt(size))
        out[b, h, t] = weights @ value[b, h // shared, seen] / weights.sum()
    return out


def draw(slots, places, heads=4, key_value_heads=2):
    rng = np.random.default_rng(0)
    shapes = (heads, slots, 6), (key_value_heads, places, 6), (key_value_heads, places, 5)
    return [rng.normal(size=(2, *shape)) for shape in shapes]


@pytest.mark.parametrize("key_value_heads", [1, 2, 4])
def test_heads_share_keys_and_values_in_their_order(key_value_heads):
    arrays = draw(3, 5, key_value_heads=key_value_heads)
    mask = np.random.default_rng(1).random((2, 3, 5)) < 0.5
    mask[:, :, 2] = True
    with jax.enable_x64(True):
        got = attend(*map(jnp.asarray, arrays), jnp.asarray(mask))
    expected = by_loop(*arrays, lambda b, t, s: mask[b, t, s])
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(("block", "groups"), [(4, 8), (3, 2)])
def test_attention_in_blocks_agrees_with_a_loop(monkeypatch, block, groups, traced):
    """13 slots from the 2nd on, after a prefix of 3: uneven blocks, and pieces of blocks."""
    monkeypatch.setattr("ar_jax.nn.attention.BLOCK", block)
    monkeypatch.setattr("ar_jax.nn.attention.GROUPS", groups)
    arrays = draw(13, 3 + 20)
    prefix = np.array([[True, False, True], [True, True, True]])
    expected = by_loop(*arrays, lambda b, t, s: prefix[b, s] if s < 3 else s - 3 <= t + 2)
    with jax.enable_x64(True):
        query, key, value = map(jnp.asarray, arrays)
        t = jnp.asarray(2) if traced else 2

        def loss(query, key, value, attention):
            return jnp.sin(attention(query, key, value)).sum()

        def in_blocks(query, key, value):
            return attend_causally(query, key, value, jnp.asarray(prefix), t)

        def plainly(query, key, value):
            causal = jnp.broadcast_to(jnp.tri(13, 20, 2, dtype=bool), (2, 13, 20))
            first = jnp.broadcast_to(prefix[:, None], (2, 13, 3))
            return attend(query, key, value, jnp.concatenate([first, causal], axis=-1))

        np.testing.assert_allclose(in_blocks(query, key, value), expected, rtol=1e-12)
        got, wanted = (
            jax.grad(loss, (0, 1, 2))(query, key, value, attention)
            for attention in (in_blocks, plainly)
        )
        for x, y in zip(got, wanted, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-12)


def sizes(jaxpr):
    """The number of elements of every array that a jaxpr and those inside it make."""
    for eqn in jaxpr.eqns:
        yield from (variable.aval.size for variable in eqn.outvars)
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from sizes(inner)


@pytest.mark.parametrize(
    "net",
    [
        Transformer(layers=1, width=8, heads=1),
        Transformer(layers=1, width=8, heads=1, window=64),
        SparseTransformer(layers=2, width=8, heads=1, hidden=8, query_width=8, stride=64),
        ImageTransformer(layers=1, width=8, heads=1, query=(64,), memory=(64,)),
    ],
    ids=lambda net: type(net).__name__,
)
def test_training_on_long_sequences_makes_no_square(net):
    ordering = Raster((4096,))
    nothing = (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))
    steps = jnp.zeros((1, 4096, 1))
    variables = jax.eval_shape(lambda: net.init(jax.random.key(0), steps, ordering, nothing, 1))

    def loss(variables):
        return net.apply(variables, steps, ordering, nothing, 1).sum()

    largest = max(sizes(jax.make_jaxpr(jax.grad(loss))(variables).jaxpr))
    assert 4096 * 32 <= largest <= 4096**2 / 16


def in_one_block(t, s):  # blocks of 3, a memory of 2
    return s <= t and s >= 3 * (t // 3) - 2


def in_one_rectangle(t, s):  # 2 x 2, one row above and one column at each side, image 5 wide
    (row, column), (r, c) = divmod(t, 5), divmod(s, 5)
    rows, columns = row // 2 * 2 - 1 <= r, column // 2 * 2 - 1 <= c <= column // 2 * 2 + 2
    return s <= t and rows and columns


PATTERNS = {
    Causal(): lambda t, s: s <= t,
    SlidingWindow(3): lambda t, s: s in (t - 2, t - 1, t),
    Local(3, 2): in_one_block,
    LocalImage(5, (2, 2), (1, 1)): in_one_rectangle,
    Column(4): lambda t, s: s in range(t, -1, -4),
    Summaries(4, 2): lambda t, s: s == t or (s < t and s % 4 in (2, 3)),
}


@pytest.mark.parametrize("prefix_length", [0, 2])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: type(pattern).__name__)
def test_a_pattern_agrees_with_a_loop_all_at_once_and_in_pieces(pattern, prefix_length):
    length, rule = 17, PATTERNS[pattern]
    arrays = draw(length, prefix_length + length)
    prefix = np.array([[True, False], [True, True]])[:, :prefix_length]

    def mask(b, t, s):
        return prefix[b, s] if s < prefix_length else rule(t, s - prefix_length)

    expected = by_loop(*arrays, mask)
    with jax.enable_x64(True):
        query, key, value = map(jnp.asarray, arrays)
        slots = prefix_length + pattern.cache_length(length)
        empty = KVCache(
            *(
                jnp.zeros((2, 2, slots, x.shape[-1]))
                .at[:, :, :prefix_length]
                .set(x[:, :, :prefix_length])
                for x in (key, value)
            )
        )

        def run(kept, start, stop, t):
            new = KVCache(*(x[:, :, prefix_length:][:, :, start:stop] for x in (key, value)))
            return pattern.extend(query[:, :, start:stop], new, kept, jnp.asarray(prefix), t)

        whole, _ = run(empty, 0, length, 0)
        pieces, kept = [], empty
        for start, stop in ((0, 6), (6, 7), (7, 12), (12, 17)):
            piece, kept = run(kept, start, stop, start and jnp.asarray(start))
            pieces.append(piece)
    np.testing.assert_allclose(whole, expected, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(pieces, axis=2), expected, rtol=1e-12)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_two_layers_of_a_sparse_transformer_see_everything(pattern):
    ordering = Raster((5, 6, 1))
    nets = [SparseTransformer(layers=layers, pattern=pattern, summaries=1) for layers in (1, 2)]
    few, all_of_them = (net.dependency_mask(ordering) for net in nets)
    assert few.sum() < all_of_them.sum()
    np.testing.assert_array_equal(all_of_them, np.tri(30, k=-1, dtype=bool))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_each_layer_of_a_window_sees_its_size_less_one_further(layers):
    visible = Transformer(layers=layers, window=4).dependency_mask(Raster((20,)))
    t, s = np.ogrid[:20, :20]
    np.testing.assert_array_equal(visible, (s < t) & (t - s <= 3 * layers + 1))


def test_half_precision_attention_averages_in_single_precision():
    """A thousand equal weights of 1/1000 in bfloat16 would not add up to the mean."""
    query, key = jnp.zeros((1, 1, 1, 8), jnp.bfloat16), jnp.zeros((1, 1, 1000, 8), jnp.bfloat16)
    value = jnp.ones((1, 1, 1000, 8), jnp.bfloat16)
    got = attend(query, key, value, jnp.ones((1, 1, 1000), bool))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(np.float32), 1, rtol=1e-2)
