"""The folder of one checkpoint: `arrays.bin`, and `checkpoint.json` with a digest of each array.

`arrays.bin` holds the arrays one after another, in the order of their names. `checkpoint.json` has
the dtype, shape and SHA-256 of each, the numbers that were saved beside them, and the SHA-256 of
all of this: a flipped bit in either file is found, unless it changes nothing that is read.

Nothing in the folder is trusted. It must hold the two as regular files, not links. At most 32 MiB
are read of `checkpoint.json`; no byte is read of `arrays.bin` before names, dtypes and shapes are
those expected, so that reading takes the memory of what is expected and the time to read it once.
"""

import hashlib
import itertools
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ar_jax import durable

ARRAYS, CONTENTS = "arrays.bin", "checkpoint.json"
ORBAX = "_CHECKPOINT_METADATA"  # in the folders of earlier versions
LIMIT = 2**25  # bytes of `checkpoint.json`


class DamagedError(ValueError):
    """A checkpoint does not hold what was saved."""


@dataclass(frozen=True)
class Contents:
    """What `checkpoint.json` tells; writer and reader both refuse anything else.

    Attributes:
      step: of the state.
      validation: its loss; None if it was not validated.
      unread: scalars of the last steps that no record of the metrics tells yet.
      seconds: the times of the run so far.
      size: bytes of `arrays.bin`.
      arrays: the `dtype`, `shape` and `sha256` of each array by its name.
    """

    step: int
    validation: float | None
    unread: Sequence[Mapping[str, float]]
    seconds: Mapping[str, float]
    size: int = 0
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.unread if isinstance(self.unread, list) else [None]
        names = [row.keys() for row in rows if isinstance(row, dict)]
        arrays = self.arrays.values() if isinstance(self.arrays, dict) else [None]
        expected = {
            "step: expected an integer": type(self.step) is int,
            "validation: expected a finite number": self.validation is None
            or _finite(self.validation),
            "unread: expected finite numbers by the same names": all(map(_numbers, rows))
            and names == names[:1] * len(names),
            "seconds: expected finite numbers by name": _numbers(self.seconds),
            "size: expected an integer": type(self.size) is int,
            "arrays: expected a dtype, shape and sha256 of each": all(map(_array, arrays)),
        }
        for what, holds in expected.items():
            if not holds:
                raise ValueError(f"{what}, got something else")


def _finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_finite, value.values()))


def _array(value: Any) -> bool:
    match value:
        case {"dtype": str(dtype), "shape": list(shape), "sha256": str(), **others}:
            sizes = all(type(size) is int and 0 <= size < 2**63 for size in shape)
            return (
                dtype.isidentifier()
                and len(dtype) <= 32
                and len(shape) <= 64
                and sizes
                and not others
            )
    return False


def steps(folder: Path) -> list[int]:
    """The steps of what is named as a checkpoint in a folder; of none if there is no folder.

    Raises:
      OSError: when it cannot be read.
    """
    if not folder.exists():
        return []
    names = [path.name for path in folder.iterdir()]
    return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name))


