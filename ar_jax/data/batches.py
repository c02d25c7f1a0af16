"""Batches: dictionaries of arrays.

"x" `[batch, *event]`, "y" `[batch, ...]` where there are conditions (a tuple where there are
several), other fields of the source (see `Arrays`), and "mask" `[batch]` where some rows only fill
the batch up.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import grain
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.data.sources import Source
from ar_jax.data.transforms import EventTransform, unchanged


def training_batches(
    source: Source, batch_size: int, seed: int = 0, transform: EventTransform = unchanged
) -> grain.MapDataset[Any]:
    """An endless shuffled stream: the batch of a step is a function of (seed, step).

    Every epoch visits each row once, in an order of its own, and draws the transform's randomness
    anew. Batches run on from one epoch into the next, so that all are full and no row is left out.
    One element of Grain's is a whole batch: record by record costs more than a small model's step.

    Args:
      source: the examples.
      batch_size: rows of a batch, over all devices and processes.
      seed: of the order and of the transform.
      transform: of "x", e.g. `binarise`.
    """
    check_positive(batch_size=batch_size, examples=len(source))
    if seed < 0:
        raise ValueError(f"seed: expected at least 0, got {seed}")

    def transformed(batch: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        return batch | {"x": transform(batch["x"], rng)}

    rows = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat().batch(batch_size)
    batches = rows.map(source.batch).random_map(transformed)
    cast(Any, batches).source = source  # of which `fit` takes the fingerprint
    return batches


@dataclass(frozen=True, eq=False)
class EvaluationBatches:
    """Every example once, in order; a "mask" marks those that count.

    The last batch is filled up with copies of the last example, so that all have one shape.

    Attributes:
      source: the examples.
      batch_size: rows of a batch.
    """

    source: Source
    batch_size: int

    def __post_init__(self) -> None:
        check_positive(batch_size=self.batch_size, examples=len(self.source))

    def __len__(self) -> int:
        return -(-len(self.source) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self.source), self.batch_size):
            rows = start + np.arange(self.batch_size)
            mask = rows < len(self.source)
            yield self.source.batch(np.minimum(rows, len(self.source) - 1)) | {"mask": mask}
