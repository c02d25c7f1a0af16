"""Five tables whose density papers estimate: POWER, GAS, HEPMASS, MINIBOONE and BSDS300."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ar_jax.checks import check_floats
from ar_jax.data import Arrays, Splits, contiguous_split, read_npy
from ar_jax.data.files import one_line
from ar_jax.datasets.base import Dataset, Origin, place

TableName = Literal["power", "gas", "hepmass", "miniboone", "bsds300"]

COLUMNS: dict[TableName, int] = {
    "power": 6, "gas": 8, "hepmass": 21, "miniboone": 43, "bsds300": 63,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class UCI(Dataset):
    """A table of arXiv 1705.07057, prepared and split as there: rows float32 `[columns]`.

    Its authors give the tables in one archive. That of GAS is a pickle, which could run anything;
    ours is read from UCI's own ethylene_CO.txt, to be laid beside it. BSDS300 needs h5py:
    pip install 'ar_jax[uci]'. Columns are standardised by the mean and deviation of all but the
    test part (of GAS by those of the whole table, as there; of BSDS300 not at all).

    Attributes:
      name: which table.
      dir: the folder that https://zenodo.org/records/1161203 was unpacked to; for GAS, UCI's
        ethylene_CO.txt lies in its folder gas.
    """

    name: TableName
    dir: str = place()

    @property
    def origin(self) -> Origin:
        return Origin(
            "https://zenodo.org/records/1161203",
            "--data.dir FOLDER, to which https://zenodo.org/records/1161203 was unpacked, with "
            "UCI's ethylene_CO.txt in gas/",
        )

    @property
    def columns(self) -> int:
        """How many columns are left of the published table."""
        return COLUMNS[self.name]

    def load(self) -> Splits[Arrays]:
        if not self.dir:
            raise self.missing("dir", "the folder of the tables")
        parts = read_table(self.name, Path(self.dir))
        if parts.train.shape[1] != self.columns:
            raise ValueError(
                f"{self.name}: expected the {self.columns} columns that are left of the published "
                f"table, got {parts.train.shape[1]}"
            )
        return parts.map(lambda part: Arrays(part.astype(np.float32)))

    def fake(self) -> Splits[Arrays]:
        rows = np.random.default_rng(0).standard_normal((3, 40, self.columns))
        return Splits(*(Arrays(part.astype(np.float32)) for part in rows))


def read_table(name: TableName, folder: Path) -> Splits[np.ndarray]:
    """A table, prepared, split and standardised: `[rows, columns]` of each part.

    Raises:
      FileNotFoundError: when its file is not there.
      ValueError: when it holds no such table, or h5py is missing.
    """
    match name:
        case "power":
            return standardised(tenths(power(load(folder / "power" / "data.npy"))))
        case "gas":
            values = load(folder / "gas" / "ethylene_CO.txt", skiprows=1)[:, 3:]
            values = uncorrelated(values)
            return tenths((values - values.mean(axis=0)) / values.std(axis=0))
        case "hepmass":
            return hepmass(
                *(load(folder / name / f"1000_{part}.csv", delimiter=",", skiprows=1)
                  for part in ("train", "test"))
            )  # fmt: skip
        case "miniboone":
            return standardised(tenths(load(folder / "miniboone" / "data.npy")))
        case "bsds300":
            return bsds300(_existing(folder / "BSDS300" / "BSDS300.hdf5"))


def bsds300(path: Path) -> Splits[np.ndarray]:
    """The three parts of the file, as they are."""
    try:
        h5py = import_module("h5py")
    except ImportError as error:
        raise ValueError(
            "h5py: expected it to be installed, for BSDS300: pip install 'ar_jax[uci]'"
        ) from error
    try:
        with h5py.File(path) as file:
            stored = [file[part] for part in ("train", "validation", "test")]
            size = sum(part.nbytes for part in stored)
            if size > 2 * path.stat().st_size:  # a part may claim what is not there
                raise ValueError(f"{size:,} bytes, more than the file holds")
            parts = [np.array(part) for part in stored]
    except Exception as error:  # h5py raises many kinds of them
        raise ValueError(
            f"{path}: expected train, validation and test, got {one_line(error)}"
        ) from error
    return Splits(*(checked(path, part) for part in parts))


def power(values: np.ndarray) -> np.ndarray:
    """Rows shuffled, two columns left out, and noise as wide as the resolution of the others."""
    rng = np.random.RandomState(42)
    rng.shuffle(values)
    values = np.delete(values, [1, 3], axis=1)
    rows = len(values)
    voltage, gap = 0.01 * rng.rand(rows, 1), 0.001 * rng.rand(rows, 1)
    noise = [gap, voltage, rng.rand(rows, 3), np.zeros((rows, 1))]
    return values + np.hstack(noise)


def uncorrelated(values: np.ndarray) -> np.ndarray:
    """Leaves out the first column that correlates above 0.98 with another, until none does."""
    while True:
        related = (np.corrcoef(values, rowvar=False) > 0.98).sum(axis=1) > 1
        if not related.any():
            return values
        values = np.delete(values, related.argmax(), axis=1)


def hepmass(train: np.ndarray, test: np.ndarray) -> Splits[np.ndarray]:
    """The signals, without the columns of which the smallest value comes more than five times."""
    columns = train.shape[1]
    train, test = (part[part[:, 0] == 1, 1:columns] for part in (train, test))
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    train, test = (train - mean) / deviation, (test - mean) / deviation
    kept = [(column == column.min()).sum() <= 5 for column in train.T]
    train, test = train[:, kept], test[:, kept]
    end = len(train) - int(0.1 * len(train))
    return Splits(train[:end], train[end:], test)


def tenths(values: np.ndarray) -> Splits[np.ndarray]:
    """The last tenth of the rows tests, the last tenth of the others validates."""
    test = int(0.1 * len(values))
    validation = int(0.1 * (len(values) - test))
    return contiguous_split(values, validation, test)


def standardised(parts: Splits[np.ndarray]) -> Splits[np.ndarray]:
    """By the mean and deviation of the rows that do not test."""
    seen = np.concatenate([parts.train, parts.validation])
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    return parts.map(lambda part: (part - mean) / deviation)


def load(path: Path, **options: Any) -> np.ndarray:
    """The numbers of a file of numpy's, or of a text, float64 `[rows, columns]`."""
    if _existing(path).suffix == ".npy":
        values = read_npy(path)
    else:
        try:
            values = np.loadtxt(path, ndmin=2, encoding="utf-8-sig", **options)
        except ValueError as error:
            raise ValueError(f"{path}: expected rows of numbers, got {one_line(error)}") from error
    if len(values) < 20:
        raise ValueError(f"{path}: expected at least 20 rows, to deal out, got {len(values)}")
    return checked(path, values)


def checked(path: Path, values: np.ndarray) -> np.ndarray:
    """The values as float64, if they are a table.

    Raises:
      ValueError: when they are not rows of finite numbers.
    """
    if values.ndim != 2 or values.shape[1] < 4:
        raise ValueError(f"{path}: expected at least 4 columns, got shape {list(values.shape)}")
    check_floats(str(path), values)
    return values.astype(float)


def _existing(path: Path) -> Path:
    """The path, if there is a file."""
    if not path.is_file():
        raise FileNotFoundError(f"data.dir: expected {path}, got no such file")
    return path
