"""Tables: which columns have a density, what is added to them, and how their rows are dealt out."""

import numpy as np
import pytest

from ar_jax.data import continuous_columns, group_fold, spread_over_resolution


def test_columns_with_an_atom_and_copies_are_left_out():
    rng = np.random.default_rng(0)
    normal = rng.standard_normal(1000)
    coarse = np.round(3 * rng.standard_normal(1000), 1)  # repeats, but as its neighbours do
    zeros = np.where(np.arange(1000) < 20, 0.0, rng.random(1000))  # alone, though few
    night = np.where(np.arange(1000) < 101, 7.0, rng.random(1000))  # more than a tenth
    binary = (rng.random(1000) < 0.5).astype(float)
    copy = -2 * normal + 0.1 * rng.standard_normal(1000)
    table = np.stack([normal, zeros, coarse, copy, binary, night], axis=1)
    np.testing.assert_array_equal(continuous_columns(table), [0, 2])


def test_a_column_may_correlate_with_one_that_is_left_out():
    rng = np.random.default_rng(0)
    first = rng.standard_normal(1000)
    second, third = first + 0.1 * rng.standard_normal((2, 1000))
    related = np.corrcoef([first, second, third])
    assert related[0, 1] > 0.99 > related[1, 2] > 0.98
    np.testing.assert_array_equal(continuous_columns(np.stack([first, second, third], 1)), [0])
    atom = np.where(np.arange(1000) < 101, 0.0, first)
    np.testing.assert_array_equal(continuous_columns(np.stack([atom, second, third], 1)), [1])


def test_noise_ends_repetition_and_rounds_away():
    integers = np.random.default_rng(0).integers(0, 20, (500, 2))
    values = integers * np.array([0.25, 8.0])
    noisy = spread_over_resolution(values, np.random.default_rng(1))
    assert len(np.unique(noisy)) == noisy.size
    np.testing.assert_array_equal(np.round(noisy / [0.25, 8.0]), integers)
    offset = noisy / [0.25, 8.0] - integers  # uniform on 1: its variance is 1 / 12
    np.testing.assert_allclose(offset.var(axis=0), 1 / 12, rtol=0.25)  # 6 deviations


def test_folds_test_each_group_once_and_keep_it_together():
    groups = np.repeat(np.random.default_rng(0).permutation(23), 4)
    tested = []
    for fold in range(5):
        rows = group_fold(groups, fold)
        parts = [set(groups[part]) for part in vars(rows).values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 23
        assert sum(map(len, vars(rows).values())) == len(groups)
        assert len(parts[1]) == 1  # a tenth of 18 or 19
        assert {len(rows.test), 4 * len(parts[2])} <= {16, 20}
        tested += sorted(parts[2])
        np.testing.assert_array_equal(group_fold(groups, fold).train, rows.train)
    assert sorted(tested) == list(range(23))


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_is_not_there_is_told(fold):
    with pytest.raises(ValueError, match=f"fold: expected 0 ... 4, got {fold}"):
        group_fold(np.arange(100), fold)


def test_groups_must_suffice_for_every_part():
    assert all(len(part) for part in vars(group_fold(np.arange(13), 0)).values())
    with pytest.raises(ValueError, match=r"groups: expected at least 10 beside .*, got 9 of 12"):
        group_fold(np.arange(12), 0)


def test_a_gap_in_a_table_is_named_by_row_and_column():
    table = np.random.default_rng(0).random((20, 3))
    table[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"values: expected .*, got nan in row 7, column 2"):
        continuous_columns(table)
