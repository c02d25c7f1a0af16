import jax
import numpy as np
import pytest

from ar_jax.conditionals import PixelCNN
from ar_jax.orderings import Raster
from ar_jax.testing import close, random_variables


def picture(visible):
    return "\n".join("".join("x" if sees else "." for sees in row) for row in visible)


def test_pixelcnn_has_the_blind_spot_of_the_paper():
    """Three 3x3 layers above the first: what lies to the upper right stays hidden.

    A layer that steps one row up may step one column right, one that stays in its row may not.
    """
    visible = PixelCNN(blocks=3, first_kernel=3).dependency_mask(Raster((7, 9, 1)))
    of_middle = visible.reshape(7, 9, 7, 9)[5, 4]
    expected = """
        .........
        xxxxxxxxx
        xxxxxxxx.
        xxxxxxx..
        xxxxxx...
        xxxx.....
        .........
    """
    assert picture(of_middle).split() == expected.split()


@pytest.mark.parametrize("colour", [0, 1, 2])
def test_a_colour_sees_those_before_it_in_its_pixel(colour):
    visible = PixelCNN(blocks=1, channels=3, first_kernel=3).dependency_mask(Raster((3, 5, 3)))
    of_middle = visible.reshape(3, 5, 3, 3, 5, 3)[2, 2, colour]
    for other in range(3):
        expected = f"""
            xxxxx
            xxxx.
            xx{"x" if other < colour else "."}..
        """
        assert picture(of_middle[..., other]).split() == expected.split()


@pytest.mark.parametrize("colours", [1, 3])
def test_pixelcnn_agrees_with_masked_kernels(colours, masked_convolution):
    rng = np.random.default_rng(0)
    image, vector = rng.normal(size=(2, 6, 5, 3)), rng.normal(size=(2, 1, 4))
    net = PixelCNN(blocks=2, channels=6, head_channels=9, first_kernel=5)
    ordering = Raster((6, 5, 3), (1, 1, 3 // colours))
    with jax.enable_x64(True):
        context = (vector, np.ones((2, 1), bool))
        arguments = (ordering.to_steps(image), ordering, context, 7)
        variables = random_variables(net, *arguments)
        p = variables["params"]

        def bias(p):
            return (vector[:, 0] @ p["Dense_0"]["kernel"])[:, None, None]

        x = masked_convolution(image, p["first"]["dense"], 5, colours, "A") + bias(p["first_bias"])
        for block in (p["residuals_0"], p["residuals_1"]):
            inside = masked_convolution(jax.nn.relu(x), block["down"], 1, colours)
            inside = jax.nn.relu(inside + bias(block["context_bias"]))
            inside = masked_convolution(inside, block["conv"]["dense"], 3, colours)
            x += masked_convolution(jax.nn.relu(inside), block["up"], 1, colours)
        x = masked_convolution(jax.nn.relu(x), p["head"], 1, colours)
        x = masked_convolution(jax.nn.relu(x), p["readout"], 1, colours)
        expected = x.reshape(2, ordering.length, 7)
        close(net.apply(variables, *arguments), expected, "masked kernels")


def test_colours_that_cannot_share_out_the_channels_are_refused():
    with pytest.raises(ValueError, match=r"^channels: expected a multiple of 3, .*got 16$"):
        PixelCNN().check(Raster((2, 2, 3)))
    with pytest.raises(ValueError, match=r"^head_channels: expected a multiple of 3, .*got 32$"):
        PixelCNN(channels=15).check(Raster((2, 2, 3)))
