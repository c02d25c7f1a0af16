import contextlib
import dataclasses
import json
import math
import shutil
import signal
import tempfile
import threading
import time
import types

import chex
import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches, training_batches
from ar_jax.evaluation import evaluate, likelihood
from ar_jax.objectives import MaximumLikelihood, RandomOrder
from ar_jax.training import (
    AdamW,
    Checkpoints,
    Training,
    data_parallel,
    fingerprint,
    fit,
    loop,
    make_eval_step,
    make_train_step,
    metrics,
    read_metrics,
)
from ar_jax.training.interruption import Interrupted, stop_signals

MODEL = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((2, 2, 1)),
    conditional=ar.conditionals.MADE(hidden=(8,)),
    head=ar.heads.Bernoulli(),
    context=ar.contexts.ClassLabel(2, dropout=0.2),
)
LABELS = np.arange(40, dtype=np.int32) % 2
EXAMPLES = Arrays(np.tile(LABELS[:, None, None, None], (1, 2, 2, 1)), LABELS)  # all 0 or all 1
TRAINING = Training(
    steps=12, optimizer=AdamW(learning_rate=0.1), seed=3, log_every=2, validate_every=4
)


AHEAD = loop.READING


@pytest.fixture(autouse=True)
def _nothing_is_read_ahead(monkeypatch):
    """So that what happens before a batch happens before its step."""
    monkeypatch.setattr(loop, "READING", grain.ReadOptions(0, 0))


BATCHES = training_batches(EXAMPLES, 16)


def watched(asked, step=None, action=None):
    """Training batches that note which were asked for; before one of them something happens."""

    def see(index, batch):
        asked.append(index)
        if index == step:
            action()
        return batch

    return BATCHES.map_with_index(see)


class Gone(BaseException):
    """The machine is gone: nothing can be saved any more."""


def crash():
    raise Gone


def fail():
    raise OSError("the disk of the data is gone")


def interrupt():
    signal.raise_signal(signal.SIGINT)


interrupted = pytest.raises(KeyboardInterrupt, match="interrupted at step")
LOOKED_AT = [0, *(i for i in fingerprint.BATCHES)]
"""Batches that each start reads: for the shapes, and for the fingerprint of the data."""


def validate(variables):
    return evaluate(MODEL, variables, EvaluationBatches(EXAMPLES, 16), "validation").bits_per_dim


def train(folder, batches=BATCHES, training=TRAINING, validate=validate, **more):
    return fit(MODEL, batches, validate, folder, training, **more).state


def timeless(folder):
    """The metrics of a run without its times."""
    records = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in r.items() if not k.endswith("_seconds")} for r in records]


