"""A checkpoint's folder: `config.json`, and tensors by name in safetensors files."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

CONFIG, TENSORS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class Config:
    """The entries of `config.json`, which are checked as they are read; null is as good as none.

    Attributes:
      entries: by name.
    """

    entries: Mapping[str, Any]

    def size(self, name: str, default: int = 0) -> int:
        """An integer of at least 1; with a default of 0 it must be there."""
        value = self._get(name, default or None)
        if type(value) is not int or value < 1:
            raise self._error(name, "an integer of at least 1")
        return value

    def number(self, name: str, default: float) -> float:
        """A number above 0."""
        value = self._get(name, default)
        if type(value) not in (int, float) or value <= 0:
            raise self._error(name, "a number above 0")
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
        got = json.dumps(self.entries[name]) if name in self.entries else "no such entry"
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
    return Config(_read_object(path))


@contextmanager
def open_tensors(folder: Path) -> Iterator[dict[str, Callable[[], np.ndarray]]]:
    """What reads each tensor, by its name.

    Raises:
      FileNotFoundError: when a file is missing.
      ValueError: when one cannot be read.
    """
    files = [TENSORS]
    if (folder / INDEX).exists() and not (folder / TENSORS).exists():
        weight_map = _read_object(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ValueError(f"{INDEX}, weight_map: expected an object, got {weight_map!r}")
        files = sorted(set(weight_map.values()))
    tensors = {}
    with ExitStack() as stack:
        for name in files:
            if not (folder / name).exists():
                raise FileNotFoundError(f"folder: expected {name} in it, got {folder} without")
            try:
                file: Any = stack.enter_context(safe_open(folder / name, framework="np"))
            except SafetensorError as error:
                raise ValueError(
                    f"{name}: expected a safetensors file, got one with {error}"
                ) from None
            tensors |= {key: partial(file.get_tensor, key) for key in file.keys()}  # noqa: SIM118
        yield tensors


def write(folder: Path, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a folder, which appears when all is written.

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
        (new / CONFIG).write_text(
            json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )
        new.rename(folder)


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path.name}: expected JSON, got {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path.name}: expected an object, got {type(value).__name__}")
    return value
