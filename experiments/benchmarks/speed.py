"""How fast models train, score and draw, and what that costs in arithmetic.

python -m experiments.benchmarks.speed                          minutes: counting traces every step
python -m experiments.benchmarks.speed --no-count               timings only
python -m experiments.benchmarks.speed --models made pixelcnn --json speed.json

Initial parameters and random data, read as in training. Each timing is the median of several
repetitions after a warm-up, on all devices.
"""

import dataclasses
import json
import shlex
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

import ar_jax as ar
from ar_jax.checks import check_positive
from ar_jax.conditionals import MADE, Conditional, PixelCNN, Transformer
from ar_jax.data import Arrays, EvaluationBatches, Transform, binarise, training_batches
from ar_jax.evaluation import evaluate
from ar_jax.testing import decoding_work
from ar_jax.training import Training, data_parallel, init_state, make_train_step
from ar_jax.training.loop import READING
from ar_jax.training.parallel import devices, replicate
from experiments.run import dispatch, parse

PROGRAM = "python -m experiments.benchmarks.speed"
SYMBOLS = 65
WARM_UP = 5
"""Steps of training: the first compiles, the others use up what was read ahead meanwhile."""


class Case(NamedTuple):
    """A model, with the data and the batch size that it is trained on."""

    model: ar.AutoregressiveModel
    transform: Transform
    batch_size: int


def binary(conditional: Conditional, batch_size: int) -> Case:
    """Binarised images of MNIST's size."""
    ordering = ar.orderings.Raster((28, 28, 1))
    model = ar.AutoregressiveModel(ordering, conditional, ar.heads.Bernoulli())
    return Case(model, binarise, batch_size)


def text(conditional: Conditional, batch_size: int, window: int = 64) -> Case:
    """Windows of a text."""
    head = ar.heads.Categorical(SYMBOLS, embedding=128)
    model = ar.AutoregressiveModel(ar.orderings.Raster((window,)), conditional, head)
    return Case(model, lambda x, rng: x.astype(np.int32) % SYMBOLS, batch_size)


Name = Literal["made", "pixelcnn", "transformer", "gpt"]

CASES: dict[Name, Case] = {
    "made": binary(MADE(hidden=(8000,)), 64),
    "pixelcnn": binary(PixelCNN(blocks=15, channels=16), 64),
    "transformer": binary(Transformer(layers=8, width=64, heads=2), 16),
    "gpt": text(Transformer(layers=4, width=128, heads=4), 12),
}


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

    models: tuple[Name, ...] = tuple(CASES)
    repeats: int = 10
    batch_size: int = 16
    count: bool = True
    json: Path = Path()

    def __post_init__(self) -> None:
        check_positive(models=len(self.models), repeats=self.repeats, batch_size=self.batch_size)


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


def measure(case: Case, options: Speed) -> Figures:
    """Measures one model."""
    model, repeats, size = case.model, options.repeats, options.batch_size
    rng = np.random.default_rng(0)
    source = Arrays(rng.integers(0, 256, (10_000, *model.ordering.event), np.uint8))
    batches: Any = training_batches(source, case.batch_size, transform=case.transform)
    training = Training(steps=WARM_UP + repeats)

    start = time.perf_counter()
    optimizer = training.optimizer.transformation(training.steps)
    state = replicate(init_state(model, optimizer, training.seed, batches[0]))
    train_step = make_train_step(model, optimizer, training.ema_decay)
    train_step = data_parallel(train_step, donate_argnums=(0,))
    times = []  # [steps, 3]: asks for a batch, has it, has made the step
    with closing(iter(batches[: training.steps].to_iter_dataset(READING))) as reader:
        for _ in range(training.steps):
            asks = time.perf_counter()
            batch = next(reader)
            has = time.perf_counter()
            state, _ = jax.block_until_ready(train_step(state, batch))
            times.append((asks, has, time.perf_counter()))
    first = times[0][2] - start
    waits, steps = np.diff(times[WARM_UP:]).T

    events = Arrays(case.transform(source.x[:size], rng))
    held_out = EvaluationBatches(events, size)
    scoring = median(partial(evaluate, model, state.variables, held_out, "random"), repeats)
    keys = iter(jax.random.split(jax.random.key(0), repeats + 1))

    def draw() -> None:
        jax.block_until_ready(ar.sample(model, state.variables, next(keys), batch_size=size))

    drawing = median(draw, repeats)
    drawn, scored = [work / 1e6 for work in decoding_work(model)] if options.count else (None, None)
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
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(described, indent=2) + "\n")


if __name__ == "__main__":
    dispatch(PROGRAM, {"measure": main}, "measure", __doc__ or "")
