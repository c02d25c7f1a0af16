"""Densities of real tables: autoregressive models and flows beside scikit-learn's mixture.

python -m experiments.tables --electricity electricity_load.npz   all, and the page, in half an hour
python -m experiments.tables --tables wine --models made spline   some
python -m experiments.tables page                                 the page again
python -m experiments.tables wine/maf sample --rows 1000          one, as any experiment
python -m experiments.tables --tables wine --debug                in seconds

Tables: the loads of 40 consumers and grids in 2016 (SimBench), a row for each quarter hour, from
an `.npz` (see experiments.table_data), and breast_cancer and wine of scikit-learn, which is needed:
pip install 'ar_jax[tables]'. Its others are no tables of densities: iris and linnerud are too
coarse, in diabetes the LDL was computed from three other columns.

A density on atoms has no bound and means nothing: columns with an atom are left out. So are columns
that correlate above 0.98 with one before, as in arXiv 1705.07057; uniform noise as wide as the
resolution of a column is added once (see ar_jax.data.tables). Columns are standardised by the mean
and deviation of the training part: log-likelihoods are those of standardised columns.

A fifth of the rows tests, a tenth of the others validates. Loads are dealt out by whole days, since
rows of a day are alike, and once; the small tables in each of five folds, so that every row is
tested. Validation alone chooses when training stops, and the mixture's components and floor. The
other settings were chosen by the validation part of the first fold.
"""

import dataclasses
import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import jax
import numpy as np

import ar_jax as ar
from ar_jax.checks import check_positive
from ar_jax.conditionals import MADE
from ar_jax.configuration import describe
from ar_jax.data import Arrays, EvaluationBatches, Splits
from ar_jax.datasets.tables import DealtTable
from ar_jax.durable import write
from ar_jax.experiment.command_line import asked, dispatch, parse
from ar_jax.experiment.folder import check_writable, to_json
from ar_jax.experiment.plots import draw_race
from ar_jax.flows import MAF, Affine, Layer, Spline, Transform
from ar_jax.heads import GaussianMixture
from ar_jax.orderings import Raster, Reversed
from ar_jax.training import Muon, Training, read_metrics
from experiments.run import Experiment, Sample, carry_out, main
from experiments.table_data import (
    FOLDS,
    NATS,
    Loads,
    TableName,
    dataset,
    imported,
    judge,
    mean_and_error,
)
from experiments.zoo import described

PROGRAM = "python -m experiments.tables"
ModelName = Literal["made", "maf", "spline"]


