"""Handwritten digits, class by class: the smallest whole run.

python -m experiments.digits                        train, evaluate and draw: about a minute
python -m experiments.digits train --model.conditional.blocks 8 --folder runs/deeper
python -m experiments.digits evaluate               the table again, from the checkpoint
python -m experiments.digits sample --sampler.temperature 0.8
python -m experiments.digits --debug                the same in seconds

Learns p(image | digit) from 1400 images of 8x8 pixels in 17 grey levels, which come with the
package.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import ar_jax as ar
from ar_jax.data import EvaluationBatches, TrainingBatches, digits
from ar_jax.evaluation import accuracy, evaluate
from ar_jax.training import AdamW, Checkpoints, Training, fit, init_state, read_metrics
from experiments.figures import draw_classes, draw_curves
from experiments.run import arguments_of, begin, dispatch, parse, record

CLASSES, LEVELS = 10, 17


@dataclasses.dataclass(frozen=True)
class Digits:
    """Train p(image | digit), evaluate it on the test split, and draw it.

    Attributes:
      model: what is learned.
      training: how.
      batch_size: images of a step; the devices divide it.
      folder: of the run; the same command goes on where it stopped.
      debug: shrink all that is not given here, to a few seconds.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((8, 8, 1)),
            conditional=ar.conditionals.PixelCNN(blocks=5, channels=32, head_channels=64),
            head=ar.heads.DiscretizedLogisticMixture(levels=LEVELS, components=5),
            context=ar.contexts.ClassLabel(CLASSES, dropout=0.1),
        )
    )
    training: Training = Training(
        steps=500, optimizer=AdamW(learning_rate=2e-3, weight_decay=0.1), validate_every=100
    )
    batch_size: int = 64
    folder: Path = Path("runs/digits")
    debug: bool = False


def shrunk() -> Digits:
    """The defaults of `--debug`."""
    whole = Digits()
    conditional = ar.conditionals.PixelCNN(blocks=1, channels=8)
    return Digits(
        model=whole.model.clone(conditional=conditional),
        training=dataclasses.replace(whole.training, steps=20, log_every=5, validate_every=10),
        folder=Path("runs/digits-debug"),
        debug=True,
    )


@dataclasses.dataclass(frozen=True)
class Sample:
    """Draw digits from a trained model.

    Attributes:
      sampler: how a value is drawn.
      columns: images of each class.
      seed: of the draw.
      folder: of the run; gets `samples.png`.
    """

    sampler: ar.Sampler = ar.Sampler()
    columns: int = 10
    seed: int = 0
    folder: Path = Path("runs/digits")


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Evaluate a trained model on the test split.

    Attributes:
      folder: of the run.
    """

    folder: Path = Path("runs/digits")


PROGRAM = "python -m experiments.digits"


def configure(arguments: list[str]) -> Digits:
    """The configuration that arguments stand for."""
    default = shrunk() if "--debug" in arguments else Digits()
    return parse(default, arguments, f"{PROGRAM} train")


def trained(folder: Path) -> Digits:
    """The configuration of the run in a folder."""
    return dataclasses.replace(configure(arguments_of(folder)), folder=folder)


def train(arguments: list[str]) -> None:
    """Trains, then evaluates and draws."""
    config, data, start = configure(arguments), digits(), time.monotonic()
    batches = TrainingBatches(data.train, config.batch_size, config.training.seed)
    held_out = EvaluationBatches(data.validation, config.batch_size)

    def validate(variables: Any) -> float:
        return evaluate(config.model, variables, held_out, "validation").bits_per_dim

    resumed = begin(config.folder, config, arguments)
    state = fit(config.model, batches, validate, config.folder, config.training)
    if state.step < config.training.steps:
        Console().print(f"Stopped at step {state.step}; the same command goes on from there.")
        return
    seconds = f"{time.monotonic() - start:.0f} s to train"
    draw_curves(config.folder / "curves.png", read_metrics(config.folder / "metrics.jsonl"))
    variables = restore(config)
    report(config, variables, time=f"{seconds} since resumed" if resumed else seconds)
    draw(config, variables, Sample(folder=config.folder))


def restore(config: Digits) -> Any:
    """The variables with the best validation."""
    optimizer = config.training.optimizer.transformation(config.training.steps)
    example = TrainingBatches(digits().train, config.batch_size)[0]
    state = init_state(config.model, optimizer, config.training.seed, example)
    with Checkpoints(config.folder / "checkpoints") as checkpoints:
        return checkpoints.restore(state, checkpoints.best).variables


def report(config: Digits, variables: Any, **more: str) -> None:
    """Prints the table of the test split."""
    batches = EvaluationBatches(digits().test, config.batch_size)
    likelihood = evaluate(config.model, variables, batches, "test")
    bayes = accuracy(config.model, variables, batches, log_prior=jnp.zeros(CLASSES))
    parameters = sum(p.size for p in jax.tree.leaves(variables))
    record(
        config.folder, PROGRAM, seed=config.training.seed, likelihood=likelihood,
        bits_per_dim=likelihood.bits_per_dim, bayes_accuracy=bayes, parameters=parameters,
    )  # fmt: skip
    title = f"{likelihood.count} test images, {likelihood.kind}"
    table = Table(title=title, show_header=False)
    for name, value in {
        "nats": f"{likelihood.nats:.2f} ± {likelihood.error:.2f}",
        "bits/dim": f"{likelihood.bits_per_dim:.3f} ± {likelihood.bits_per_dim_error:.3f}",
        "Bayes accuracy": f"{bayes:.1%}",
        "parameters": f"{parameters:,}",
        **more,
    }.items():
        table.add_row(name, value)
    Console().print(table)


def draw(config: Digits, variables: Any, options: Sample) -> None:
    """Draws samples of each class beside data."""
    data = digits().train
    labels = np.asarray(data.y)
    fewest = int(np.bincount(labels).min())
    if not 1 <= options.columns <= fewest:
        raise ValueError(f"columns: expected 1 ... {fewest} of each class, got {options.columns}")
    samples = ar.sample(
        config.model, variables, jax.random.key(options.seed), sampler=options.sampler,
        condition=np.arange(CLASSES).repeat(options.columns),
    )  # fmt: skip
    rows = np.concatenate([np.flatnonzero(labels == c)[: options.columns] for c in range(CLASSES)])
    shape = (CLASSES, options.columns, *config.model.ordering.event)
    path = options.folder / "samples.png"
    draw_classes(
        path, np.reshape(samples, shape), data.x[rows].reshape(shape), LEVELS,
        [str(c) for c in range(CLASSES)],
    )  # fmt: skip
    Console().print(f"Drew {path}")


def evaluate_verb(arguments: list[str]) -> None:
    """Evaluates the run in a folder."""
    options = parse(Evaluate(), arguments, f"{PROGRAM} evaluate")
    config = trained(options.folder)
    report(config, restore(config))


def sample_verb(arguments: list[str]) -> None:
    """Draws from the run in a folder."""
    options = parse(Sample(), arguments, f"{PROGRAM} sample")
    config = trained(options.folder)
    draw(config, restore(config), options)


if __name__ == "__main__":
    verbs = {"train": train, "evaluate": evaluate_verb, "sample": sample_verb}
    dispatch(PROGRAM, verbs, default="train", overview=__doc__ or "")
