"""What a run was given and where it ran: `run.json`, by which a resume knows its own.

A run goes on only with the model, the training and the data that it began with.
"""

import dataclasses
import json
import os
import platform
import subprocess
import warnings
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import grain
import jax
import numpy as np

import ar_jax
from ar_jax.configuration import describe, differences, digest, leaves
from ar_jax.durable import keep_aside, write
from ar_jax.objectives import MaximumLikelihood
from ar_jax.training.config import Training
from ar_jax.training.parallel import devices, first_process

FILE = "run.json"
PACKAGES = ("jax", "jaxlib", "numpy", "flax", "optax", "orbax-checkpoint", "grain", "ar-jax")

HARMLESS = (
    "steps", "micro_batches", "log_every", "validate_every", "patience", "keep", "on_nonfinite",
    "max_skipped",
)  # fmt: skip
"""Fields of Training that may differ when a run goes on: what was learned so far stays right.

Other `steps` stretch or squeeze the rest of the learning rate's schedule.
"""

FORMER = {
    "AnyOrderModel": "RandomOrder", "OrderAgnosticModel": "MaskedDiffusion",
    "Ensemble": "RandomMember",
}  # fmt: skip
"""The objectives of runs of before there were objectives, where not MaximumLikelihood."""

BATCHES = (0, *(4**power for power in range(9)))
"""Which batches are looked at: all of them would cost a training."""

BYTES = 2**26
"""How much of the source is looked at: all of it, or rows spread evenly."""


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What tells a run from another, as JSON.

    Attributes:
      model: each field of each part.
      training: each field.
      objective: each field.
      data: shapes and dtypes of a batch, digests of some batches and of the source of
        `training_batches`, and its number of examples.
    """

    model: Any
    training: dict[str, Any]
    data: dict[str, Any]
    objective: Any = dataclasses.field(default_factory=lambda: describe(MaximumLikelihood()))

    @classmethod
    def of(
        cls,
        model: Any,
        training: Training,
        batches: grain.MapDataset[Any],
        objective: Any = MaximumLikelihood(),
    ) -> "Fingerprint":
        """The fingerprint of what `fit` is given.

        Args:
          model: the model.
          training: how it is trained.
          batches: element i is the batch of step i + 1.
          objective: what training minimises.
        """
        some = [batches[i] for i in BATCHES if i < len(batches)]
        arrays = {name: f"{leaf.dtype} {list(leaf.shape)}" for name, leaf in leaves(some[0])}
        data: dict[str, Any] = {"arrays": arrays}
        if (source := _source(batches)) is not None:
            data |= {"examples": len(source), "source": digest(_looked_at(source))}
        data["batches"] = digest(some)
        return cls(describe(model), describe(training), data, describe(objective))

    def check_same(self, folder: Path) -> list[str]:
        """What a run that goes on in a folder does otherwise than before, none of it harmful.

        Raises:
          ValueError: when the run there is another one; the first field that differs is named.
        """
        recorded = read_run(folder)
        if recorded is None:
            _warn(
                f"{folder / FILE}: expected what the run was given, got nothing that can be read; "
                "goes on as if it were the same"
            )
            return []
        changes = []
        former = {"class": FORMER.get(self.model.get("class"), "MaximumLikelihood")}
        begun = {"objective": former} | {f: recorded[f] for f in self.json if f in recorded}
        for name, before, given in differences(begun, self.json):
            if name.removeprefix("training.") not in HARMLESS:
                raise ValueError(
                    f"{name}: expected {before}, with which the run in {folder} began (see its "
                    f"{FILE}), got {given}; give what it began with, or another folder"
                )
            changes.append(f"{name}: {given}, was {before}")
        return changes

    def write(self, folder: Path, step: int) -> None:
        """Writes `run.json`: this, and the versions and machine of each start that changes them.

        Args:
          folder: of the run.
          step: the step that this start begins at; 0 forgets earlier starts.

        Raises:
          OSError: when it cannot be written.
        """
        path, here = folder / FILE, {"step": step} | surroundings()
        recorded = read_run(folder) if step else None
        starts = (recorded or {}).get("starts", [])
        last = starts[-1] if starts else here
        if changes := [
            f"{name} {here.get(name, 'none')}, was {last.get(name, 'none')}"
            for name in dict.fromkeys([*last, *here])
            if name != "step" and last.get(name) != here.get(name)
        ]:
            _warn(
                f"{folder}: goes on under {'; '.join(changes)}: what follows may differ in its "
                "last digits from a run never interrupted"
            )
        if changes or not starts:
            starts = [*starts, here]
        if first_process():
            if step and recorded is None and path.exists():
                keep_aside(path)
            write(path, json.dumps(self.json | {"starts": starts}, indent=2) + "\n")

    @property
    def json(self) -> dict[str, Any]:
        """As it comes back from JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def read_run(folder: Path) -> dict[str, Any] | None:
    """What `run.json` tells of the run in a folder; None if there is none that can be read."""
    try:
        recorded = json.loads((folder / FILE).read_text("utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    fields = [f.name for f in dataclasses.fields(Fingerprint) if f.name != "objective"]
    if not isinstance(recorded, dict) or not {"starts", *fields} <= recorded.keys():
        return None
    starts = recorded["starts"]
    alright = isinstance(starts, list) and all(isinstance(start, dict) for start in starts)
    return recorded if alright else None


def surroundings() -> dict[str, Any]:
    """The versions and the machine: "bit for bit" asks for the same."""
    found = {name: _version(name) for name in PACKAGES}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "python": platform.python_version(),
        **{name: version for name, version in found.items() if version},
        "commit": _commit(),
        "machine": platform.machine(),
        "cores": cores,
        "devices": devices(),
        "processes": jax.process_count(),
    }


def _source(batches: grain.MapDataset[Any]) -> Any:
    """That of `training_batches`, whatever was mapped over these since."""
    if (source := getattr(batches, "source", None)) is not None:
        return source
    found = (_source(parent) for parent in batches.parents)
    return next((source for source in found if source is not None), None)


def _looked_at(source: Any) -> Iterator[Any]:
    """All rows of a source, or as many as fit into the bytes, spread evenly from first to last."""
    examples = len(source)
    row = sum(np.asarray(leaf).nbytes for _, leaf in leaves(source.batch(np.arange(1))))
    count = min(examples, max(2, BYTES // max(1, row)))
    rows = np.linspace(0, examples - 1, count).round().astype(np.int64)
    at_once = max(1, BYTES // 16 // max(1, row))
    for start in range(0, count, at_once):
        yield source.batch(rows[start : start + at_once])


@cache
def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@cache
def _commit() -> str:
    """Of the checkout that ar_jax is imported from, "-dirty" when it was edited since."""
    root = Path(ar_jax.__file__).resolve().parent.parent
    if not (root / ".git").exists():  # not that of a project around site-packages
        return "none"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        done = subprocess.run([*command, "--exclude=*"], capture_output=True, encoding="utf-8")
    except OSError:  # no git here
        return "unknown"
    return done.stdout.strip() or "unknown"


def _warn(text: str) -> None:
    if first_process():
        warnings.warn(text, stacklevel=4)
