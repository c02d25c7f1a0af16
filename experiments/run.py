"""What experiments share: verbs on the command line, and the run folder."""

import dataclasses
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from ar_jax.training.parallel import devices

Config = TypeVar("Config")
Verb = Callable[[list[str]], None]


def dispatch(program: str, verbs: dict[str, Verb], default: str, overview: str) -> None:
    """Runs the verb that the command line names, or the default one.

    An error that tells what to do ends the program in one line.

    Args:
      program: how the program is started, for its help.
      verbs: what each does with the arguments after it.
      default: the verb when none is named.
      overview: what `--help` without a verb tells.
    """
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"usage: {program} [{' | '.join(verbs)}] [options]\n\n{overview}")
        print(f"The options of each: {program} {default} --help")
        return
    verb = default
    if arguments and not arguments[0].startswith("-"):
        verb, *arguments = arguments
    try:
        if verb not in verbs:
            raise ValueError(f"verb: expected one of {', '.join(verbs)}, got {verb}")
        verbs[verb](arguments)
    except (ValueError, FileNotFoundError, FileExistsError, FloatingPointError) as error:
        sys.exit(f"{program}: {error}")


def parse(default: Config, arguments: Sequence[str], program: str) -> Config:
    """A configuration from arguments; each field of each of its parts is an option."""
    options = (tyro.conf.AvoidSubcommands,)
    return tyro.cli(type(default), default=default, prog=program, args=arguments, config=options)


def begin(folder: Path, config: Any, arguments: Sequence[str]) -> bool:
    """Writes the configuration into a run's folder: as JSON to read, as arguments to parse again.

    Returns:
      Whether the run goes on from a checkpoint.

    Raises:
      FileExistsError: when the folder holds a run of another configuration; it is left alone.
    """
    described = json.dumps(describe(config), indent=2) + "\n"
    path = folder / "config.json"
    trained = any((folder / "checkpoints").glob("[0-9]*"))
    if trained and path.exists() and path.read_text() != described:
        raise FileExistsError(
            f"folder: expected a new one or one with this configuration, got {folder}, "
            "which holds a run of another (see its config.json); name another with --folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "arguments.json").write_text(json.dumps(list(arguments)) + "\n")
    path.write_text(described)
    return trained


def arguments_of(folder: Path) -> list[str]:
    """The arguments that a run was started with.

    Raises:
      FileNotFoundError: when there is no run in the folder.
    """
    path = folder / "arguments.json"
    if not path.exists():
        raise FileNotFoundError(f"folder: expected that of a run, got {folder}: train first")
    return json.loads(path.read_text())


def record(folder: Path, program: str, **results: Any) -> None:
    """Writes what an evaluation found, with the command and the device that it came from."""
    command = f"{program} {shlex.join(arguments_of(folder))}".rstrip()
    described = {name: describe(value) for name, value in results.items()}
    lines = json.dumps({"command": command, "device": devices()} | described, indent=2)
    (folder / "results.json").write_text(lines + "\n")


def describe(part: Any) -> Any:
    """A nested configuration as JSON, each part with the name of its class."""
    if not dataclasses.is_dataclass(part):
        return str(part) if isinstance(part, Path) else part
    fields = [f.name for f in dataclasses.fields(part) if f.init and f.name not in _LEFT_OUT]
    return {"class": type(part).__name__} | {name: describe(getattr(part, name)) for name in fields}


_LEFT_OUT = ("parent", "name", "folder")  # Linen's bookkeeping, and where the run happens to be
