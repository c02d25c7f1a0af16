"""What experiments share: their verbs on the command line, and the run folder."""

import dataclasses
import json
import shlex
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import grain
import jax
import numpy as np
import tyro
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

import ar_jax as ar
from ar_jax.checks import check_positive
from ar_jax.configuration import describe
from ar_jax.data import EvaluationBatches, EventTransform, Splits, training_batches
from ar_jax.datasets import Dataset
from ar_jax.durable import keep_aside, write
from ar_jax.evaluation import Likelihood, Scores, evaluate, score
from ar_jax.experiment.codec import contents
from ar_jax.experiment.command_line import asked, dispatch, not_needed, parse
from ar_jax.experiment.debug import shrunk
from ar_jax.experiment.folder import (
    arguments_of,
    begin,
    check_folder,
    check_new,
    check_writable,
    compared,
    folder_for_files,
    read_bytes,
    readable,
    recorded_nats,
    tell,
)
from ar_jax.experiment.plots import draw_curves
from ar_jax.inference.compression import LIMIT
from ar_jax.objectives import MaximumLikelihood, Objective
from ar_jax.training import Checkpoints, Training, fit, init_state, read_metrics, run_lock
from ar_jax.training.interruption import Interrupted
from ar_jax.training.parallel import devices
from experiments.codec import compress_files, decompress_files


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw from a trained model.

    Attributes:
      sampler: how a value is drawn.
      seed: of the draw.
      folder: of the run; gets the samples.
    """

    sampler: ar.Sampler = ar.Sampler()
    seed: int = 0
    folder: Path = Path()


@dataclasses.dataclass(frozen=True)
class Data:
    """Where the data is.

    Attributes:
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    dir: str = ""

    places: ClassVar[tuple[str, ...]] = ("dir",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(ABC):
    """What is learned, from which data, and how.

    Attributes:
      model: what is learned.
      training: how it is trained.
      batch_size: examples of a step; the devices divide it.
      folder: of the run; the same command goes on where it stopped.
      debug: shrink all that is not given here, to a few seconds.
    """

    model: ar.AutoregressiveModel
    training: Training
    batch_size: int = 64
    folder: Path
    debug: bool = False

    places: ClassVar[tuple[str, ...]] = ("folder",)  # where things lie: no part of what is learned
    objective: ClassVar[Objective] = MaximumLikelihood()
    sample: ClassVar[Sample] = Sample()  # the defaults of drawing
    small_sample: ClassVar[Sample]  # what --debug draws; else the same
    streams: ClassVar[bool] = False  # whether a file is a sequence of any length, or else events

    def __post_init__(self) -> None:
        check_positive(batch_size=self.batch_size)

    @cached_property
    @abstractmethod
    def dataset(self) -> Dataset:
        """What is learned from."""

    @cached_property
    def splits(self) -> Splits[Any]:
        """The data, which --debug makes up."""
        return self.dataset.fake() if self.debug else self.dataset.splits

    @property
    def tested_on(self) -> str:
        """What a figure of the test split is of."""
        return "generated data" if self.debug else self.dataset.test_label

    @property
    def transform(self) -> EventTransform:
        """Of training events, in every epoch."""
        return self.dataset.transform

    @abstractmethod
    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        """Draws samples into a file, which has a suffix of its own; options are like `sample`."""

    def read(self, path: Path) -> np.ndarray:
        """The values of a file, to be compressed: `[n, *event]`; of a stream `[n, ...]`."""
        raise ValueError(
            f"files: expected an experiment that reads files, got {type(self).__name__}"
        )

    def written(self, values: np.ndarray, name: str) -> bytes:
        """The content of the file of that name, whose values these are."""
        raise ValueError(
            f"files: expected an experiment that reads files, got {type(self).__name__}"
        )

    def same(self, given: bytes, back: bytes) -> bool:
        """Whether a file that comes back like that has lost nothing of what was given."""
        return given == back

    @property
    def example(self) -> Mapping[str, np.ndarray]:
        """A batch of one event, of the shapes that the model takes."""
        return self.dataset.example

    def preset(self, arguments: Sequence[str]) -> Self:
        """These defaults, as switches among the arguments change them all at once."""
        if not asked("debug", arguments):
            return self
        training = dataclasses.replace(self.training, steps=20, log_every=5, validate_every=10)
        folder = self.folder.with_name(self.folder.name + "-debug")
        model = self.model
        if isinstance(getattr(model, "conditional", None), ar.conditionals.Conditional):
            model = model.clone(conditional=shrunk(model.conditional))
        return dataclasses.replace(
            self, model=model, training=training, batch_size=min(self.batch_size, 16),
            folder=folder, debug=True,
        )  # fmt: skip

    @property
    def drawing(self) -> Sample:
        """What is drawn in training and after it."""
        return getattr(self, "small_sample", self.sample) if self.debug else self.sample

    def test_scores(self, variables: Any) -> Scores:
        """Those of the test split, example by example."""
        return score(self.model, variables, EvaluationBatches(self.splits.test, self.batch_size))

    def likelihood(self, scores: Scores) -> Likelihood:
        """What the scores of the test split say in sum."""
        return scores.likelihood(self.tested_on)

    def figures(self, variables: Any) -> dict[str, Any]:
        """What the test split says of the model."""
        likelihood = self.likelihood(self.test_scores(variables))
        return {
            "nats": likelihood.nats,
            "bits_per_dim": likelihood.bits_per_dim,
            "likelihood": likelihood,
        }

    def batches(self) -> grain.MapDataset[Any]:
        """What is learned from: element i is the batch of step i + 1."""
        return training_batches(
            self.splits.train, self.batch_size, self.training.seed, self.transform
        )

    def train(self) -> None:
        """Trains to the end, or to an interruption."""
        held_out = EvaluationBatches(self.splits.validation, self.batch_size)

        def validate(variables: Any) -> float:
            return evaluate(self.model, variables, held_out, "validation").bits_per_dim

        def preview(variables: Any, step: int) -> None:
            path = self.folder / "samples" / f"{step:06d}"
            path.parent.mkdir(exist_ok=True)
            self.draw(variables, self.drawing, path)

        fit(
            self.model, self.batches(), validate, self.folder, self.training, preview,
            self.objective,
        )  # fmt: skip

    @property
    def finished(self) -> bool:
        """Whether training went to its end."""
        with Checkpoints(self.folder / "checkpoints") as checkpoints:
            step = checkpoints.latest or 0
            return self.training.finished(step, checkpoints.best or 0) and (
                checkpoints.validated(step) or not self.training.validates(step)
            )

    def restore(self) -> Any:
        """The variables with the best validation."""
        optimizer = self.training.optimizer.transformation(self.training.steps)
        state = init_state(self.model, optimizer, self.training.seed, self.example)
        with Checkpoints(self.folder / "checkpoints") as checkpoints:
            return checkpoints.restore(state, checkpoints.best).variables

    def report(self, variables: Any, program: str) -> None:
        """Prints the figures, with the command and device that they came from.

        They are written once, when training has ended: others are not results.
        """
        records = read_metrics(self.folder / "metrics.jsonl")
        results = {
            "command": f"{program} {shlex.join(arguments_of(self.folder))}".rstrip(),
            "device": devices(),
            "seed": self.training.seed,
            "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables)),
            "training_cpu_seconds": max((r["cpu_seconds"] for r in records), default=0.0),
            **self.figures(variables),
        }
        path = self.folder / "results.json"
        recorded = recorded_nats(path)
        if self.finished and recorded is None:
            if path.exists():
                kept = keep_aside(path).name
                warnings.warn(f"{path}: damaged, kept as {kept}; written anew", stacklevel=2)
            written = {name: describe(value) for name, value in results.items()}
            write(path, json.dumps(written, indent=2) + "\n")
        table = Table(title=escape(str(self.folder)), show_header=False)
        for name, value in results.items():
            table.add_row(name.replace("_", " "), escape(readable(value)))
        if recorded is not None:
            table.add_row(path.name, compared(results["likelihood"].nats, recorded))
        Console().print(table)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a trained model on the test split.

    Attributes:
      folder: of the run.
    """

    folder: Path = Path()


@dataclasses.dataclass(frozen=True)
class Compress:
    """Compress files by a trained model, without loss.

    Attributes:
      files: to be compressed, all into one.
      to: the file to write.
      limit: refuse files of more values; `decompress` needs one as high.
      folder: of the run.
    """

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    to: Path = Path("compressed.arj")
    limit: int = LIMIT
    folder: Path = Path()


@dataclasses.dataclass(frozen=True)
class Decompress:
    """Bring back what `compress` was given.

    Attributes:
      file: what it wrote.
      to: the folder to write to.
      limit: refuse what claims to be of more values.
      folder: of the run.
    """

    file: tyro.conf.Positional[Path] = Path("compressed.arj")
    to: Path = Path()
    limit: int = LIMIT
    folder: Path = Path()


def main(experiment: Experiment, overview: str, name: str = "") -> None:
    """Runs the verb that the command line names; train, when it names none.

    Args:
      experiment: its defaults.
      overview: what `--help` without a verb tells.
      name: the first word of the command line, where a program has several experiments.
    """
    spec = sys.modules["__main__"].__spec__
    program = f"python -m {spec.name if spec else sys.argv[0]} {name}".rstrip()

    def trained(folder: Path) -> Experiment:
        config = configured(experiment, arguments_of(folder), program)
        config = dataclasses.replace(config, folder=folder)
        check_folder(folder, config)
        return config

    def train_verb(arguments: list[str]) -> None:
        if not carry_out(experiment, arguments, program):
            Console().print("Stopped, with all saved; the same command goes on from there.")

    def evaluate_verb(arguments: list[str]) -> None:
        default = Evaluate(folder=experiment.folder)
        config = trained(parse(default, arguments, f"{program} evaluate").folder)
        config.report(config.restore(), program)

    def sample_verb(arguments: list[str]) -> None:
        default = dataclasses.replace(experiment.sample, folder=experiment.folder)
        options = parse(default, arguments, f"{program} sample")
        config = trained(options.folder)
        check_writable(config.folder)
        tell(config.draw(config.restore(), options, config.folder / "samples"))

    def compress_verb(arguments: list[str]) -> None:
        default = Compress(folder=experiment.folder)
        options = parse(default, arguments, f"{program} compress")
        config = trained(options.folder)
        check_new(options.to)
        with Progress(transient=True) as progress:
            task = progress.add_task("Compressing", total=1.0)
            data = compress_files(
                config, config.restore(), options.files,
                lambda share: progress.update(task, completed=share), options.limit,
            )  # fmt: skip
        check_new(options.to)  # nothing came there meanwhile
        write(options.to, data)
        was = sum(path.stat().st_size for path in options.files)
        print(f"Wrote {options.to}: {was:,} bytes as {len(data):,}")

    def decompress_verb(arguments: list[str]) -> None:
        default = Decompress(folder=experiment.folder)
        options = parse(default, arguments, f"{program} decompress")
        config, data = trained(options.folder), read_bytes(options.file)
        names = [name for name, _ in contents(data)]
        with folder_for_files(options.to), Progress(transient=True) as progress:
            for name in names:
                check_new(options.to / name)
            task = progress.add_task("Decompressing", total=1.0)
            files = decompress_files(
                config, config.restore(), data,
                lambda share: progress.update(task, completed=share), options.limit,
            )  # fmt: skip
            for name, content in files.items():
                check_new(options.to / name)  # nothing came there meanwhile
                write(options.to / name, content)
        for name, content in files.items():
            print(f"Wrote {options.to / name}: {len(content):,} bytes")

    verbs = {
        "train": train_verb,
        "evaluate": evaluate_verb,
        "sample": sample_verb,
        "compress": compress_verb,
        "decompress": decompress_verb,
    }
    dispatch(program, verbs, "train", overview, sys.argv[2:] if name else sys.argv[1:])


def configured(experiment: Experiment, arguments: Sequence[str], program: str) -> Experiment:
    """The experiment that the command line asks for."""
    return parse(experiment.preset(arguments), arguments, f"{program} train")


def carry_out(experiment: Experiment, arguments: Sequence[str], program: str) -> bool:
    """Trains, evaluates and draws in a run folder; whether training went to its end."""
    config = configured(experiment, arguments, program)
    _ = config.splits  # data that is not there is told before anything is written
    check_folder(config.folder, config)  # before even a lock is written into it
    with run_lock(config.folder):
        begin(config.folder, config, arguments)
        try:
            config.train()
        except Interrupted:
            return False
        with not_needed("curves.png"):
            draw_curves(config.folder / "curves.png", read_metrics(config.folder / "metrics.jsonl"))
        variables = config.restore()
        config.report(variables, program)
        with not_needed("samples"):
            tell(config.draw(variables, config.drawing, config.folder / "samples"))
        return True
