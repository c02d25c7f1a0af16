"""The folder of a run: what stands in it, and whose it is."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from rich.console import Console

from ar_jax.configuration import ABSENT, describe, differences
from ar_jax.durable import keep_aside, write
from ar_jax.evaluation import Likelihood
from ar_jax.training.fingerprint import HARMLESS


def begin(folder: Path, config: Any, arguments: Sequence[str]) -> None:
    """Writes the configuration into a run's folder: as JSON to read, as arguments to parse again.

    Raises:
      FileExistsError: when the folder holds a run of another configuration.
    """
    check_folder(folder, config)
    path = folder / "config.json"
    if path.exists() and read_json(path) is None:
        warnings.warn(f"{path}: damaged, kept as {keep_aside(path).name}", stacklevel=2)
    write(folder / "arguments.json", json.dumps(list(arguments)) + "\n")
    write(path, to_json(config))


def check_folder(folder: Path, config: Any) -> None:
    """Raises FileExistsError when the folder holds another run, or results without checkpoints.

    Where config.json is damaged, `run.json` tells whether the run is another, when it goes on.
    """
    path, metrics, checkpoints = (
        folder / name for name in ("config.json", "metrics.jsonl", "checkpoints")
    )
    saved = checkpoints.is_dir() and any(p.name[0].isdigit() for p in checkpoints.iterdir())
    ended = (folder / "results.json").exists()
    if not (saved or ended or (metrics.exists() and metrics.stat().st_size)):
        return  # at most a start that failed
    other = f"folder: expected a new one or one with this configuration, got {folder}"
    if not path.exists():
        raise FileExistsError(f"{other}, which holds a run of another; name another with --folder")
    recorded = read_json(path)
    if recorded is None and not (folder / "run.json").exists():
        raise FileExistsError(f"{other}, whose {path.name} is damaged; name another with --folder")
    now = json.loads(to_json(config))
    for name, before, given in differences(now if recorded is None else recorded, now):
        if before is ABSENT and name.removeprefix("training.") in HARMLESS:
            continue  # recorded by a version that did not have it yet
        raise FileExistsError(
            f"{other}, which holds a run of another (see its {path.name}: {name} is {before}, not "
            f"{given}); name another with --folder"
        )
    if ended and not saved:
        raise FileExistsError(
            f"folder: expected a run with its checkpoints, got {folder}, which holds results "
            "without them; name another with --folder"
        )


def read_json(path: Path) -> Any:
    """What a file of JSON tells; None if it is damaged."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def recorded_nats(path: Path) -> float | None:
    """The likelihood that results tell; None if there are none, or damaged ones."""
    results: Any = read_json(path) if path.exists() else None
    try:
        return float(results["likelihood"]["nats"])
    except (TypeError, KeyError, ValueError):
        return None


def to_json(config: Any) -> str:
    """A configuration as it is stored."""
    return json.dumps(describe(config), indent=2) + "\n"


def check_new(path: Path) -> None:
    """Tries whether a new file can be written, and leaves nothing behind.

    Raises:
      FileExistsError: when there is something of that name.
      OSError: when the folder is missing, no folder or not to be written to, or the name too long.
    """
    try:
        path.open("xb").close()
    except FileExistsError as error:
        message = f"to: expected a new file, got {path}; remove it or name another"
        raise FileExistsError(message) from error
    except OSError as error:
        message = f"to: expected a file that can be written, got {path}: {error.strerror}"
        raise type(error)(message) from error
    path.unlink()


def check_writable(folder: Path) -> None:
    """Makes a folder and tries whether files can be written into it.

    Raises:
      OSError: when they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"folder: expected one that can be written to, got {folder}: {error.strerror}"
        raise type(error)(message) from error


@contextmanager
def folder_for_files(path: Path) -> Iterator[None]:
    """Makes a folder, with those above it; what stays empty is removed again.

    Raises:
      OSError: when it cannot be made.
    """
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"to: expected a folder, got {path}: {error.strerror}"
        raise type(error)(message) from error
    try:
        yield
    finally:
        for folder in new:
            with suppress(OSError):
                folder.rmdir()


def read_bytes(path: Path) -> bytes:
    """The content of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"file: expected one to read, got {path}")
    return path.read_bytes()


def arguments_of(folder: Path) -> list[str]:
    """The arguments that a run was started with.

    Raises:
      FileNotFoundError: when there is no run in the folder.
      ValueError: when the file is damaged.
    """
    path = folder / "arguments.json"
    if not path.exists():
        raise FileNotFoundError(f"folder: expected that of a run, got {folder}: train first")
    arguments = read_json(path)
    if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments):
        raise ValueError(
            f"{path}: expected a list of arguments, got a damaged file; the command that trained "
            "the run writes it again"
        )
    return arguments


def compared(again: float, recorded: float) -> str:
    """Whether a figure in nats came out as it was recorded, up to 1e-6 of it."""
    alike = abs(again - recorded) <= 1e-6 * abs(recorded)
    return AS_RECORDED if alike else f"recorded: {recorded!r} nats"


AS_RECORDED = "as recorded"


def tell(drawn: Path) -> None:
    """Prints a text, or where to look at a picture."""
    text = drawn.read_text(encoding="utf-8") if drawn.suffix == ".txt" else f"Drew {drawn}"
    Console().print(text, markup=False, highlight=False)


def readable(value: Any) -> str:
    """A figure as a person reads it."""
    if isinstance(value, Likelihood) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
