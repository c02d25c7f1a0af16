import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar_jax.orderings import (
    ChannelFirst,
    ColumnMajor,
    Hilbert,
    MultiScale,
    Ordering,
    Permutation,
    Raster,
    Reversed,
    Snake,
    Spiral,
)
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
        (Spiral((3, 4)), [0, 1, 2, 3, 7, 11, 10, 9, 8, 4, 5, 6]),
        (Hilbert((4, 4)), [0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3]),
        (MultiScale((4, 4)), [0, 2, 8, 10, 1, 3, 9, 11, 4, 6, 12, 14, 5, 7, 13, 15]),
        (ChannelFirst((2, 2, 3)), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]),
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


def image(ordering: Ordering) -> np.ndarray:
    """The step that visits each cell."""
    steps = np.empty(ordering.count, int)
    steps[ordering.order] = np.arange(ordering.count)
    return steps.reshape(ordering.cells)


@pytest.mark.parametrize("walk", [Snake, Spiral, Hilbert])
def test_successive_steps_are_neighbours(walk):
    for event in np.ndindex(12, 12):
        coordinates = walk((event[0] + 1, event[1] + 1)).coordinates
        assert np.all(np.abs(np.diff(coordinates, axis=0)).sum(axis=1) == 1)


def test_hilberts_curve_fills_each_quarter_before_the_next():
    steps = image(Hilbert((16, 16)))
    for side in (8, 4, 2):
        for row, column in np.ndindex(16 // side, 16 // side):
            square = steps[row * side : (row + 1) * side, column * side : (column + 1) * side]
            assert np.ptp(square) == side**2 - 1


@pytest.mark.parametrize("doublings", [0, 1, 2, 3])
@pytest.mark.parametrize("event", [(8, 8), (5, 6), (1, 3)])
def test_multi_scale_visits_what_a_naive_loop_visits(event, doublings):
    expected = []
    for stride in [2**i for i in range(doublings, -1, -1)]:
        for parity in ((0, 0), (0, 1), (1, 0), (1, 1)):
            for cell in np.ndindex(event):
                place = tuple(i // stride % 2 for i in cell)
                if all(i % stride == 0 for i in cell) and place == parity and cell not in expected:
                    expected.append(cell)
            if stride == 2**doublings:  # the coarsest grid is no group of four
                expected = [c for c in np.ndindex(event) if all(i % stride == 0 for i in c)]
    visited = map(tuple, MultiScale(event, doublings=doublings).coordinates.tolist())
    assert list(visited) == expected


def test_channels_come_first_or_last():
    colours = ChannelFirst((2, 3, 3)).coordinates[:, 2]
    np.testing.assert_array_equal(colours, [0] * 6 + [1] * 6 + [2] * 6)
    np.testing.assert_array_equal(Raster((2, 3, 3)).coordinates[:, 2], [0, 1, 2] * 6)


def test_a_seed_makes_a_permutation():
    one, same, other = (Permutation.random((4, 6), (2, 2), seed) for seed in (3, 3, 4))
    assert one == same != other
    assert one.length == 6


@pytest.mark.parametrize("walk", [ColumnMajor, Snake, Spiral, Hilbert, MultiScale])
def test_a_walk_over_an_image_needs_one(walk):
    for event in ((6,), (2, 3, 3)):
        with pytest.raises(ValueError, match=f"{walk.__name__}: expected an event"):
            walk(event)
    with pytest.raises(ValueError, match="doublings: expected at least 0, got -1"):
        MultiScale((2, 2), doublings=-1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Permutation((3,), (), (0.2, 1.9, 2.0)), "permutation: expected integers, got"),
        (lambda: Permutation((3,), (), np.array([0.0, 1, 2])), "permutation: expected integers"),
        (lambda: Raster((2.0, 3.0)), "event: expected integers, got"),
        (lambda: Raster((4,), (np.nan,)), "block: expected integers, got"),
        (lambda: MultiScale((2, 2), doublings=1.5), "doublings: expected an integer, got 1.5"),
        (lambda: MultiScale((2, 2), doublings=10**9), "doublings: expected at most 30, got"),
    ],
)
def test_what_is_no_integer_is_not_rounded(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
