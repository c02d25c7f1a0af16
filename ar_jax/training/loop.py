"""The training loop."""

import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import grain
import numpy as np

from ar_jax.model import Model
from ar_jax.training.checkpoint import Checkpoints
from ar_jax.training.config import Training
from ar_jax.training.interruption import stop_signals
from ar_jax.training.living import living
from ar_jax.training.metrics import Metrics, Stopwatch, finite_means
from ar_jax.training.parallel import any_process, data_parallel, first_process, replicate
from ar_jax.training.progress import progress_bar
from ar_jax.training.state import TrainState, init_state
from ar_jax.training.step import Batch, make_train_step

READING = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)  # while the devices compute


def fit(
    model: Model,
    batches: grain.MapDataset[Batch],
    validate: Callable[[Any], float],
    folder: Path,
    training: Training,
    preview: Callable[[Any, int], None] = lambda variables, step: None,
) -> TrainState:
    """Trains a model, going on from the last checkpoint in the folder.

    The first Ctrl-C (or SIGTERM) saves and returns; the second one stops at once. A run that goes
    on ends as one that was never interrupted: bit for bit on a CPU with the same number of devices,
    elsewhere as far as what is compiled is deterministic.

    Args:
      model: the model.
      batches: element i is the batch of step i + 1, e.g. `ar_jax.data.training_batches`.
      validate: averaged variables -> bits/dim on the validation split.
      folder: of the run: gets `checkpoints/`, `metrics.jsonl` and `tensorboard/`.
      training: how to train.
      preview: called with the averaged variables and the step at each validation.

    Returns:
      The last state; `training.finished` tells whether it is the end or an interruption.

    Raises:
      ValueError: when a batch does not fit the model or the devices, a checkpoint the model, or
        another run lives in the folder.
      FloatingPointError: when the loss or its gradient is not finite.
    """
    with (
        living(folder),
        stop_signals() as stop,
        Checkpoints(folder / "checkpoints", training.keep) as checkpoints,
    ):
        optimizer = training.optimizer.transformation(training.steps)
        rate = training.optimizer.rate(training.steps)
        train_step = make_train_step(
            model, optimizer, training.ema_decay, training.micro_batches, training.precision
        )
        train_step = data_parallel(train_step, donate_argnums=(0,))
        state = init_state(model, optimizer, training.seed, cast(Batch, batches[0]))

        unread: list[Any] = []  # scalars, left on the devices, so that they need not wait
        seconds: dict[str, float] = {}
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
            unread += checkpoints.unread(checkpoints.latest)
            seconds = checkpoints.seconds(checkpoints.latest)
        state, start = replicate(state), int(state.step)
        best = checkpoints.best or 0
        if training.finished(start, best):
            return state
        upcoming = batches.slice(slice(start, training.steps)).to_iter_dataset(READING)
        with (
            Metrics(folder, start) as metrics,
            closing(iter(upcoming)) as reader,
            progress_bar(start, training.steps) as progress,
        ):
            watch, step = Stopwatch(seconds), start
            while not training.finished(step, best) and not any_process(
                stop.is_set(), together=step % training.log_every == 0
            ):
                with watch.waiting():
                    batch = next(reader)
                model.check(batch["x"], batch.get("y"))
                state, scalars = train_step(state, batch)
                step += 1
                unread.append(scalars)
                validates = step % training.validate_every == 0 or step == training.steps
                if validates or step % training.log_every == 0:
                    means = finite_means(unread, step)
                    bits_per_dim = means.pop("loss") / math.log(2)
                    means |= {"learning_rate": float(np.asarray(rate(step - 1))), **watch.read()}
                    metrics.write(step, train_bits_per_dim=bits_per_dim, **means)
                    progress(step, bits_per_dim)
                    unread = []
                if validates:
                    validation = validate(state.variables)
                    finite_means([{"validation": validation}], step)  # never saves what is broken
                    metrics.write(step, validation_bits_per_dim=validation, **watch.read())
                    if first_process():
                        preview(state.variables, step)
                    checkpoints.save(state, validation, seconds=watch.read())
                    best = checkpoints.best or 0
            if step > (checkpoints.latest or 0):  # interrupted
                finite_means(unread, step)
                checkpoints.save(state, unread=unread, seconds=watch.read())
    return state
