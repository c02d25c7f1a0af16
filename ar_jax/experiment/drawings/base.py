"""What is drawn from a trained model, and into which kind of file."""

import dataclasses
import io
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.decoding import Sampler
from ar_jax.durable import write
from ar_jax.inference.sampling import sample


@dataclasses.dataclass(frozen=True)
class Drawing(ABC):
    """What is drawn from a trained model, in training and after it.

    Attributes:
      sampler: how a value is drawn: temperature, top-k, top-p and min-p; the default samples
        exactly.
      seed: of the random key.
    """

    sampler: Sampler = Sampler()
    seed: int = 0

    @abstractmethod
    def __call__(self, model: Any, variables: Any, data: Any, path: Path) -> Path:
        """Draws, and writes a file.

        Args:
          model: the model.
          variables: its variables.
          data: the data set that it learned, of which some is shown beside the samples.
          path: of the file, without its suffix.

        Returns:
          The path with its suffix.
        """

    def small(self) -> "Drawing":
        """The same in seconds, as `--debug` draws."""
        return self


@dataclasses.dataclass(frozen=True)
class Samples(Drawing):
    """Draws events into an `.npz` of `x` and, where there are conditions, `y`.

    The conditions are those of the first examples of the test split, unless a label is given.

    Attributes:
      count: how many.
      label: the class of all of them; -1 for those of the test split.
      batch_size: how many are drawn at once.
    """

    count: int = 16
    label: int = -1
    batch_size: int = 256

    def __call__(self, model: Any, variables: Any, data: Any, path: Path) -> Path:
        arrays: Any = self.draw(model, variables, data)
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        path = path.with_suffix(".npz")
        write(path, file.getvalue())
        return path

    def draw(self, model: Any, variables: Any, data: Any) -> dict[str, np.ndarray]:
        """The arrays: `x` `[count, *event]`, and `y` `[count, ...]` where there are conditions."""
        check_positive(count=self.count, batch_size=self.batch_size)
        y = self._conditions(data)
        keys, drawn = (
            jax.random.split(jax.random.key(self.seed), -(-self.count // self.batch_size)),
            [],
        )
        for i, key in enumerate(keys):
            start, size = i * self.batch_size, min(self.batch_size, self.count)
            rows = np.arange(start, start + size) % self.count  # all batches are of one size
            drawn.append(
                sample(
                    model, variables, key, sampler=self.sampler, batch_size=size,
                    condition=None if y is None else y[rows],
                )
            )  # fmt: skip
        x = np.concatenate([np.asarray(part) for part in drawn])[: self.count]
        return {"x": x} if y is None else {"x": x, "y": y}

    def _conditions(self, data: Any) -> np.ndarray | None:
        if self.label >= 0:
            return np.full(self.count, self.label)
        rows = np.arange(self.count) % len(data.test)
        y = data.test.batch(rows).get("y")
        if isinstance(y, tuple):
            raise ValueError("y: expected one condition, got several; draw with ar.sample")
        return y

    def small(self) -> Drawing:
        return dataclasses.replace(self, count=4)
