"""How fast models train, score and draw, and what that costs in arithmetic.

python -m experiments.benchmarks.speed                          minutes: counting traces every step
python -m experiments.benchmarks.speed --no-count               timings only
python -m experiments.benchmarks.speed --models made pixelcnn --json speed.json

The experiments' own models, batches and optimizers, and a plain transformer over pixels; initial
parameters, and random data, read as in training. Each timing is the median of several repetitions
after a warm-up, on all devices.
"""

import dataclasses
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from ar_jax import conditionals
from ar_jax.checks import check_positive
from ar_jax.conditionals import Conditional
from ar_jax.data import Arrays, Chunks, EvaluationBatches, Source, training_batches
from ar_jax.durable import write
from ar_jax.evaluation import evaluate
from ar_jax.experiment.command_line import dispatch, parse
from ar_jax.experiment.folder import check_writable
from ar_jax.heads import Bernoulli
from ar_jax.inference.sampling import sample
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.orderings import Raster
from ar_jax.testing import decoding_work
from ar_jax.training import data_parallel, init_state, make_train_step
from ar_jax.training.loop import READING
from ar_jax.training.parallel import devices, replicate
from experiments.chorales import PITCHES, Chorales
from experiments.images import ImageExperiment
from experiments.mnist_made import MnistMade
from experiments.mnist_pixelcnn import MnistPixelCNN
from experiments.mnist_transformer import MnistTransformer
from experiments.run import Experiment
from experiments.shakespeare_transformer import SYMBOLS, Shakespeare
from experiments.speech import Speech
from experiments.zoo import MODELS

PROGRAM = "python -m experiments.benchmarks.speed"
WARM_UP = 5
"""Steps of training: the first compiles, the others use up what was read ahead meanwhile."""
IMAGES, SEQUENCE = 55_000, 1_003_854
"""As many images as MNIST has to train on, and characters as Tiny Shakespeare."""


def pixels(conditional: Conditional, batch_size: int) -> Experiment:
    """Binarised MNIST pixel by pixel, in a size that others publish."""
    model = AutoregressiveModel(Raster((28, 28, 1)), conditional, Bernoulli())
    return MnistMade(model=model, batch_size=batch_size)


CASES: dict[str, Experiment] = {
    "made": MnistMade(),
    "nade": pixels(conditionals.NADE(hidden=500), 64),
    "pixelcnn": MnistPixelCNN(),
    "gated_pixelcnn": pixels(conditionals.GatedPixelCNN(layers=10, channels=128), 16),
    "transformer": MnistTransformer(),
    "image_gpt": pixels(conditionals.ImageGPT(layers=8, width=64, heads=2), 16),
    "gpt": Shakespeare(),
    "gpt_384": Shakespeare(
        model=Shakespeare().model.clone(
            ordering=Raster((256,)),
            conditional=conditionals.Transformer(layers=6, width=384, heads=6),
        ),
        batch_size=8,
    ),
} | {f"zoo/{name}": experiment for name, experiment in MODELS.items()}


def random_data(experiment: Experiment) -> Source:
    """As many examples as the experiment trains on, of the same shape."""
    rng, event = np.random.default_rng(0), experiment.model.ordering.event
    if isinstance(experiment, ImageExperiment):
        return Arrays(rng.integers(0, 256, (IMAGES, *event), np.uint8))
    kinds = {Shakespeare: SYMBOLS, Speech: 256, Chorales: PITCHES}
    (values,) = (values for kind, values in kinds.items() if isinstance(experiment, kind))
    sequence = rng.integers(0, values, (SEQUENCE, *event[1:]), np.int32)
    return Chunks(sequence, event[0], preceding=int(isinstance(experiment, Shakespeare)))


@dataclasses.dataclass(frozen=True)
class Speed:
    """Measure how fast models train, score and draw.

    Attributes:
      models: which ones.
      repeats: measurements after the warm-up.
      batch_size: events scored or drawn at once; the devices divide it.
      count: also count multiply-accumulates, a minute for an image model.
      json: file for the figures; left out, they are only printed.
    """

    models: tuple[str, ...] = tuple(CASES)
    repeats: int = 10
    batch_size: int = 16
    count: bool = True
    json: Path = Path()

    def __post_init__(self) -> None:
        check_positive(models=len(self.models), repeats=self.repeats, batch_size=self.batch_size)
        for name in self.models:
            if name not in CASES:
                raise ValueError(f"models: expected some of {', '.join(CASES)}, got {name}")


