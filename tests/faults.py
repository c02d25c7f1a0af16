"""Faults of the machine, for real."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory on a folder; skips the test where none can be mounted.

    Args:
      folder: made if missing; what it holds is hidden meanwhile.
      options: of tmpfs, e.g. "size=4k" or "ro".
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only the superuser can mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def full_disk(folder: Path) -> contextlib.AbstractContextManager[None]:
    """A disk with room for one page only."""
    return small_disk(folder, "size=4k")
