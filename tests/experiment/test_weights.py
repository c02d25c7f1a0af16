import numpy as np
import pytest

from ar_jax.evaluation import Scores
from ar_jax.experiment.weights import (
    LARGEST,
    read_scores,
    read_weights,
    rounded,
    weights_file,
    write_scores,
)

RNG = np.random.default_rng(0)


def test_rounding_keeps_nine_bits_and_rounding_again_changes_nothing():
    params = {"a": {"kernel": np.float32(RNG.standard_normal((50, 40)))}, "b": np.zeros(3)}
    once = rounded(params)
    kernel, near = params["a"]["kernel"], once["a"]["kernel"]
    assert near.dtype == np.float32
    assert np.max(np.abs(near / kernel - 1)) <= 2**-9
    fraction, _ = np.frexp(near)
    np.testing.assert_array_equal(fraction * 2**9, np.round(fraction * 2**9))
    np.testing.assert_array_equal(rounded(once)["a"]["kernel"], near)
    np.testing.assert_array_equal(once["b"], 0)


def test_kept_weights_are_the_rounded_ones_bit_for_bit(tmp_path):
    params = rounded({"a": {"kernel": RNG.standard_normal((50, 40))}, "b": RNG.normal(size=3)})
    (tmp_path / "w.npz").write_bytes(weights_file(params) or b"")
    again = read_weights(tmp_path / "w.npz")
    np.testing.assert_array_equal(again["a"]["kernel"], params["a"]["kernel"])
    np.testing.assert_array_equal(again["b"], params["b"])


def test_weights_that_are_too_large_or_too_many_are_not_kept():
    assert weights_file(rounded({"a": np.array([7e4])})) is None  # infinite in float16
    many = rounded({"a": RNG.standard_normal(LARGEST)})
    assert weights_file(many) is None


def test_scores_come_back(tmp_path):
    for sizes in (None, np.array([3, 4])):
        scores = Scores(np.array([1.5, 2.25]), np.array([0, 7]), 8, sizes)
        write_scores(tmp_path / "s.npz", scores)
        again = read_scores(tmp_path / "s.npz")
        assert again.variables == 8
        for name in ("nats", "groups", "sizes"):
            np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))


def test_what_is_no_file_of_scores_is_refused(tmp_path):
    np.savez(tmp_path / "s.npz", nats=np.zeros(3))
    with pytest.raises(ValueError, match="expected an array groups, got nats"):
        read_scores(tmp_path / "s.npz")
