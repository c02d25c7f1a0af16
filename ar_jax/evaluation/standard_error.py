"""Standard errors of a mean, of examples that may depend on each other.

Windows of one text are alike when they are near each other: taken as independent, they make an
error that is several times too small. Where examples come in clusters that are independent of each
other, such as recordings or pieces, the clusters count; in one long sequence, blocks of neighbours.
"""

import math
from dataclasses import dataclass

import numpy as np

ENOUGH_CLUSTERS = 20
"""With fewer the error of an error is above a sixth: blocks are then the better of two evils."""


@dataclass(frozen=True)
class StandardError:
    """The standard error of a mean.

    Attributes:
      value: of it.
      method: what was taken as independent.
    """

    value: float
    method: str


def of_independent(values: np.ndarray) -> StandardError:
    """Of independent examples: `[n]`."""
    count = len(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else math.inf
    return StandardError(error, "independent examples")


def of_clusters(
    totals: np.ndarray, sizes: np.ndarray, noun: str = "clusters"
) -> StandardError:
    """Of the mean over all examples of independent clusters, sum(totals) / sum(sizes).

    Both sums are random; to first order their ratio errs by the mean of totals - ratio * sizes
    (Cochran, Sampling Techniques, 1977, chapter 6).

    Args:
      totals: sum of the values of each cluster, `[clusters]`.
      sizes: number of its values, or what else the mean is over, `[clusters]`.
      noun: what the clusters are, for the method.
    """
    count = len(totals)
    if count < 2:
        return StandardError(math.inf, f"clusters: {count} {noun}")
    residuals = totals - totals.sum() / sizes.sum() * sizes
    error = math.sqrt(count / (count - 1) * np.sum(residuals**2)) / float(sizes.sum())
    return StandardError(error, f"clusters: {count:,} {noun}")


def of_blocks(values: np.ndarray, length: int = 0) -> StandardError:
    """Of the mean of a stationary sequence, by its moving blocks (Künsch 1989).

    The variance of the means of all blocks of neighbours, divided by the number of blocks that
    would stand side by side. A block's mean is compared with the sequence's, of which it is a part,
    so that its distance from the true one is larger by the share of the others.

    Args:
      values: one after the other, `[n]`.
      length: of a block; 0 chooses it by `block_length`.
    """
    count = len(values)
    length = length or block_length(values)
    sums = np.concatenate([[0.0], np.cumsum(values - values.mean(), dtype=float)])
    means = (sums[length:] - sums[:-length]) / length
    share = length / count
    error = math.sqrt(np.mean(means**2) * share / (1 - share)) if share < 1 else math.inf
    return StandardError(error, f"moving blocks of {length}")


def block_length(values: np.ndarray) -> int:
    """How long blocks should be: the rule of Politis and White.

    Econometric Reviews 23 (2004), corrected by Patton, Politis and White (28, 2009): the length
    that makes bias and variance together smallest, by autocovariances up to twice the lag from
    which on max(5, sqrt(log10 n)) of them are small, with weights that are flat at first. At most a
    quarter of the values, so that there are four blocks at least.

    Args:
      values: of a stationary sequence, `[n]`.
    """
    count = len(values)
    centred = values - values.mean()
    if not np.any(centred):
        return 1
    run = max(5, math.ceil(math.sqrt(math.log10(count))))
    furthest = min(math.ceil(math.sqrt(count)) + run, count - 1)
    covariance = np.array([centred[: count - lag] @ centred[lag:] for lag in range(furthest + 1)])
    covariance /= count
    small = np.abs(covariance / covariance[0]) < 2 * math.sqrt(math.log10(count) / count)
    lags = range(1, furthest - run + 2)
    first = next((lag for lag in lags if small[lag : lag + run].all()), None)
    if first is None:  # none is small: the last that is not
        first = int(np.flatnonzero(~small)[-1]) + 1
    reach = min(2 * max(first - 1, 1), furthest)
    lag = np.arange(1, reach + 1)
    weight = np.minimum(1, 2 * (1 - lag / reach))
    weighted = 2 * weight * covariance[1 : reach + 1]
    spectrum, slope = covariance[0] + weighted.sum(), (lag * weighted).sum()
    if spectrum <= 0:
        return 1
    length = (1.5 * (slope / spectrum) ** 2 * count) ** (1 / 3)
    return int(np.clip(math.ceil(length), 1, max(count // 4, 1)))
