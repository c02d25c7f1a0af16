"""How likely a model finds a split."""

import math
import warnings
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, cast

import jax
import numpy as np

from ar_jax.checks import check_variables
from ar_jax.data.batches import EvaluationBatches
from ar_jax.data.sources import groups
from ar_jax.evaluation.standard_error import StandardError, standard_error
from ar_jax.models.autoregressive import Model
from ar_jax.models.batch import check_batch, scored
from ar_jax.objectives import Batch
from ar_jax.training.parallel import data_parallel, replicate
from ar_jax.training.step import make_eval_step

Kind = Literal["exact", "lower bound", "estimate"]


@dataclass(frozen=True)
class Likelihood:
    """The negative log-likelihood of a split.

    Attributes:
      nats: mean of -log p(x | y) over the examples; over the variables that are scored, where
        examples differ in how many that are.
      error: standard error of that mean, in nats.
      variables: that the nats are about, the dimensions of bits/dim.
      count: number of examples.
      split: which examples.
      kind: whether log p is exact, a lower bound or an estimate.
      error_method: what the error takes as independent.
    """

    nats: float
    error: float
    variables: int
    count: int
    split: str
    kind: Kind
    error_method: str = "independent examples"

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
            f"({self.split}, {self.count} examples, {self.kind}; error: {self.error_method})"
        )


@dataclass(frozen=True, eq=False)
class Scores:
    """-log p(x | y) of each example of a split.

    Attributes:
      nats: `[examples]`, float64.
      groups: `[examples]` integers, which examples depend on each other, as of `standard_error`.
      variables: of an example, or of a unit of its size.
      sizes: `[examples]`, where examples differ in size; then the mean is over units of size.
    """

    nats: np.ndarray
    groups: np.ndarray
    variables: int
    sizes: np.ndarray | None = None

    def likelihood(self, split: str, kind: Kind = "exact") -> Likelihood:
        """Their mean and its standard error.

        Args:
          split: name of the split.
          kind: of the likelihood.
        """
        size = len(self.nats) if self.sizes is None else self.sizes.sum()
        if np.isposinf(self.nats).any():  # an example of probability 0
            error = StandardError(math.inf, "infinite mean")
        else:
            error = standard_error(self.nats, self.groups, self.sizes)
        return Likelihood(
            nats=float(self.nats.sum() / size),
            error=error.value,
            variables=self.variables,
            count=len(self.nats),
            split=split,
            kind=kind,
            error_method=error.method,
        )


def score(model: Model, variables: Any, batches: Iterable[Batch]) -> Scores:
    """Scores each example of a split, on all devices.

    Args:
      model: the model.
      variables: its parameters, e.g. `state.variables`.
      batches: each example once, e.g. `ar_jax.data.EvaluationBatches`: dictionaries of "x", "y" and
        the "mask" `[batch]` of the rows that count. Where "lengths" or "seen" tell what is scored
        of each example (see `ar_jax.data.Arrays`), bits/dim are those of the variables scored.
        Examples of `EvaluationBatches` depend on each other as their source says, others do not.

    Raises:
      ValueError: when a batch does not fit the model or the devices, a parameter is not finite, or
        a row has no log-probability: it is NaN or plus infinity. A row of probability 0 has one,
        and makes the mean infinite: a warning names it.
    """
    check_variables(variables)
    eval_step = _parallel_eval_step(cast(Hashable, model))
    variables = replicate(variables)
    found, counts = [], []
    for batch in batches:
        check_batch(model, batch)
        mask = np.asarray(batch["mask"])
        if counted := scored(model, batch):
            counts.append(np.asarray(counted["variables"], float)[mask])
        with jax.default_matmul_precision("float32"):  # accelerators would round the products
            nats = eval_step(variables, batch)
        found.append(np.asarray(nats, float)[mask])
    nats = np.concatenate(found)
    _check_nats(nats)
    related = groups(batches.source) if isinstance(batches, EvaluationBatches) else range(len(nats))
    if not counts:
        return Scores(nats, np.asarray(related), math.prod(model.ordering.event))
    sizes = np.concatenate(counts)
    if not sizes.any():
        raise ValueError("x: expected something to score, got lengths of 0, or nothing seen")
    return Scores(nats, np.asarray(related), variables=1, sizes=sizes)


def evaluate(
    model: Model,
    variables: Any,
    batches: Iterable[Batch],
    split: str,
    kind: Kind = "exact",
) -> Likelihood:
    """Scores a whole split, on all devices.

    Args:
      model: the model.
      variables: its parameters, e.g. `state.variables`.
      batches: as of `score`.
      split: name of the split.
      kind: of the likelihood.

    Raises:
      ValueError: when a batch does not fit the model or the devices.
    """
    return score(model, variables, batches).likelihood(split, kind)


def _check_nats(nats: np.ndarray) -> None:
    """Raises where -log p is NaN or minus infinity, and warns where it is infinite, as p is 0."""
    none, impossible = np.isnan(nats) | np.isneginf(nats), np.isposinf(nats)
    if none.any():
        row, count = none.argmax(), f"{none.sum()} of {len(nats)} rows"
        raise ValueError(
            f"x: expected a log-probability of each row, got {-nats[row]} in row {row} ({count}); "
            "the model's numbers overflow there"
        )
    if impossible.any():
        row, count = impossible.argmax(), f"{impossible.sum()} of {len(nats)} rows"
        warnings.warn(
            f"x: row {row} has probability 0 ({count}), so that the mean is infinite", stacklevel=3
        )


@lru_cache(maxsize=8)  # validating again must not compile again
def _parallel_eval_step(model: Model) -> Callable[[Any, Batch], jax.Array]:
    return data_parallel(make_eval_step(model))
