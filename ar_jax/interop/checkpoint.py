"""A checkpoint's folder: `config.json`, and tensors by name in safetensors files.

A folder may be anybody's: whatever is in it gives tensors or an error that names the file. JSON is
read up to 16 MiB, no file from outside of the folder, and of tensors at first the names, dtypes and
shapes only, of which safetensors reads up to 100 MB.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ar_jax import durable

CONFIG, TENSORS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"

FILE_NAME = r"[A-Za-z0-9._-]{1,200}\.safetensors"

LONGEST_JSON = 2**24
"""Bytes."""

LARGEST_SIZE = 2**31 - 1
"""Of a dimension."""


@dataclass(frozen=True)
class Config:
    """The entries of `config.json`, which are checked as they are read; null is as good as none.

    Attributes:
      entries: by name.
    """

    entries: Mapping[str, Any]

    def size(self, name: str, default: int = 0, most: int = LARGEST_SIZE) -> int:
        """An integer from 1 to `most`; with a default of 0 it must be there."""
        value = self._get(name, default or None)
        if type(value) is not int or not 1 <= value <= most:
            raise self._error(name, f"an integer 1 ... {most}")
        return value

    def number(self, name: str, default: float) -> float:
        """A number above 0, and finite in float32."""
        value = self._get(name, default)
        limits = np.finfo(np.float32)
        if type(value) not in (int, float) or not float(limits.tiny) <= value <= float(limits.max):
            raise self._error(name, "a finite number above 0")
        return float(value)

    def choice(self, name: str, allowed: Sequence[Any], default: Any = None) -> Any:
        """One of several values."""
        value = self._get(name, default)
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise self._error(name, " or ".join(map(json.dumps, allowed)))
        return value

    def nested(self, name: str) -> "Config":
        """An object inside; empty if there is none."""
        value = self._get(name, {})
        if not isinstance(value, dict):
            raise self._error(name, "an object")
        return Config(value)

    def _get(self, name: str, default: Any) -> Any:
        value = self.entries.get(name)
        return default if value is None else value

    def _error(self, name: str, expected: str) -> ValueError:
        got = _shown(self.entries[name]) if name in self.entries else "no such entry"
        return ValueError(f"{CONFIG}, {name}: expected {expected}, got {got}")


def read_config(folder: Path) -> Config:
    """The configuration.

    Raises:
      FileNotFoundError: when there is none.
      ValueError: when it is no JSON object.
    """
    path = folder / CONFIG
    if not path.exists():
        raise FileNotFoundError(f"folder: expected that of a checkpoint, got {folder}: no {CONFIG}")
    return Config(_read_object(folder, CONFIG))


class Tensor(NamedTuple):
    """A tensor of a file, which is not read yet.

    Attributes:
      file: the name of that.
      name: its own.
      shape: as the file's header has it.
      dtype: as the header names it, such as "BF16".
      read: gives the values.
    """

    file: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


@contextmanager
def open_tensors(folder: Path) -> Iterator[dict[str, Tensor]]:
    """The tensors, by their names.

    Raises:
      FileNotFoundError: when a file is missing.
      ValueError: when one cannot be read, or lies outside of the folder.
    """
    files = [TENSORS]
    if (folder / INDEX).exists() and not (folder / TENSORS).exists():
        weight_map = _read_object(folder, INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError(f"{INDEX}, weight_map: expected an object, got {_shown(weight_map)}")
        for name in weight_map.values():
            if not (isinstance(name, str) and re.fullmatch(FILE_NAME, name)):
                raise ValueError(
                    f"{INDEX}, weight_map: expected names of .safetensors files, got {_shown(name)}"
                )
        files = sorted(set(weight_map.values()))
    tensors: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name in files:
            path = _inside(folder, name)
            if not path.exists():
                raise FileNotFoundError(f"folder: expected {name} in it, got {folder} without")
            try:
                file: Any = stack.enter_context(safe_open(path, framework="np"))
                found = {key: _tensor(name, file, key) for key in file.keys()}  # noqa: SIM118
            except (SafetensorError, OSError) as error:
                raise ValueError(
                    f"{name}: expected a safetensors file, got one with {error}"
                ) from None
            for key in sorted(found.keys() & tensors.keys()):
                raise ValueError(f"{name}, {key}: expected it in one file, got it in two")
            tensors |= found
        yield tensors


def _tensor(name: str, file: Any, key: str) -> Tensor:
    header = file.get_slice(key)

    def read() -> np.ndarray:
        return file.get_tensor(key)

    return Tensor(name, key, tuple(header.get_shape()), header.get_dtype(), read)


def _inside(folder: Path, name: str) -> Path:
    """The path of a file of the folder, also where it is a link.

    In the cache of `huggingface_hub`, the files of `snapshots/REVISION` are links into `blobs`.

    Raises:
      ValueError: when it lies elsewhere.
    """
    home, path = folder.resolve(), (folder / name).resolve()
    allowed = [home]
    if home.parent.name == "snapshots":
        allowed.append(home.parents[1] / "blobs")
    if not any(path.is_relative_to(place) for place in allowed):
        raise ValueError(f"{name}: expected a file in {folder}, got a link to {path}")
    if path.exists() and not path.is_file():
        raise ValueError(f"{name}: expected a file, got a folder or a device")
    return path


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a folder, which appears when all is written.

    The files are on the disk (fsync) before the folder gets its name.

    Raises:
      FileExistsError: when the folder exists.
    """
    if folder.exists():
        raise FileExistsError(f"folder: expected a new one, got {folder}, which exists")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as beside:
        new = Path(beside) / folder.name
        new.mkdir()
        contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        save_file(contiguous, new / TENSORS, metadata={"format": "pt"})
        with (new / TENSORS).open("rb") as file:
            os.fsync(file.fileno())
        durable.write(new / CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")
        new.rename(folder)
    durable.sync_folder(folder.parent)


def _read_object(folder: Path, name: str) -> dict[str, Any]:
    path = _inside(folder, name)
    if path.stat().st_size > LONGEST_JSON:
        raise ValueError(
            f"{name}: expected at most {LONGEST_JSON} bytes, got {path.stat().st_size}"
        )
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: expected JSON, got {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name}: expected an object, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """For an error: as JSON, but what is long or nested by its kind."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case str() if len(value) > 100:
            return f"a text of {len(value)} symbols"
    return json.dumps(value)
