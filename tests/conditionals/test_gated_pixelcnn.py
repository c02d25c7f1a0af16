import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import GatedPixelCNN
from ar_jax.orderings import Raster
from ar_jax.testing import close, random_variables


def test_no_spot_within_reach_is_blind():
    """The first layer of 5x5 reaches two away, each of the three after it one further."""
    net = GatedPixelCNN(layers=3, first_kernel=5)
    visible = net.dependency_mask(Raster((8, 13, 1))).reshape(8, 13, 8, 13)
    reach = 2 + 3
    for row, column in ((0, 0), (3, 12), (6, 6), (7, 4)):
        expected = np.zeros((8, 13), bool)
        above, left = max(row - reach, 0), max(column - reach, 0)
        expected[above:row, left : column + reach + 1] = True
        expected[row, left:column] = True
        np.testing.assert_array_equal(visible[row, column], expected)


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_a_colour_sees_those_before_it_in_its_pixel(colour):
    net = GatedPixelCNN(layers=1, channels=3, first_kernel=3)
    of_middle = net.dependency_mask(Raster((3, 5, 3))).reshape(3, 5, 3, 3, 5, 3)[1, 2, colour]
    for other in range(3):
        expected = np.zeros((3, 5), bool)
        expected[0], expected[1, :2], expected[1, 2] = True, True, other < colour
        np.testing.assert_array_equal(of_middle[..., other], expected)


@pytest.mark.parametrize("colours", [1, 3])
def test_gated_pixelcnn_agrees_with_masked_kernels(colours, masked_convolution):
    rng = np.random.default_rng(0)
    image, vector = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(2, 1, 4))
    net = GatedPixelCNN(layers=2, channels=6, head_channels=9, first_kernel=5)
    ordering = Raster((6, 5, 3), (1, 1, 3 // colours))

    def gate(x, colours):
        groups = np.split(np.arange(12), colours)
        tanh = jnp.tanh(x[..., np.concatenate([g[: len(g) // 2] for g in groups])])
        return tanh * jax.nn.sigmoid(x[..., np.concatenate([g[len(g) // 2 :] for g in groups])])

    with jax.enable_x64(True):
        context = (vector, np.ones((2, 1), bool))
        arguments = (ordering.to_steps(image), ordering, context, 7)
        variables = random_variables(net, *arguments)
        p = variables["params"]

        def bias(p):
            return (vector[:, 0] @ p["Dense_0"]["kernel"])[:, None, None]

        v = h = image
        for i, side in enumerate((5, 3, 3)):
            layer, kind = p[f"gated_{i}"], "B" if i else "A"
            v = masked_convolution(v, layer["vertical"]["dense"], side, 1)
            v += bias(layer["vertical_bias"])
            h_taps = layer["horizontal"]["dense"]
            gates = masked_convolution(h, h_taps, side, colours, kind, first_row=side // 2)
            gates += bias(layer["horizontal_bias"]) + v @ layer["link"]["kernel"]
            out = masked_convolution(gate(gates, colours), layer["out"], 1, colours)
            v, h = gate(v, 1), h + out if i else out
        h = masked_convolution(jax.nn.relu(h), p["last"]["head"], 1, colours)
        h = masked_convolution(jax.nn.relu(h), p["last"]["readout"], 1, colours)
        expected = h.reshape(2, ordering.length, 7)
        close(net.apply(variables, *arguments), expected, "masked kernels")


def test_bad_kernels_and_channels_are_refused():
    for bad, message in (
        ({"first_kernel": 4}, "first_kernel: expected an odd number, got 4"),
        ({"first_kernel": 1}, "first_kernel: expected at least 3, got 1"),
        ({"channels": 128}, "channels: expected a multiple of 3, the colours of a pixel, got 128"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            GatedPixelCNN(**bad).check(Raster((2, 2, 3)))
