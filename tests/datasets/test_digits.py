"""The digits that come with the package."""

import hashlib

import numpy as np
from sklearn.datasets import load_digits

from ar_jax.datasets import Digits


def test_the_split_of_the_digits_never_changes():
    splits = Digits(labels=True)
    parts = (splits.train, splits.validation, splits.test)
    assert [len(part) for part in parts] == [1400, 100, 297]
    digest = hashlib.sha256()
    for array in [part.x for part in parts] + [part.y for part in parts]:
        digest.update(array.astype(np.uint8).tobytes())
    assert digest.hexdigest() == "428ad214e900fe9343f94d9fedc8a16d461db8cd1bc0f61eecf448b8c5f16b35"


def test_no_digit_is_in_two_splits():
    splits = Digits(labels=True)
    images = [
        {x.tobytes() for x in part.x} for part in (splits.train, splits.validation, splits.test)
    ]
    assert len(set.union(*images)) == 1797 == sum(map(len, images))


def test_the_digits_are_those_of_scikit_learn():
    splits, original = Digits(labels=True), load_digits()
    order = np.random.default_rng(0).permutation(1797)
    np.testing.assert_array_equal(splits.train.x[..., 0], original.images[order[:1400]])
    np.testing.assert_array_equal(splits.test.y, original.target[order[1500:]])


def test_the_digits_are_integers_of_17_grey_levels_with_a_channel():
    train = Digits(labels=True).train
    assert train.x.shape == (1400, 8, 8, 1)
    assert train.x.dtype == train.y.dtype == np.int32
    assert np.array_equal(np.unique(train.x), np.arange(17))
    assert np.array_equal(np.unique(train.y), np.arange(10))
