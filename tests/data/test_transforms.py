import mpmath
import numpy as np
import pytest
from scipy.stats import kstest

from ar_jax.data import (
    Arrays,
    binarise,
    dequantise,
    grey_levels,
    mu_law,
    mu_law_inverse,
    unchanged,
)

BYTES = np.arange(256, dtype=np.uint8)


class Largest:
    """Draws the largest number below 1 that float32 has."""

    def random(self, shape, dtype):
        return np.full(shape, np.nextafter(np.float32(1), np.float32(0)), dtype)


def test_unchanged_changes_nothing():
    np.testing.assert_array_equal(unchanged(BYTES, np.random.default_rng(0)), BYTES)


def test_a_bit_is_one_with_probability_byte_over_255():
    draws = 20_000
    bits = binarise(np.tile(BYTES, (draws, 1)), np.random.default_rng(0))
    assert bits.dtype == np.int32
    assert set(np.unique(bits)) == {0, 1}
    p = BYTES / 255
    deviation = np.abs(bits.mean(0) - p)
    # One of 254 means is off by 5.5 standard deviations with odds of 1e-5; black and white never.
    assert np.all(deviation <= 5.5 * np.sqrt(p * (1 - p) / draws))


def test_white_is_always_one_and_black_always_zero():
    # Whatever is drawn: the largest and the smallest number that can be.
    np.testing.assert_array_equal(binarise(BYTES[[0, 255]], Largest()), [0, 1])
    np.testing.assert_array_equal(binarise(BYTES[[0]], np.random.default_rng(0)), [0])


def test_static_binarisation_is_drawn_once():
    grey = Arrays(np.full((10, 100), 128, np.uint8), np.arange(10))
    static = grey.transformed(binarise, seed=0)
    rows = np.arange(10)
    np.testing.assert_array_equal(static.batch(rows)["x"], static.batch(rows)["x"])
    np.testing.assert_array_equal(static.x, grey.transformed(binarise, seed=0).x)
    assert not np.array_equal(static.x, grey.transformed(binarise, seed=1).x)
    np.testing.assert_array_equal(static.y, grey.y)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int16])
def test_dequantised_values_stay_with_their_integer(dtype):
    x = np.arange(-128 if dtype == np.int16 else 0, 256).astype(dtype)
    for rng in (Largest(), np.random.default_rng(0)):
        y = dequantise(x, rng)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(np.floor(y), x)


def test_dequantisation_noise_is_uniform():
    x = np.repeat(np.array([0, 7, 255], np.uint8), 10_000)
    noise = dequantise(x, np.random.default_rng(0)) - x
    assert all(kstest(noise[x == value], "uniform").pvalue > 1e-5 for value in (0, 7, 255))
    # by chance below with odds of 3e-5


@pytest.mark.parametrize("start", [-(2**16), 2**16 - 1, 2**15, 0])
def test_dequantised_values_of_16_bits_fill_their_unit(start):
    x = np.full(20_000, start)
    noise = dequantise(x, np.random.default_rng(0)).astype(float) - start  # exact in float64
    assert noise.min() >= 0
    assert noise.max() < 1
    assert len(np.unique(noise)) >= 128
    # The mean is that of a uniform law: within 5.5 deviations, but with odds of 4e-8, and half of
    # the spacing of float32 there.
    assert abs(noise.mean() - 0.5) < 5.5 * np.sqrt(1 / 12 / len(x)) + 1 / 256


@pytest.mark.parametrize("x", [[2**24 + 1], [2**16], [-(2**16) - 1], [2**63 - 1], [0.5]])
def test_what_float32_cannot_tell_apart_is_not_dequantised(x):
    with pytest.raises(ValueError, match=r"x: expected integers -65536 ... 65535, got"):
        dequantise(np.array(x), np.random.default_rng(0))


