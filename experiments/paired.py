"""Paired differences: how far two models are apart on the same test examples.

Both models find the same examples easy and hard, so that the mean of the differences is known
better than either mean. What another seed of training would change is another matter, which only
other seeds can tell.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

import numpy as np

from ar_jax.evaluation import Scores


@dataclasses.dataclass(frozen=True)
class Difference:
    """The mean of A - B over the test examples, in nats of one example or unit of size.

    Attributes:
      nats: the mean; of several seeds, of their mean scores.
      error: its standard error over the examples.
      error_method: what that takes as independent.
      count: number of examples.
      variables: of an example, or unit of size.
      seeds: how many runs of A and of B.
      deviation: of A - B from seed to seed, nats; None with one seed of either.
    """

    nats: float
    error: float
    error_method: str
    count: int
    variables: int
    seeds: tuple[int, int]
    deviation: float | None

    @property
    def seeds_needed(self) -> int | None:
        """Of each, so that the difference is twice its error over seeds; None if unknown."""
        if self.deviation is None or not self.nats:
            return None
        return max(2, math.ceil((2 * self.deviation / self.nats) ** 2))


def difference(a: Sequence[Scores], b: Sequence[Scores]) -> Difference:
    """How far two models are apart, each of which was trained with some seeds.

    Args:
      a: scores of the test split, of each seed.
      b: likewise, of another model on the same examples, or on shorter or longer windows of the
        same sequence.

    Raises:
      ValueError: when the examples are not the same.
    """
    variables = {each.variables for each in (*a, *b)}
    first, second = ([joined(each, max(variables)) for each in model] for model in (a, b))
    counts = {len(each.nats) for each in (*first, *second)}
    count, example = min(counts), first[0]
    if len(variables) == 1 and len(counts) > 1:
        raise ValueError(f"scores: expected the same examples, got {sorted(counts)} of them")
    for each in (*first, *second):
        if not (
            np.array_equal(each.groups[:count], example.groups[:count])
            and np.array_equal(sizes(each), sizes(example))
        ):
            raise ValueError("scores: expected the same examples, got others")
    means = [np.mean([each.nats[:count] for each in model], axis=0) for model in (first, second)]
    apart = dataclasses.replace(
        example, nats=means[0] - means[1], groups=example.groups[:count]
    ).likelihood("difference")
    spread = [
        statistics.variance([each.likelihood("").nats for each in model])
        for model in (first, second)
        if len(model) > 1
    ]
    return Difference(
        nats=apart.nats,
        error=apart.error,
        error_method=apart.error_method,
        count=count,
        variables=max(variables),
        seeds=(len(a), len(b)),
        deviation=math.sqrt(sum(spread)) if len(spread) == 2 else None,
    )


def sizes(scores: Scores) -> np.ndarray:
    """Those of the examples, one each where none are told."""
    return np.ones(1) if scores.sizes is None else scores.sizes


def joined(scores: Scores, variables: int) -> Scores:
    """Windows of one sequence, so many of them joined that each has these variables."""
    times, rest = divmod(variables, scores.variables)
    if times == 1:
        return scores
    if rest or len(np.unique(scores.groups)) > 1:
        raise ValueError(
            f"scores: expected the same examples, got ones of {scores.variables} and of "
            f"{variables} variables"
        )
    count = len(scores.nats) // times
    nats = scores.nats[: count * times].reshape(count, times).sum(axis=1)
    return Scores(nats, scores.groups[:count], variables)
