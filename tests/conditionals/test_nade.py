import jax
import numpy as np
import pytest

from ar_jax.conditionals import NADE
from ar_jax.orderings import Permutation, Raster
from ar_jax.testing import random_variables


@pytest.mark.parametrize("chunk", [1, 3, 4, 7, 50])
def test_nade_agrees_with_its_formula(chunk):
    """A second implementation: a loop over steps and the steps before each, in chunks."""
    order = (2, 0, 5, 1, 6, 3, 4)
    rng = np.random.default_rng(0)
    steps, vector = rng.normal(size=(2, 7, 3)), rng.normal(size=(2, 1, 2))
    context = (vector, np.ones((2, 1), bool))
    nade = NADE(hidden=5, activation="tanh", chunk=chunk)
    arguments = (steps, Permutation((7,), (), order), context, 2)
    with jax.enable_x64(True):
        variables = random_variables(nade, *arguments)
        got = nade.apply(variables, *arguments)
    p = jax.tree.map(np.asarray, variables["params"])
    (from_context,) = jax.tree.leaves(p["context_bias"])
    for t in range(7):
        total = p["hidden_bias"] + vector[:, 0] @ from_context
        for s in range(t):
            total = total + steps[:, s] @ p["kernel"][order[s]]
        hidden = np.tanh(total)
        expected = p["readout_bias"][order[t]] + hidden @ p["readout_kernel"][order[t]]
        np.testing.assert_allclose(got[:, t], expected, rtol=1e-12, atol=1e-12)


def test_chunks_do_not_change_the_gradient():
    steps = np.random.default_rng(0).normal(size=(2, 7, 1))
    nothing = (np.zeros((2, 0, 1)), np.zeros((2, 0), bool))
    with jax.enable_x64(True):
        variables = random_variables(NADE(hidden=5), steps, Raster((7,)), nothing, 1)

        def gradient(chunk):
            def total(variables):
                nade = NADE(hidden=5, chunk=chunk)
                return (nade.apply(variables, steps, Raster((7,)), nothing, 1) ** 2).sum()

            return jax.jit(jax.grad(total))(variables)

        expected, got = gradient(7), gradient(3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), got, expected)


def test_the_sum_stays_precise_in_half_precision():
    """4096 steps of 1/4096 add up to 1; a sum kept in bfloat16 stops growing far below."""
    length = 4096
    steps = np.ones((1, length, 1), jax.numpy.bfloat16)
    nothing = (np.zeros((1, 0, 1), np.float32), np.zeros((1, 0), bool))
    nade = NADE(hidden=1, activation="tanh", chunk=64)
    arguments = (steps, Raster((length,)), nothing, 1)
    shapes = jax.eval_shape(lambda: nade.init(jax.random.key(0), *arguments))
    variables = jax.tree.map(lambda x: np.zeros(x.shape, jax.numpy.bfloat16), shapes)
    p = variables["params"]
    p["kernel"][:], p["readout_kernel"][:] = 1 / length, 1
    got = np.asarray(nade.apply(variables, *arguments), np.float32)[0, :, 0]
    expected = np.tanh(np.arange(length) / length)
    np.testing.assert_allclose(got, expected, rtol=2**-7, atol=1e-6)


@pytest.mark.parametrize("field", ["hidden", "chunk"])
def test_a_size_of_nothing_is_refused(field):
    with pytest.raises(ValueError, match=f"{field}: expected at least 1, got 0"):
        NADE(**{field: 0}).check(Raster((3,)))
