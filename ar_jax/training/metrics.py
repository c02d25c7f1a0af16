"""Metrics of a run, as JSON lines."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np


class MetricsFile:
    """Appends to a file of JSON lines, one record `{"step": ..., ...}` each.

    What is there of steps after `step` is cut away: a run that resumes from a checkpoint makes
    those steps again.

    Args:
      path: the file.
      step: the step that the run starts from.
    """

    def __init__(self, path: Path, step: int) -> None:
        kept = [record for record in read_metrics(path) if record["step"] <= step]
        rewritten = path.with_name(path.name + ".new")
        rewritten.write_text("".join(json.dumps(record) + "\n" for record in kept))
        rewritten.replace(path)  # at once: a crash here loses nothing
        self._path = path

    def write(self, step: int, **values: float) -> None:
        """Adds a record."""
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step} | values) + "\n")


def finite_means(scalars: Sequence[Mapping[str, Any]], step: int) -> dict[str, float]:
    """Means of each scalar over successive steps.

    Args:
      scalars: those of each step, on devices or the host.
      step: the last of these steps.

    Raises:
      FloatingPointError: when a scalar is not finite.
    """
    rows = jax.device_get(scalars)  # waits for the devices
    for at, row in enumerate(rows, step - len(rows) + 1):
        for name, value in row.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name}: expected a finite number, got {value}, step {at}"
                )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file, none if it does not exist; a torn last line is left out."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
