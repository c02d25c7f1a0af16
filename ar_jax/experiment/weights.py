"""Weights that are kept beside the record of a run: rounded to nine bits, float16, compressed.

The figure of the record is that of the rounded weights, so that whoever loads them finds it again.
"""

import io
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ar_jax.data import read_npz

LARGEST = 3_000_000
"""Bytes of a file of weights."""

BITS = 9


def rounded(params: Any) -> Any:
    """Parameters with nine significant bits, as float16 holds them; float32."""

    def of_array(array: Any) -> np.ndarray:
        fraction, exponent = np.frexp(np.asarray(array, np.float32))
        nine = np.ldexp(np.round(fraction * 2**BITS) / 2**BITS, exponent)
        with np.errstate(over="ignore"):  # `weights_file` refuses what becomes infinite
            return nine.astype(np.float16).astype(np.float32)

    return jax.tree.map(of_array, params)


def weights_file(params: Any) -> bytes | None:
    """A file of rounded parameters; None if it is too large, or float16 does not hold them."""
    leaves: Any = flatten_dict(params, sep="/")
    flat: Any = {name: leaf.astype(np.float16) for name, leaf in leaves.items()}
    if not all(np.isfinite(leaf).all() for leaf in flat.values()):
        return None
    file = io.BytesIO()
    np.savez_compressed(file, **flat)
    return file.getvalue() if file.tell() <= LARGEST else None


def read_weights(path: Path) -> Any:
    """The parameters of a file, float32."""
    arrays = read_npz(path)
    return unflatten_dict({name: leaf.astype(np.float32) for name, leaf in arrays.items()}, sep="/")
