"""Metrics of a run, as JSON lines and for TensorBoard."""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np

from ar_jax.training.parallel import first_process

FILE = "metrics.jsonl"


class Metrics:
    """Appends records `{"step": ..., ...}` to `metrics.jsonl` and to `tensorboard/`.

    What is there of steps after `step` is cut away: a run that resumes from a checkpoint makes
    those steps again. Of several processes only the first one writes.

    Args:
      folder: of the run.
      step: the step that the run starts from.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / FILE
        kept = [record for record in read_metrics(self._path) if record["step"] <= step]
        self._writes = first_process()
        if not self._writes:
            return
        rewritten = self._path.with_name(FILE + ".new")
        rewritten.write_text(
            "".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8"
        )
        rewritten.replace(self._path)  # at once: a crash here loses nothing
        from tensorboardX import SummaryWriter  # imports torch where that is installed: seconds

        self._board = SummaryWriter(
            str(folder / "tensorboard"),
            purge_step=step + 1,
            flush_secs=1,  # what a kill loses would stay lost; its `flush` overtakes its own thread
            filename_suffix=f".{step}",  # else two starts within a second share a file
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._writes:
            self._board.close()

    def write(self, step: int, **values: float) -> None:
        """Adds a record."""
        if not self._writes:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | values) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)


class Stopwatch:
    """How long a run has trained so far, over all its resumptions.

    The time from the last save to a crash or kill is not counted, as those steps are made again,
    nor are starts: imports, the first state, reading a checkpoint.

    Args:
      record: what `read` returned when the run was last saved; other keys are ignored.
    """

    def __init__(self, record: Mapping[str, float]) -> None:
        self._waiting = 0.0
        self._start = self._clocks()
        self._before = {name: record.get(name, 0.0) for name in self._start}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts what happens inside as waiting."""
        start = time.monotonic()
        yield
        self._waiting += time.monotonic() - start

    def read(self) -> dict[str, float]:
        """Seconds by the clock, of this process on all cores, and spent waiting."""
        now = self._clocks()
        return {name: self._before[name] + now[name] - self._start[name] for name in now}

    def _clocks(self) -> dict[str, float]:
        return {
            "wall_seconds": time.monotonic(),
            "cpu_seconds": time.process_time(),
            "waiting_seconds": self._waiting,
        }


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
                    f"{name}: expected a finite number, got {value}, step {at}; "
                    "lower learning_rate or clip_norm, in another folder"
                )
    names = rows[0] if rows else ()
    return {name: float(np.mean([float(row[name]) for row in rows])) for name in names}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file, none if it does not exist; a torn last line is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
