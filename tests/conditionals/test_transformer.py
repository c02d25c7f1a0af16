import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals import Rotary, Transformer
from ar_jax.conditionals.transformer import attend
from ar_jax.orderings import Raster


def test_attention_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=(1, 2, n, 4)).astype(np.float32) for n in (3, 5, 5))
    mask = np.tri(3, 5, 2, dtype=bool)[None]
    got = attend(query, key, value, mask)
    for head in range(2):
        for slot in range(3):
            seen = slot + 3
            weights = np.exp(key[0, head, :seen] @ query[0, head, slot] / 2)
            expected = weights @ value[0, head, :seen] / weights.sum()
            np.testing.assert_allclose(got[0, head, slot], expected, rtol=1e-5)


def test_rotary_attention_depends_on_distances_along_each_axis():
    ordering = Raster((4, 4, 1))
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def score(at, to):
        t = jnp.array([at]), jnp.array([to])
        turned = [
            Rotary().apply({}, x, slot, ordering, method="rotate")
            for x, slot in zip((query, key), t, strict=True)
        ]
        return (turned[0] * turned[1]).sum()

    np.testing.assert_allclose(score(5, 0), score(10, 5), rtol=1e-4)  # one down, one right
    np.testing.assert_allclose(score(6, 5), score(11, 10), rtol=1e-4)  # one right
    assert not np.isclose(score(5, 0), score(6, 0), rtol=1e-3)
    assert not np.isclose(score(1, 0), score(4, 0), rtol=1e-3)


def test_rotary_turns_as_the_paper_does():
    """One axis, two pairs: angles t and t / 100."""
    x = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    got = Rotary().apply({}, x[None, None, None], jnp.array([3]), Raster((5,)), method="rotate")
    pairs = (x[:2] + 1j * x[2:]) * np.exp(1j * 3 * np.array([1, 0.01]))
    np.testing.assert_allclose(got[0, 0, 0], [*pairs.real, *pairs.imag], rtol=1e-5)


def test_dropout_is_on_exactly_when_its_key_is_given():
    net = Transformer(layers=1, width=16, heads=2, dropout=0.5)
    steps = jnp.ones((2, 4, 1))
    arguments = (steps, Raster((4,)), (jnp.zeros((2, 0, 1)), jnp.zeros((2, 0), bool)), 3)
    variables = net.init(jax.random.key(0), *arguments)
    off, again = (net.apply(variables, *arguments) for _ in range(2))
    on, other = (
        net.apply(variables, *arguments, rngs={"dropout": jax.random.key(k)}) for k in (0, 1)
    )
    np.testing.assert_array_equal(off, again)
    assert not np.allclose(on, off)
    assert not np.allclose(on, other)
