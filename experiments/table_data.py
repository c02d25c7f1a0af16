"""Real tables whose rows have a density: loads of electricity, and two of scikit-learn's."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ar_jax.checks import check_floats, check_shape
from ar_jax.data import (
    Splits,
    continuous_columns,
    group_fold,
    read_npz,
    spread_over_resolution,
)
from ar_jax.evaluation import Likelihood

TableName = Literal["electricity", "breast_cancer", "wine"]

FOLDS: dict[TableName, int] = {"electricity": 1, "breast_cancer": 5, "wine": 5}
"""How many of five folds are trained: the first one tests 74 days already."""

DAYS = 13
"""Fewer cannot be dealt out: a fifth tests, a tenth of the others validates."""

NATS = "test_nats.txt"
"""File of a run: the mean of -log p(x) of each group of the test part."""


@dataclasses.dataclass(frozen=True)
class Loads:
    """Where the loads are; scikit-learn brings the other tables.

    Attributes:
      electricity: SimBench's loads of a year (pip install simbench), an `.npz` of `load`
        `[quarter hours, profiles]`, `profile` (their names) and `time` (`[quarter hours]`, texts
        that begin with the date in ten characters).
    """

    electricity: str = ""

    places: ClassVar[tuple[str, ...]] = ("electricity",)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Rows that have a density.

    Attributes:
      values: `[rows, columns]`.
      columns: their names.
      groups: `[rows]`, which rows belong together, such as those of a day.
    """

    values: np.ndarray
    columns: list[str]
    groups: np.ndarray

    def fold(self, number: int) -> "Fold":
        """A fold of the cross-validation."""
        rows = group_fold(self.groups, number)
        mean, deviation = (f(self.values[rows.train], axis=0) for f in (np.mean, np.std))
        parts = rows.map(lambda part: (self.values[part] - mean) / deviation)
        return Fold(self.columns, parts, mean, deviation, self.groups[rows.test])


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """A table, dealt out and standardised.

    Attributes:
      columns: their names.
      parts: `[rows, columns]` each.
      mean: `[columns]`, of the training part.
      deviation: `[columns]`, of the training part.
      groups: `[rows]`, of the test part.
    """

    columns: list[str]
    parts: Splits[np.ndarray]
    mean: np.ndarray
    deviation: np.ndarray
    groups: np.ndarray

    def judge(self, log_prob: np.ndarray, folder: Path) -> dict[str, Any]:
        """The results of a model, whose folder gets the nats of each test group.

        Rows of a group are alike: the standard error is that of the groups' means.

        Args:
          log_prob: of the test rows, nats.
          folder: of the run.
        """
        _, group, rows = np.unique(self.groups, return_inverse=True, return_counts=True)
        nats = np.bincount(group, -log_prob) / rows
        np.savetxt(folder / NATS, nats, "%.6f")
        mean, error = mean_and_error(nats)
        columns, method = self.parts.test.shape[1], f"clusters: {len(rows):,} groups of rows"
        likelihood = Likelihood(mean, error, columns, len(log_prob), "test", "exact", method)
        return {
            "train_rows": len(self.parts.train),
            "validation_rows": len(self.parts.validation),
            "likelihood": likelihood,
        }


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def read_table(name: TableName, loads: Loads) -> Table:
    """A table whose columns have a density, the same at each reading.

    Raises:
      ValueError: when scikit-learn or the loads are missing.
    """
    if name == "electricity":
        if not loads.electricity:
            raise ValueError(
                "data.electricity: expected an .npz of loads, got none: --data.electricity FILE "
                "(--electricity FILE for all tables), filled from SimBench as --help tells"
            )
        values, columns, groups = read_loads(loads.electricity)
    else:
        bunch = getattr(imported("sklearn.datasets"), f"load_{name}")()
        values, columns, groups = bunch.data, bunch.feature_names, np.arange(len(bunch.data))
    kept = continuous_columns(values)
    values = spread_over_resolution(values[:, kept], np.random.default_rng(0))
    return Table(values, [str(columns[i]) for i in kept], groups)


def read_loads(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loads `[rows, profiles]`, the names of the profiles, and the day of each row.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when its arrays do not fit together, a load is no finite number, or days are few.
    """
    arrays = read_npz(path)
    if missing := {"load", "profile", "time"} - arrays.keys():
        raise ValueError(f"{path}: expected an array {min(missing)}, got {', '.join(arrays)}")
    load, profile, time = arrays["load"], arrays["profile"], arrays["time"]
    check_shape(f"{path}, load", load, (len(time), len(profile)))
    check_floats(f"{path}, load", load)
    for name, texts in (("profile", profile), ("time", time)):
        if texts.dtype.kind != "U" or texts.ndim != 1:
            raise ValueError(
                f"{path}, {name}: expected texts, got {texts.dtype} {list(texts.shape)}"
            )
    days = time.astype("U10")
    if (count := len(np.unique(days))) < DAYS:
        raise ValueError(f"{path}, time: expected at least {DAYS} days, got {count}")
    return load.astype(float), profile, days


def imported(module: str) -> Any:
    """A module of scikit-learn or one that comes with it; only tables need them."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(
            f"scikit-learn: expected it to be installed, got {error}: pip install 'ar_jax[tables]'"
        ) from error
