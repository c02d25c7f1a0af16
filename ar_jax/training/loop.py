"""The training loop."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import grain
import jax
import numpy as np

from ar_jax.checks import check_parameters
from ar_jax.models.any_order import filled
from ar_jax.models.autoregressive import Model
from ar_jax.models.batch import check_batch
from ar_jax.objectives import Batch, Loss, MaximumLikelihood, Objective
from ar_jax.training.checkpoint import Checkpoints
from ar_jax.training.config import Training
from ar_jax.training.fingerprint import Fingerprint
from ar_jax.training.fitted import Fitted
from ar_jax.training.interruption import Interrupted, stop_signals
from ar_jax.training.metrics import (
    FILE,
    LEARNING_RATE,
    Metrics,
    Stopwatch,
    finite_means,
    read_metrics,
)
from ar_jax.training.parallel import any_process, data_parallel, first_process, replicate
from ar_jax.training.progress import progress_bar
from ar_jax.training.run_lock import run_lock
from ar_jax.training.state import TrainState, init_state
from ar_jax.training.step import make_train_step

READING = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)  # while the devices compute


def fit(
    model: Model,
    batches: grain.MapDataset[Batch],
    validate: Callable[[Any], float],
    folder: str | PathLike[str] | None,
    training: Training,
    preview: Callable[[Any, int], None] = lambda variables, step: None,
    objective: Callable[..., Loss] = MaximumLikelihood(),
    on_record: Callable[[int, Mapping[str, float]], None] = lambda step, record: None,
) -> Fitted:
    """Trains a model, going on from the last checkpoint in the folder.

    The first Ctrl-C (or SIGTERM) saves and raises KeyboardInterrupt; the second one stops at once.
    An error between two steps (in reading, validating or writing) saves before it is raised. In
    all cases the same call goes on from there, and after a kill from the last checkpoint.

    A run that goes on ends as one that was never interrupted: bit for bit on a CPU, if the type of
    machine, the numbers of its cores and devices, and all versions are the same (one core in place
    of two changes the fifth digit); elsewhere as far as what is compiled is deterministic.

    A run goes on only with what it began with: `run.json` in the folder holds the model, the
    objective, the training, a fingerprint of the data, the versions and the machine. Of `training`
    only what leaves right what was learned so far may differ: `steps` (the rest of the schedule
    goes to the new end), `micro_batches`, `log_every`, `validate_every`, `patience`, `keep`,
    `on_nonfinite` and `max_skipped`. The code of the model's classes is not compared.

    Args:
      model: the model.
      batches: element i is the batch of step i + 1, e.g. `ar_jax.data.training_batches`.
      validate: averaged variables -> bits/dim on the validation split.
      folder: of the run: gets `checkpoints/`, `metrics.jsonl`, `run.json` and `tensorboard/`. None
        for a run that is not kept: nothing remains of it but what is returned.
      training: how to train.
      preview: called with the averaged variables and the step after each validation, when the state
        is saved.
      objective: what is minimised: one of `ar_jax.objectives`, or a function of your own (see
        `ar_jax.objectives.Objective`). Its scalars are logged by their names.
      on_record: called with the step and each record of the metrics, in the first process, e.g. to
        send them to a tracker of experiments: `lambda step, record: run.log(record, step=step)`.

    The first error of `preview` and of `on_record` is told in a warning, and training goes on.

    Returns:
      The last state, the variables with the best validation, and the history.

    Raises:
      KeyboardInterrupt: when training was interrupted; its `fitted` tells how far it went.
      ValueError: when a batch does not fit the model or the devices, the folder holds another run,
        or another process runs there.
      FloatingPointError: when the loss, its gradient or the parameters are not finite.
      OSError: when something essential cannot be written.
    """
    check_objective(objective, model)
    with (
        _place(folder) as place,
        run_lock(place),
        stop_signals() as stop,
        Checkpoints(place / "checkpoints", training.keep) as checkpoints,
    ):
        optimizer = training.optimizer.transformation(training.steps)
        rate = training.optimizer.rate(training.steps)
        train_step = make_train_step(
            model, optimizer, training.ema_decay, training.micro_batches, training.precision,
            training.on_nonfinite, objective,
        )  # fmt: skip
        train_step = data_parallel(train_step, donate_argnums=(0,))
        state = init_state(model, optimizer, training.seed, cast(Batch, batches[0]))
        variables_per_event = math.prod(model.ordering.event)
        fingerprint = Fingerprint.of(model, training, batches, objective)

        unread: list[Any] = []  # scalars, left on the devices, so that they need not wait
        seconds: dict[str, float] = {}
        differs: list[str] = []
        validated = False
        if checkpoints.latest is not None:
            differs = fingerprint.check_same(place)
            state = checkpoints.restore(state)
            unread += checkpoints.unread(int(state.step))
            if isinstance(objective, MaximumLikelihood):  # rows of before it told of "nats"
                unread = [{"nats": row["loss"] * variables_per_event} | row for row in unread]
            seconds = checkpoints.seconds(int(state.step))
            validated = checkpoints.validated(int(state.step))
        state, step = replicate(state), int(state.step)
        fingerprint.write(place, step)
        best, saved = checkpoints.best or 0, step
        if training.finished(step, best) and (validated or not training.validates(step)):
            _tell(f"{place}: finished at step {step} of {training.steps}: nothing to do")
            history = read_metrics(place / FILE)
            return Fitted(state, _best(checkpoints, state), True, history)
        if step:
            _tell("; ".join([f"{place}: goes on from step {step} of {training.steps}", *differs]))

        again = ["learning_rate"] if unread else []  # that record could not be written
        again += [] if validated else ["validation_bits_per_dim"]
        metrics, watch = Metrics(place, step, again), Stopwatch(seconds)
        skipped, drawn, reported = metrics.skipped, True, True
        means_of = partial(finite_means, likely=lambda at: _likely(batches[at - 1]))

        def record(values: dict[str, float]) -> None:
            nonlocal reported
            metrics.write(step, **values)
            if first_process():
                reported = _tried(
                    partial(on_record, step, values), f"on_record of step {step}", reported
                )

        def save(validation: float = math.inf) -> None:
            """Saves the state, unless it is broken, and waits until that is done."""
            nonlocal saved
            means_of(unread, step)
            try:
                check_parameters({"params": state.params, "ema": state.ema})
            except ValueError as error:
                raise FloatingPointError(f"step {step}: {error}") from None
            try:
                metrics.sync()
            finally:
                checkpoints.save(state, validation, unread, watch.read())
                checkpoints.wait()
                saved = step

        upcoming = batches.slice(slice(step, training.steps)).to_iter_dataset(READING)
        with (
            closing(iter(upcoming)) as reader,
            progress_bar(step, training.steps) as progress,
        ):
            try:
                while True:
                    validates = training.validates(step) and not validated
                    if unread and (validates or step % training.log_every == 0):
                        means = means_of(unread, step)
                        if "skipped" in means:
                            means["skipped"] = skipped = skipped + means["skipped"]
                        if skipped > training.max_skipped:
                            raise FloatingPointError(
                                f"max_skipped: expected at most {training.max_skipped} steps whose "
                                f"loss or gradient is not finite, got {skipped:.0f} until step "
                                f"{step}; {LEARNING_RATE}"
                            )
                        scored = means.pop("variables", variables_per_event)
                        nats = means.pop("nats", None)
                        if nats is not None and scored:  # it is 0 of events without a step
                            means["train_bits_per_dim"] = nats / scored / math.log(2)
                            progress(step, f"{means['train_bits_per_dim']:.3f} bits/dim")
                        elif "loss" in means:  # not all were skipped
                            progress(step, f"loss {means['loss']:.3f}")
                        if rate is not None:
                            means |= {"learning_rate": float(np.asarray(rate(step - 1)))}
                        record(means | watch.read())
                        unread = []
                    if validates:
                        validation = validate(state.variables)
                        means_of([{"validation": validation}], step)
                        record({"validation_bits_per_dim": validation} | watch.read())
                        save(validation)
                        best, validated = checkpoints.best or 0, True
                        if first_process():
                            with watch.paused():
                                draw = partial(preview, state.variables, step)
                                drawn = _tried(draw, f"preview of step {step}", drawn)
                    if training.finished(step, best) or any_process(
                        stop.is_set(), together=step % training.log_every == 0
                    ):
                        break
                    with watch.waiting():
                        batch = next(reader)
                    try:
                        check_batch(model, batch)
                    except ValueError as error:
                        raise ValueError(f"batch of step {step + 1}: {error}") from error
                    state, scalars = train_step(state, batch)
                    step, validated = step + 1, False
                    unread.append(scalars)
                if step > saved:  # interrupted
                    save()
            except Exception as error:
                try:
                    if step > saved:
                        save()
                except Exception as second:
                    if str(second) != str(error):
                        error.add_note(f"the state of step {step} could not be saved: {second}")
                raise
        fitted = Fitted(
            state, _best(checkpoints, state), training.finished(step, best), metrics.records
        )
    if not fitted.finished:
        where = f"interrupted at step {step} of {training.steps}"
        if folder is not None:
            where += f", saved in {folder}"
        _tell(where if folder is None else f"{where}; the same call goes on from there")
        raise Interrupted(where, fitted)
    return fitted


def _best(checkpoints: Checkpoints, state: TrainState) -> dict[str, Any]:
    """The variables with the best validation."""
    if checkpoints.best in (None, int(state.step)):
        return state.variables
    return checkpoints.variables(checkpoints.best)


@contextmanager
def _place(folder: str | PathLike[str] | None) -> Iterator[Path]:
    """The folder of a run, or one that is gone after it."""
    if folder is not None:
        yield Path(folder)
        return
    with TemporaryDirectory(prefix="ar_jax-") as temporary:
        yield Path(temporary)


def _tried(call: Callable[[], None], what: str, well: bool) -> bool:
    """Whether something that training does not need went well so far; the first failure is told."""
    try:
        call()
    except Exception as error:
        if well:
            text = f"{what}: {type(error).__name__}: {error}"
            warnings.warn(f"{text}; training goes on without", stacklevel=3)
        return False
    return well


def check_objective(objective: Any, model: Model) -> None:
    """Raises ValueError when it is none, or does not suit the model."""
    if isinstance(objective, Objective):
        objective.check(model)
    elif not callable(objective) or isinstance(objective, type):
        raise ValueError(
            "objective: expected one of ar_jax.objectives or a function (model, variables, batch, "
            f"key) -> losses, scalars, got {objective!r:.200}"
        )


def _likely(batch: Any) -> str:
    """What is likely wrong where the loss of a batch, or its gradient, is not finite."""
    if "seen" in batch:
        batch = batch | {"x": filled(batch["x"], batch["seen"])}
    for path, leaf in jax.tree_util.tree_leaves_with_path(batch):
        with np.errstate(over="ignore"):
            finite = np.isfinite(np.asarray(leaf, np.float32))
        if not finite.all():
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            row = int(finite.reshape(len(finite), -1).all(1).argmin())
            return f"{name} of its batch holds NaN or infinity in row {row}: mend the data"
    return LEARNING_RATE


def _tell(text: str) -> None:
    """Prints a line, in the first process."""
    if first_process():
        print(text)
