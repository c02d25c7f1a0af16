"""What is kept beside the record of a run: its weights and the scores of the test split.

Weights are rounded to nine bits and stored as float16, compressed. The figure of the record is that
of the rounded weights, so that whoever loads them finds it again.
"""

import io
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from ar_jax.data import read_npz
from ar_jax.durable import write
from ar_jax.evaluation import Scores

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


def write_scores(path: Path, scores: Scores) -> None:
    """Writes the scores of a split, the nats in float32."""
    arrays: dict[str, Any] = {
        "nats": scores.nats.astype(np.float32),
        "groups": scores.groups.astype(np.int32),
        "variables": np.int32(scores.variables),
    }
    if scores.sizes is not None:
        arrays["sizes"] = scores.sizes.astype(np.int32)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    write(path, file.getvalue())


def read_scores(path: Path) -> Scores:
    """The scores of a file.

    Raises:
      FileNotFoundError: when there is none.
      ValueError: when it is none.
    """
    arrays = read_npz(path)
    if missing := {"nats", "groups", "variables"} - arrays.keys():
        raise ValueError(f"{path}: expected an array {min(missing)}, got {', '.join(arrays)}")
    nats = arrays["nats"].astype(float)
    return Scores(nats, arrays["groups"], int(arrays["variables"]), arrays.get("sizes"))
