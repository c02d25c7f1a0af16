"""Checkpoints of the train state, stored by Orbax."""

import math
import warnings
from collections.abc import Mapping, Sequence
from concurrent import futures
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from ar_jax.checks import check_parameters
from ar_jax.training import snapshot
from ar_jax.training.parallel import any_process, first_process
from ar_jax.training.snapshot import Contents, DamagedError
from ar_jax.training.state import TrainState


class Checkpoints:
    """The train states saved in a folder: the latest ones, and the best on the validation split.

    Saving goes on in the background; leaving the `with` block waits for it. A kill at any moment
    leaves whole checkpoints only. What fails while saving is raised by the next `save` or at the
    end of the block, and that step then counts as not saved.

    A damaged checkpoint is told in a warning, and left where it is: `latest` and `best` are of the
    others. All but the content of the arrays is checked here, the arrays when they are restored.
    Nothing in the folder is trusted; `ar_jax.training.snapshot` tells the bounds.

    Args:
      folder: where they are; made by the first `save` if missing.
      keep: how many of the latest to keep, besides the best.

    Raises:
      ValueError: when there are checkpoints, all of them damaged.
      OSError: when the folder cannot be read.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self._folder, self._keep = folder, keep
        self._saved: dict[int, Contents] = {}
        self._damage: dict[int, str] = {}
        self._writer = futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing: tuple[int, Contents | None, set[int], futures.Future[None]] | None = None
        for step in snapshot.steps(folder):
            try:
                self._saved[step] = self._contents(step)
            except DamagedError as error:
                self._damage[step] = str(error)
        for step in self._damage:
            self._tell(step)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        failed = None
        try:
            self.wait()
        except (OSError, ValueError) as reason:
            failed = reason
        self._writer.shutdown()
        if any_process(failed is not None, together=kind is None):  # all wait for the first one
            raise failed or OSError(f"{self._folder}: the first process could not save there")

    @property
    def latest(self) -> int | None:
        """The last step that was saved, if any."""
        return max(self._saved, default=None)

    @property
    def best(self) -> int | None:
        """The saved step with the lowest validation loss, the last if none was validated."""

        def rank(step: int) -> tuple[float, int]:
            """Of equal ones the first is the best, of those never validated the last."""
            validation = self._saved[step].validation
            return (math.inf, -step) if validation is None else (validation, step)

        return min(self._saved, key=rank, default=None)

    def save(
        self,
        state: TrainState,
        validation: float = math.inf,
        unread: Sequence[Mapping[str, Any]] = (),
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Saves a state under its step, in place of a good one; a damaged one is moved aside.

        Args:
          state: the state.
          validation: its loss, lower is better; left out, any that was validated is better.
          unread: scalars of the last steps that no record of the metrics tells yet.
          seconds: the times of the run so far.

        Raises:
          OSError: when the state before could not be saved, e.g. on a full disk.
          ValueError: when a number is not finite.
        """
        self.wait()
        step = int(state.step)
        contents = Contents(
            step,
            None if validation == math.inf else float(validation),
            [{name: float(value) for name, value in row.items()} for row in unread],
            {name: float(value) for name, value in (seconds or {}).items()},
        )
        arrays = {
            name: np.asarray(leaf) for name, leaf in _named(jax.device_get(_bits(state))).items()
        }
        before = self._saved.get(step)
        self._saved[step] = contents
        old = self._saved.keys() - {*sorted(self._saved)[-self._keep :], self.best}
        writing = self._writer.submit(self._write, contents, arrays, old, before is not None)
        self._writing = step, before, old, writing

    def _write(
        self, contents: Contents, arrays: dict[str, np.ndarray], old: set[int], again: bool
    ) -> None:
        """Writes a checkpoint, then deletes old ones and the good one that stood in its place."""
        if not first_process():
            return
        snapshot.remove_unfinished(self._folder)
        replaced = snapshot.write(self._folder / str(contents.step), contents, arrays)
        if replaced and again:
            snapshot.remove(replaced)
        for step in old:
            snapshot.remove(self._folder / str(step))

    def wait(self) -> None:
        """Waits until what was saved is on the disk.

        Raises:
          OSError: when it cannot be written; then it does not count as saved.
        """
        if self._writing is None:
            return
        step, before, old, writing = self._writing
        futures.wait([writing])
        self._writing = None
        if error := writing.exception():
            del self._saved[step]
            if before:
                self._saved[step] = before
            raise error
        for gone in old:
            del self._saved[gone]

    def validated(self, step: int) -> bool:
        """Whether the state of a step was saved with its validation."""
        return self._saved[step].validation is not None

    def unread(self, step: int) -> list[dict[str, float]]:
        """The scalars that were saved beside the state of a step."""
        return [dict(row) for row in self._saved[step].unread]

    def seconds(self, step: int) -> dict[str, float]:
        """The times that were saved beside the state of a step."""
        return dict(self._saved[step].seconds)

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """Reads a state, into memory of the host, and compares it with its digests.

        Args:
          like: a state of the same model and optimizer, e.g. from `init_state`.
          step: which one; the latest if None, or the one before if that is damaged, with a warning.

        Raises:
          FileNotFoundError: when there is no such checkpoint.
          ValueError: when its arrays are not those of `like`, or it is damaged: that of `step`, or
            all; parameters that are not finite are damaged, too.
        """
        self.wait()
        if not self._saved or step not in (None, *self._saved, *self._damage):
            wanted = "a checkpoint" if step is None else f"a checkpoint of step {step}"
            raise FileNotFoundError(
                f"{self._folder}: expected {wanted}, got those of steps {sorted(self._saved)}"
            )
        while True:
            wanted = max(self._saved) if step is None else step
            try:
                return self._read(like, wanted)
            except DamagedError as error:
                self._saved.pop(wanted, None)
                self._damage[wanted] = str(error)
            if step is not None:
                break
            self._tell(wanted)
        advice = "no other is left"
        if self.best is not None:
            advice = f"move {self._folder / str(step)} away to use step {self.best}, the next best"
        raise ValueError(f"checkpoint of step {step} is damaged: {self._damage[step]}; {advice}")

    def variables(self, step: int | None = None) -> dict[str, Any]:
        """Reads the averaged parameters of a checkpoint, as `model.apply` takes them.

        Neither the model nor the optimizer is needed: names and shapes are those of the checkpoint.

        Args:
          step: which one; the best if None.

        Raises:
          FileNotFoundError: when there is no such checkpoint.
          ValueError: when it is damaged; parameters that are not finite are damaged, too.
        """
        self.wait()
        wanted = self.best if step is None else step
        if wanted not in self._saved:
            which = "a checkpoint" if step is None else f"a checkpoint of step {step}"
            raise FileNotFoundError(
                f"{self._folder}: expected {which}, got those of steps {sorted(self._saved)}"
            )
        folder, contents = self._folder / str(wanted), self._contents(wanted)
        try:
            like = {
                name: jax.ShapeDtypeStruct(array["shape"], array["dtype"])
                for name, array in contents.arrays.items()
            }
            arrays = snapshot.read_arrays(folder, contents, like)
            ema = {name: leaf for name, leaf in arrays.items() if name.startswith("ema.")}
            variables = {"params": unflatten_dict(ema, sep=".")["ema"]} if ema else {"params": {}}
            check_parameters(variables)
        except (ValueError, TypeError) as error:
            raise ValueError(f"checkpoint of step {wanted} is damaged: {error}") from None
        return variables

    def _tell(self, step: int) -> None:
        """Warns of a damaged checkpoint; raises ValueError when no other is left."""
        if not self._saved:
            raise ValueError(
                f"{self._folder}: expected a checkpoint that can be read, got none; "
                + "; ".join(self._damage.values())
                + "; repair them, or move them away to start anew"
            )
        warnings.warn(
            f"checkpoint of step {step} is damaged: {self._damage[step]}; it stays where it is; "
            f"the last good one is that of step {self.latest}, the best that of step {self.best}",
            stacklevel=3,
        )

    def _contents(self, step: int) -> Contents:
        folder = self._folder / str(step)
        contents = snapshot.read_contents(folder)
        if contents.step != step:
            raise DamagedError(f"{folder}: expected step {step}, got {contents.step}")
        return contents

    def _read(self, like: TrainState, step: int) -> TrainState:
        """Raises DamagedError when it is not as it was saved, ValueError when not as `like`."""
        folder, like = self._folder / str(step), _bits(like)
        contents = self._contents(step)
        expected = _named(like)
        wanted = {name: _described(leaf.shape, leaf.dtype) for name, leaf in expected.items()}
        got = {name: _described(**array) for name, array in contents.arrays.items()}
        for name in sorted(wanted.keys() | got.keys()):
            if wanted.get(name) != got.get(name):
                raise ValueError(
                    f"{folder}, {ascii(name)[1:-1][:200]}: expected "
                    f"{wanted.get(name, 'no such array')}, as in this configuration, "
                    f"got {got.get(name, 'no such array')}"
                )
        arrays = snapshot.read_arrays(folder, contents, expected)
        state = jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])
        if state.step != step:
            raise DamagedError(f"{folder}, step: expected {step}, got {state.step}")
        try:
            check_parameters({"params": state.params, "ema": state.ema})
        except ValueError as error:
            raise DamagedError(f"{folder}, {error}") from None
        return state.replace(key=jax.random.wrap_key_data(state.key))


def _bits(state: TrainState) -> TrainState:
    """With the bits of the random key in its place."""
    return state.replace(key=jax.random.key_data(state.key))


def _named(tree: Any) -> dict[str, Any]:
    """The arrays of a tree by their names."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {snapshot.name(path): leaf for path, leaf in leaves}
    if len(named) < len(leaves):
        raise ValueError("state: expected a name for each array, got two arrays of one name")
    return named


def _described(shape: Sequence[int], dtype: Any, **others: Any) -> str:
    return f"shape {list(shape)} of {dtype}"
