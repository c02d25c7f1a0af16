import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar_jax.orderings import ColumnMajor, Ordering, Permutation, Raster, Reversed, Snake
from ar_jax.testing import check_ordering

BLOCKED = np.array(  # 4 x 6 in blocks of 2 x 3, numbered as Raster visits them
    [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1], [2, 2, 2, 3, 3, 3], [2, 2, 2, 3, 3, 3]]
)


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_any_tiling_of_any_event_is_a_bijection(data):
    cells = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    block = data.draw(st.lists(st.integers(1, 3), min_size=len(cells), max_size=len(cells)))
    event = tuple(a * b for a, b in zip(cells, block, strict=True))
    order = data.draw(st.permutations(range(int(np.prod(cells)))))
    for ordering in (Raster(event, tuple(block)), Permutation(event, tuple(block), tuple(order))):
        check_ordering(ordering)


@pytest.mark.parametrize(
    ("ordering", "expected"),
    [
        (Raster((2, 3)), [0, 1, 2, 3, 4, 5]),
        (Reversed((2, 3)), [5, 4, 3, 2, 1, 0]),
        (ColumnMajor((2, 3)), [0, 3, 1, 4, 2, 5]),
        (Snake((2, 3)), [0, 1, 2, 5, 4, 3]),
        (Permutation((3,), (), (2, 0, 1)), [2, 0, 1]),
    ],
)
def test_an_ordering_visits_the_cells_as_drawn_in_its_docstring(ordering: Ordering, expected):
    np.testing.assert_array_equal(ordering.order, expected)


def test_a_block_is_a_step_with_all_its_variables():
    steps = Raster((4, 6), (2, 3)).to_steps(BLOCKED[None])
    np.testing.assert_array_equal(steps[0], np.arange(4)[:, None].repeat(6, axis=1))


@pytest.mark.parametrize(
    ("ordering", "grid"),
    [
        (Raster((4, 6, 3), (1, 1, 3)), (4, 6)),
        (Raster((4, 6, 3)), (4, 6)),
        (Raster((4, 6, 1), (2, 3, 1)), (2, 2)),
        (Reversed((4, 6)), (4, 6)),
        (ColumnMajor((4, 6)), (6, 4)),
        (Snake((4, 6)), None),
        (Raster((6,)), None),
    ],
)
def test_a_grid_is_what_a_masked_convolution_can_follow(ordering: Ordering, grid):
    assert ordering.grid == grid


def test_the_colours_of_a_pixel_share_its_place_in_the_grid():
    assert Raster((4, 6, 3)).channels == Reversed((4, 6, 3)).channels == 3
    assert Raster((4, 6, 3), (1, 1, 3)).channels == ColumnMajor((4, 6)).channels == 1


def test_a_numpy_array_may_name_the_permutation():
    assert hash(Permutation((3,), (), np.array([2, 0, 1]))) == hash(
        Permutation((3,), (), (2, 0, 1))
    )
