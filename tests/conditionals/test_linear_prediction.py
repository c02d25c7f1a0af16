import jax
import jax.numpy as jnp
import numpy as np

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import GRU, LinearPrediction, WaveNet
from ar_jax.heads import CoarseFineLogistic
from ar_jax.orderings import Raster

NOTHING = np.zeros((3, 0, 4)), np.zeros((3, 0), bool)


def test_it_keeps_to_its_past_and_decodes():
    net = LinearPrediction(WaveNet(layers=2, stacks=1, channels=4, skip_channels=8), 3, 8.0)
    ar.testing.check_conditional(net, Raster((7,)), inputs=1)
    ar.testing.check_rounding(net, Raster((7,)), inputs=1)


def test_drawing_costs_what_scoring_costs():
    net = LinearPrediction(WaveNet(layers=4, stacks=1, channels=8, skip_channels=8))
    model = ar.AutoregressiveModel(Raster((32, 2), (1, 2)), net, CoarseFineLogistic(17, 5))
    ar.testing.check_work(model)


def test_means_and_scales_are_those_of_weighted_least_squares():
    """Against numpy's, row by row, in a network whose own features are zero."""
    order, memory, length = 3, 20.0, 40
    net, rng = LinearPrediction(GRU(layers=1, width=2), order, memory), np.random.default_rng(0)
    x = 5 * rng.normal(size=(3, length, 1)).cumsum(axis=1)
    with jax.enable_x64(True):
        variables = net.init(jax.random.key(0), x, Raster((length,)), NOTHING, 3)
        variables = jax.tree.map(jnp.zeros_like, variables)
        got = np.asarray(net.apply(variables, x, Raster((length,)), NOTHING, 3))
    padded, weight = np.pad(x[0, :, 0], (2 * order, 0)), 2 / memory
    scale, missed = 1.0, []
    for t in range(length):
        rows = np.array([padded[2 * order + s - order : 2 * order + s][::-1] for s in range(t + 1)])
        decay = (1 - 1 / memory) ** np.arange(t - 1, -1, -1)
        past, known = rows[:t], x[0, :t, 0]
        ridge = 1e-5 * (decay * known**2).sum() + 1e-6
        left = (decay[:, None] * past).T @ past + ridge * np.eye(order)
        prediction = rows[t] @ np.linalg.solve(left, past.T @ (decay * known))
        if t:
            scale = (1 - weight) * (scale - 1e-3) + weight * abs(missed[-1]) + 1e-3
        missed.append(x[0, t, 0] - prediction)
        np.testing.assert_allclose(got[0, t], [0, prediction, np.log(scale)], 1e-9, 1e-9)
