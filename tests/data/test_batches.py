import numpy as np
import pytest

from ar_jax.data import Arrays, EvaluationBatches, TrainingBatches

NUMBERED = Arrays(np.arange(10), np.arange(10) + 100)  # rows that tell which they are


@pytest.mark.parametrize("batch_size", [2, 3, 7, 25])
def test_every_epoch_visits_each_row_once(batch_size):
    batches = TrainingBatches(NUMBERED, batch_size)
    stream = np.concatenate([batches[step]["x"] for step in range(30)])
    epochs = stream[: len(stream) // 10 * 10].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(10), (len(epochs), 1)))
    assert len(np.unique(epochs, axis=0)) > 1  # each in an order of its own


def test_a_batch_is_a_function_of_seed_and_step():
    forwards = [TrainingBatches(NUMBERED, 3, seed=1)[step]["x"] for step in range(20)]
    batches = TrainingBatches(NUMBERED, 3, seed=1)
    backwards = [batches[step]["x"] for step in reversed(range(20))]
    np.testing.assert_array_equal(forwards, backwards[::-1])
    others = [TrainingBatches(NUMBERED, 3, seed=2)[step]["x"] for step in range(20)]
    assert not np.array_equal(forwards, others)


def test_conditions_stay_with_their_events():
    batch = TrainingBatches(NUMBERED, 7)[3]
    np.testing.assert_array_equal(batch["y"], batch["x"] + 100)


def test_arrays_without_conditions_make_batches_without():
    assert set(TrainingBatches(Arrays(np.arange(10)), 4)[0]) == {"x"}


@pytest.mark.parametrize(("batch_size", "length"), [(5, 2), (4, 3), (16, 1)])
def test_evaluation_counts_each_row_once_in_batches_of_one_shape(batch_size, length):
    batches = EvaluationBatches(NUMBERED, batch_size)
    assert len(batches) == len(list(batches)) == length
    assert all(len(batch["x"]) == len(batch["mask"]) == batch_size for batch in batches)
    counted = np.concatenate([batch["x"][batch["mask"]] for batch in batches])
    np.testing.assert_array_equal(counted, np.arange(10))


def test_the_rows_that_fill_up_are_real_ones():
    *_, last = EvaluationBatches(NUMBERED, 4)
    np.testing.assert_array_equal(last["x"], [8, 9, 9, 9])
    np.testing.assert_array_equal(last["y"], [108, 109, 109, 109])
