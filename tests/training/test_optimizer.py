import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.training import AdamW


def test_the_learning_rate_rises_to_its_peak_and_falls_to_its_end():
    rate = AdamW(learning_rate=0.5, warmup=0.1, final=0.2).schedule(100)
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(100)], [0, 0.25, 0.5, 0.1])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_runs_of_a_few_steps_have_a_learning_rate(steps):
    assert np.isfinite(AdamW().schedule(steps)(steps))


def test_weights_decay_and_biases_do_not():
    params = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    transformation = AdamW(learning_rate=1.0, warmup=0.0, weight_decay=0.5).transformation(10)
    state = transformation.init(params)
    zeros = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    _, state = transformation.update(zeros, state, params)  # the first has learning rate 0
    updates, _ = transformation.update(zeros, state, params)
    np.testing.assert_allclose(updates["kernel"], -0.5)
    np.testing.assert_array_equal(updates["bias"], 0)


def test_a_huge_gradient_is_clipped():
    params = {"kernel": jnp.zeros((2, 2))}
    transformation = AdamW(clip_norm=2.0).transformation(10)
    _, state = transformation.update(
        {"kernel": jnp.full((2, 2), 1e6)}, transformation.init(params), params
    )
    mean = state[1][0].mu["kernel"]  # 0.1 of the clipped gradient
    np.testing.assert_allclose(jnp.linalg.norm(mean), 0.2, rtol=1e-5)
