"""The likelihood benchmarks: recipes by name, and one page of what came of them.

python -m experiments.likelihood                                  the page, of the committed runs
python -m experiments.likelihood recipes                          lists them, and what they take
python -m experiments.likelihood dynamic_mnist/made               trains one, as any experiment
python -m experiments.likelihood dynamic_mnist/made --help        tells of its paper and hardware
python -m experiments.likelihood train dynamic_mnist/made dynamic_mnist/nade --seeds 0 1
python -m experiments.likelihood page --folder runs/likelihood    the page of your own runs
python -m experiments.likelihood verify                           figures again, from their weights
python -m experiments.likelihood compare BENCHMARK/A BENCHMARK/B  how far apart, and how sure
python -m experiments.likelihood sizes                            counts and traces all at full size

`train` works off a selection, each run in a process of its own; options that it does not know go to
every run, such as --debug. The same command goes on where it stopped. Of each finished run it
writes a record beside the run's folder: seed=S.json with configuration, command, metrics and
figures, the samples, the scores of the test examples, and the weights where they take at most 3 MB:
rounded to nine bits, and then the record's figure is that of the rounded ones. The page is rendered
from records alone; one without configuration or metrics is refused. `verify` says which figures it
could not compute again, for want of weights or data; files of one's own are looked for where the
record's command names them.

Recipes are the networks of their papers, for accelerators, unless they say "after" them or "our";
those whose name ends in a number of seconds may take so many CPU-seconds of two cores, turned into
a number of steps. A published figure stands beside its own network only; what could not be verified
of that network, its column says.
"""

import argparse
import dataclasses
import json
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from ar_jax.configuration import ABSENT, describe, differences
from ar_jax.durable import write
from ar_jax.evaluation import Likelihood, Scores
from ar_jax.experiment.command_line import dispatch, parse
from ar_jax.experiment.folder import AS_RECORDED, check_writable, compared
from ar_jax.experiment.plots import draw_benchmark
from ar_jax.experiment.weights import read_scores, read_weights, rounded, weights_file, write_scores
from ar_jax.training import read_metrics
from experiments.launch import Run, check_distinct, named, work_off
from experiments.paired import difference
from experiments.recipes import BENCHMARKS, RECIPES, Benchmark, sizes
from experiments.run import configured, main
from experiments.zoo import parse_likelihood

PROGRAM = "python -m experiments.likelihood"
COMMITTED = Path(__file__).parent / "results" / "likelihood"


