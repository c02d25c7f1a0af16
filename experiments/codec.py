"""Files compressed by a trained model: what the verbs `compress` and `decompress` do."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

import ar_jax as ar
from ar_jax.compression import compress, decompress, read

STREAMS, SHORTEST = 64, 4096
"""How many streams a sequence is cut into to be coded side by side, and the least for each."""

Progress = Callable[[float], None]


class Coded(Protocol):
    """What is asked of an experiment whose data are files."""

    @property
    def model(self) -> ar.AutoregressiveModel: ...

    streams: ClassVar[bool]
    """Whether a file is one sequence, of any length; or else events."""

    def read(self, path: Path) -> np.ndarray:
        """The values of a file `[n, ...]`: its events, or the steps of its sequence."""
        ...

    def written(self, values: np.ndarray, name: str) -> bytes:
        """The content of the file of that name."""
        ...


def compress_files(
    experiment: Coded, variables: Any, paths: Sequence[Path], progress: Progress
) -> bytes:
    """Files as one, under the model of an experiment.

    Raises:
      ValueError: when there are none, they hold nothing, two have one name, or one does not fit.
    """
    if not paths or len({path.name for path in paths}) < len(paths):
        raise ValueError(
            f"files: expected some, of different names, got {', '.join(map(str, paths)) or 'none'}"
        )
    parts = [experiment.read(path) for path in paths]
    event = experiment.model.ordering.event[experiment.streams :]
    for path, part in zip(paths, parts, strict=True):
        if part.shape[1:] != event:
            raise ValueError(
                f"{path}: expected values of shape {list(event)}, got {list(part.shape[1:])}"
            )
    values = np.concatenate(parts)
    if not len(values):
        raise ValueError("files: expected something to compress, got empty files")
    model, lengths = laid_out(experiment, variables, len(values))
    values = side_by_side(values, lengths)
    about = {"files": [[path.name, len(part)] for path, part in zip(paths, parts, strict=True)]}
    return compress(model, variables, values, lengths=lengths, about=about, progress=progress)


def decompress_files(
    experiment: Coded, variables: Any, data: bytes, progress: Progress
) -> dict[str, bytes]:
    """The content of each file by its name.

    Raises:
      ValueError: when the data is damaged, or another model's.
    """
    files = contents(data)
    ends = np.cumsum([count for _, count in files])
    model, lengths = laid_out(experiment, variables, int(ends[-1]))
    values = decompress(model, variables, data, lengths=lengths, progress=progress)
    if lengths is not None:
        values = values.reshape(-1, *values.shape[2:])[: ends[-1]]
    parts = np.split(values, ends[:-1])
    return {
        name: experiment.written(part, name) for (name, _), part in zip(files, parts, strict=True)
    }


def contents(data: bytes) -> list[tuple[str, int]]:
    """The name of each file, and how many values it has.

    Raises:
      ValueError: when the data is damaged, or a name leads elsewhere.
    """
    header, _ = read(data)
    files = header["about"].get("files")
    if not isinstance(files, list) or not files or not all(map(_is_entry, files)):
        raise ValueError(f"data: expected the names of files, got {json.dumps(files)}")
    if len({name for name, _ in files}) < len(files) or not sum(count for _, count in files):
        raise ValueError(f"data: expected files of different names, got {json.dumps(files)}")
    return [(name, count) for name, count in files]


def _is_entry(entry: Any) -> bool:
    """Whether it is a file's name, without a folder, and its number of values."""
    if not (isinstance(entry, list) and list(map(type, entry)) == [str, int]):
        return False
    name, count = entry
    plain = name not in ("", ".", "..") and not set(name) & {"/", "\\", ":", "\0"}
    return plain and 0 <= count < 2**31


def laid_out(
    experiment: Coded, variables: Any, count: int
) -> tuple[ar.AutoregressiveModel, np.ndarray | None]:
    """The model of so many values, and the lengths of its events if they are streams of values."""
    if not experiment.streams:
        return experiment.model, None
    longest = max(-(-count // STREAMS), min(count, SHORTEST))
    starts = np.arange(0, count, longest)
    model = ar.lengthen(experiment.model, variables, longest)
    return model, np.minimum(count - starts, longest)


def side_by_side(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """A sequence `[n, ...]` as events `[count, longest, ...]` of these lengths, the last padded."""
    if lengths is None:
        return values
    missing = lengths[0] * len(lengths) - len(values)
    padded = np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])
    return padded.reshape(len(lengths), lengths[0], *values.shape[1:])
