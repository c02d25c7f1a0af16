import jax
import numpy as np
import pytest
from scipy.special import expit

from ar_jax.conditionals import RowLSTM
from ar_jax.conditionals.row_lstm import ResidualRowLSTM
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables


def row_lstm(x, parameters, kernel, colours, masked):
    """The layer pixel by pixel, as section 3.1 of arXiv 1601.06759 has it.

    Args:
      x: `[height, width, 2h]`.
      parameters: of the layer.
      kernel: k.
      colours: of a pixel, in order; h features in as many groups, and so their gates.
      masked: the fixture.
    """
    height, width, channels = x.shape
    h, half = channels // 2, kernel // 2
    of_input = np.array(parameters["inputs"]["dense"]["kernel"]).reshape(half + 1, 2 * h, 4 * h)
    of_input[half] = masked(of_input[half], colours)
    of_state = np.reshape(parameters["recurrent"], (kernel, h, 4 * h))
    hidden, cell = np.zeros((height, width, h)), np.zeros((height, width, h))
    for row in range(height):
        for column in range(width):
            gates = np.array(parameters["inputs"]["dense"]["bias"])
            for i in range(half + 1):  # the pixel itself is the last
                if column - half + i >= 0:
                    gates += x[row, column - half + i] @ of_input[i]
            for i in range(kernel):
                if row > 0 and 0 <= column - half + i < width:
                    gates += hidden[row - 1, column - half + i] @ of_state[i]
            groups = gates.reshape(colours, 4, h // colours)
            write, forget, content, show = groups.swapaxes(0, 1).reshape(4, h)
            kept = cell[row - 1, column] if row > 0 else 0
            cell[row, column] = expit(forget) * kept + expit(write) * np.tanh(content)
            hidden[row, column] = expit(show) * np.tanh(cell[row, column])
    return x + hidden @ masked(parameters["up"]["kernel"], colours) + parameters["up"]["bias"]


@pytest.mark.parametrize(("kernel", "colours"), [(3, 1), (5, 3)])
def test_a_layer_is_what_the_paper_writes(kernel, colours, masked_colours):
    layer = ResidualRowLSTM(channels=3, kernel=kernel)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6))
    nothing = (np.zeros((2, 0, 1)), np.zeros((2, 0), bool))
    with jax.enable_x64(True):
        variables = random_variables(layer, x, nothing, colours)
        got = layer.apply(variables, x, nothing, colours)
    parameters = jax.tree.map(np.asarray, variables["params"])
    expected = [row_lstm(image, parameters, kernel, colours, masked_colours) for image in x]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_a_layer_sees_the_triangle_that_is_drawn():
    drawing = ["xxxxxx.", ".xxxx..", "..xp..."]
    seen = np.array([[cell != "." for cell in row] for row in drawing])
    sees = RowLSTM().layer_reach(Raster((3, 7, 1)))
    np.testing.assert_array_equal(sees[2 * 7 + 3].reshape(3, 7), seen)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValueError, match=r"^kernel: expected an odd number, got 4$"):
        RowLSTM(kernel=4).check(Raster((3, 3, 1)))


def test_channels_that_colours_cannot_share_out_are_refused():
    with pytest.raises(ValueError, match=r"^channels: expected a multiple of 3, the colours"):
        RowLSTM(channels=128).check(Raster((3, 3, 3)))