@dataclasses.dataclass(frozen=True)
class Record:
    """A finished run, as it is kept.

    Attributes:
      name: of its recipe.
      seed: of training.
      arguments: of the command line.
      command: that made it.
      device: what it ran on.
      parameters: how many.
      training_cpu_seconds: all of training, with compiling and the looks at the validation split.
      likelihood: of the test split; of the rounded weights where they are kept.
      configuration: the experiment, as JSON.
      metrics: the lines of metrics.jsonl that tell of the validation split.
      others: what else the test split says, e.g. "bayes_accuracy".
    """

    name: str
    seed: int
    arguments: list[str]
    command: str
    device: str
    parameters: int
    training_cpu_seconds: float
    likelihood: Likelihood
    configuration: dict[str, Any]
    metrics: list[dict[str, Any]]
    others: dict[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def of_run(cls, name: str, folder: Path) -> "Record":
        """That of a run's folder.

        Raises:
          ValueError: when the run has not ended, or tells no configuration or metrics.
        """
        files = ("results.json", "config.json", "arguments.json")
        for file in (*files, "metrics.jsonl"):
            if not (folder / file).exists():
                raise ValueError(f"{folder}: expected a finished run, got one without {file}")
        results, configuration, arguments = (json.loads((folder / f).read_bytes()) for f in files)
        records = read_metrics(folder / "metrics.jsonl")
        return cls(
            name=name,
            seed=results["seed"],
            arguments=arguments,
            command=results["command"],
            device=results["device"],
            parameters=results["parameters"],
            training_cpu_seconds=results["training_cpu_seconds"],
            likelihood=parse_likelihood(results["likelihood"]),
            configuration=configuration,
            metrics=[line for line in records if "validation_bits_per_dim" in line],
            others=others(results),
        )

    @classmethod
    def read(cls, path: Path) -> "Record":
        """From a file.

        Raises:
          ValueError: when it lacks something, or its recipe is unknown.
        """
        try:
            fields = json.loads(path.read_bytes())
            del fields["class"]
            record = cls(**fields | {"likelihood": parse_likelihood(fields["likelihood"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}: expected the record of a run, got {error!r}") from error
        for field in ("configuration", "metrics", "command"):
            if not getattr(record, field):
                raise ValueError(f"{path}: expected a record with its {field}, got none")
        if record.name not in RECIPES:
            raise ValueError(f"{path}: expected a recipe of {PROGRAM} recipes, got {record.name}")
        if not path.match(f"{record.name}/seed={record.seed}.json"):
            raise ValueError(f"{path}: expected the record of {record.name}, seed {record.seed}")
        return record

    def write(self, path: Path) -> None:
        """Into a file."""
        write(path, json.dumps(describe(self), indent=1) + "\n")

    @property
    def changed(self) -> bool:
        """Whether anything but the seed is other than the recipe's."""
        recipe = RECIPES[self.name].experiment
        training = dataclasses.replace(recipe.training, seed=self.seed)
        return differs(self.configuration, dataclasses.replace(recipe, training=training))


def differs(recorded: Any, now: Any) -> bool:
    """Whether the configuration differs from the recorded one, in a field that both have."""
    now = json.loads(json.dumps(describe(now)))
    return any(ABSENT not in pair for _, *pair in differences(recorded, now))


OTHERS = ("bayes_accuracy",)


def others(figures: Mapping[str, Any]) -> dict[str, float]:
    """What figures of the test split say besides the likelihood."""
    return {name: figures[name] for name in OTHERS if name in figures}


def keep(name: str, folder: Path, place: Path) -> None:
    """Writes the record of a finished run, its samples, its scores and, if small, its weights.

    Args:
      name: of its recipe.
      folder: of the run.
      place: of the record, without suffix.
    """
    record = Record.of_run(name, folder)
    experiment = experiment_of(record, folder)
    variables = experiment.restore()
    near = {"params": rounded(variables["params"])}
    if weights := weights_file(near["params"]):
        variables = near
        write(place.with_name(f"{place.name}.npz"), weights)
    put(record, experiment, variables, place)
    for samples in folder.glob("samples.*"):
        write(place.with_name(f"{place.name}{samples.suffix}"), samples.read_bytes())


def put(record: Record, experiment: Any, variables: Any, place: Path) -> None:
    """Writes the record of some weights, and their scores."""
    scores = experiment.test_scores(variables)
    write_scores(scores_of(place), scores)
    figures = experiment.figures(variables) if record.others else {}
    record = dataclasses.replace(
        record, likelihood=experiment.likelihood(scores), others=others(figures)
    )
    record.write(place.with_name(f"{place.name}.json"))


def scores_of(place: Path) -> Path:
    """The file of the scores beside a record, whose path may have a suffix."""
    return place.with_name(f"{place.stem}.scores.npz")


def experiment_of(record: Record, folder: Path) -> Any:
    """The experiment of a record, in a folder.

    Raises:
      ValueError: when the recipe is no longer what it was.
    """
    experiment = dataclasses.replace(RECIPES[record.name].experiment, folder=folder)
    experiment = configured(experiment, record.arguments, PROGRAM)
    if differs(record.configuration, experiment):
        raise ValueError(
            f"{folder}: expected a run of {record.name} as it is now, got one of before it "
            "changed; train into another folder"
        )
    return dataclasses.replace(experiment, folder=folder)


def train(arguments: list[str]) -> None:
    """Trains a selection, keeps a record of each run, and renders the page."""
    parser = argparse.ArgumentParser(f"{PROGRAM} train", allow_abbrev=False)
    parser.add_argument("recipes", nargs="+", metavar="BENCHMARK/MODEL")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    parser.add_argument("--folder", type=Path, default=Path("runs/likelihood"))
    options, others = parser.parse_known_args(arguments)
    check_distinct("recipes", options.recipes)
    check_distinct("seeds", options.seeds)
    check_distinct("options (--seeds sets training.seed)", ["training.seed", *named(others)])
    for name in options.recipes:
        if name not in RECIPES:
            raise ValueError(f"recipes: expected some of {PROGRAM} recipes, got {name}")
    check_writable(options.folder)
    runs = {}
    for name in options.recipes:
        for seed in options.seeds:
            folder = options.folder / name / f"seed={seed}"
            given = ["--training.seed", str(seed), *others, "--folder", str(folder)]
            command = [sys.executable, "-m", "experiments.likelihood", name, "train", *given]
            log = folder.with_name(f"{folder.name}.log")
            runs[name, seed] = Run(shlex.join(command), given, folder, log)
    refusal = work_off([run for run in runs.values() if not run.results], [""])
    finished = [key for key, run in runs.items() if run.results]
    for name, seed in finished:
        folder = runs[name, seed].folder
        keep(name, folder, folder)
    if finished:
        render(options.folder)
    if refusal:
        sys.exit(refusal)
    if unfinished := [str(run.folder) for key, run in runs.items() if key not in finished]:
        sys.exit(f"{PROGRAM}: {', '.join(unfinished)} did not finish; the same command goes on")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where records are.

    Attributes:
      folder: of records, BENCHMARK/MODEL/seed=S.json; gets the page.
    """

    folder: Path = COMMITTED

    @property
    def records(self) -> dict[Path, Record]:
        """All that are there, by their files."""
        records = {path: Record.read(path) for path in sorted(self.folder.glob("*/*/seed=*.json"))}
        if not records:
            raise ValueError(f"folder: expected one with records, got {self.folder}: train first")
        return records


def page(arguments: list[str]) -> None:
    """Renders the page."""
    render(parse(Place(), arguments, f"{PROGRAM} page").folder)


def verify(arguments: list[str]) -> None:
    """Computes again each figure whose weights are there."""
    place, console = parse(Place(), arguments, f"{PROGRAM} verify"), Console()
    wrong, found = [], 0
    for path, record in place.records.items():
        weights = path.with_suffix(".npz")
        title = f"{record.name}, seed {record.seed}"
        if not weights.exists():
            console.print(f"{title}: not verified, its weights were not kept")
            continue
        variables = {"params": read_weights(weights)}
        experiment = experiment_of(record, path.parent)
        try:
            _ = experiment.splits
        except (ValueError, FileNotFoundError) as error:
            console.print(f"{title}: not verified, its data is not there: {error}", markup=False)
            continue
        figures, found = experiment.figures(variables), found + 1
        again = figures["likelihood"].nats
        verdicts = [compared(again, record.likelihood.nats)]
        verdicts += [compared(figures[name], value) for name, value in record.others.items()]
        wrong += [record.name] if set(verdicts) != {AS_RECORDED} else []
        console.print(f"{title}: {again!r} nats, {', '.join(verdicts)}")
    if wrong:
        sys.exit(f"{PROGRAM}: expected the recorded figures, got others for {', '.join(wrong)}")
    if not found:
        raise ValueError(
            f"folder: expected a record with its weights and its data, got none: {place.folder}"
        )


def compare(arguments: list[str]) -> None:
    """Tells how far two models of a benchmark are apart on the same test examples."""
    parser = argparse.ArgumentParser(f"{PROGRAM} compare", allow_abbrev=False)
    parser.add_argument("a", metavar="BENCHMARK/A")
    parser.add_argument("b", metavar="BENCHMARK/B")
    parser.add_argument("--folder", type=Path, default=COMMITTED)
    options = parser.parse_args(arguments)
    name = options.a.partition("/")[0]
    if name not in BENCHMARKS or options.b.partition("/")[0] != name:
        raise ValueError(f"compare: expected two of one benchmark, got {options.a}, {options.b}")
    records, seeds, scores = Place(options.folder).records, [], []
    for model in (options.a, options.b):
        paths = [path for path, record in records.items() if record.name == model]
        paths = [path for path in paths if scores_of(path).exists()]
        if not paths:
            raise ValueError(
                f"{model}: expected a record with its scores in {options.folder}, got none: "
                f"{PROGRAM} train {model}"
            )
        seeds.append([records[path].seed for path in paths])
        scores.append([read_scores(scores_of(path)) for path in paths])
    text = said(BENCHMARKS[name], options.a, options.b, seeds, scores)
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def said(
    benchmark: Benchmark, a: str, b: str, seeds: list[list[int]], scores: list[list[Scores]]
) -> str:
    """The difference of two models in words."""
    apart = difference(*scores)
    as_likelihood = Likelihood(
        apart.nats, apart.error, apart.variables, apart.count, "", "exact", apart.error_method
    )
    value, error = benchmark.figure(as_likelihood)
    lines = [
        f"{a} (seeds {seeds[0]}) - {b} (seeds {seeds[1]}): {value:+.4f} ± {error:.4f} "
        f"{benchmark.unit}, of {apart.count:,} pairs ({apart.error_method})",
        "The error is that of other test examples; of other seeds of training it says nothing.",
    ]
    train = f"{PROGRAM} train {a} {b} --seeds"
    if apart.deviation is None:
        missing = " ".join(str(seed) for seed in range(3) if seed not in {*seeds[0], *seeds[1]})
        lines.append(f"What seeds change is unknown with one of either: {train} {missing}")
    else:
        spread = abs(apart.deviation / apart.nats * value)
        lines.append(
            f"From seed to seed it varies by {spread:.4f}, judged by {apart.seeds[0]} and "
            f"{apart.seeds[1]}; {apart.seeds_needed} seeds of each would make it twice that error."
        )
    return "\n".join(lines)


def recipes(arguments: list[str]) -> None:
    """Lists the recipes."""
    console = Console()
    for name, benchmark in BENCHMARKS.items():
        console.print(f"[bold]{name}[/]: {escape(benchmark.title)}, in {benchmark.unit}")
        for model, recipe in benchmark.recipes.items():
            console.print(f"  {model}: {escape(str(recipe))}", highlight=False)


def measure(arguments: list[str]) -> None:
    """Counts and traces all recipes at full size, in some minutes."""
    path = parse(Place(), arguments, f"{PROGRAM} sizes").folder / "sizes.json"
    write(path, sizes.to_json(sizes.measure(RECIPES)))
    Console().print(f"Wrote {path}", highlight=False)


def render(folder: Path) -> None:
    """Writes the page of the records of a folder."""
    found = Place(folder).records
    parts = [INTRODUCTION]
    for name, benchmark in BENCHMARKS.items():
        here = {
            path: record for path, record in found.items() if record.name.startswith(f"{name}/")
        }
        parts += section(folder, name, benchmark, here)
    if (measured := folder / "sizes.json").exists():
        parts += [SIZES, sizes.table(RECIPES, sizes.read(measured))]
    path = folder / "README.md"
    write(path, "\n\n".join(parts) + "\n")
    print(f"Wrote {path}")


INTRODUCTION = f"""\
# Likelihoods

`{PROGRAM}` made this page from the records beside it, `{PROGRAM} train BENCHMARK/MODEL` makes a
record, `{PROGRAM} verify` computes again the figures whose weights are here. Figures are of the
test split, with the standard error of their mean, and what that takes as independent; validation
chose the checkpoint, unless told. Where the weights are kept, figures are of these, rounded to nine
bits. Whether two figures on the same examples differ is not for these errors to say, but for
`{PROGRAM} compare`. Bars in pictures are two standard errors, left out where these are
known to be too small. CPU-seconds are of the process, and count all of training: compiling and
the looks at the validation split, too. Published figures are of others, mostly from GPUs; models
without a figure of ours have a recipe that was not run."""


SIZES = f"""\
## Sizes

All recipes at full size, by `{PROGRAM} sizes`: counted and traced, not run. A training step holds
its state (parameters, their average, the optimizer's means, and the gradient, in float32) and what
the forward pass of the whole batch keeps for the backward pass, as traced; a compiler keeps less,
and several devices or `micro_batches` share it out."""


def section(
    folder: Path, name: str, benchmark: Benchmark, records: Mapping[Path, Record]
) -> list[str]:
    """The paragraphs on one benchmark: a table, curves, and samples beside data."""
    order = "the higher the better" if benchmark.higher_is_better else "the lower the better"
    parts = [
        f"## {benchmark.title}",
        f"In {benchmark.unit}, {order}: {benchmark.data}.",
        table(benchmark, name, records.values()),
    ]
    if records:
        curves = {f"{r.name.partition('/')[2]}, seed {r.seed}": r for r in records.values()}
        draw_benchmark(
            folder / name / "curves.png",
            {title: curve(benchmark, record) for title, record in curves.items()},
            {title: (r.parameters, *shown_figure(benchmark, r)) for title, r in curves.items()},
            published(benchmark),
            benchmark.unit,
        )
        parts.append(f"![over CPU-minutes and parameters]({name}/curves.png)")
    for path, record in records.items():
        for samples in sorted(path.parent.glob(f"{path.stem}.*")):
            if samples.suffix == ".png":
                parts.append(f"![samples of {record.name}]({samples.relative_to(folder)})")
            elif samples.suffix == ".txt":
                lines = samples.read_text(encoding="utf-8").strip().split("\n")
                parts.append("\n".join([f"{record.name}:", "", "```", *lines[:12], "```"]))
    return parts


def shown_figure(benchmark: Benchmark, record: Record) -> tuple[float, float]:
    """The figure and its error, without an error that is known to be too small."""
    value, error = benchmark.figure(record.likelihood)
    return value, 0.0 if record.likelihood.error_method.endswith("too small") else error


def published(benchmark: Benchmark) -> dict[str, float]:
    """The figures of others, by the names of their models."""
    found = {name: recipe.published for name, recipe in benchmark.recipes.items()}
    found |= dict(benchmark.others)
    return {name: other.figure for name, other in found.items() if other}


def table(benchmark: Benchmark, name: str, records: Iterable[Record]) -> str:
    """A row for each run, and one for each recipe without."""
    rows = [
        "| model | published | where, and how | ours | kind, split; error | parameters "
        "| CPU-seconds | seed, device | command |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for title, other in benchmark.others.items():
        rows.append(f"| {title} (no recipe) | {other.rounded} | {other.where} | | | | | | |")
    found = list(records)
    for model, recipe in benchmark.recipes.items():
        others = recipe.published
        other = f"{others.rounded} | {others.where}" if others else "- |"
        runs = [record for record in found if record.name == f"{name}/{model}"]
        for record in runs:
            value, error = benchmark.figure(record.likelihood)
            digits = 2 if error >= 0.1 else 3
            score = record.likelihood
            title = f"{model} (changed)" if record.changed else model
            rows.append(
                f"| {title} | {other} | {value:.{digits}f} ± {error:.{digits}f} "
                f"| {score.kind}, {score.split}; {score.error_method} | {record.parameters:,} "
                f"| {record.training_cpu_seconds:,.0f} | {record.seed}, {record.device} "
                f"| `{record.command}` |"
            )
        if not runs:
            rows.append(f"| {model} | {other} | | | | | | `{PROGRAM} {name}/{model}` |")
    return "\n".join(rows)


def curve(benchmark: Benchmark, record: Record) -> list[tuple[float, float]]:
    """CPU-minutes and figures of the looks at the validation split."""
    score = record.likelihood
    nats = score.nats / score.bits_per_dim  # of a bit per dimension
    return [
        (
            look["cpu_seconds"] / 60,
            benchmark.figure(
                dataclasses.replace(score, nats=nats * look["validation_bits_per_dim"])
            )[0],
        )
        for look in record.metrics
    ]


if __name__ == "__main__":
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in RECIPES:
        recipe = RECIPES[word]
        folder = Path("runs/likelihood") / word / "seed=0"
        main(dataclasses.replace(recipe.experiment, folder=folder), f"{word}. {recipe}", word)
    else:
        verbs = {
            "page": page,
            "recipes": recipes,
            "sizes": measure,
            "train": train,
            "compare": compare,
            "verify": verify,
        }
        dispatch(PROGRAM, verbs, "page", __doc__ or "", sys.argv[1:])