@pytest.mark.parametrize(
    "x", [np.ones(3, np.float32), np.full(3, 4095), np.ones(3, bool), np.ones(3, np.int8)]
)
def test_transforms_of_bytes_refuse_everything_else(x):
    rng = np.random.default_rng(0)
    message = f"x: expected uint8, 0 ... 255, got {x.dtype}; scale it to that range"
    transforms = (lambda: binarise(x, rng), lambda: grey_levels(x, 4))
    for transform in (*transforms, lambda: Arrays(x).transformed(binarise, 0)):
        with pytest.raises(ValueError, match=message):
            transform()


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16, np.uint8])
def test_mu_law_is_of_16_bits_only(dtype):
    with pytest.raises(ValueError, match=r"x: expected int16, -32768 ... 32767, got"):
        mu_law(np.ones(3, dtype))


@pytest.mark.parametrize("codes", [[0.5], [-1], [256]])
def test_codes_that_mu_law_does_not_have_are_refused(codes):
    with pytest.raises(ValueError, match=r"codes: expected integers 0 ... 255, got"):
        mu_law_inverse(np.array(codes))


@pytest.mark.parametrize("levels", [2, 3, 16, 17, 255, 256])
def test_grey_levels_are_in_order_and_of_equal_width(levels):
    grey = grey_levels(BYTES, levels)
    assert grey.dtype == np.int32
    counts = np.bincount(grey)
    assert len(counts) == levels
    assert np.all(np.diff(grey) >= 0)
    assert counts.max() - counts.min() <= 1  # 256 bytes cannot be divided better


@pytest.mark.parametrize("levels", [1, 0, 257])
def test_a_number_of_grey_levels_that_bytes_do_not_have_is_refused(levels):
    with pytest.raises(ValueError, match=f"levels: expected 2 ... 256, got {levels}"):
        grey_levels(BYTES, levels)


def test_mu_law_is_its_formula_for_every_sample():
    # arXiv 1609.03499, section 2.2, and an even division of -1 ... 1; in 30 digits
    samples = np.arange(-32768, 32768, 37, dtype=np.int16)
    with mpmath.workdps(30):
        expected = [
            int(mpmath.floor((mpmath.sign(s) * compressed(s) + 1) * 255 / 2 + 0.5))
            for s in map(int, samples)
        ]
    np.testing.assert_array_equal(mu_law(samples), expected)


def compressed(sample):
    return mpmath.log(1 + 255 * mpmath.mpf(abs(sample)) / 32768) / mpmath.log(256)


def test_mu_law_keeps_the_order_of_all_samples_and_uses_all_codes():
    codes = mu_law(np.arange(-32768, 32768).astype(np.int16))
    assert codes.dtype == np.uint8
    assert set(np.diff(codes.astype(int))) == {0, 1}
    assert (codes[0], codes[-1]) == (0, 255)


def test_the_inverse_of_mu_law_is_the_sample_in_the_middle_of_a_code():
    with mpmath.workdps(30):
        middle = [
            mpmath.sign(c - 127.5) * (mpmath.mpf(256) ** abs(mpmath.mpf(c) / 127.5 - 1) - 1) / 255
            for c in range(256)
        ]
    expected = np.clip([int(mpmath.nint(32768 * m)) for m in middle], -32768, 32767)
    decoded = mu_law_inverse(BYTES)
    assert decoded.dtype == np.int16
    np.testing.assert_array_equal(decoded, expected)
    np.testing.assert_array_equal(mu_law(decoded), BYTES)


def test_mu_law_is_finer_for_soft_sound():
    samples = np.arange(-32768, 32768).astype(np.int16)
    error = np.abs(mu_law_inverse(mu_law(samples)).astype(int) - samples)
    # Half a step of the formula: its slope is ln 256 (1 + 255 |s|) / 255, a step is 2 / 255.
    bound = np.log(256) * (1 / 255 + np.abs(samples / 32768)) / 255 * 32768
    assert np.all(error <= 1.02 * bound + 1)  # the slope grows by 2 % within half a step
