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
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax.checks import check_positive
from ar_jax.conditionals import MADE
from ar_jax.datasets import UCI
from ar_jax.datasets.uci import COLUMNS, TableName
from ar_jax.flows import Affine
from ar_jax.training import Adam, Constant, Training
from experiments.recipes.base import NOT_TIMED, Benchmark, Published, Recipe
from experiments.run import Experiment
from experiments.tables import SampleRows, flow

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
class UciTable(Experiment):
    """The density of the rows of a table.

    Attributes:
      table: which one.
      data: the folder that they lie in.
    """

    model: Any
    table: TableName
    data: Tables = Tables()

    sample: ClassVar[SampleRows] = SampleRows()

    @cached_property
    def dataset(self) -> UCI:
        return UCI(self.table, self.data.dir)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        check_positive(rows=options.rows)
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), batch_size=options.rows,
            sampler=options.sampler,
        )  # fmt: skip
        path = path.with_suffix(".csv")
        np.savetxt(path, np.asarray(drawn), "%.6g", delimiter=",")
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