@dataclasses.dataclass(frozen=True)
class SampleRows(Sample):
    """Draw rows of a table, in the units of its columns.

    Attributes:
      rows: how many.
    """

    rows: int = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class Density(Experiment):
    """Learn the density of the rows of a table.

    Attributes:
      table: which one.
      fold: of the cross-validation, 0 to 4.
      data: where the loads are.
    """

    model: Any
    batch_size: int = 128
    table: TableName
    fold: int = 0
    data: Loads = Loads()

    sample: ClassVar[Sample] = SampleRows()

    @cached_property
    def dataset(self) -> DealtTable:
        return dataset(self.table, self.fold, self.data)

    @cached_property
    def splits(self) -> Splits[Arrays]:
        return self.dataset.splits  # with --debug, too: they are small

    def figures(self, variables: Any) -> dict[str, Any]:
        score = jax.jit(self.model.apply)
        with jax.default_matmul_precision("float32"):
            log_prob = [
                np.asarray(score(variables, batch["x"]), float)[batch["mask"]]
                for batch in EvaluationBatches(self.splits.test, self.batch_size)
            ]
        return judge(self.dataset.dealt, np.concatenate(log_prob), self.folder)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        check_positive(rows=options.rows)
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), batch_size=options.rows,
            sampler=options.sampler,
        )  # fmt: skip
        dealt = self.dataset.dealt
        rows = np.asarray(drawn) * dealt.deviation + dealt.mean
        path = path.with_suffix(".csv")
        header = ",".join(dealt.columns)
        np.savetxt(path, rows, "%.6g", delimiter=",", header=header, comments="")
        return path


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScikitMixture:
    """Fit scikit-learn's mixture of Gaussians of full covariance to the rows of a table.

    Attributes:
      table: which one.
      fold: of the cross-validation, 0 to 4.
      components: their numbers to choose from, by validation.
      floors: what to add to the variance of each column, to choose from by validation.
      data: where the loads are.
      folder: of the run.
    """

    table: TableName
    fold: int = 0
    components: tuple[int, ...]
    floors: tuple[float, ...] = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    data: Loads = Loads()
    folder: Path

    places: ClassVar[tuple[str, ...]] = ("folder",)

    def run(self) -> None:
        """Fits, and writes the run folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write(self.folder / "config.json", to_json(self))
        dealt = dataset(self.table, self.fold, self.data).dealt
        start = time.process_time()
        model, columns = self.fit(dealt.parts), len(dealt.columns)
        results = {
            "device": f"CPU, scikit-learn {version('scikit-learn')}",
            "components": model.n_components,
            "floor": model.reg_covar,
            "parameters": model.n_components * (1 + columns + columns * (columns + 1) // 2) - 1,
            "training_cpu_seconds": time.process_time() - start,
            **judge(dealt, model.score_samples(dealt.parts.test), self.folder),
        }
        written = {name: describe(value) for name, value in results.items()}
        write(self.folder / "results.json", json.dumps(written, indent=2) + "\n")

    def fit(self, parts: Splits[np.ndarray]) -> Any:
        """scikit-learn's model that is best in validation."""
        mixture, threads = imported("sklearn.mixture"), imported("threadpoolctl")
        fitted = []
        # Threads that wait would count as CPU-seconds; where EM is not done, validation judges.
        with threads.threadpool_limits(1), warnings.catch_warnings(action="ignore"):
            for components in self.components:
                for floor in self.floors:
                    model = mixture.GaussianMixture(components, reg_covar=floor, random_state=0)
                    fitted.append(model.fit(parts.train))
        return max(fitted, key=lambda model: model.score(parts.validation))


def made(columns: int, hidden: tuple[int, ...], components: int) -> ar.AutoregressiveModel:
    """Column by column, each a mixture of Gaussians."""
    return ar.AutoregressiveModel(Raster((columns,)), MADE(hidden), GaussianMixture(components))


def flow(columns: int, layers: int, conditional: MADE, transform: Transform) -> MAF:
    """So many layers, of which every other one is in reverse."""
    orderings = [(Raster, Reversed)[i % 2]((columns,)) for i in range(layers)]
    return MAF(tuple(Layer(ordering, conditional, transform) for ordering in orderings))


def density(
    table: TableName,
    model: Any,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    batch_size: int = 128,
) -> Density:
    """Of a table, trained so many steps, with 20 looks at the validation split."""
    optimizer = Muon(learning_rate=learning_rate, weight_decay=weight_decay)
    training = Training(
        steps=steps, optimizer=optimizer, log_every=steps // 40, validate_every=steps // 20
    )
    return Density(
        model=model, training=training, batch_size=batch_size, folder=Path(), table=table
    )


MODELS: dict[str, Density] = {
    "electricity/made": density("electricity", made(33, (256, 256), 10), 4000, 5e-3, 0.3, 512),
    "electricity/maf": density(
        "electricity", flow(33, 5, MADE((128, 128)), Affine()), 6000, 5e-3, 0.3, 512
    ),
    "electricity/spline": density(
        "electricity", flow(33, 3, MADE((128,)), Spline(bound=4.0)), 4000, 1e-2, 1.0, 512
    ),
    "breast_cancer/made": density("breast_cancer", made(20, (64,), 2), 500, 2e-3, 3.0),
    "breast_cancer/maf": density(
        "breast_cancer", flow(20, 5, MADE((64,), "tanh"), Affine(0.1)), 500, 2e-3, 3.0
    ),
    "breast_cancer/spline": density(
        "breast_cancer", flow(20, 2, MADE((64,)), Spline(5, 4.0)), 500, 2e-3, 3.0
    ),
    "wine/made": density("wine", made(12, (64,), 2), 300, 2e-3, 10.0),
    "wine/maf": density("wine", flow(12, 5, MADE((64,), "tanh"), Affine(0.1)), 300, 2e-3, 10.0),
    "wine/spline": density("wine", flow(12, 2, MADE((64,)), Spline(5, 4.0)), 300, 2e-3, 10.0),
}

