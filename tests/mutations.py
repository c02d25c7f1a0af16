"""Damaged files: small changes of valid ones, by a seed that never changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def check_damaged(
    read: Callable[[Path], Any], path: Path, right: Callable[[Any], bool], count: int = 120
) -> None:
    """Reads damaged copies of a file: each gives what is right, or an error that names the file.

    Args:
      read: the reader.
      path: of the valid file, which gets the copies.
      right: whether a result is of the right kind.
      count: of the copies.
    """
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(count):
        path.write_bytes(mutated(content, rng))
        try:
            got = read(path)
        except (ValueError, FileNotFoundError) as error:
            message = str(error)
            if path.name not in message or "\n" in message:
                raise
        else:
            assert right(got)
    path.write_bytes(content)


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to four changes: bytes replaced, a bit flipped, a part cut out, doubled or blanked."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place = int(rng.integers(len(changed) + 1))
        end = place + int(rng.choice([1, 2, 4, 16, len(content)]))
        part = changed[place:end]
        match rng.integers(5):
            case 0:
                changed[place:end] = rng.bytes(len(part))
            case 1 if part:
                changed[place] ^= 1 << int(rng.integers(8))
            case 2:
                del changed[place:end]
            case 3:
                changed[place:place] = part
            case 4:
                changed[place:end] = [int(rng.choice([0, 255]))] * len(part)
    return bytes(changed)
