"""A trained model, from the folder of its run."""

import json
from collections.abc import Iterable
from os import PathLike
from pathlib import Path
from typing import Any

from ar_jax.configuration import build
from ar_jax.experiment.weights import read_weights
from ar_jax.training.checkpoint import Checkpoints

LARGEST = 2**26
"""Bytes of a file that describes a run: far more than any has."""


def load(path: str | PathLike[str], classes: Iterable[type] = ()) -> tuple[Any, dict[str, Any]]:
    """The model and the variables of a run, with the best validation: nothing is written.

        model, variables = ar.load("runs/digits")
        images = ar.sample(model, variables, jax.random.key(0), batch_size=16)

    Args:
      path: the folder of a run of `ar_jax.training.fit`, of an experiment, or the record of one
        whose weights were kept, `seed=0.json` beside `seed=0.npz`.
      classes: of parts that are not in ar_jax, such as your own conditional.

    Returns:
      The model, and the averaged parameters as `model.apply` takes them.

    Raises:
      FileNotFoundError: when there is no run, no checkpoint, or no weights.
      ValueError: when what is there is damaged, or names a class that is not known.
    """
    path = Path(path)
    if path.suffix == ".json":
        model = _model(path, _read(path).get("configuration"), classes)
        if not (weights := path.with_suffix(".npz")).exists():
            raise FileNotFoundError(f"{path}: expected the weights {weights.name} beside it")
        return model, {"params": read_weights(weights)}
    description = path / "run.json"
    if not description.exists():  # a run of a version that did not write one yet
        description = path / "config.json"
    if not description.exists():
        raise FileNotFoundError(f"folder: expected that of a run, got {path}: train first")
    model = _model(description, _read(description), classes)
    with Checkpoints(path / "checkpoints") as checkpoints:
        return model, checkpoints.variables()


def _read(path: Path) -> dict[str, Any]:
    """Raises ValueError when the file is no description of a run."""
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path}: expected at most {LARGEST:,} bytes, got more")
    try:
        described = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        described = None
    if not isinstance(described, dict):
        raise ValueError(f"{path}: expected the description of a run, got a damaged file")
    return described


def _model(path: Path, described: Any, classes: Iterable[type]) -> Any:
    """The model that a configuration tells of."""
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise ValueError(f"{path}: expected the description of a model in it, got none")
    try:
        model = build(described["model"], classes)
        model.check_parts()
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return model
