"""Metrics of a run, as JSON lines and for TensorBoard."""

import json
import math
import os
import socket
import struct
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np

from ar_jax.durable import keep_aside, naming, write
from ar_jax.training.parallel import first_process

FILE = "metrics.jsonl"


class Metrics:
    """Appends records `{"step": ..., ...}` to `metrics.jsonl` and to `tensorboard/`.

    What is there of steps after `step` is cut away: a run that resumes from a checkpoint makes
    those steps again. Damaged lines are told in a warning and left out, and the file as it was is
    kept aside. Of several processes only the first one writes. TensorBoard is not essential: where
    its events cannot be written, a warning tells so once and all else goes on.

    Args:
      folder: of the run.
      step: the step that the run starts from.
      again: what the run measures again at that very step: records of it are cut away too.

    Raises:
      OSError: when the metrics cannot be read or written.
    """

    def __init__(self, folder: Path, step: int, again: Collection[str] = ()) -> None:
        self._path = folder / FILE
        records, damaged = _parsed(self._path)
        self._kept = [
            record
            for record in records
            if record["step"] < step
            or (record["step"] == step and not any(name in record for name in again))
        ]
        self._writes = first_process()
        if not self._writes:
            return
        if damaged:
            copy = keep_aside(self._path)
            _tell(self._path, damaged, f"; the file as it was is kept as {copy.name}")
        write(self._path, "".join(json.dumps(record) + "\n" for record in self._kept))
        self._board = TensorBoard(folder / "tensorboard", step)

    @property
    def records(self) -> list[dict[str, Any]]:
        """All that were kept and written, in the first process."""
        return [dict(record) for record in self._kept]

    @property
    def skipped(self) -> float:
        """Training steps that were skipped until the start."""
        return max((record.get("skipped", 0) for record in self._kept), default=0)

    def write(self, step: int, **values: float) -> None:
        """Adds a record.

        Raises:
          OSError: when it cannot be written.
        """
        if not self._writes:
            return
        with naming(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | values) + "\n")
        self._kept.append({"step": step} | values)
        self._board.write(step, values)

    def sync(self) -> None:
        """Puts all records on the disk, which is needed before a checkpoint that stands on them."""
        if self._writes:
            with naming(self._path), self._path.open("rb+") as file:
                os.fsync(file.fileno())


class TensorBoard:
    """Appends scalars to a file of events, in this thread: one more could die or lag unseen.

    Args:
      folder: where TensorBoard looks.
      step: the step that the run starts from; TensorBoard forgets what it has of later ones.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{step}"
        self._broken = False
        self._append(file_version="brain.Event:2")
        self._append(step=step + 1, session_log={"status": "START"})

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds scalars of a step."""
        scalars = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._append(step=step, summary={"value": scalars})

    def _append(self, **fields: Any) -> None:
        """Adds a record: the length of an event, its checksum, the event, its checksum."""
        from tensorboardX.proto import event_pb2  # imports torch where that is installed: seconds
        from tensorboardX.record_writer import masked_crc32c

        if self._broken:
            return
        event = cast(Any, event_pb2).Event(wall_time=time.time(), **fields).SerializeToString()
        parts = [struct.pack("<Q", len(event)), event]
        try:
            self._path.parent.mkdir(exist_ok=True)
            with naming(self._path), self._path.open("ab") as file:
                file.write(b"".join(p + struct.pack("<I", masked_crc32c(p)) for p in parts))
        except OSError as error:
            self._broken = True
            warnings.warn(f"TensorBoard: {error}; training goes on without", stacklevel=2)


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
    def paused(self) -> Iterator[None]:
        """Leaves out what happens inside."""
        before = self._clocks()
        try:
            yield
        finally:
            after = self._clocks()
            self._start = {n: self._start[n] + after[n] - before[n] for n in after}

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


def finite_means(
    scalars: Sequence[Mapping[str, Any]],
    step: int,
    likely: Callable[[int], str] = lambda step: LEARNING_RATE,
) -> dict[str, float]:
    """Means of each scalar over successive steps, those left out that were skipped.

    Args:
      scalars: those of each step, on devices or the host.
      step: the last of these steps.
      likely: tells of a step what is likely wrong when a scalar of it is not finite.

    Returns:
      The means, and "skipped", the number of skipped steps, where the scalars tell it.

    Raises:
      FloatingPointError: when a scalar is not finite.
    """
    rows = jax.device_get(scalars)  # waits for the devices
    for at, row in enumerate(rows, step - len(rows) + 1):
        for name, value in row.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"{name}: expected a finite number, got {value}, step {at}; {likely(at)}"
                )
    taken = [row for row in rows if not row.get("skipped")]
    names = set(taken[0]) - {"skipped"} if taken else set[str]()
    means = {name: float(np.mean([float(row[name]) for row in taken])) for name in sorted(names)}
    counted = rows and "skipped" in rows[0]
    return means | ({"skipped": float(len(rows) - len(taken))} if counted else {})


LEARNING_RATE = "lower learning_rate or clip_norm, in another folder"


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics file, none if it does not exist.

    Lines that are damaged are left out, with a warning that names them; so is a last line that a
    kill cut short, without one.

    Raises:
      OSError: when the file cannot be read.
    """
    records, damaged = _parsed(path)
    if damaged:
        _tell(path, damaged)
    return records


def _tell(path: Path, damaged: Sequence[int], more: str = "") -> None:
    """Warns of damaged lines."""
    numbers = ", ".join(map(str, damaged[:10])) + (", ..." if len(damaged) > 10 else "")
    text = f"{path}: expected records, got {len(damaged)} damaged, left out, line {numbers}{more}"
    warnings.warn(text, stacklevel=3)


def _parsed(path: Path) -> tuple[list[dict[str, Any]], list[int]]:
    """The records of a metrics file, and the numbers of its damaged lines."""
    if not path.exists():
        return [], []
    records, damaged = [], []
    whole = path.read_bytes().split(b"\n")[:-1]  # a kill may cut the last line short
    for number, line in enumerate(whole, 1):
        try:
            record = json.loads(line.decode())
        except (ValueError, RecursionError):
            record = None
        if _is_record(record):
            records.append(record)
        else:
            damaged.append(number)
    return records, damaged


def _is_record(record: Any) -> bool:
    """Whether this has a step and is of numbers."""
    return (
        isinstance(record, dict)
        and type(record.get("step")) is int
        and all(type(value) in (int, float) for value in record.values())
    )
