"""How likely a model finds a split."""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import jax

from ar_jax.model import Model
from ar_jax.training.parallel import data_parallel, replicate
from ar_jax.training.step import Batch, Scalars, make_eval_step

Kind = Literal["exact", "lower bound", "estimate"]


@dataclass(frozen=True)
class Likelihood:
    """The negative log-likelihood of a split.

    Attributes:
      nats: mean of -log p(x | y) over the examples.
      error: standard error of that mean, in nats.
      variables: of one example, the dimensions of bits/dim.
      count: number of examples.
      split: which examples.
      kind: whether log p is exact, a lower bound or an estimate.
    """

    nats: float
    error: float
    variables: int
    count: int
    split: str
    kind: Kind

    @property
    def bits_per_dim(self) -> float:
        """Mean bits per variable."""
        return self.nats / (self.variables * math.log(2))

    @property
    def bits_per_dim_error(self) -> float:
        """Standard error of the mean bits per variable."""
        return self.error / (self.variables * math.log(2))

    def __str__(self) -> str:
        return (
            f"{self.nats:.2f} ± {self.error:.2f} nats, "
            f"{self.bits_per_dim:.3f} ± {self.bits_per_dim_error:.3f} bits/dim "
            f"({self.split}, {self.count} examples, {self.kind})"
        )


def evaluate(
    model: Model,
    variables: Any,
    batches: Iterable[Batch],
    split: str,
    kind: Kind = "exact",
) -> Likelihood:
    """Scores a whole split on all devices.

    Args:
      model: the model.
      variables: its parameters, e.g. `state.variables`.
      batches: each example once, e.g. `ar_jax.data.EvaluationBatches`: dictionaries of "x", "y" and
        the "mask" `[batch]` of the rows that count.
      split: name of the split.
      kind: of the likelihood.

    Raises:
      ValueError: when a batch does not fit the model or the devices.
    """
    eval_step = _parallel_eval_step(cast(Hashable, model))
    variables = replicate(variables)
    nats, counts, squares = [], [], []  # of each batch, put together in double precision
    for batch in batches:
        model.check(batch["x"], batch.get("y"))
        with jax.default_matmul_precision("float32"):  # accelerators would round the products
            sums = eval_step(variables, batch)
        nats.append(float(sums["nats"]))
        counts.append(float(sums["count"]))
        squares.append(float(sums["squares"]))
    count = sum(counts)
    mean = sum(nats) / count
    # Within the batches and between them: a difference of large squares would be mostly rounding.
    between = sum(n * (total / n - mean) ** 2 for total, n in zip(nats, counts, strict=True))
    variance = (sum(squares) + between) / max(count - 1, 1)
    return Likelihood(
        nats=mean,
        error=math.sqrt(variance / count),
        variables=math.prod(model.ordering.event),
        count=int(count),
        split=split,
        kind=kind,
    )


@lru_cache(maxsize=8)  # validating again must not compile again
def _parallel_eval_step(model: Model) -> Callable[[Any, Batch], Scalars]:
    return data_parallel(make_eval_step(model))
