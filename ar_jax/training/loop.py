"""The training loop."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ar_jax.model import AutoregressiveModel
from ar_jax.training.checkpoint import Checkpoints
from ar_jax.training.config import Training
from ar_jax.training.interruption import stop_signals
from ar_jax.training.metrics import MetricsFile, finite_means
from ar_jax.training.parallel import data_parallel, replicate
from ar_jax.training.progress import progress_bar
from ar_jax.training.state import TrainState, init_state
from ar_jax.training.step import Batches, Scalars, make_train_step


def fit(
    model: AutoregressiveModel,
    batches: Batches,
    validate: Callable[[Any], float],
    folder: Path,
    training: Training,
) -> TrainState:
    """Trains a model, going on from the last checkpoint in the folder.

    The first Ctrl-C (or SIGTERM) validates, saves and returns; the second one stops at once.

    Args:
      model: the model.
      batches: the batch of every step, e.g. `ar_jax.data.TrainingBatches`.
      validate: averaged variables -> bits/dim on the validation split.
      folder: of the run: gets `checkpoints/` and `metrics.jsonl`.
      training: how to train.

    Returns:
      The last state; its `step` tells whether training was stopped early.

    Raises:
      ValueError: when a batch does not fit the model or the devices, or a checkpoint the model.
      FloatingPointError: when the loss or its gradient is not finite.
    """
    optimizer = training.optimizer.transformation(training.steps)
    state = replicate(init_state(model, optimizer, training.seed, batches[0]))
    train_step = make_train_step(model, optimizer, training.ema_decay)
    train_step = data_parallel(train_step, donate_argnums=(0,))
    with (
        stop_signals() as stop,
        Checkpoints(folder / "checkpoints") as checkpoints,
        progress_bar() as progress,
    ):
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
        start = int(state.step)
        metrics = MetricsFile(folder / "metrics.jsonl", start)
        bar = progress.add_task("", total=training.steps, completed=start, loss="")
        unread: list[Scalars] = []  # left on the devices, so that they need not wait
        for step in range(start + 1, training.steps + 1):
            batch = batches[step - 1]
            model.check(batch["x"], batch.get("y"))
            state, scalars = train_step(state, batch)
            unread.append(scalars)
            stops = stop.is_set() or step == training.steps
            validates = stops or step % training.validate_every == 0
            if validates or step % training.log_every == 0:
                means = finite_means(unread, step)
                bits_per_dim = means.pop("loss") / math.log(2)
                metrics.write(step, train_bits_per_dim=bits_per_dim, **means)
                progress.update(bar, completed=step, loss=f"{bits_per_dim:.3f} bits/dim")
                unread = []
            if validates:
                validation = validate(state.variables)
                finite_means([{"validation": validation}], step)  # never saves what is broken
                metrics.write(step, validation_bits_per_dim=validation)
                checkpoints.save(state, validation)
            if stops:
                break
    return state