def carried(state):
    return state.params, state.ema, state.opt_state


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(actual), jax.device_get(expected))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption, and its metrics."""
    folder = tmp_path_factory.mktemp("whole")
    return train(folder), timeless(folder)


def test_training_learns(whole):
    state, records = whole
    key = "train_bits_per_dim"
    losses = [record[key] for record in records if key in record]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    assert records[-1] == {"step": 12, "validation_bits_per_dim": validate(state.variables)}


def test_the_learning_rate_told_is_that_of_the_update(whole):
    _, records = whole
    rate = TRAINING.optimizer.rate(TRAINING.steps)
    rates = {r["step"]: r["learning_rate"] for r in records if "learning_rate" in r}
    assert rates == {step: float(rate(step - 1)) for step in range(2, 13, 2)}


def test_a_crashed_run_resumes_as_if_nothing_had_happened(tmp_path, whole):
    with pytest.raises(Gone):
        train(tmp_path, watched([], 7, crash))
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == 6  # past the checkpoint at 4
    asked = []
    state = train(tmp_path, watched(asked))
    assert asked == [*LOOKED_AT, *range(4, 12)]
    expected, records = whole
    assert_equal(carried(state), carried(expected))
    assert timeless(tmp_path) == records


def test_reading_ahead_changes_nothing(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(loop, "READING", AHEAD)
    with pytest.raises(Gone):
        train(tmp_path, watched([], 7, crash))
    state = train(tmp_path)
    assert_equal(carried(state), carried(whole[0]))
    assert timeless(tmp_path) == whole[1]
    readers = [t for t in threading.enumerate() if t.name.startswith("grain-prefetch")]
    for reader in readers:
        reader.join(timeout=10)
    assert not any(reader.is_alive() for reader in readers)


def latest(folder, like):
    """The last state that was saved."""
    with Checkpoints(folder / "checkpoints") as checkpoints:
        return checkpoints.restore(like)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [3, 6, 7, 8])
def test_an_interruption_saves_and_raises_and_leaves_no_trace(
    tmp_path, whole, step, number, capsys
):
    """Between two records, at one, after a validation, at one."""
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=f"step {step} of 12, saved in {tmp_path}$"):
        train(tmp_path, watched([], step - 1, lambda: signal.raise_signal(number)))
    line = f"interrupted at step {step} of 12, saved in {tmp_path}; the same call goes on from "
    assert line in capsys.readouterr().out
    assert signal.getsignal(number) is handler
    assert int(latest(tmp_path, whole[0]).step) == step
    expected, records = whole
    assert_equal(carried(train(tmp_path)), carried(expected))
    assert f"{tmp_path}: goes on from step {step} of 12\n" in capsys.readouterr().out
    assert timeless(tmp_path) == records


@pytest.mark.parametrize("step", [3, 6, 8])
def test_an_error_between_two_steps_loses_no_training(tmp_path, whole, step):
    with pytest.raises(OSError, match="the disk of the data is gone"):
        train(tmp_path, watched([], step, fail))
    assert int(latest(tmp_path, whole[0]).step) == step
    asked = []
    state = train(tmp_path, watched(asked))
    assert asked == [*LOOKED_AT, *range(step, 12)]
    assert_equal(carried(state), carried(whole[0]))
    assert timeless(tmp_path) == whole[1]


@pytest.mark.parametrize("step", [4, 8, 12])
def test_a_failing_validation_loses_no_training(tmp_path, whole, step):
    """It is made up for by the next start, which ends as if it had never failed."""
    seen = []

    def failing(variables):
        seen.append(len(asked) - len(LOOKED_AT))
        if seen[-1] == step:
            raise OSError("no space left")
        return validate(variables)

    asked = []
    with pytest.raises(OSError, match="no space left"):
        train(tmp_path, watched(asked), validate=failing)
    assert int(latest(tmp_path, whole[0]).step) == step
    with pytest.raises(OSError, match="no space left"):
        train(tmp_path, validate=lambda variables: fail_for_space())
    assert int(latest(tmp_path, whole[0]).step) == step
    validated, asked = [], []
    state = train(tmp_path, watched(asked), validate=lambda v: validated.append(v) or validate(v))
    assert asked == [*LOOKED_AT, *range(step, 12)]
    assert len(validated) == (12 - step) // 4 + 1
    assert_equal(carried(state), carried(whole[0]))
    assert timeless(tmp_path) == whole[1]
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.best == whole_best(whole)


def fail_for_space():
    raise OSError("no space left")


def whole_best(whole):
    """The step of the best validation."""
    found = {
        r["step"]: r["validation_bits_per_dim"] for r in whole[1] if "validation_bits_per_dim" in r
    }
    return min(found, key=lambda step: found[step])


def test_a_failing_validation_counts_for_patience_when_it_is_made_up_for(tmp_path):
    """The best of `VALIDATIONS` is at 8, where the validation fails once: training stops at 16."""
    with pytest.raises(KeyError):
        train(tmp_path, training=PATIENT, validate=lambda v: {4: 3.0}[4 * len(saved(tmp_path)) + 4])
    assert saved(tmp_path) == [4, 8]
    assert int(train(tmp_path, training=PATIENT, validate=Validated(4)).step) == 16
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (8, 16)


def saved(folder):
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("[0-9]*"))


def test_a_validation_that_is_not_finite_saves_the_state_unless_that_is_broken_too(tmp_path, whole):
    with pytest.raises(FloatingPointError, match="validation: expected a finite number, got nan"):
        train(tmp_path, validate=lambda variables: math.nan)
    assert int(latest(tmp_path, whole[0]).step) == 4
    assert_equal(carried(train(tmp_path)), carried(whole[0]))


@pytest.mark.parametrize("error", [OSError("no space left"), MemoryError(), KeyError("font")])
def test_a_picture_that_cannot_be_drawn_is_told_once_and_training_goes_on(tmp_path, whole, error):
    drawn = []

    def preview(variables, step):
        drawn.append((step, saved(tmp_path)[-1]))
        raise error

    with pytest.warns(UserWarning, match="preview of step 4: .*; training goes on") as warned:
        state = train(tmp_path, preview=preview)
    assert len(warned) == 1
    assert drawn == [(4, 4), (8, 8), (12, 12)]  # saved before
    assert_equal(carried(state), carried(whole[0]))
    assert timeless(tmp_path) == whole[1]


def test_what_was_never_validated_is_never_the_best(tmp_path):
    with interrupted:
        train(tmp_path, watched([], 5, interrupt))
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (4, 6)


def test_the_second_control_c_stops_at_once(tmp_path):
    def twice():
        interrupt()
        interrupt()

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        train(tmp_path, watched([], 2, twice))
    assert not saved(tmp_path)


def test_what_the_shell_wants_ignored_stays_ignored(tmp_path, whole, monkeypatch):
    """As of a run in the background: Ctrl-C is for another program then."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        state = train(tmp_path, watched([], 5, interrupt))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert_equal(carried(state), carried(whole[0]))


