import jax
import numpy as np

from ar_jax import AutoregressiveModel
from ar_jax.conditionals import MADE, PixelCNN
from ar_jax.conditionals.masked_mlp import hidden_degrees
from ar_jax.heads import Bernoulli
from ar_jax.orderings import Raster
from ar_jax.testing import decoding_work, random_variables


def test_degrees_come_in_equal_groups_spread_over_the_steps():
    np.testing.assert_array_equal(hidden_degrees(4, 4), [0, 1, 2, 3])
    np.testing.assert_array_equal(hidden_degrees(8, 4), [0, 0, 1, 1, 2, 2, 3, 3])
    np.testing.assert_array_equal(hidden_degrees(2, 4), [0, 2])
    np.testing.assert_array_equal(hidden_degrees(7, 4), [0, 0, 1, 1, 2, 2, 3])
    np.testing.assert_array_equal(hidden_degrees(5, 4), [0, 0, 1, 1, 2])


def test_made_agrees_with_its_masks_written_out():
    """A second implementation: loops over single units."""
    ordering, width = Raster((3,)), 2
    steps = np.random.default_rng(0).normal(size=(1, 3, width)).astype(np.float32)
    context = (np.ones((1, 1, 1), np.float32), np.ones((1, 1), bool))
    made = MADE(hidden=(4,), activation="tanh")
    variables = random_variables(made, steps, ordering, context, 1)
    got = made.apply(variables, steps, ordering, context, 1)[0, :, 0]
    p = variables["params"]
    inputs = [(1.0, 0)] + [(steps[0, s, i], s + 1) for s in range(3) for i in range(width)]
    hidden = []
    for unit, degree in enumerate([0, 0, 1, 1]):
        total = p["bias_0"][unit]
        for k, (value, source) in enumerate(inputs):
            total += value * p["kernel_0"][k, unit] if source <= degree else 0
        hidden.append((np.tanh(total), degree))
    for t in range(3):
        total = p["bias_1"][t]
        for k, (value, source) in enumerate(hidden + inputs):
            total += value * p["kernel_1"][k, t] if source <= t else 0
        np.testing.assert_allclose(got[t], total, rtol=1e-5)


def test_pixelcnn_has_the_blind_spot_of_the_paper():
    """Three 3x3 layers above the first: what lies to the upper right stays hidden.

    A layer that steps one row up may step one column right, one that stays in its row may not.
    """
    visible = PixelCNN(blocks=3, first_kernel=3).visible(Raster((7, 9, 1)))
    of_middle = visible.reshape(7, 9, 7, 9)[5, 4].astype(int)
    expected = """
        000000000
        111111111
        111111110
        111111100
        111111000
        111100000
        000000000
    """
    got = "\n".join("".join(map(str, row)) for row in of_middle)
    assert got.split() == expected.split()


def test_pixelcnn_agrees_with_a_masked_convolution():
    """A second implementation: XLA's convolution with a masked kernel."""
    image = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    net = PixelCNN(blocks=0, channels=4, first_kernel=5)
    context = (np.zeros((2, 0, 1), np.float32), np.zeros((2, 0), bool))
    arguments = (image.reshape(2, 30, 3), Raster((6, 5, 1)), context, 7)
    variables = random_variables(net, *arguments)
    got = net.apply(variables, *arguments)
    p = variables["params"]
    kernel = np.zeros((5, 5, 3, 8), np.float32)
    kernel.reshape(25, 3, 8)[:12] = p["first"]["dense"]["kernel"].reshape(12, 3, 8)
    x = jax.lax.conv_general_dilated(
        image, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(x + p["first"]["dense"]["bias"])
    x = jax.nn.relu(x @ p["head"]["kernel"] + p["head"]["bias"])
    expected = x @ p["readout"]["kernel"] + p["readout"]["bias"]
    np.testing.assert_allclose(got, expected.reshape(2, 30, 7), rtol=2e-4, atol=2e-5)


def test_work_is_counted_as_it_is():
    """MADE 3-4-3 with direct connections: 3 x 4 + (4 + 3) x 3 multiply-adds."""
    model = AutoregressiveModel(Raster((3,)), MADE(hidden=(4,)), Bernoulli())
    assert decoding_work(model) == (33, 33)
