"""Mu-law: levels of sound that are finer the softer it is (as in arXiv 1609.03499).

Levels divide c = sign(s) log(1 + mu |s|) / log(1 + mu) evenly from -1 to 1, where s is the
amplitude, also from -1 to 1, and mu is the number of levels less 1. (ITU's G.711 has straight
pieces for the logarithm.)
"""

from typing import TypeVar

import jax
import numpy as np

Array = TypeVar("Array", jax.Array, np.ndarray)


def compress(amplitude: Array, levels: int) -> Array:
    """The level closest to what each amplitude is compressed to.

    Args:
      amplitude: floating point, -1 ... 1.
      levels: how many, at least 2.

    Returns:
      Whole numbers 0 ... levels - 1, of the amplitude's dtype.
    """
    xp, mu = amplitude.__array_namespace__(), levels - 1
    log_levels = np.log(np.array(levels, amplitude.dtype))
    compressed = xp.sign(amplitude) * xp.log1p(mu * xp.abs(amplitude)) / log_levels
    return xp.floor((compressed + 1) / 2 * mu + 0.5)


def expand(level: Array, levels: int) -> Array:
    """The amplitude in the middle of each level, which `compress` takes back to it.

    Args:
      level: floating point, 0 ... levels - 1.
      levels: how many, at least 2.

    Returns:
      -1 ... 1, of the level's dtype.
    """
    xp, mu = level.__array_namespace__(), levels - 1
    compressed = level / mu * 2 - 1
    log_levels = np.log(np.array(levels, level.dtype))
    return xp.sign(compressed) * xp.expm1(xp.abs(compressed) * log_levels) / mu
