"""Programs on the command line: verbs, options, and errors in one line."""

import ctypes
import dataclasses
import sys
import traceback
import typing
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import flax.linen as nn
import jax
import tyro

import ar_jax
from ar_jax.configuration import known_classes
from ar_jax.experiment.terminal import printing

Config = TypeVar("Config")
Verb = Callable[[list[str]], None]


@contextmanager
def not_needed(what: str) -> Iterator[None]:
    """Tells in a warning what goes wrong inside: results do not need pictures."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"{what}: {type(error).__name__}: {error}; goes on without", stacklevel=4)


def dispatch(
    program: str, verbs: dict[str, Verb], default: str, overview: str, arguments: Sequence[str]
) -> None:
    """Runs the verb that the command line names, or the default one.

    An error of ours tells what to do, and ends the program in one line, as does one of the system
    that names a file; others are bugs, and come with their traceback.

    Args:
      program: how the program is started, for its help.
      verbs: what each does with the arguments after it.
      default: the verb when none is named.
      overview: what `--help` without a verb tells.
      arguments: the command line.
    """
    verb, arguments = default, list(arguments)
    overall = arguments[:1] in (["-h"], ["--help"])
    if arguments and not arguments[0].startswith("-"):
        verb, *arguments = arguments
    keep_memory()
    try:
        with printing():
            if overall:
                print(f"usage: {program} [{' | '.join(verbs)}] [options]\n\n{overview}")
                print(f"The options of each: {program} VERB --help")
            elif verb not in verbs:
                raise ValueError(f"verb: expected one of {', '.join(verbs)}, got {verb}")
            else:
                verbs[verb](arguments)
    except KeyboardInterrupt:
        sys.exit(f"{program}: interrupted; the same command goes on from the last checkpoint")
    except (ValueError, OSError, FloatingPointError) as error:
        raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
        text = str(error)
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"
        elif not any(raised_in.is_relative_to(folder) for folder in OURS):
            raise
        sys.exit("; ".join([f"{program}: {text}", *getattr(error, "__notes__", ())]))


PACKAGE = Path(ar_jax.__file__).parent
OURS = (PACKAGE, PACKAGE.parent / "experiments")
"""Where errors are messages: in ar_jax, and in the programs of a clone."""


def asked(switch: str, arguments: Sequence[str]) -> bool:
    """Whether a switch is on: the last of `--switch` and `--no-switch` says."""
    given = [argument.replace("_", "-") for argument in arguments]
    said = [argument for argument in given if argument in (f"--{switch}", f"--no-{switch}")]
    return said[-1:] == [f"--{switch}"]


def keep_memory() -> None:
    """Keeps glibc from returning memory to the system after every step.

    XLA allocates its temporaries anew in each step on a CPU: the page faults cost up to half of the
    time. Memory stays at its peak instead.
    """
    if sys.platform == "linux" and jax.default_backend() == "cpu":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)  # other C libraries lack it
        for parameter, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**29), (-8, 1)):
            mallopt(parameter, value)  # no mmap; no trimming; 512 MiB at a time; one arena


def parse(default: Config, arguments: Sequence[str], program: str) -> Config:
    """A configuration from arguments; each field of each of its parts is an option.

    An option that names a part, such as `--model.conditional lru`, gives it another class: see
    `choose`.
    """
    default, rest = choose(default, arguments)
    options = (tyro.conf.AvoidSubcommands,)
    return tyro.cli(type(default), default=default, prog=program, args=rest, config=options)


def choose(default: Config, arguments: Sequence[str]) -> tuple[Config, list[str]]:
    """The configuration with the classes that arguments name, and the other arguments.

    `--training.optimizer muon` puts Muon() in the place of the optimizer; its own options follow:
    `--training.optimizer.learning-rate 0.01`.

    Raises:
      ValueError: when no class of that kind has the name, or it has no defaults for all its fields.
    """
    rest: list[str] = []
    words = [part for word in arguments for part in _parts(word)]
    while words:
        word = words.pop(0)
        path = word[2:].replace("-", "_").split(".") if word.startswith("--") else [""]
        kind = _kind(default, path)
        if kind is None or not words or words[0].startswith("-"):
            rest.append(word)
        else:
            default = _replaced(default, path, _named(word, kind, words.pop(0)))
    return default, rest


def _parts(word: str) -> list[str]:
    """`--option=value` as two words."""
    return word.split("=", 1) if word.startswith("--") and "=" in word else [word]


def _kind(config: Any, path: Sequence[str]) -> type | None:
    """The base class of the part at a path; None where there is no part but a number, say."""
    *parents, last = path
    for name in parents:
        config = getattr(config, name, None)
    if not dataclasses.is_dataclass(getattr(config, last, None)):
        return None
    hint = typing.get_type_hints(type(config)).get(last)
    return hint if isinstance(hint, type) and hint is not object else None


def _named(option: str, kind: type, name: str) -> Any:
    """The part of a kind whose class has the name, with its defaults."""
    classes = {
        known.lower(): cls for known, cls in known_classes().items() if issubclass(cls, kind)
    }
    try:
        return classes[name.replace("_", "").replace("-", "").lower()]()
    except KeyError:
        known = ", ".join(sorted(cls.__name__ for cls in classes.values()))
        raise ValueError(f"{option}: expected one of {known}, got {name}") from None
    except TypeError as error:
        raise ValueError(
            f"{option}: expected a {kind.__name__} whose fields have defaults, got {name}: "
            f"{error}; give it in a file of your own"
        ) from None


def _replaced(config: Any, path: Sequence[str], part: Any) -> Any:
    """The configuration with another part at a path."""
    name, *deeper = path
    value = _replaced(getattr(config, name), deeper, part) if deeper else part
    if isinstance(config, nn.Module):
        return config.clone(**{name: value})
    return dataclasses.replace(config, **{name: value})
