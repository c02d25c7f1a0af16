import grain
import numpy as np
import pytest

from ar_jax.data import Arrays, Chunks, EvaluationBatches, binarise, training_batches

# Rows that tell which they are; few, since Grain takes milliseconds to shuffle one of ten.
NUMBERED = Arrays(np.arange(10), np.arange(10) + 100)
GREY = Arrays(np.full((4, 50), 128, np.uint8))


def stream(batches, steps):
    return np.concatenate([batches[step]["x"] for step in range(steps)])


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 10, 25])
def test_every_epoch_visits_each_row_once(batch_size):
    rows = stream(training_batches(NUMBERED, batch_size), 60 // batch_size + 1)
    epochs = rows[: len(rows) // 10 * 10].reshape(-1, 10)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(10), (len(epochs), 1)))


def test_every_epoch_has_an_order_of_its_own():
    epochs = stream(training_batches(NUMBERED, 10), 8)  # two of 8 equal by chance: 8e-6
    assert len(np.unique(epochs.reshape(8, 10), axis=0)) == 8


def test_every_row_comes_first_about_as_often():
    batches = training_batches(NUMBERED, 1)
    first = [batches[10 * epoch]["x"].item() for epoch in range(300)]
    # A count is 30 +- 5.2: one of the ten is off by five times that with odds of 6e-6.
    assert np.abs(np.bincount(first, minlength=10) - 30).max() < 26


@pytest.mark.parametrize("batch_size", [3, 10])
def test_a_batch_is_a_function_of_seed_and_step(batch_size):
    forwards = stream(training_batches(NUMBERED, batch_size, seed=1), 5)
    batches = training_batches(NUMBERED, batch_size, seed=1)
    backwards = [batches[step]["x"] for step in reversed(range(5))]
    np.testing.assert_array_equal(forwards, np.concatenate(backwards[::-1]))
    others = stream(training_batches(NUMBERED, batch_size, seed=2), 5)
    assert not np.array_equal(forwards, others)


def test_what_is_drawn_is_a_function_of_seed_and_step():
    batches = training_batches(GREY, 4, seed=1, transform=binarise)
    forwards = stream(batches, 5)
    again = training_batches(GREY, 4, seed=1, transform=binarise)
    np.testing.assert_array_equal(forwards[8:12], again[2]["x"])
    assert not np.array_equal(forwards, stream(training_batches(GREY, 4, 2, transform=binarise), 5))


def test_what_is_drawn_differs_between_rows_and_epochs():
    drawn = stream(training_batches(GREY, 4, transform=binarise), 10)
    assert len(np.unique(drawn, axis=0)) == 40  # two of 40 equal by chance: odds of 1e-12


def test_a_seed_does_not_give_the_orders_of_the_next_seed_shifted_by_an_epoch():
    orders = [stream(training_batches(NUMBERED, 10, seed), 3).reshape(3, 10) for seed in range(3)]
    assert len(np.unique(np.concatenate(orders), axis=0)) == 9  # two equal by chance: 1e-5


def test_the_stream_from_a_step_on_is_the_tail_of_the_whole():
    batches = training_batches(GREY, 3, transform=binarise)
    tail = batches.slice(slice(5, 9))
    np.testing.assert_array_equal(stream(tail, 4), stream(batches, 9)[15:])


@pytest.mark.parametrize(("threads", "buffer"), [(0, 0), (1, 4), (4, 16)])
def test_prefetching_changes_nothing(threads, buffer):
    batches = training_batches(Arrays(np.arange(250, dtype=np.uint8)), 7, transform=binarise)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer)
    read = list(batches.slice(slice(3, 30)).to_iter_dataset(options))
    np.testing.assert_array_equal(
        np.concatenate([batch["x"] for batch in read]), stream(batches, 30)[21:]
    )


def test_conditions_stay_with_their_events():
    batch = training_batches(NUMBERED, 7)[3]
    np.testing.assert_array_equal(batch["y"], batch["x"] + 100)


def test_the_transform_leaves_the_conditions_alone():
    batch = training_batches(NUMBERED, 10, transform=lambda x, rng: -x)[0]
    np.testing.assert_array_equal(np.sort(batch["x"]), np.arange(-9, 1))
    np.testing.assert_array_equal(batch["y"], 100 - batch["x"])


def test_arrays_without_conditions_make_batches_without():
    assert set(training_batches(Arrays(np.arange(10)), 4)[0]) == {"x"}


def test_windows_of_a_text_come_from_random_offsets():
    text = np.arange(1000)
    batch = training_batches(Chunks(text, 5, preceding=1), 994)[0]  # an epoch but for one window
    np.testing.assert_array_equal(batch["x"], batch["y"] + np.arange(1, 6))
    assert len(np.unique(batch["y"])) == 994
    assert not np.array_equal(np.sort(batch["y"], axis=0), batch["y"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((NUMBERED, 0), "batch_size: expected at least 1, got 0"),
        ((NUMBERED, 3, -1), "seed: expected at least 0, got -1"),
        ((Arrays(np.zeros((0, 2))), 3), "examples: expected at least 1, got 0"),
    ],
)
def test_a_stream_without_rows_or_seed_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        training_batches(*arguments)


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


def test_evaluation_in_batches_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        EvaluationBatches(NUMBERED, 0)
