from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import ImageGPT, ImageTransformer, PixelCNN, SparseTransformer, Transformer
from ar_jax.conditionals.transformer import Block
from ar_jax.nn import Axial, Learned, Rotary, Sinusoidal
from ar_jax.nn.positions import rotate
from ar_jax.orderings import Raster, Snake
from ar_jax.testing import random_variables


def silenced(variables, names):
    """With 0 for what lies under any of the names."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: 0 * leaf if names & {key.key for key in path} else leaf, variables
    )


def test_rotary_attention_depends_on_distances_along_each_axis():
    ordering = Raster((4, 4, 1))
    query, key = jax.random.normal(jax.random.key(0), (2, 1, 1, 1, 8))

    def score(at, to):
        t = jnp.array([at]), jnp.array([to])
        turned = [
            rotate(x, Rotary().rotation(8, slot, ordering))
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
    got = rotate(x[None, None, None], Rotary().rotation(4, jnp.array([3]), Raster((5,))))
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


def test_sinusoids_mark_the_axes_as_the_paper_marks_times():
    """Rows by the first half of the pairs, columns by the second: angles r, r/100, c, c/100."""
    marks = Sinusoidal().add(jnp.zeros((1, 6, 8)), jnp.arange(6), Raster((2, 3, 1)))[0]
    for slot, (row, column) in enumerate(np.ndindex(2, 3)):
        angles = np.array([row, row / 100, column, column / 100])
        expected = np.concatenate([np.sin(angles), np.cos(angles)])
        np.testing.assert_allclose(marks[slot], expected, rtol=1e-5, atol=1e-7)


def test_axial_positions_are_a_row_s_vector_and_a_column_s():
    x, t = np.zeros((1, 6, 4), np.float32), jnp.arange(6)
    variables = Axial().init(jax.random.key(0), x, t, Snake((2, 3, 1)), method="add")
    tables = variables["params"]
    assert {name: table.shape for name, table in tables.items()} == {
        "table_0": (2, 4),
        "table_1": (3, 4),
    }
    marks = Axial().apply(variables, x, t, Snake((2, 3, 1)), method="add")[0]
    places = [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0)]
    expected = [tables["table_0"][row] + tables["table_1"][column] for row, column in places]
    np.testing.assert_allclose(marks, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "net",
    [
        Transformer(layers=2, width=8, heads=2, window=3, activation="swiglu"),
        SparseTransformer(layers=4, width=8, heads=2, hidden=8, query_width=8, stride=3),
    ],
    ids=lambda net: type(net).__name__,
)
def test_scanned_and_rematerialised_layers_are_the_same_function(net):
    """Four layers of two patterns by turns are two stages: blocks 0, 2 and 1, 3 are stacked."""
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        context = (jnp.asarray(rng.normal(size=(2, 2, 3))), jnp.ones((2, 2), bool))
        steps, ordering = jnp.asarray(rng.normal(size=(2, 7, 2))), Raster((7,))
        weights = random_variables(net, steps, ordering, context, 3)["params"]

        def stacked(weights):
            rest = {key: value for key, value in weights.items() if "blocks" not in key}
            blocks = [weights[f"blocks_{i}"] for i in range(net.layers)]
            stage = {
                f"blocks_{i}": jax.tree.map(lambda *x: jnp.stack(x), *blocks[i :: net.period])
                for i in range(net.period)
            }
            return {**rest, "stage": stage}

        def run(net, stack, weights):
            weights = stacked(weights) if stack else weights
            out = net.apply({"params": weights}, steps, ordering, context, 3)
            return jnp.sin(out).sum(), out

        expected, *others = (
            jax.jit(jax.grad(partial(run, other, other.scan_layers), has_aux=True))(weights)
            for other in (
                net,
                net.clone(remat=True),
                net.clone(scan_layers=True),
                net.clone(scan_layers=True, remat=True),
            )
        )
    for got in others:
        for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11)


def test_scanned_layers_start_with_weights_of_their_own():
    net = Transformer(layers=3, width=8, heads=2, scan_layers=True)
    nothing = (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))
    weights = net.init(jax.random.key(0), jnp.ones((1, 4, 1)), Raster((4,)), nothing, 3)["params"]
    kernels = weights["stage"]["blocks_0"]["query_key_value"]["kernel"]
    assert kernels.shape == (3, 8, 24)
    assert len(np.unique(kernels[:, 0, 0])) == 3


def test_image_gpt_s_has_the_parameters_of_the_paper():
    """76M, of which the embedding of 512 colours and the readout, here the head's, are a part."""
    nothing = (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))
    shapes = jax.eval_shape(
        lambda: ImageGPT().init(
            jax.random.key(0), jnp.zeros((1, 1024, 512)), Raster((32, 32, 1)), nothing, 512
        )
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert 76.0e6 < count < 77.0e6


def test_a_cifar_sparse_transformer_has_the_parameters_of_the_paper():
    """59M."""
    nothing = (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))
    net = SparseTransformer(scan_layers=True)
    shapes = jax.eval_shape(
        lambda: net.init(
            jax.random.key(0), jnp.zeros((1, 3072, 256)), Raster((32, 32, 3)), nothing, 256
        )
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert 58.5e6 < count < 59.5e6


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


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (Transformer(width=12, heads=4), "heads: expected"),
        (Transformer(heads=4, key_value_heads=3), "key_value_heads: expected"),
        (Transformer(experts=2, experts_per_token=3), "experts_per_token: expected"),
        (Transformer(window=-1), "window: expected"),
        (SparseTransformer(layers=3, scan_layers=True), "layers: expected"),
        (SparseTransformer(stride=-1), "stride: expected"),
        (SparseTransformer(summaries=0), "summaries: expected"),
        (ImageTransformer(query=()), "query: expected"),
        (ImageTransformer(query=(2, 2)), "memory: expected"),
    ],
)
def test_a_size_that_cannot_be_is_refused_by_its_name(net, message):
    with pytest.raises(ValueError, match=f"^{message}.*, got"):
        net.check(Raster((4, 4, 1)))