COMPONENTS: dict[TableName, tuple[int, ...]] = {
    "electricity": (5, 10, 20, 40),
    "breast_cancer": (1, 2, 3, 4, 6),
    "wine": (1, 2, 3, 4),
}
"""Of scikit-learn's mixture, to choose from by validation."""

TITLES = {
    "gaussian": "one Gaussian, scikit-learn",
    "gaussian_mixture": "mixture of Gaussians, scikit-learn",
    "made": "MADE, mixtures of Gaussians",
    "maf": "MAF, affine",
    "spline": "MAF, splines",
}


@dataclasses.dataclass(frozen=True)
class Tables:
    """Fit every model to every table, and show what came of it.

    Attributes:
      tables: which ones.
      models: which ones; scikit-learn's are always fitted.
      electricity: an `.npz` of loads (see experiments.table_data).
      folder: of the runs and the page.
      debug: a few steps of each, on one fold.
    """

    tables: tuple[TableName, ...] = get_args(TableName)
    models: tuple[ModelName, ...] = get_args(ModelName)
    electricity: str = ""
    folder: Path = Path("runs/tables")
    debug: bool = False

    def __post_init__(self) -> None:
        check_positive(tables=len(self.tables))

    def run(self, table: TableName, fold: int) -> None:
        """Fits each model, unless it is there already."""

        def place(name: str) -> Path:
            return self.folder / table / name / f"fold={fold}"

        data = Loads(self.electricity)
        counts = COMPONENTS[table][: 2 if self.debug else None]
        for name, components in {"gaussian": (1,), "gaussian_mixture": counts}.items():
            mixture = ScikitMixture(
                table=table, fold=fold, components=components, data=data, folder=place(name)
            )
            if not (mixture.folder / "results.json").exists():
                mixture.run()
        given = ["--data.electricity", self.electricity] if table == "electricity" else []
        given += ["--fold", str(fold), *(["--debug"] if self.debug else [])]
        for name in self.models:
            if not (place(name) / "results.json").exists():
                arguments = [*given, "--folder", str(place(name))]
                density = dataclasses.replace(MODELS[f"{table}/{name}"], folder=place(name))
                if not carry_out(density, arguments, f"{PROGRAM} {table}/{name}"):
                    sys.exit(f"{PROGRAM}: {place(name)} was stopped; the same command goes on")


def configure(arguments: list[str], program: str) -> Tables:
    """What the command line asks for; `--debug` has a folder of its own."""
    folder = Path("runs/tables-debug" if asked("debug", arguments) else "runs/tables")
    return parse(Tables(folder=folder), arguments, program)


def train(arguments: list[str]) -> None:
    """Fits what is not fitted yet, and renders the page."""
    tables = configure(arguments, PROGRAM)
    for table in tables.tables:  # what is missing is told before anything is fitted
        _ = dataset(table, 0, Loads(tables.electricity)).dealt
    check_writable(tables.folder)
    for table in tables.tables:
        for fold in range(1 if tables.debug else FOLDS[table]):
            tables.run(table, fold)
    render(tables.folder)


def page(arguments: list[str]) -> None:
    """Renders the page of the models that are fitted."""
    render(configure(arguments, f"{PROGRAM} page").folder)


def render(folder: Path) -> None:
    """Writes the page of the models that are fitted."""
    parts = []
    for table in get_args(TableName):
        runs = {name: results(folder / table / name) for name in TITLES}
        folds = max(map(len, runs.values()))
        complete = {name: r for name, r in runs.items() if r and len(r) == folds}
        if complete.keys() & get_args(ModelName):
            parts += section(folder, table, complete)
    if not parts:
        raise ValueError(f"folder: expected that of fitted models, got {folder}: train first")
    path = folder / "README.md"
    write(path, "\n\n".join(["# Densities of real tables", PROSE, *parts]) + "\n")
    print(f"Wrote {path}")


