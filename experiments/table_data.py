"""Real tables whose rows have a density: loads of electricity, and two of scikit-learn's."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ar_jax.datasets import Electricity, ScikitTable
from ar_jax.datasets.tables import DealtTable, Fold
from ar_jax.evaluation import Likelihood

TableName = Literal["electricity", "breast_cancer", "wine"]

FOLDS: dict[TableName, int] = {"electricity": 1, "breast_cancer": 5, "wine": 5}
"""How many of five folds are trained: the first one tests 74 days already."""

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


def dataset(name: TableName, fold: int, loads: Loads) -> DealtTable:
    """A table in a fold of the cross-validation."""
    if name == "electricity":
        if not loads.electricity:
            raise ValueError(
                "data.electricity: expected an .npz of loads, got none: --data.electricity FILE "
                "(--electricity FILE for all tables), filled from SimBench as --help tells"
            )
        return Electricity(fold, loads.electricity)
    return ScikitTable(fold, name)


def judge(dealt: Fold, log_prob: np.ndarray, folder: Path) -> dict[str, Any]:
    """The results of a model, whose folder gets the nats of each test group.

    Rows of a group are alike: the standard error is that of the groups' means.

    Args:
      dealt: the table.
      log_prob: of the test rows, nats.
      folder: of the run.
    """
    _, group, rows = np.unique(dealt.groups, return_inverse=True, return_counts=True)
    nats = np.bincount(group, -log_prob) / rows
    np.savetxt(folder / NATS, nats, "%.6f")
    mean, error = mean_and_error(nats)
    columns, method = dealt.parts.test.shape[1], f"clusters: {len(rows):,} groups of rows"
    likelihood = Likelihood(mean, error, columns, len(log_prob), "test", "exact", method)
    return {
        "train_rows": len(dealt.parts.train),
        "validation_rows": len(dealt.parts.validation),
        "likelihood": likelihood,
    }


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def imported(module: str) -> Any:
    """A module of scikit-learn or one that comes with it; only tables need them."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ValueError(
            f"scikit-learn: expected it to be installed, got {error}: pip install 'ar_jax[tables]'"
        ) from error