def test_a_handler_that_is_not_python_s_is_left_in_place(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    with stop_signals() as stop:
        assert signal.signal(signal.SIGINT, signal.default_int_handler) is not None
        assert not stop.is_set()


def test_a_finished_run_is_not_trained_again(tmp_path, capsys):
    short = Training(steps=2, log_every=1)
    first = train(tmp_path, training=short)
    capsys.readouterr()
    asked = []
    again = train(tmp_path, watched(asked), training=short)
    assert asked == LOOKED_AT
    assert capsys.readouterr().out == f"{tmp_path}: finished at step 2 of 2: nothing to do\n"
    assert_equal(again.params, first.params)
    steps = [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == [1, 2, 2]  # two losses and a validation


VALIDATIONS = {4: 3.0, 8: 2.0, 12: 2.0, 16: 2.5, 20: 1.0}  # the best at 8, then no better
PATIENT = dataclasses.replace(TRAINING, steps=20, patience=8)


class Validated:
    """Gives the validations of `VALIDATIONS`, one after the other."""

    def __init__(self, step=0):
        self.step = step

    def __call__(self, variables):
        self.step += TRAINING.validate_every
        return VALIDATIONS[self.step]


def test_training_stops_when_validation_gets_no_better_and_stays_stopped(tmp_path):
    state = train(tmp_path, training=PATIENT, validate=Validated())
    assert int(state.step) == 16
    asked = []
    again = train(tmp_path, watched(asked), PATIENT)
    assert asked == LOOKED_AT
    assert_equal(carried(again), carried(state))
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == 16
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert (checkpoints.best, checkpoints.latest) == (8, 16)


@pytest.mark.parametrize("action", [crash, interrupt])
@pytest.mark.parametrize("step", [9, 15])
def test_an_interrupted_run_stops_where_it_would_have(tmp_path, step, action):
    with contextlib.suppress(Gone, KeyboardInterrupt):
        train(tmp_path, watched([], step, action), PATIENT, Validated())
    state = train(tmp_path, training=PATIENT, validate=Validated(step // 4 * 4))
    assert int(state.step) == 16


def test_without_patience_training_goes_on(tmp_path):
    patient = dataclasses.replace(PATIENT, patience=0)
    assert int(train(tmp_path, training=patient, validate=Validated()).step) == 20


def test_each_validation_shows_a_preview_of_what_was_validated(tmp_path):
    seen, shown = [], []

    def keep(variables):
        seen.append(jax.device_get(variables))
        return validate(variables)

    def preview(variables, step):
        shown.append((step, jax.device_get(variables)))

    train(tmp_path, validate=keep, preview=preview)
    assert [step for step, _ in shown] == [4, 8, 12]
    for expected, (_, variables) in zip(seen, shown, strict=True):
        assert_equal(variables, expected)


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path):
    broken = Training(steps=8, optimizer=AdamW(learning_rate=math.inf), validate_every=4)
    with pytest.raises(FloatingPointError, match="expected a finite number, got nan, step 2"):
        train(tmp_path, training=broken)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest is None


def test_a_broken_state_is_not_saved_at_control_c_either(tmp_path):
    broken = Training(steps=8, optimizer=AdamW(learning_rate=math.inf))
    with pytest.raises(FloatingPointError, match="got nan, step 2"):
        train(tmp_path, watched([], 3, interrupt), broken)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest is None


def test_a_batch_that_the_devices_do_not_divide_is_refused(tmp_path):
    with pytest.raises(ValueError, match="batch: expected a multiple of 8 rows"):
        train(tmp_path, training_batches(EXAMPLES, 12))


def test_micro_batches_that_do_not_divide_a_device_s_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"micro_batches: expected a divisor of the 2 rows"):
        train(tmp_path, training=dataclasses.replace(TRAINING, micro_batches=4))


def test_a_label_outside_the_classes_is_refused_in_any_batch(tmp_path):
    labels = np.where(np.arange(40) == 39, 5, LABELS)
    with pytest.raises(ValueError, match=r"batch of step [123]: condition: expected integers"):
        train(tmp_path, training_batches(Arrays(EXAMPLES.x, labels), 16))


def test_a_run_goes_on_from_the_latest_checkpoint_not_the_best(tmp_path):
    worse, asked = iter(range(1, 9)), []

    def worsening(variables):
        return float(next(worse))

    with pytest.raises(Gone):
        train(tmp_path, watched([], 9, crash), validate=worsening)
    train(tmp_path, watched(asked), validate=worsening)
    assert asked == [*LOOKED_AT, *range(8, 12)]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_used_folder_never_answers_for_another_run(tmp_path, whole):
    train(tmp_path)
    before = contents(tmp_path)
    warmer = dataclasses.replace(TRAINING, optimizer=AdamW(learning_rate=0.2))
    with pytest.raises(ValueError, match=r"training\.optimizer\.learning_rate: expected 0.1"):
        train(tmp_path, training=warmer)
    with pytest.raises(ValueError, match=r"training\.seed: expected 3"):
        train(tmp_path, training=dataclasses.replace(TRAINING, seed=7))
    with pytest.raises(ValueError, match=r"data\.batches: expected"):
        train(tmp_path, training_batches(EXAMPLES, 16, seed=7))
    wider = MODEL.clone(conditional=ar.conditionals.MADE(hidden=(9,)))
    with pytest.raises(ValueError, match=r"model\.conditional\.hidden\.0: expected 8"):
        fit(wider, BATCHES, validate, tmp_path, TRAINING)
    assert contents(tmp_path) == before


def test_data_replaced_between_interruption_and_resume_is_refused(tmp_path):
    with interrupted:
        train(tmp_path, watched([], 5, interrupt))
    before = contents(tmp_path)
    changed = EXAMPLES.x.copy()
    changed[27, 1, 1] ^= 1
    with pytest.raises(ValueError, match=r"^data\.source: expected"):
        train(tmp_path, training_batches(Arrays(changed, LABELS), 16))
    assert contents(tmp_path) == before


def test_training_goes_on_for_longer(tmp_path, capsys):
    train(tmp_path)
    capsys.readouterr()
    asked = []
    longer = dataclasses.replace(TRAINING, steps=15, log_every=3)
    assert int(train(tmp_path, watched(asked), longer).step) == 15
    assert asked == [*LOOKED_AT, 12, 13, 14]
    line = f"{tmp_path}: goes on from step 12 of 15; training.steps: 15, was 12; training.log_every"
    assert line in capsys.readouterr().out
    assert [r["step"] for r in read_metrics(tmp_path / "metrics.jsonl")][-3:] == [12, 15, 15]


def test_a_full_disk_under_the_metrics_ends_the_run_after_saving(tmp_path, whole):
    path = tmp_path / "metrics.jsonl"
    aside = tmp_path / "aside"

    def fill():
        path.rename(aside)
        path.symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left on device") as error:
        train(tmp_path, watched([], 5, fill))
    assert error.value.filename == str(path)
    assert int(latest(tmp_path, whole[0]).step) == 6  # that of the next record
    aside.replace(path)
    assert_equal(carried(train(tmp_path)), carried(whole[0]))
    assert timeless(tmp_path) == whole[1]


def test_a_run_folder_that_is_deleted_ends_the_run_in_one_line(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(OSError, match="No such file or directory") as error:
        train(folder, watched([], 5, lambda: shutil.rmtree(folder)))
    assert error.value.filename == str(folder / "metrics.jsonl")


class Fragile(ar.AutoregressiveModel):
    """The loss of a row with label 1 is not a number, nor its gradient."""

    def __call__(self, x, condition=None, lengths=None):
        nats = super().__call__(x, condition, lengths)
        return nats * jnp.where(condition == 1, jnp.nan, 1.0)


FRAGILE = Fragile(MODEL.ordering, MODEL.conditional, MODEL.head, MODEL.context)


def spoilt(*steps):
    """Batches of label 0, those of some steps with a label 1."""

    def spoil(index, batch):
        return batch | {"y": np.int32(np.arange(16) == (9 if index + 1 in steps else 99))}

    return BATCHES.map_with_index(spoil)


def train_fragile(folder, batches, **training):
    training = dataclasses.replace(TRAINING, on_nonfinite="skip", **training)
    return fit(FRAGILE, batches, lambda variables: 1.0, folder, training).state


@pytest.fixture(scope="module")
def skipping(tmp_path_factory):
    """A run that skips steps 3, 5 and 6, the last of which are all between two records."""
    folder = tmp_path_factory.mktemp("skipping")
    return train_fragile(folder, spoilt(3, 5, 6)), timeless(folder)


def test_skipped_steps_are_counted(skipping):
    _, records = skipping
    counts = {r["step"]: r["skipped"] for r in records if "skipped" in r}
    assert counts == {2: 0, 4: 1, 6: 3, 8: 3, 10: 3, 12: 3}
    assert [r["step"] for r in records if "train_bits_per_dim" in r] == [2, 4, 8, 10, 12]


@pytest.mark.parametrize("step", [5, 6])
def test_a_run_that_skips_goes_on_as_if_never_interrupted(skipping, tmp_path, step):
    def stop(index, batch):
        if index == step - 1:
            interrupt()
        return batch

    with interrupted:
        train_fragile(tmp_path, spoilt(3, 5, 6).map_with_index(stop))
    expected, records = skipping
    assert_equal(carried(train_fragile(tmp_path, spoilt(3, 5, 6))), carried(expected))
    assert timeless(tmp_path) == records


def test_a_run_that_skips_too_often_ends(skipping, tmp_path):
    with pytest.raises(FloatingPointError, match=r"^max_skipped: .* 2 .*, got 3 until .* 6"):
        train_fragile(tmp_path, spoilt(3, 5, 6), max_skipped=2)
    state = train_fragile(tmp_path, spoilt(3, 5, 6), max_skipped=3)
    assert_equal(carried(state), carried(skipping[0]))
    assert timeless(tmp_path) == skipping[1]


def test_what_is_likely_wrong_with_a_step_is_told():
    x = np.zeros((16, 3))
    assert loop._likely({"x": x}).startswith("lower learning_rate")
    for wrong in (math.nan, math.inf, 1e39):
        y = np.where(np.arange(16)[:, None] == 11, wrong, x)
        message = "y.1 of its batch holds NaN or infinity in row 11: mend the data"
        assert loop._likely({"x": x, "y": (x, y)}) == message


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_of_the_latest_checkpoints_are_kept_as_asked_for(tmp_path, keep):
    training = dataclasses.replace(TRAINING, validate_every=2, keep=keep)
    better = iter(range(9, 0, -1))  # so that the latest is the best
    train(tmp_path, training=training, validate=lambda variables: float(next(better)))
    kept = {int(path.name) for path in (tmp_path / "checkpoints").glob("[0-9]*")}
    assert kept == set(range(12, 12 - 2 * keep, -2))


@pytest.mark.parametrize("other", [{"ema_decay": 0.2}, {"seed": 4}], ids=str)
def test_the_decay_and_the_seed_are_those_asked_for(tmp_path, whole, other):
    state = train(tmp_path, training=dataclasses.replace(TRAINING, **other))
    assert not np.array_equal(*(jax.tree.leaves(s.ema)[0] for s in (state, whole[0])))


def test_without_decay_the_average_is_the_parameters(tmp_path):
    state = train(tmp_path, training=dataclasses.replace(TRAINING, ema_decay=0.0))
    assert_equal(state.ema, state.params)


@pytest.mark.parametrize("action", [crash, interrupt])
@pytest.mark.parametrize("step", [3, 4, 7])
def test_times_are_those_of_a_run_never_interrupted(tmp_path, monkeypatch, step, action):
    """Each batch takes a second, and twice that on the cores; a preview does not count."""
    clock = [100.0]
    clocks = {"monotonic": lambda: clock[0], "process_time": lambda: 2 * clock[0]}
    clocks["time"] = time.time
    monkeypatch.setattr(metrics, "time", types.SimpleNamespace(**clocks))

    def tick(seconds):
        clock[0] += seconds

    def timed(index, batch):
        tick(1)
        if index == step - 1 and once:
            once.pop()()
        return batch

    once = [action]
    for _ in range(2):
        with contextlib.suppress(Gone, KeyboardInterrupt):
            train(tmp_path, BATCHES.map_with_index(timed), preview=lambda *_: tick(10))
        tick(1000)  # between two runs
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert [record["step"] for record in records] == [2, 4, 4, 6, 8, 8, 10, 12, 12]
    for record in records:
        at = record["step"]
        times = {"wall_seconds": at, "cpu_seconds": 2 * at, "waiting_seconds": at}
        assert {name: record[name] for name in times} == times


def test_nothing_is_traced_again_after_the_first_step(tmp_path, monkeypatch):
    """The step and the validation, over a whole run; and the step writes where its state was."""
    deleted = []
    chex.clear_trace_counter()

    def once(make):
        return lambda *args, **more: chex.assert_max_traces(make(*args, **more), n=1)

    def donated(step, **more):
        parallel = data_parallel(step, **more)

        def run(state, batch):
            new = parallel(state, batch)
            deleted.append(all(leaf.is_deleted() for leaf in jax.tree.leaves(state)))
            return new

        return run

    monkeypatch.setattr(loop, "make_train_step", once(make_train_step))
    monkeypatch.setattr(loop, "data_parallel", donated)
    monkeypatch.setattr(likelihood, "make_eval_step", once(make_eval_step))
    likelihood._parallel_eval_step.cache_clear()
    train(tmp_path)
    likelihood._parallel_eval_step.cache_clear()
    del deleted[8], deleted[4]  # a state that is being saved is left until it is
    assert deleted == [True] * 10


def test_what_fit_returns_tells_the_state_the_best_variables_and_the_history(tmp_path):
    """Validation is best in the middle, so that its variables are not the last ones."""
    losses, seen = iter([3.0, 1.0, 2.0]), []
    training = dataclasses.replace(TRAINING, steps=6, validate_every=2, log_every=1)

    def noted(variables):
        seen.append(jax.device_get(variables))
        return next(losses)

    fitted = fit(MODEL, BATCHES, noted, tmp_path, training)
    assert fitted.finished
    assert int(fitted.state.step) == 6
    jax.tree.map(np.testing.assert_array_equal, fitted.variables, seen[1])
    assert fitted.history == read_metrics(tmp_path / "metrics.jsonl")
    assert [r["step"] for r in fitted.history if "validation_bits_per_dim" in r] == [2, 4, 6]
    again = fit(MODEL, BATCHES, noted, tmp_path, training)
    assert (again.finished, again.history) == (True, fitted.history)
    jax.tree.map(np.testing.assert_array_equal, again.variables, seen[1])


def test_a_run_without_a_folder_is_the_same_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    training = dataclasses.replace(TRAINING, steps=4, validate_every=2)
    kept = fit(MODEL, BATCHES, validate, tmp_path / "kept", training)
    gone = fit(MODEL, BATCHES, validate, None, training)
    jax.tree.map(np.testing.assert_array_equal, gone.variables, kept.variables)
    assert not list((tmp_path / "temporary").iterdir())


def test_an_interruption_tells_how_far_it_went(tmp_path):
    batches = watched([], step=LOOKED_AT[1] + 2, action=interrupt)
    for folder, where in ((tmp_path, "saved in"), (None, "interrupted at step")):
        with pytest.raises(Interrupted, match=where) as raised:
            fit(MODEL, batches, validate, folder, TRAINING)
        assert not raised.value.fitted.finished
        assert 0 < int(raised.value.fitted.state.step) < TRAINING.steps
    assert "saved" not in str(raised.value)


def test_each_record_is_handed_on_and_its_failure_is_told_once(tmp_path):
    records = {}
    training = dataclasses.replace(TRAINING, steps=4, log_every=1, validate_every=2)

    def on_record(step, record):
        records.setdefault(step, {}).update(record)
        if step >= 3:
            raise OSError("the tracker is gone")

    with pytest.warns(
        UserWarning, match="on_record of step 3: OSError: the tracker is gone"
    ) as told:
        fitted = fit(MODEL, BATCHES, validate, tmp_path, training, on_record=on_record)
    assert len(told) == 1
    assert fitted.finished
    assert sorted(records) == [1, 2, 3, 4]
    assert {"train_bits_per_dim", "loss", "validation_bits_per_dim"} <= records[2].keys()
    assert records[1]["train_bits_per_dim"] * math.log(2) == pytest.approx(records[1]["loss"])


def test_an_objective_that_does_not_suit_leaves_no_folder(tmp_path):
    with pytest.raises(ValueError, match="RandomOrder expects an AnyOrderModel"):
        fit(MODEL, BATCHES, validate, tmp_path / "new", TRAINING, objective=RandomOrder())
    assert not (tmp_path / "new").exists()


def test_a_run_goes_on_with_its_objective_only(tmp_path):
    def smoothed(model, variables, batch, key):
        losses, scalars = MaximumLikelihood()(model, variables, batch, key)
        return 0.9 * losses, scalars

    training = dataclasses.replace(TRAINING, steps=2, validate_every=2)
    fit(MODEL, BATCHES, validate, tmp_path, training)
    run = tmp_path / "run.json"
    before = json.loads(run.read_text("utf-8"))
    assert before["objective"] == {"class": "MaximumLikelihood"}
    with pytest.raises(
        ValueError, match=r"objective: expected .*MaximumLikelihood.* got .*smoothed"
    ):
        fit(MODEL, BATCHES, validate, tmp_path, training, objective=smoothed)
    del before["objective"]  # as a version before had it
    run.write_text(json.dumps(before), "utf-8")
    assert fit(MODEL, BATCHES, validate, tmp_path, training).finished
