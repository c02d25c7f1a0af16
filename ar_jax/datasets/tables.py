"""Tables whose rows have a density: loads of electricity, and two of scikit-learn's.

A density on atoms has no bound and means nothing: columns with an atom are left out, and so are
columns that nearly follow from one before; uniform noise as wide as the resolution of a column is
added once (see `ar_jax.data.tables`). A fifth of the rows tests, a tenth of the others validates.
Columns are standardised by the mean and deviation of the training part.
"""

import dataclasses
from abc import abstractmethod
from functools import cached_property
from importlib import import_module
from typing import Literal

import numpy as np

from ar_jax.checks import check_floats, check_shape
from ar_jax.data import (
    Arrays,
    Splits,
    continuous_columns,
    group_fold,
    read_npz,
    spread_over_resolution,
)
from ar_jax.datasets.base import Dataset, Origin, place

DAYS = 13
"""Fewer cannot be dealt out: a fifth tests, a tenth of the others validates."""


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

    @classmethod
    def of(cls, values: np.ndarray, columns: list[str], groups: np.ndarray) -> "Table":
        """The columns that have a density, the same at each reading."""
        kept = continuous_columns(values)
        values = spread_over_resolution(values[:, kept], np.random.default_rng(0))
        return cls(values, [str(columns[i]) for i in kept], groups)


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


@dataclasses.dataclass(frozen=True)
class DealtTable(Dataset):
    """A table in one of five folds: rows float32 `[columns]`.

    Attributes:
      fold: of the cross-validation, 0 to 4: which fifth tests.
    """

    fold: int = 0

    @property
    @abstractmethod
    def count(self) -> int:
        """How many columns are left."""

    @abstractmethod
    def read(self) -> Table:
        """The whole table, with the columns that have a density.

        Raises:
          ValueError: as `load`.
          FileNotFoundError: as `load`.
        """

    @cached_property
    def dealt(self) -> Fold:
        """The table, dealt out and standardised, with what brings its units back."""
        table = self.read()
        rows = group_fold(table.groups, self.fold)
        mean, deviation = (f(table.values[rows.train], axis=0) for f in (np.mean, np.std))
        parts = rows.map(lambda part: (table.values[part] - mean) / deviation)
        return Fold(table.columns, parts, mean, deviation, table.groups[rows.test])

    def load(self) -> Splits[Arrays]:
        return self.dealt.parts.map(lambda part: Arrays(part.astype(np.float32)))

    def fake(self) -> Splits[Arrays]:
        rows = np.random.default_rng(0).standard_normal((3, 40, self.count))
        return Splits(*(Arrays(part.astype(np.float32)) for part in rows))


@dataclasses.dataclass(frozen=True)
class Electricity(DealtTable):
    """Loads of 40 consumers and grids in 2016, 33 of which have a density: quarter hours.

    Days are dealt out whole, since their rows are alike.

    Attributes:
      fold: of the cross-validation, 0 to 4: which fifth tests.
      path: SimBench's loads of a year (pip install simbench), an `.npz` of `load` `[quarter hours,
        profiles]`, `profile` (their names) and `time` (`[quarter hours]`, texts that begin with the
        date in ten characters).
    """

    path: str = place()

    @property
    def origin(self) -> Origin:
        address = "https://simbench.de"
        get = f"--data.path FILE, filled from SimBench ({address}) as --help tells"
        return Origin(address, get)

    @property
    def count(self) -> int:
        return 33

    def read(self) -> Table:
        if not self.path:
            raise self.missing("path", "an .npz of loads")
        values, columns, groups = read_loads(self.path)
        return Table.of(values, list(columns), groups)


@dataclasses.dataclass(frozen=True)
class ScikitTable(DealtTable):
    """A table that comes with scikit-learn: pip install 'ar_jax[tables]'.

    Its others are no tables of densities: iris and linnerud are too coarse, in diabetes the LDL was
    computed from three other columns.

    Attributes:
      name: which one.
      fold: of the cross-validation, 0 to 4: which fifth tests.
    """

    name: Literal["wine", "breast_cancer"] = "wine"

    @property
    def origin(self) -> Origin:
        number = {"wine": 109, "breast_cancer": 17}[self.name]
        address = f"https://archive.ics.uci.edu/dataset/{number}"
        return Origin(address, "pip install 'ar_jax[tables]'", "CC BY 4.0")

    @property
    def count(self) -> int:
        return {"wine": 12, "breast_cancer": 20}[self.name]

    def read(self) -> Table:
        try:
            scikit = import_module("sklearn.datasets")
        except ImportError as error:
            raise ValueError(
                f"scikit-learn: expected it to be installed, got {error}: {self.origin.get}"
            ) from error
        bunch = getattr(scikit, f"load_{self.name}")()
        return Table.of(bunch.data, list(bunch.feature_names), np.arange(len(bunch.data)))


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
