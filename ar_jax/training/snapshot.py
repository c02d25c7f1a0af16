"""The folder of one checkpoint: `arrays/` by Orbax, and `checkpoint.json` with their digests.

`arrays/` is Orbax's, as one uncompressed Zarr array each: a folder of its name with `.zarray` and
a single chunk. `checkpoint.json` has the dtype, shape and SHA-256 of each, the numbers that were
saved beside them, and the SHA-256 of all of this: a flipped bit in any file is found, unless it
changes nothing that is read.

Nothing in the folder is trusted. It must hold regular files, not links. At most 32 MiB are read of
any JSON file. Orbax reads no byte before names, dtypes and shapes are those expected and each chunk
has the size of its array, so that reading takes the memory of what is expected and the time to read
it once.
"""

import errno
import hashlib
import itertools
import json
import logging
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
import orbax.checkpoint as ocp
from etils import epath

from ar_jax import durable

ARRAYS, METADATA, CONTENTS = "arrays", "_METADATA", "checkpoint.json"
ORBAX = "_CHECKPOINT_METADATA"  # in the folders of earlier versions
LIMIT = 2**25  # bytes of a JSON file
ZARR = {
    "zarr_format": 2,
    "order": "C",
    "dimension_separator": ".",
    "compressor": None,
    "filters": None,
    "fill_value": None,
}


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
      arrays: the `dtype`, `shape` and `sha256` of each array by its name.
    """

    step: int
    validation: float | None
    unread: Sequence[Mapping[str, float]]
    seconds: Mapping[str, float]
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
            "arrays: expected a dtype, shape and sha256 of each": all(map(_array, arrays)),
            "arrays: expected printable names without '/'": all(map(_name, self.arrays or {})),
        }
        for what, holds in expected.items():
            if not holds:
                raise ValueError(f"{what}, got something else")


def _finite(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_finite, value.values()))


def _name(value: Any) -> bool:
    plain = isinstance(value, str) and len(value) < 256 and value.isprintable()
    return plain and "/" not in value and value not in ("", ".", "..")


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
      contents: all but `arrays`, which are found here.
      arrays: by name.

    Returns:
      Where to what stood in its place was moved, `NAME.replaced`; None if nothing did.

    Raises:
      OSError: when it cannot be written; nothing is left of it.
      ValueError: when `checkpoint.json` is above its limit.
    """
    new = _temporary(folder)
    try:
        (new / ARRAYS).mkdir(parents=True)
        _save(new / ARRAYS, _not_empty(arrays))
        written = asdict(replace(contents, arrays={n: _described(a) for n, a in arrays.items()}))
        text = json.dumps(written | {"sha256": _digest(written)})
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
    """Reads `checkpoint.json`, and checks all files but the values of the arrays.

    Raises:
      DamagedError: when something is missing, not as it was saved, a link, or above the limit.
    """
    path = folder / CONTENTS
    try:
        if folder.is_symlink():
            raise DamagedError(f"{folder}: expected a folder, got a link")
        parsed = _read_json(path)
        if not isinstance(parsed, dict) or parsed.pop("sha256", None) != _digest(parsed):
            raise DamagedError(f"{path}: expected what was saved, got other content (SHA-256)")
        contents = Contents(**parsed)
        _check_files(folder / ARRAYS, contents)
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
    like = {name: np.empty(array.shape, array.dtype) for name, array in expected.items()}
    as_numpy = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in _not_empty(like)}
    try:
        arrays = like | _orbax().restore(
            epath.Path(folder.absolute() / ARRAYS),
            args=ocp.args.PyTreeRestore(_not_empty(like), restore_args=as_numpy),
        )
    except Exception as error:  # Orbax raises whatever the content leads to
        reason = ascii(" ".join(f"{type(error).__name__}: {error}".split()))[1:-1][:200]
        raise DamagedError(f"{folder / ARRAYS}: expected arrays of Orbax, got {reason}") from None
    for name, array in arrays.items():
        if _described(array) != contents.arrays[name]:
            raise DamagedError(
                f"{folder / ARRAYS / name}: expected what was saved, got other content (SHA-256)"
            )
    return arrays


def _orbax() -> ocp.PyTreeCheckpointHandler:
    """Orbax for this process alone: the first one writes, and each one reads for itself."""
    process = jax.process_index()
    return ocp.PyTreeCheckpointHandler(
        use_ocdbt=False,
        use_compression=False,
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=process, active_processes={process}, barrier_sync_key_prefix=f"{process}"
        ),
    )


def _save(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes arrays by Orbax; what the system refuses is raised as an OSError."""
    if shutil.disk_usage(folder).free < sum(array.nbytes for array in arrays.values()):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # Orbax would print tracebacks
    log = logging.getLogger("absl")
    was, log.disabled = log.disabled, True  # Orbax logs tracebacks of what is raised here
    try:
        _orbax().save(epath.Path(folder.absolute()), args=ocp.args.PyTreeSave(arrays))
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1]))) from error
    finally:
        log.disabled = was
    durable.sync(folder / METADATA)  # Orbax syncs the arrays
    for path in (*(path for path in folder.iterdir() if path.is_dir()), folder):
        durable.sync_folder(path)


def _not_empty(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those with values: Orbax stores no others, and they have nothing to store."""
    return {name: array for name, array in sorted(arrays.items()) if array.size}


def _described(array: np.ndarray) -> dict[str, Any]:
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    digest = hashlib.sha256(content.data).hexdigest()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "sha256": digest}


def _check_files(folder: Path, contents: Contents) -> None:
    """Raises DamagedError unless all is a regular file, and each array one chunk of its size."""
    chunks = {}
    for name, array in contents.arrays.items():
        shape, dtype = array["shape"], np.dtype(array["dtype"])
        if 0 in shape:
            continue
        dtype_name = dtype.name if dtype.kind == "V" else dtype.str
        described = ZARR | {"shape": shape, "chunks": shape, "dtype": dtype_name}
        zarr = _read_json(folder / name / ".zarray")
        if not isinstance(zarr, dict) or not described.items() <= zarr.items():
            raise DamagedError(f"{folder / name / '.zarray'}: expected {described}")
        chunk = folder / name / (".".join("0" for _ in shape) or "0")
        chunks[chunk] = math.prod(shape) * dtype.itemsize
    paths = (folder, *chunks, *sorted(folder.rglob("*")))
    for path in paths:
        if path.is_dir() and not path.is_symlink() and path not in chunks:
            continue
        size = _size(path)
        if size != chunks.get(path, size):
            raise DamagedError(f"{path}: expected {chunks[path]:,} bytes, got {size:,}")
        if (path not in chunks and size > LIMIT) or path.name == "manifest.ocdbt":
            raise DamagedError(f"{path}: expected a file of Zarr of at most {LIMIT:,} bytes")


def _read_json(path: Path) -> Any:
    """The content of a JSON file that is a regular one, up to the limit."""
    size = _size(path)
    if size > LIMIT:
        raise DamagedError(f"{path}: expected at most {LIMIT:,} bytes, got {size:,}")
    return json.loads(path.read_bytes())


def is_orbax(folder: Path) -> bool:
    """Whether an earlier version wrote this checkpoint."""
    return (folder / ORBAX).exists()


def _size(path: Path) -> int:
    """Of a regular file."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise DamagedError(f"{path}: expected a file, got a link, a folder or a device")
    return found.st_size


def _digest(contents: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
