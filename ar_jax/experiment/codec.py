"""Files compressed by a trained model: what the verbs `compress` and `decompress` do."""

import math
import os
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from reprlib import repr as short
from typing import Any, ClassVar, Protocol
from unicodedata import category, normalize

import numpy as np

from ar_jax.inference.compression import LIMIT, compress, decompress, read
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.models.length import with_length

STREAMS, SHORTEST = 64, 4096
"""How many streams a sequence is cut into to be coded side by side, and the least for each."""

NAME_BYTES = 255
"""The longest name of a file, as systems have it."""

FORBIDDEN = "/" if os.name == "posix" else '/\\:*?"<>|'
"""Characters that this system has in no name."""

Progress = Callable[[float], None]


class FileFormat(Protocol):
    """How the files of a data set hold their values."""

    streams: ClassVar[bool]
    """Whether a file is one sequence, of any length; or else events."""

    def read(self, path: Path) -> np.ndarray:
        """The values of a file `[n, ...]`: its events, or the steps of its sequence."""
        ...

    def written(self, values: np.ndarray, name: str) -> bytes:
        """The content of the file of that name."""
        ...

    def same(self, given: bytes, back: bytes) -> bool:
        """Whether a file that comes back like that has lost nothing of what was given."""
        ...


def compress_files(
    model: AutoregressiveModel,
    variables: Any,
    file_format: FileFormat,
    paths: Sequence[Path],
    progress: Progress,
    limit: int = LIMIT,
) -> bytes:
    """Files as one, under a model of their values.

    Raises:
      ValueError: when `check_files` refuses their names, one does not fit or holds more than comes
        back, or they have more than `limit` variables.
    """
    check_files([[path.name, 1] for path in paths])  # before one is read
    parts = [file_format.read(path) for path in paths]
    event = model.ordering.event[file_format.streams :]
    for path, part in zip(paths, parts, strict=True):
        if part.shape[1:] != event:
            raise ValueError(
                f"{path}: expected values of shape {list(event)}, got {list(part.shape[1:])}"
            )
        if not file_format.same(path.read_bytes(), file_format.written(part, path.name)):
            raise ValueError(
                f"{path}: expected a file that can be given back, got one that holds more than its "
                "values, or holds them otherwise; write it anew, without metadata (of ffmpeg: "
                "-map_metadata -1 -bitexact)"
            )
    files = [[path.name, len(part)] for path, part in zip(paths, parts, strict=True)]
    check_files(files)
    values = np.concatenate(parts)
    model, lengths = laid_out(model, variables, file_format, len(values), limit)
    return compress(
        model, variables, side_by_side(values, lengths), lengths=lengths, about={"files": files},
        limit=limit, progress=progress,
    )  # fmt: skip


def decompress_files(
    model: AutoregressiveModel,
    variables: Any,
    file_format: FileFormat,
    data: bytes,
    progress: Progress,
    limit: int = LIMIT,
) -> dict[str, bytes]:
    """The content of each file by its name; bounds as of `compression.decompress`.

    Raises:
      ValueError: when the data is damaged, another model's, or has more than `limit` variables.
    """
    files = contents(data)
    ends = list(accumulate(count for _, count in files))
    model, lengths = laid_out(model, variables, file_format, ends[-1], limit)
    values = decompress(model, variables, data, lengths=lengths, limit=limit, progress=progress)
    if lengths is not None:
        values = values.reshape(-1, *values.shape[2:])[: ends[-1]]
    if len(values) != ends[-1]:
        raise ValueError(f"data: expected {ends[-1]} events, as of its files, got {len(values)}")
    parts = np.split(values, ends[:-1])
    return {
        name: file_format.written(part, name) for (name, _), part in zip(files, parts, strict=True)
    }


def contents(data: bytes) -> list[tuple[str, int]]:
    """The name of each file, and how many values it has.

    Raises:
      ValueError: when the data is damaged, or `check_files` refuses them.
    """
    header, _ = read(data)
    files = header["about"].get("files")
    check_files(files)
    return [(name, count) for name, count in files]


def check_files(files: Any) -> None:
    """Raises ValueError for what is no list of files, each `[name, number of values]`.

    Who compresses and who decompresses ask it before the work. A name is of 1 to 255 bytes in
    UTF-8, names no folder, and has no control characters. Two names differ by more than case and
    the way accents are written, since some systems take such names for one.
    """
    if not (isinstance(files, list) and files and all(map(_is_entry, files))):
        raise ValueError(
            f"files: expected one at least, with its number of values, got {short(files)}"
        )
    names = [name for name, _ in files]
    for name in names:
        if not _is_name(name):
            raise ValueError(
                f"files: expected names of 1 ... {NAME_BYTES} bytes in UTF-8, without folders and "
                f"control characters, got {name!a}; rename it"
            )
    first: dict[str, str] = {}
    for name in names:
        plain = normalize("NFD", normalize("NFD", name).casefold())
        if plain in first:
            raise ValueError(
                "files: expected names that differ by more than case, got "
                f"{first[plain]!a} and {name!a}; rename one"
            )
        first[plain] = name
    if not any(count for _, count in files):
        raise ValueError("files: expected something to compress, got empty files")


def _is_entry(entry: Any) -> bool:
    """Whether it is of the right types."""
    right = isinstance(entry, list) and list(map(type, entry)) == [str, int]
    return right and 0 <= entry[1] < 2**63


def _is_name(name: str) -> bool:
    """Whether a file of this name can be made in any folder of this system."""
    if name in (".", "..") or any(category(char) in ("Cc", "Cs") for char in name):
        return False
    return 1 <= len(name.encode()) <= NAME_BYTES and not set(name) & set(FORBIDDEN)


def laid_out(
    model: AutoregressiveModel,
    variables: Any,
    file_format: FileFormat,
    count: int,
    limit: int = LIMIT,
) -> tuple[AutoregressiveModel, np.ndarray | None]:
    """The model of so many values, and the lengths of its events if they are streams of values.

    Raises:
      ValueError: when they have more than `limit` variables.
    """
    if not file_format.streams:
        return model, None
    if count * math.prod(model.ordering.event[1:]) > limit:
        raise ValueError(f"files: expected {limit} variables at most, got {count} steps; see limit")
    longest = max(-(-count // STREAMS), min(count, SHORTEST))
    starts = np.arange(0, count, longest)
    return with_length(model, variables, longest), np.minimum(count - starts, longest)


def side_by_side(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """A sequence `[n, ...]` as events `[count, longest, ...]` of these lengths, the last padded."""
    if lengths is None:
        return values
    missing = lengths[0] * len(lengths) - len(values)
    padded = np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])
    return padded.reshape(len(lengths), lengths[0], *values.shape[1:])
