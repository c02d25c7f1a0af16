import jax
import numpy as np
import pytest

from ar_jax import AutoregressiveModel
from ar_jax.conditionals import FVSBN, MADE
from ar_jax.conditionals.made import hidden_degrees
from ar_jax.heads import Bernoulli
from ar_jax.orderings import Permutation, Raster
from ar_jax.testing import decoding_work, random_variables, to_float32

CONTEXT = (np.ones((1, 1, 1)), np.ones((1, 1), bool))


def dense(layer, sources, degree, unit):
    """One unit of a masked layer, source by source."""
    kernel, bias = layer
    return bias[unit] + sum(
        kernel[unit, k] * value for k, (value, source) in enumerate(sources) if source <= degree
    )


def test_degrees_come_in_equal_groups_spread_over_the_steps():
    np.testing.assert_array_equal(hidden_degrees(4, 4), [0, 1, 2, 3])
    np.testing.assert_array_equal(hidden_degrees(8, 4), [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(hidden_degrees(2, 4), [0, 2])
    np.testing.assert_array_equal(hidden_degrees(7, 4), [0, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(hidden_degrees(5, 4), [0, 0, 1, 1, 2])


@pytest.mark.parametrize("residual", [False, True])
def test_made_agrees_with_its_masks_written_out(residual):
    """A second implementation: loops over single units, in an order that is not the raster's."""
    order, width = (2, 0, 1), 2
    ordering = Permutation((3,), (), order)
    steps = np.random.default_rng(0).normal(size=(1, 3, width))
    made = MADE(hidden=(4, 4), activation="tanh", residual=residual)
    with jax.enable_x64(True):
        variables = random_variables(made, steps, ordering, CONTEXT, 1)
        got = made.apply(variables, steps, ordering, CONTEXT, 1)[0, :, 0]
    p = {name: np.asarray(value) for name, value in variables["params"].items()}
    layers = [(p[f"hidden_{i}_kernel"], p[f"hidden_{i}_bias"]) for i in range(len(p) // 2 - 1)]
    assert len(layers) == (5 if residual else 2)
    degrees = [0, 0, 1, 1]
    inputs = [(1.0, 0)]
    for cell in range(3):  # weights belong to the cells
        s = order.index(cell)
        inputs += [(steps[0, s, i], s + 1) for i in range(width)]

    def layer(sources, i):
        return np.array([dense(layers[i], sources, d, u) for u, d in enumerate(degrees)])

    def sources(values):
        return list(zip(values, degrees, strict=True))

    if residual:
        x = layer(inputs, 0)
        for i in (1, 3):
            x = x + layer(sources(np.tanh(layer(sources(x), i))), i + 1)
    else:
        x = np.tanh(layer(sources(np.tanh(layer(inputs, 0))), 1))
    readout = (p["readout_kernel"], p["readout_bias"])
    for t in range(3):
        expected = dense(readout, sources(x) + inputs, t, order[t])
        np.testing.assert_allclose(got[t], expected, rtol=1e-12)


def test_a_connectivity_shuffles_which_unit_has_which_degree():
    """A hidden unit of degree d reads the context and d steps: those are its inputs' gradients."""
    ordering, units = Raster((6,)), 12
    steps = np.random.default_rng(0).normal(size=(1, 6, 1)).astype(np.float32)
    counts = []
    for connectivity in (0, 1, 2):
        made = MADE(hidden=(units,), activation="tanh", connectivity=connectivity)
        variables = random_variables(made, steps, ordering, to_float32(CONTEXT), 1)

        def hidden(steps, made=made, variables=variables):
            cache = made.apply(
                variables, steps[:, 0], ordering, to_float32(CONTEXT), method="init_cache"
            )
            garbage_first = np.roll(np.arange(6), 1)
            (_, (x,)), _ = made.apply(
                variables, cache, steps[:, garbage_first], 0, ordering, 1, method="extend"
            )
            return x[0]

        counts.append((jax.jit(jax.jacrev(hidden))(steps)[:, 0, :, 0] != 0).sum(axis=1))
    np.testing.assert_array_equal(counts[0], np.arange(units) // 2)
    for shuffled in counts[1:]:
        np.testing.assert_array_equal(np.sort(shuffled), counts[0])
    assert len({tuple(np.asarray(count)) for count in counts}) == 3


def test_the_network_without_hidden_layers_is_a_masked_regression():
    order = (1, 3, 0, 2)
    steps = np.random.default_rng(0).normal(size=(1, 4, 1))
    arguments = (steps, Permutation((4,), (), order), CONTEXT, 2)
    with jax.enable_x64(True):
        variables = random_variables(FVSBN(), *arguments)
        got = FVSBN().apply(variables, *arguments)[0]
    kernel = np.asarray(variables["params"]["readout_kernel"]).reshape(4, 2, 5)
    bias = np.asarray(variables["params"]["readout_bias"]).reshape(4, 2)
    for t in range(4):
        expected = bias[order[t]] + kernel[order[t], :, 0]  # the context is a one
        for s in range(t):
            expected = expected + kernel[order[t], :, 1 + order[s]] * steps[0, s, 0]
        np.testing.assert_allclose(got[t], expected, rtol=1e-12)


def test_work_is_counted_as_it_is():
    """MADE 3-4-3 with direct connections: 3 x 4 + (4 + 3) x 3 multiply-adds."""
    model = AutoregressiveModel(Raster((3,)), MADE(hidden=(4,)), Bernoulli())
    assert decoding_work(model) == (33, 33)


def test_without_direct_connections_all_is_seen_by_a_unit_for_each_step():
    """MADE 3-4-3: 3 x 4 + 4 x 3 multiply-adds; 8,000 units see all of 784 pixels, 5 of 6 not."""
    made = MADE(hidden=(4,), direct=False)
    assert decoding_work(AutoregressiveModel(Raster((3,)), made, Bernoulli())) == (24, 24)
    pixels = Permutation.random((784,))
    wide = MADE(hidden=(8000,), direct=False)
    np.testing.assert_array_equal(wide.dependency_mask(pixels), np.tri(784, k=-1, dtype=bool))
    seen = MADE(hidden=(5,), direct=False).dependency_mask(Raster((6,)))
    # Degrees 0, 1, 2, 3, 4: the last step sees what the one before it does.
    np.testing.assert_array_equal(seen.sum(axis=1), [0, 1, 2, 3, 4, 4])


def test_hidden_layers_that_make_no_network_are_refused():
    for made, expected in (
        (
            MADE(hidden=()),
            r"hidden: expected at least 1 unit in each of at least 1 layer, got \(\)",
        ),
        (MADE(hidden=(4, 5), residual=True), r"hidden: expected residual blocks of one size"),
    ):
        with pytest.raises(ValueError, match=expected):
            made.check(Raster((3,)))
