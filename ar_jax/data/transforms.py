"""Transforms of events: functions of a batch and of the randomness that they draw from."""

from collections.abc import Callable

import numpy as np

from ar_jax.checks import check_integers
from ar_jax.math.mu_law import compress, expand

EventTransform = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""`[batch, *event]` and the randomness of this batch -> `[batch, *event]`."""


def unchanged(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The events as they are."""
    return x


def binarise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bytes to bits, each 1 with probability byte / 255.

    Drawn anew in every epoch this is *dynamic* binarisation; drawn once, a *static* one (see
    `Arrays.transformed`). Likelihoods of the two are not comparable.

    Args:
      x: `[batch, *event]`, uint8.
      rng: what to draw from.

    Returns:
      `[batch, *event]`, int32, 0 or 1.

    Raises:
      ValueError: when x is not uint8.
    """
    _check_dtype(x, np.uint8)
    return (rng.random(x.shape, np.float32) * 255 < x).astype(np.int32)


def dequantise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Integers to real numbers by adding uniform noise from 0 to 1 (arXiv 1511.01844).

    The mean log-density of the result, in the units of the integers, is a lower bound on their
    log-probability.

    Args:
      x: `[batch, *event]`, integers -2^16 ... 2^16 - 1: beyond them float32 has fewer than 128
        numbers from one integer to the next.
      rng: what to draw from.

    Returns:
      `[batch, *event]`, float32, from x on and below x + 1.

    Raises:
      ValueError: when x holds anything else.
    """
    check_integers("x", x, -(2**16), 2**16 - 1)
    start = x.astype(np.float32)
    noisy = start + rng.random(x.shape, np.float32)
    return np.minimum(noisy, np.nextafter(start + 1, start))  # a sum may round up to the next


def grey_levels(x: np.ndarray, levels: int) -> np.ndarray:
    """Bytes to fewer grey levels of equal width.

    Args:
      x: `[batch, *event]`, uint8.
      levels: how many, 2 to 256.

    Returns:
      `[batch, *event]`, int32, 0 ... levels - 1.

    Raises:
      ValueError: when x is not uint8, or for another number of levels.
    """
    _check_dtype(x, np.uint8)
    if not 2 <= levels <= 256:
        raise ValueError(f"levels: expected 2 ... 256, got {levels}")
    return x.astype(np.int32) * levels // 256


def mu_law(samples: np.ndarray) -> np.ndarray:
    """Sound in 256 levels, finer the softer it is (see `ar_jax.math.mu_law`).

    Args:
      samples: `[batch, *event]`, int16.

    Returns:
      `[batch, *event]`, uint8.

    Raises:
      ValueError: when the samples are not int16.
    """
    _check_dtype(samples, np.int16)
    return compress(samples / np.float32(32768), levels=256).astype(np.uint8)


def mu_law_inverse(codes: np.ndarray) -> np.ndarray:
    """Levels to sound: the middle of each; `mu_law` gives the levels back.

    Args:
      codes: `[batch, *event]`, integers 0 ... 255.

    Returns:
      `[batch, *event]`, int16.

    Raises:
      ValueError: when the codes are anything else.
    """
    check_integers("codes", codes, 0, 255)
    sound = expand(codes.astype(np.float32), levels=256)
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)


def _check_dtype(x: np.ndarray, expected: type[np.integer]) -> None:
    """Raises unless the values are of the range whose ends the transform knows by their dtype."""
    if x.dtype != expected:
        limits = np.iinfo(expected)
        raise ValueError(
            f"x: expected {limits.dtype}, {limits.min} ... {limits.max}, got {x.dtype}; scale it "
            "to that range, round it and convert it"
        )
