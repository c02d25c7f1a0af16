"""Tables of real numbers: rows of a day or a person, columns that have a density."""

import numpy as np

from ar_jax.checks import check_positive
from ar_jax.data.sources import Splits


def continuous_columns(values: np.ndarray, correlation: float = 0.98) -> np.ndarray:
    """The columns on which a density can be judged; the others would decide alone.

    Left out are columns with an atom: a value that more than a tenth of the rows hold, or that
    stands out five times above both of the values beside it; there a density has no bound. So is a
    column that nearly follows from one before it, as in the tables of arXiv 1705.07057.

    Args:
      values: `[rows, columns]`.
      correlation: the largest, in absolute value, with a column before.

    Returns:
      Which columns stay, rising, int64.

    Raises:
      ValueError: when a value is not finite.
    """
    if not (finite := np.isfinite(values)).all():
        row, column = np.argwhere(~finite)[0]
        raise ValueError(
            f"values: expected finite numbers, got {values[row, column]} in row {row}, column "
            f"{column}; leave the row out or fill it in"
        )
    kept: list[int] = []
    related = np.abs(np.corrcoef(values, rowvar=False))
    for column in range(values.shape[1]):
        if not has_atom(values[:, column]) and (related[column, kept] <= correlation).all():
            kept.append(column)
    return np.array(kept, int)


def has_atom(column: np.ndarray) -> bool:
    """Whether some value of `[rows]` is held far more often than those beside it."""
    counts = np.unique(column, return_counts=True)[1]
    beside = np.maximum(np.append(counts[1:], 0), np.insert(counts[:-1], 0, 0))
    return bool((counts > 0.1 * len(column)).any() or (counts > 5 * (1 + beside)).any())


def spread_over_resolution(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds uniform noise as wide as each column's resolution, so that its values do not repeat.

    The resolution is the lower decile of the differences of successive values: a few numbers that
    were rounded otherwise do not matter.

    Args:
      values: `[rows, columns]`, with at least two values in each column.
      rng: what to draw from.

    Returns:
      `[rows, columns]`.
    """
    gaps = [np.diff(np.unique(column)).astype(float) for column in values.T]
    resolution = np.array([np.quantile(gap, 0.1) for gap in gaps])
    return values + resolution * (rng.random(values.shape) - 0.5)


def group_fold(groups: np.ndarray, fold: int, folds: int = 5, seed: int = 0) -> Splits[np.ndarray]:
    """A fold of a cross-validation that keeps the rows of a group together.

    Rows of one day or of one person are alike: dealt out one by one, they would tell of each other.
    A part of the groups tests, another one in each fold; a tenth of the others validates.

    Args:
      groups: `[rows]`, the group of each.
      fold: which one, from 0.
      folds: how many there are.
      seed: of the permutation of the groups.

    Returns:
      Rows `[rows of the part]`, rising, int64.

    Raises:
      ValueError: when there is no such fold, or fewer than 10 groups are left beside those of it.
    """
    check_positive(folds=folds)
    if not 0 <= fold < folds:
        raise ValueError(f"fold: expected 0 ... {folds - 1}, got {fold}")
    names, group = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(len(names))
    test, others = dealt[fold::folds], np.delete(dealt, np.s_[fold::folds])
    if len(others) < 10:
        raise ValueError(
            f"groups: expected at least 10 beside those that test, of which a tenth validates, got "
            f"{len(others)} of {len(names)}"
        )
    validation, train = np.split(others, [len(others) // 10])
    parts = Splits(train, validation, test)
    return parts.map(lambda part: np.flatnonzero(np.isin(group, part)))