@dataclasses.dataclass(frozen=True)
class Figures:
    """What is measured of a model; an event is an image or a text.

    Attributes:
      step_ms: from a batch on the host to updated parameters.
      waiting_percent: share of the time of training that the devices wait for the next batch.
      first_step_s: from the model to the end of the first step, compilation included.
      scored_per_s: events.
      drawn_per_s: events.
      million_macs_scored: multiply-accumulates to score one event; None if not counted.
      million_macs_drawn: the same to draw one.
    """

    step_ms: float
    waiting_percent: float
    first_step_s: float
    scored_per_s: float
    drawn_per_s: float
    million_macs_scored: float | None
    million_macs_drawn: float | None


def measure(experiment: Experiment, options: Speed) -> Figures:
    """Measures the model of an experiment."""
    model, training, transform = experiment.model, experiment.training, experiment.transform
    repeats, size, source = options.repeats, options.batch_size, random_data(experiment)
    batches: Any = training_batches(source, experiment.batch_size, training.seed, transform)

    start = time.perf_counter()
    optimizer = training.optimizer.transformation(training.steps)
    state = replicate(init_state(model, optimizer, training.seed, batches[0]))
    train_step = make_train_step(
        model,
        optimizer,
        training.ema_decay,
        training.micro_batches,
        training.precision,
        objective=experiment.objective,
    )
    train_step = data_parallel(train_step, donate_argnums=(0,))
    times = []  # [steps, 3]: asks for a batch, has it, has made the step
    with closing(iter(batches[: WARM_UP + repeats].to_iter_dataset(READING))) as reader:
        for _ in range(WARM_UP + repeats):
            asks = time.perf_counter()
            batch = next(reader)
            has = time.perf_counter()
            state, _ = jax.block_until_ready(train_step(state, batch))
            times.append((asks, has, time.perf_counter()))
    first = times[0][2] - start
    waits, steps = np.diff(times[WARM_UP:]).T

    events = source.batch(np.arange(size))
    x, y = transform(events["x"], np.random.default_rng(0)), events.get("y")
    held_out = EvaluationBatches(Arrays(x, y), size)
    scoring = median(partial(evaluate, model, state.variables, held_out, "random"), repeats)
    keys = iter(jax.random.split(jax.random.key(0), repeats + 1))

    def draw() -> None:
        drawn = sample(model, state.variables, next(keys), condition=y, batch_size=size)
        jax.block_until_ready(drawn)

    drawing = median(draw, repeats)
    works = decoding_work(model, None if y is None else y[:1]) if options.count else ()
    drawn, scored = [work / 1e6 for work in works] or (None, None)
    return Figures(
        step_ms=1e3 * float(np.median(steps)),
        waiting_percent=100 * float(waits.sum() / (waits + steps).sum()),
        first_step_s=first,
        scored_per_s=size / scoring,
        drawn_per_s=size / drawing,
        million_macs_scored=scored,
        million_macs_drawn=drawn,
    )


def median(function: Callable[[], object], repeats: int) -> float:
    """Median seconds of a call, after one that compiles."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main(arguments: list[str]) -> None:
    """Prints a row for each model."""
    options = parse(Speed(), arguments, PROGRAM)
    if options.json != Path():
        check_writable(options.json.parent)
    device = devices()  # also starts them, which is not timed
    names = [field.name for field in dataclasses.fields(Figures)]
    title = f"{device}, {options.batch_size} events scored or drawn at once"
    table = Table(Column("model", no_wrap=True), *(n.replace("_", " ") for n in names), title=title)
    found = {}
    for name in track(options.models, description="measuring"):
        found[name] = dataclasses.asdict(measure(CASES[name], options))
        figures = ("-" if value is None else f"{value:,.4g}" for value in found[name].values())
        table.add_row(name, *figures)
    Console().print(table)
    if options.json != Path():
        command = f"{PROGRAM} {shlex.join(arguments)}"
        described = {"command": command, "device": device, "models": found}
        write(options.json, json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    dispatch(PROGRAM, {"measure": main}, "measure", __doc__ or "", sys.argv[1:])
