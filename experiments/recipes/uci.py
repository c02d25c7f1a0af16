"""Densities of five tables: POWER, GAS, HEPMASS, MINIBOONE and BSDS300.

Prepared and split as in arXiv 1705.07057, whose authors give them in one archive,
https://zenodo.org/records/1161203: unpack it, and name the folder by --data.dir. Its table of GAS
is a pickle, which could run anything; ours is read from UCI's own ethylene_CO.txt, to be laid
beside it. BSDS300 needs h5py: pip install 'ar_jax[uci]'.

Columns are standardised by the mean and deviation of all but the test part (of GAS by those of the
whole table, as there). Figures are log-likelihoods in nats a row: the higher the better.

The paper's grid, of which validation chose: one and two hidden layers, on BSDS300 of 512 and 1,024
units; tanh on GAS; Adam with an L2 penalty of 1e-6, until 30 epochs pass without a better
validation. Its batch normalisation between the layers of MAF is left out.
"""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Literal

import jax
import numpy as np

import ar_jax as ar
from ar_jax.checks import check_floats, check_positive
from ar_jax.conditionals import MADE
from ar_jax.data import Arrays, Splits, contiguous_split, read_npy
from ar_jax.data.files import one_line
from ar_jax.flows import Affine
from ar_jax.training import Adam, Constant, Training
from experiments.recipes.base import NOT_TIMED, Benchmark, MadeUp, Published, Recipe
from experiments.tables import SampleRows, flow

TableName = Literal["power", "gas", "hepmass", "miniboone", "bsds300"]

COLUMNS: dict[TableName, int] = {
    "power": 6, "gas": 8, "hepmass": 21, "miniboone": 43, "bsds300": 63,
}  # fmt: skip


SOURCE = (
    "--data.dir FOLDER, to which https://zenodo.org/records/1161203 was unpacked, with UCI's "
    "ethylene_CO.txt in gas/"
)

SPLIT: dict[TableName, str] = {
    "hepmass": "standardised; its own test file",
    "bsds300": "as they are, with their own splits",
}


@dataclasses.dataclass(frozen=True)
class Tables:
    """Where the tables are.

    Attributes:
      dir: the folder that https://zenodo.org/records/1161203 was unpacked to; for GAS, UCI's
        ethylene_CO.txt lies in its folder gas.
    """

    dir: str = ""

    places: ClassVar[tuple[str, ...]] = ("dir",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UciTable(MadeUp):
    """The density of the rows of a table; --debug makes rows up.

    Attributes:
      table: which one.
      data: the folder that they lie in.
    """

    model: Any
    table: TableName
    data: Tables = Tables()

    sample: ClassVar[SampleRows] = SampleRows()

    @cached_property
    def splits(self) -> Splits[Arrays]:
        if self.debug:
            rows = np.random.default_rng(0).standard_normal((600, COLUMNS[self.table]))
            return Splits(*(Arrays(part.astype(np.float32)) for part in np.split(rows, 3)))
        if not self.data.dir:
            raise ValueError(f"data.dir: expected the folder of the tables, got none: {SOURCE}")
        parts = read_table(self.table, Path(self.data.dir))
        if parts.train.shape[1] != COLUMNS[self.table]:
            raise ValueError(
                f"{self.table}: expected the {COLUMNS[self.table]} columns that are left of the "
                f"published table, got {parts.train.shape[1]}"
            )
        return parts.map(lambda part: Arrays(part.astype(np.float32)))

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        check_positive(rows=options.rows)
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), batch_size=options.rows,
            sampler=options.sampler,
        )  # fmt: skip
        path = path.with_suffix(".csv")
        np.savetxt(path, np.asarray(drawn), "%.6g", delimiter=",")
        return path


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
            return bsds300(existing(folder / "BSDS300" / "BSDS300.hdf5"))


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
    if existing(path).suffix == ".npy":
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


def existing(path: Path) -> Path:
    """The path, if there is a file."""
    if not path.is_file():
        raise FileNotFoundError(f"data.dir: expected {path}, got no such file: {SOURCE}")
    return path


ROWS: dict[TableName, int] = {
    "power": 1_659_917, "gas": 852_174, "hepmass": 315_123, "miniboone": 29_556,
    "bsds300": 1_000_000,
}  # fmt: skip
"""How many train."""

PAPER, BATCH = "arXiv 1705.07057", 100


def density(table: TableName, model: Any, learning_rate: float) -> UciTable:
    """Until 30 epochs pass without a better validation, as in the paper."""
    epoch = math.ceil(ROWS[table] / BATCH)
    optimizer = Adam(
        learning_rate=learning_rate, schedule=Constant(warmup=0.0), clip_norm=math.inf,
        penalty=1e-6 / COLUMNS[table],  # our losses are means over the columns
    )  # fmt: skip
    training = Training(
        steps=1000 * epoch, optimizer=optimizer, ema_decay=0.0, log_every=epoch,
        validate_every=epoch, patience=30 * epoch,
    )  # fmt: skip
    return UciTable(table=table, model=model, training=training, batch_size=BATCH, folder=Path())


def benchmark(table: TableName, gaussian: float, mixture: float, maf: float) -> Benchmark:
    """A table, with the published figures of three models and the grid that each is the best of."""
    columns, activation = COLUMNS[table], "tanh" if table == "gas" else "relu"
    units = {"power": (100,), "gas": (100,), "bsds300": (512, 1024)}.get(table, (512,))
    grid = "the best by validation of 1 and 2 hidden layers"
    grid += " and of 512 and 1,024 units" if table == "bsds300" else ""
    published = {
        "made": Published(gaussian, PAPER, grid),
        "made_mog": Published(mixture, PAPER, grid),
        "maf": Published(maf, PAPER, f"{grid}, with batch normalisation, which ours lacks"),
    }
    recipes = {}
    for layers, width in itertools.product((1, 2), units):
        made = MADE((width,) * layers, activation, direct=False)
        models = {
            "made": (column_by_column(columns, made, components=1), 1e-3),
            "made_mog": (column_by_column(columns, made, components=10), 1e-3),
            "maf": (flow(columns, 5, made, Affine()), 1e-4),
        }
        for name, (model, learning_rate) in models.items():
            experiment = density(table, model, learning_rate)
            recipe = Recipe(experiment, PAPER, NOT_TIMED, published[name])
            recipes[f"{name}_{layers}x{width}"] = recipe
    return Benchmark(
        f"UCI {table.upper()}",
        f"{COLUMNS[table]} columns, {SPLIT.get(table, 'standardised; a tenth of the rows tests')}; "
        "validation chose; the paper's MAF has batch normalisation between its layers, ours none",
        "log-likelihood, nats",
        dict(sorted(recipes.items())),
    )


def column_by_column(columns: int, conditional: MADE, components: int) -> ar.AutoregressiveModel:
    """Each column a mixture of Gaussians."""
    ordering = ar.orderings.Raster((columns,))
    return ar.AutoregressiveModel(ordering, conditional, ar.heads.GaussianMixture(components))


BENCHMARKS: Mapping[str, Benchmark] = {
    "power": benchmark("power", -3.08, 0.40, 0.14),
    "gas": benchmark("gas", 3.56, 8.47, 9.07),
    "hepmass": benchmark("hepmass", -20.98, -15.15, -17.70),
    "miniboone": benchmark("miniboone", -15.59, -12.27, -11.75),
    "bsds300": benchmark("bsds300", 148.85, 153.71, 155.69),
}
