import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import GRU, LSTM
from ar_jax.orderings import Raster

ORDERING = Raster((6,))
NOTHING = (jnp.zeros((2, 0, 1)), jnp.zeros((2, 0), bool))
STEPS = jax.random.normal(jax.random.key(0), (2, 6, 3))


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_dropout_is_on_with_its_key_and_spares_what_is_passed_on_in_time(make):
    """With one layer it hides hidden states from the readout only: some are 0, others doubled."""
    net = make(layers=1, width=32, dropout=0.5)
    variables = net.init(jax.random.key(0), STEPS, ORDERING, NOTHING, 32)
    readout = {"kernel": jnp.eye(32), "bias": jnp.zeros(32)}
    variables = {"params": {**variables["params"], "readout": readout}}
    hidden = net.apply(variables, STEPS, ORDERING, NOTHING, 32)[:, 1:]  # the first are 0
    assert (hidden != 0).all()
    key = {"dropout": jax.random.key(1)}
    dropped = net.apply(variables, STEPS, ORDERING, NOTHING, 32, rngs=key)[:, 1:]
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * hidden[kept], rtol=1e-5)
    assert 0.3 < kept.mean() < 0.7  # of 320: by chance with odds below 1e-11


def test_forget_gates_are_open_at_first():
    variables = LSTM(layers=2, width=4, forget_bias=1.5).init(
        jax.random.key(0), STEPS, ORDERING, NOTHING, 3
    )
    for i in range(2):
        bias = variables["params"][f"stack_{i}"]["inputs"]["bias"].reshape(4, 4)
        np.testing.assert_array_equal(bias, np.array([0, 1.5, 0, 0])[:, None] * np.ones(4))


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_in_half_precision_what_sums_over_steps_is_wider(make):
    net = make(layers=1, width=8)
    variables = net.init(jax.random.key(0), STEPS, ORDERING, NOTHING, 3)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (variables, STEPS, NOTHING[0]))
    variables, steps, vectors = half
    context = (vectors, NOTHING[1])
    assert net.apply(variables, steps, ORDERING, context, 3).dtype == jnp.bfloat16
    cache = net.apply(variables, steps[:, 0], ORDERING, context, method="init_cache")
    cache, out = net.apply(variables, cache, steps[:, 0], 0, ORDERING, 3, method="step")
    assert out.dtype == jnp.bfloat16
    ((state, _),) = cache
    assert jax.tree.leaves(state)[-1].dtype == jnp.float32  # the hidden state, or the cell


@pytest.mark.parametrize("make", [GRU, LSTM])
def test_no_layers_are_refused_in_one_line(make):
    with pytest.raises(ValueError, match=r"^layers: expected at least 1, got 0$"):
        make(layers=0).check(ORDERING)
