"""Batches of arrays in memory.

A batch is a dictionary of arrays: "x" `[batch, *event]`, "y" `[batch, ...]` where there are
conditions, and "mask" `[batch]` where some rows only fill the batch up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ar_jax.checks import check_positive
from ar_jax.data.sources import Arrays


@dataclass(frozen=True, eq=False)
class TrainingBatches:
    """An endless shuffled stream; the batch of a step depends on nothing but (seed, step).

    Every epoch visits each row once, in an order of its own. Batches run on from one epoch into the
    next, so that all are full and no row is left out.

    Attributes:
      arrays: the examples.
      batch_size: rows of a batch.
      seed: of the shuffling.
    """

    arrays: Arrays
    batch_size: int
    seed: int = 0

    def __post_init__(self) -> None:
        check_positive(batch_size=self.batch_size, examples=len(self.arrays))

    def __getitem__(self, step: int) -> dict[str, np.ndarray]:
        positions = step * self.batch_size + np.arange(self.batch_size)
        epochs, offsets = np.divmod(positions, len(self.arrays))
        rows = [
            _permutation(self.seed, epoch, len(self.arrays))[offsets[epochs == epoch]]
            for epoch in range(epochs[0], epochs[-1] + 1)
        ]
        return self.arrays.batch(np.concatenate(rows))


@dataclass(frozen=True, eq=False)
class EvaluationBatches:
    """Every example once, in order; a "mask" marks those that count.

    The last batch is filled up with copies of the last example, so that all have one shape.

    Attributes:
      arrays: the examples.
      batch_size: rows of a batch.
    """

    arrays: Arrays
    batch_size: int

    def __post_init__(self) -> None:
        check_positive(batch_size=self.batch_size, examples=len(self.arrays))

    def __len__(self) -> int:
        return -(-len(self.arrays) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, len(self.arrays), self.batch_size):
            rows = start + np.arange(self.batch_size)
            mask = rows < len(self.arrays)
            yield self.arrays.batch(np.minimum(rows, len(self.arrays) - 1)) | {"mask": mask}


@lru_cache(maxsize=2)  # a batch touches this epoch and perhaps the next
def _permutation(seed: int, epoch: int, rows: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(rows)
