"""Arrays from files of numpy's, which may come from anyone."""

import math
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from ar_jax.data.files import LIMIT, existing_file, one_line

MEMBERS = 10_000
"""Arrays that a file may hold."""


def read_npz(path: Path | str, limit: int = LIMIT) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz` file; pickled objects are refused, since they run code.

    What the file claims is checked before anything is unpacked: at most 10,000 arrays, of distinct
    names, stored or deflated, each as large as its header says.

    Args:
      path: of the file.
      limit: bytes of all arrays together; those of a file that is larger itself may take as much as
        it does.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it, or an array of it, cannot be read, or is larger.
    """
    path = existing_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, max(limit, path.stat().st_size))
            return {member.filename.removesuffix(".npy"): _unpacked(archive, member)
                    for member in members}  # fmt: skip
    except Exception as error:  # zipfile and numpy raise many kinds of them
        raise ValueError(f"{path}: expected an .npz of arrays, got {one_line(error)}") from error


def read_npy(path: Path | str) -> np.ndarray:
    """The array of an `.npy` file, which must be as large as its header says.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it cannot be read, or holds pickled objects, which run code.
    """
    path = existing_file(path)
    try:
        with path.open("rb") as file:
            return _array(file, path.stat().st_size)
    except Exception as error:  # numpy raises many kinds of them
        raise ValueError(f"{path}: expected an array, got {one_line(error)}") from error


def _check_members(members: list[zipfile.ZipInfo], limit: int) -> None:
    """Raises unless an archive may be unpacked."""
    if len(members) > MEMBERS:
        raise ValueError(f"{len(members):,} members, more than {MEMBERS:,}")
    for name, count in Counter(member.filename for member in members).items():
        if not name.endswith(".npy") or not name.isprintable():
            raise ValueError(f"a member {name!r}, which is none")
        if count > 1:
            raise ValueError(f"{count} members {name!r}")
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"a member {member.filename!r} that is neither stored nor deflated")
    if (size := sum(member.file_size for member in members)) > limit:
        raise ValueError(
            f"{size:,} bytes where {limit:,} are allowed; if they are wanted, read it with a "
            "greater `limit`"
        )


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """The array of a member of an archive."""
    try:
        with archive.open(member) as file:
            return _array(file, member.file_size)
    except Exception as error:
        raise ValueError(f"{one_line(error)} in {member.filename!r}") from error


def _array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an `.npy` file of so many bytes: nothing is allocated that they do not hold."""
    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in headers:
        raise ValueError(f"version {version} of the format, not 1.0 or 2.0")
    shape, _, dtype = headers[version](file)
    claimed, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if min(shape, default=0) < 0 or not dtype.itemsize:
        raise ValueError(f"shape {list(shape)} of {dtype}")
    if not dtype.hasobject and claimed != held:
        raise ValueError(f"{held:,} bytes of {dtype} where shape {list(shape)} takes {claimed:,}")
    file.seek(0)
    array = npy.read_array(file, allow_pickle=False)
    if dtype.kind == "U":
        code_points = array.ravel().view(np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if code_points.max(initial=0) > sys.maxunicode:
            raise ValueError("texts with characters that Unicode does not have")
    return array
