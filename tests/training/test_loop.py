import dataclasses
import math
import signal

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches, TrainingBatches
from ar_jax.evaluation import evaluate
from ar_jax.training import AdamW, Checkpoints, Training, fit, read_metrics

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


class Watched:
    """Training batches that remember which were asked for; before one of them something happens."""

    def __init__(self, step=None, action=None):
        self.batches = TrainingBatches(EXAMPLES, 16)
        self.step = step
        self.action = action
        self.asked = []

    def __getitem__(self, step):
        self.asked.append(step)
        if step == self.step:
            self.action()
        return self.batches[step]


def validate(variables):
    return evaluate(MODEL, variables, EvaluationBatches(EXAMPLES, 16), "validation").bits_per_dim


def train(folder, batches=None, training=TRAINING):
    return fit(MODEL, batches or TrainingBatches(EXAMPLES, 16), validate, folder, training)


def assert_equal(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(actual), jax.device_get(expected))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run without interruption, and its metrics."""
    folder = tmp_path_factory.mktemp("whole")
    return train(folder), read_metrics(folder / "metrics.jsonl")


def test_training_learns(whole):
    state, records = whole
    key = "train_bits_per_dim"
    losses = [record[key] for record in records if key in record]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    assert records[-1] == {"step": 12, "validation_bits_per_dim": validate(state.variables)}


def test_a_crashed_run_resumes_as_if_nothing_had_happened(tmp_path, whole):
    def crash():
        raise RuntimeError("the machine is gone")

    with pytest.raises(RuntimeError, match="the machine is gone"):
        train(tmp_path, Watched(7, crash))
    assert read_metrics(tmp_path / "metrics.jsonl")[-1]["step"] == 6  # past the checkpoint at 4
    batches = Watched()
    state = train(tmp_path, batches)
    assert batches.asked == [0, *range(4, 12)]  # the first one shows the shapes
    expected, records = whole
    assert_equal(
        (state.params, state.ema, state.opt_state),
        (expected.params, expected.ema, expected.opt_state),
    )
    assert read_metrics(tmp_path / "metrics.jsonl") == records


def test_control_c_saves_and_returns(tmp_path, whole):
    handler = signal.getsignal(signal.SIGINT)
    state = train(tmp_path, Watched(6, lambda: signal.raise_signal(signal.SIGINT)))
    assert int(state.step) == 7
    assert signal.getsignal(signal.SIGINT) is handler
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest == 7
    expected, _ = whole
    assert_equal(train(tmp_path).params, expected.params)


def test_the_second_control_c_stops_at_once(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, Watched(2, twice))


def test_a_finished_run_is_not_trained_again(tmp_path):
    short = Training(steps=2, log_every=1)
    first, again = train(tmp_path, training=short), train(tmp_path, training=short)
    assert_equal(again.params, first.params)
    steps = [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")]
    assert steps == [1, 2, 2]  # two losses and a validation


def test_a_loss_that_is_not_finite_stops_the_run_before_it_is_saved(tmp_path):
    broken = Training(steps=8, optimizer=AdamW(learning_rate=math.inf), validate_every=4)
    with pytest.raises(FloatingPointError, match="expected a finite number, got nan, step 2"):
        train(tmp_path, training=broken)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest is None


def test_a_batch_that_the_devices_do_not_divide_is_refused(tmp_path):
    with pytest.raises(ValueError, match="batch: expected a multiple of 8 rows"):
        train(tmp_path, TrainingBatches(EXAMPLES, 12))


def test_a_label_outside_the_classes_is_refused_in_any_batch(tmp_path):
    labels = np.where(np.arange(40) == 39, 5, LABELS)
    with pytest.raises(ValueError, match="condition: expected integers"):
        train(tmp_path, TrainingBatches(Arrays(EXAMPLES.x, labels), 16))


def test_a_run_goes_on_from_the_latest_checkpoint_not_the_best(tmp_path):
    def crash():
        raise RuntimeError("the machine is gone")

    worse, batches = iter(range(1, 9)), Watched()
    arguments = (lambda variables: float(next(worse)), tmp_path, TRAINING)
    with pytest.raises(RuntimeError, match="the machine is gone"):
        fit(MODEL, Watched(9, crash), *arguments)
    fit(MODEL, batches, *arguments)
    assert batches.asked == [0, *range(8, 12)]


@pytest.mark.parametrize("other", [{"ema_decay": 0.2}, {"seed": 4}], ids=str)
def test_the_decay_and_the_seed_are_those_asked_for(tmp_path, whole, other):
    state = train(tmp_path, training=dataclasses.replace(TRAINING, **other))
    assert not np.array_equal(*(jax.tree.leaves(s.ema)[0] for s in (state, whole[0])))
