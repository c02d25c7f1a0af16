"""Files that are written all at once and survive a power cut."""

import contextlib
import itertools
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Writes a file atomically and durably: a crash leaves the old content or the new one.

    The content goes through a temporary file with a random name, which can be no user's file, and
    is on the disk (fsync) before it takes the place of the old one. Text is UTF-8.

    Args:
      path: of the file, in a folder that exists.
      content: the whole file.

    Raises:
      OSError: when it cannot be written; the error names `path`, and an old file is unchanged.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the file into the errors of the system raised inside, e.g. that of a full disk."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def keep_aside(path: Path) -> Path:
    """Copies a damaged file that is to be written anew to the first free name NAME.damaged.

    Raises:
      OSError: when the copy cannot be written.
    """
    content = path.read_bytes()
    for number in itertools.count(1):
        copy = path.with_name(f"{path.name}.damaged" + (f".{number}" if number > 1 else ""))
        with contextlib.suppress(FileExistsError), naming(copy), copy.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            return copy
    raise AssertionError


def sync_folder(folder: Path) -> None:
    """Puts the names of a folder's files on the disk: fsync of a file covers only its content."""
    if os.name == "posix":  # other systems cannot open a folder
        sync(folder)


def sync(path: Path) -> None:
    """Puts a file on the disk, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
