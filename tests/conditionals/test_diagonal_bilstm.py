import jax
import numpy as np
import pytest
from scipy.special import expit

from ar_jax.conditionals import DiagonalBiLSTM
from ar_jax.conditionals.diagonal_bilstm import ResidualDiagonalBiLSTM, skew, unskew
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables


def direction(x, parameters, side, colours, masked):
    """Hidden states pixel by pixel, as section 3.2 of arXiv 1601.06759 has them.

    Args:
      x: `[height, width, 2h]`.
      parameters: of the direction.
      side: where the pixel before in the row stands: -1 on the left, 1 on the right.
      colours: of a pixel, in order; h features in as many groups, and so their gates.
      masked: the fixture.
    """
    height, width, channels = x.shape
    h = channels // 2
    hidden, cell = np.zeros((height, width, h)), np.zeros((height, width, h))
    of_input = masked(parameters["inputs"]["kernel"], colours)
    of_beside, of_above = np.reshape(parameters["recurrent"], (2, h, 4 * h))
    for row in range(height):
        for column in range(width)[::-side]:
            gates = x[row, column] @ of_input + parameters["inputs"]["bias"]
            inside = 0 <= column + side < width
            if inside:
                gates = gates + hidden[row, column + side] @ of_beside
            if row > 0:
                gates = gates + hidden[row - 1, column] @ of_above
            groups = np.reshape(gates, (colours, 4, h // colours))
            write, forget, content, show = groups.swapaxes(0, 1).reshape(4, h)
            kept = cell[row, column + side] if inside else 0
            cell[row, column] = expit(forget) * kept + expit(write) * np.tanh(content)
            hidden[row, column] = expit(show) * np.tanh(cell[row, column])
    return hidden


@pytest.mark.parametrize("colours", [1, 3])
def test_a_layer_is_what_the_paper_writes(colours, masked_colours):
    layer = ResidualDiagonalBiLSTM(channels=3)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6))
    nothing = (np.zeros((2, 0, 1)), np.zeros((2, 0), bool))
    with jax.enable_x64(True):
        variables = random_variables(layer, x, nothing, colours)
        got = layer.apply(variables, x, nothing, colours)
    parameters = jax.tree.map(np.asarray, variables["params"])
    for image, out in zip(x, np.asarray(got), strict=True):
        states = direction(image, parameters["left"], -1, colours, masked_colours)
        right = direction(image, parameters["right"], 1, colours, masked_colours)
        states[1:] += right[:-1]  # moved down by one row
        up = masked_colours(parameters["up"]["kernel"], colours)
        expected = image + states @ up + parameters["up"]["bias"]
        np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-9)


def test_skewing_makes_columns_of_diagonals():
    x = np.arange(1, 7).reshape(1, 2, 3, 1)
    skewed = skew(x)
    np.testing.assert_array_equal(skewed[0, :, :, 0], [[1, 2, 3, 0], [0, 4, 5, 6]])
    np.testing.assert_array_equal(unskew(skewed), x)


def test_of_all_that_came_before_only_the_end_of_the_row_above_may_be_missed():
    ordering = Raster((3, 9, 1))
    row, column = ordering.coordinates[:, :2].T
    before = np.tri(27, k=-1, dtype=bool)
    end_above = (row[:, None] - row == 1) & (column == 8)
    beyond_first_kernel = column[:, None] < 8 - 3
    missed = end_above & beyond_first_kernel
    assert missed.sum() == 2 * 5
    np.testing.assert_array_equal(DiagonalBiLSTM().dependency_mask(ordering), before & ~missed)
