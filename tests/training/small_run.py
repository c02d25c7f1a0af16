"""A small run in a process of its own, which tests kill, restart and spread over devices.

All that training carries from step to step is in use: dropout, an average, transforms that draw,
batches that run on from one epoch into the next, early stopping.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches, training_batches
from ar_jax.data.transforms import binarise
from ar_jax.evaluation import evaluate
from ar_jax.training import Checkpoints, fit, init_state
from ar_jax.training.interruption import Interrupted

options: Any = globals()["options"]  # given by the fixture `start`
jax.config.update("jax_num_cpu_devices", options.devices)
jax.config.update("jax_compilation_cache_dir", options.cache)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
if options.processes > 1:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(options.coordinator, options.processes, options.process)

MODEL = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((2, 2, 1)),
    conditional=ar.conditionals.MADE(hidden=(16,)),
    head=ar.heads.Bernoulli(),
    context=ar.contexts.ClassLabel(2, dropout=options.dropout),
)


def examples(count: int, seed: int) -> Arrays:
    """Noisy images, bright or dark by their label, in bytes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count, dtype=np.int32)
    pixels = rng.integers(0, 192, (count, 2, 2, 1)) + 63 * labels[:, None, None, None]
    return Arrays(pixels.astype(np.uint8), labels)


train, held_out = examples(40, 0), examples(40, 1)
fixed = Arrays(binarise(held_out.x, np.random.default_rng(2)), held_out.y)


def preview(variables: Any, step: int) -> None:
    """Presses Ctrl-C, in the first process."""
    if step == options.interrupted_at:
        signal.raise_signal(signal.SIGINT)


with (
    Path(os.devnull).open("w", encoding="utf-8") as null,
    contextlib.redirect_stdout(null),
    contextlib.suppress(Interrupted),
):
    fit(
        MODEL,
        training_batches(train, 16, seed=0, transform=binarise),
        lambda v: evaluate(MODEL, v, EvaluationBatches(fixed, 16), "validation").bits_per_dim,
        options.folder,
        options.training,
        preview,
    )
with Checkpoints(options.folder / "checkpoints") as checkpoints:
    steps = [checkpoints.latest, checkpoints.best]
    optimizer = options.training.optimizer.transformation(options.training.steps)
    state = checkpoints.restore(init_state(MODEL, optimizer, 0, fixed.batch(np.arange(1))))
leaves = jax.tree.leaves(state.replace(key=jax.random.key_data(state.key)))
end = options.folder / f"end-{options.process}.npz"
np.savez(end, np.array(steps), *map(np.asarray, leaves))