PROSE = f"""\
`{PROGRAM} --electricity electricity_load.npz` made this page; what is left out of the tables, what
is added to them and how they are dealt out stands at the top of its file.

Exact log-likelihoods of test rows, in nats a row of standardised columns (the higher the better),
with the standard error of their mean: over whole days for the loads, which were drawn from one year
at random, and do not correlate with the next one drawn (it is the error of that year's days, and
says nothing of another year), over rows taken as independent for the others, although folds share
training rows: too small. *Behind the best* is the mean difference of the same rows, with its own
error; one seed of each: what another would change is not in it. CPU-seconds are those of all
folds: of a density all of training, compiling and the looks at the validation split, too; of a
mixture the whole search. Seed 0."""


def results(folder: Path) -> list[dict[str, Any]]:
    """What was found in each fold that is done, with the log-density of each test group."""
    paths = sorted(folder.glob("fold=*/results.json"))
    return [
        json.loads(path.read_bytes()) | {"log_prob": -np.loadtxt(path.with_name(NATS), ndmin=1)}
        for path in paths
    ]


def section(
    folder: Path, table: TableName, runs: Mapping[str, Sequence[dict[str, Any]]]
) -> list[str]:
    """The paragraphs on one table."""
    log_prob = {
        name: np.concatenate([r["log_prob"] for r in found]) for name, found in runs.items()
    }
    ranked = sorted(runs, key=lambda name: -log_prob[name].mean())
    rows = [
        "| model | test, nats | behind the best | parameters | CPU-seconds |",
        "|---|---|---|---|---|",
    ]
    for name in ranked:
        mark = "**" if name == ranked[0] else ""
        behind = format_error(log_prob[ranked[0]] - log_prob[name]) if name != ranked[0] else ""
        seconds = sum(run["training_cpu_seconds"] for run in runs[name])
        rows.append(
            f"| {TITLES[name]} | {mark}{format_error(log_prob[name])}{mark} | {behind} "
            f"| {runs[name][0]['parameters']:,} | {seconds:,.0f} |"
        )
    first, scores = runs[ranked[0]][0], [run["likelihood"] for run in runs[ranked[0]]]
    (kind,) = {run["likelihood"]["kind"] for found in runs.values() for run in found}
    of = f" in the first of {len(scores)} folds" if len(scores) > 1 else ""
    said = (
        f"{scores[0]['variables']} columns; {first['train_rows']:,} rows to train, "
        f"{first['validation_rows']:,} to validate, {scores[0]['count']:,} to test{of}; {kind}, "
        f"{sum(score['count'] for score in scores):,} rows tested."
    )
    trained = {name: MODELS[f"{table}/{name}"] for name in get_args(ModelName) if name in runs}
    picture = f"{table}.png"
    draw_race(
        folder / picture,
        {name: read_metrics(folder / table / name / "fold=0/metrics.jsonl") for name in trained},
    )
    settings = [
        f"- {TITLES['gaussian_mixture']}: "
        + "; ".join(f"{r['components']} components, floor {r['floor']:g}" for r in found)
        for found in [runs.get("gaussian_mixture", [])]
        if found
    ]
    settings += [f"- {TITLES[name]}: {recipe(trained[name])}" for name in trained]
    return [
        f"## {table}", said, "\n".join(rows), "\n".join(settings),
        f"![validation over CPU-seconds, first fold]({picture})",
    ]  # fmt: skip


def format_error(log_prob: np.ndarray) -> str:
    """The mean and its standard error."""
    return "{:.2f} ± {:.2f}".format(*mean_and_error(log_prob))


def recipe(experiment: Density) -> str:
    """What was trained, and how."""
    model, training = experiment.model, experiment.training
    if isinstance(model, MAF):
        layer = model.layers[0]
        parts = f"{len(model.layers)} times `{described(layer.conditional)}` with "
        parts += f"`{described(layer.transform)}`"
    else:
        parts = f"`{described(model.conditional)}`, `{described(model.head)}`"
    return (
        f"{parts}; at most {training.steps:,} steps of {experiment.batch_size}, "
        f"`{described(training.optimizer)}`"
    )


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in MODELS:
        folder = Path("runs/tables") / word / "fold=0"
        main(dataclasses.replace(MODELS[word], folder=folder), __doc__ or "", word)
    else:
        dispatch(PROGRAM, {"train": train, "page": page}, "train", __doc__ or "", sys.argv[1:])
