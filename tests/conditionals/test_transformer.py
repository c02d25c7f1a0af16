import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import Learned, PixelCNN, Rotary, Transformer
from ar_jax.conditionals.attention import attend
from ar_jax.conditionals.transformer import Block
from ar_jax.orderings import Raster, Snake
from ar_jax.testing import random_variables


def silenced(variables, names):
    """With 0 for what lies under any of the names."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if names & {key.key for key in path} else leaf, variables
    )


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


class Moved(Raster):
    @property
    def coordinates(self):
        return self.order[:, None] + 5


class Stretched(Raster):
    @property
    def coordinates(self):
        return 2 * self.order[:, None]


def test_a_rotary_transformer_tells_distances_not_places():
    net = Transformer(layers=1, width=16, heads=2, positions=Rotary())
    steps = jax.random.normal(jax.random.key(0), (1, 6, 2))
    nothing = (np.zeros((1, 0, 1), np.float32), np.zeros((1, 0), bool))
    variables = random_variables(net, steps, Raster((6,)), nothing, 3)
    here, moved, stretched = (
        net.apply(variables, steps, ordering((6,)), nothing, 3)
        for ordering in (Raster, Moved, Stretched)
    )
    np.testing.assert_allclose(moved, here, rtol=1e-3, atol=1e-4)
    assert not np.allclose(stretched, here, atol=1e-2)


def test_a_learned_position_belongs_to_a_place_not_to_a_time():
    x, t = np.zeros((1, 6, 4), np.float32), jnp.arange(6)
    variables = Learned().init(jax.random.key(0), x, t, Raster((2, 3, 1)), method="add")
    raster, snake = (
        Learned().apply(variables, x, t, ordering((2, 3, 1)), method="add")[0]
        for ordering in (Raster, Snake)
    )
    assert len(np.unique(raster, axis=0)) == 6
    np.testing.assert_array_equal(snake, raster[np.array([0, 1, 2, 5, 4, 3])])


@pytest.mark.parametrize(
    "make",
    [
        lambda n: PixelCNN(blocks=n, channels=4),
        lambda n: Transformer(layers=n, width=16, heads=2),
        lambda n: Transformer(layers=n, width=16, heads=2, cross_attention=True),
    ],
)
def test_layers_that_add_nothing_change_nothing(make):
    context = (jnp.ones((1, 2, 4)), jnp.ones((1, 2), bool))
    arguments = (jnp.ones((1, 6, 1)), Raster((2, 3, 1)), context, 3)
    last = {"up", "down", "attention_out", "cross_out"}
    variables = silenced(random_variables(make(2), *arguments), last)
    expected = make(0).apply(variables, *arguments)
    np.testing.assert_allclose(make(2).apply(variables, *arguments), expected, rtol=1e-4)


@pytest.mark.parametrize("silent", [{"down"}, {"attention_out"}], ids=str)
def test_dropout_is_on_what_each_sublayer_adds(silent):
    """64 coins: fewer than 11 or more than 53 on one side has odds of 1e-7."""
    block = Block(width=64, heads=2, hidden=8, dropout=0.5, cross_attention=False)
    arguments = (jnp.ones((1, 1, 64)), jnp.ones((1, 2, 1, 32)), None)
    variables = silenced(random_variables(block, *arguments, method="update"), silent)
    rngs = {"dropout": jax.random.key(0)}
    added = block.apply(variables, *arguments, rngs=rngs, method="update") - arguments[0]
    assert 10 < (added == 0).sum() < 54


def test_the_context_reaches_every_layer_of_a_pixelcnn():
    net = PixelCNN(blocks=1, channels=4)

    def run(value):
        context = (jnp.full((1, 1, 4), value), jnp.ones((1, 1), bool))
        arguments = (jnp.ones((1, 6, 1)), Raster((2, 3, 1)), context, 3)
        return net.apply(silenced(random_variables(net, *arguments), {"first_bias"}), *arguments)

    assert not np.allclose(run(0.0), run(1.0))