def name(path: jax.tree_util.KeyPath) -> str:
    """The name of an array, from its place in the state: e.g. "params.dense_0.kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def write(folder: Path, contents: Contents, arrays: Mapping[str, np.ndarray]) -> Path | None:
    """Writes a checkpoint; its folder appears when all is on the disk.

    Args:
      folder: of this checkpoint; its parent is made if missing.
      contents: all but `size` and `arrays`, which are found here.
      arrays: by name.

    Returns:
      Where to what stood in its place was moved, `NAME.replaced`; None if nothing did.

    Raises:
      OSError: when it cannot be written; nothing is left of it.
      ValueError: when `checkpoint.json` is above its limit.
    """
    new = _temporary(folder)
    try:
        new.mkdir(parents=True)
        described = {}
        with (new / ARRAYS).open("xb") as file:
            for name, array in sorted(arrays.items()):
                content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
                file.write(content.data)
                described[name] = {
                    "dtype": str(array.dtype),
                    "shape": list(array.shape),
                    "sha256": hashlib.sha256(content.data).hexdigest(),
                }
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        told = asdict(replace(contents, size=size, arrays=described))
        text = json.dumps(told | {"sha256": _digest(told)})
        if len(text) > LIMIT:
            raise ValueError(f"{CONTENTS}: expected at most {LIMIT:,} bytes, got {len(text):,}")
        durable.write(new / CONTENTS, text)
        aside = folder.rename(_aside(folder)) if os.path.lexists(folder) else None
        new.rename(folder)
        durable.sync_folder(folder.parent)
        return aside
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def remove(folder: Path) -> None:
    """Deletes a checkpoint; a kill never leaves half of one under its name."""
    gone = _temporary(folder)
    folder.rename(gone)
    shutil.rmtree(gone)


def remove_unfinished(folder: Path) -> None:
    """Deletes what writers and removers that were killed have left in the folder of all."""
    for path in folder.glob("*.tmp"):
        if re.fullmatch(r"[0-9].*\.[0-9a-f]{16}\.tmp", path.name):
            shutil.rmtree(path)


def _temporary(folder: Path) -> Path:
    """A new name beside a checkpoint's folder, for what is not whole."""
    return folder.with_name(f"{folder.name}.{secrets.token_hex(8)}.tmp")


def _aside(folder: Path) -> Path:
    """The first name that is free."""
    for count in itertools.count(1):
        aside = folder.with_name(f"{folder.name}.replaced" + f"-{count}" * (count > 1))
        if not os.path.lexists(aside):
            return aside
    raise AssertionError


def read_contents(folder: Path) -> Contents:
    """Reads `checkpoint.json`, and the size of `arrays.bin`: finds any damage but of the arrays.

    Raises:
      DamagedError: when something is missing, not as it was saved, a link, or above the limit.
    """
    path = folder / CONTENTS
    try:
        if folder.is_symlink():
            raise DamagedError(f"{folder}: expected a folder, got a link")
        if _size(path) > LIMIT:
            raise DamagedError(f"{path}: expected at most {LIMIT:,} bytes, got {_size(path):,}")
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict) or told.pop("sha256", None) != _digest(told):
            raise DamagedError(f"{path}: expected what was saved, got other content (SHA-256)")
        contents = Contents(**told)
        if _size(folder / ARRAYS) != contents.size:
            raise DamagedError(
                f"{folder / ARRAYS}: expected {contents.size:,} bytes, "
                f"got {_size(folder / ARRAYS):,}"
            )
    except OSError as error:
        if isinstance(error, FileNotFoundError) and is_orbax(folder):
            raise DamagedError(
                f"{folder}: expected {CONTENTS} in it, got what an earlier version wrote without "
                "digests; see python -m ar_jax.training.convert"
            ) from None
        raise DamagedError(f"{error.filename or folder}: {error.strerror}") from None
    except DamagedError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise DamagedError(f"{path}: expected the contents of a checkpoint: {error}") from None
    return contents


def read_arrays(
    folder: Path, contents: Contents, expected: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Reads the arrays.

    Args:
      folder: of the checkpoint.
      contents: what `read_contents` returned.
      expected: arrays, or what has their shape and dtype, by name: those of `contents.arrays`.

    Raises:
      DamagedError: when an array is not as it was saved.
    """
    path, arrays = folder / ARRAYS, {}
    try:
        with path.open("rb") as file:
            for name, like in sorted(expected.items()):
                dtype = np.dtype(like.dtype)
                content = np.empty(math.prod(like.shape) * dtype.itemsize, np.uint8)
                got = file.readinto(content.data)
                digest = hashlib.sha256(content.data).hexdigest()
                if got < content.size or digest != contents.arrays[name]["sha256"]:
                    raise DamagedError(
                        f"{path}, {name}: expected what was saved, got other content (SHA-256)"
                    )
                arrays[name] = content.view(dtype).reshape(like.shape)
    except OSError as error:
        raise DamagedError(f"{path}: {error.strerror}") from None
    return arrays


def is_orbax(folder: Path) -> bool:
    """Whether an earlier version wrote this checkpoint."""
    return (folder / ORBAX).exists()


def _size(path: Path) -> int:
    """Of a regular file."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path}: expected a file, got a link, a folder or a device")
    return found.st_size


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
