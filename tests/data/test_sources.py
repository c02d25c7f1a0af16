import numpy as np
import pytest

from ar_jax.data import Arrays, Chunks, Splits, contiguous_split, shuffled_split, unchanged
from ar_jax.data.sources import groups


def test_conditions_of_another_length_are_refused():
    with pytest.raises(ValueError, match="y: expected 3 rows, as in x, got 2"):
        Arrays(np.zeros((3, 1)), np.zeros(2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_by_its_row(bad):
    x = np.zeros((5, 2, 3))
    x[3, -1] = bad
    with pytest.raises(ValueError, match=r"x: .* NaN or infinity in row 3 \(1 of 5 rows\)"):
        Arrays(x)


@pytest.mark.parametrize(
    "bad", [np.array([1e39]), np.array([-2e19]), np.array([3e38], np.float32), np.array([2**31])]
)
def test_what_jax_computes_no_square_of_is_refused_by_its_row(bad):
    x = np.zeros((5, 2), bad.dtype)
    x[3, 1] = bad[0]
    for name, make in (("x", Arrays), ("tokens", lambda x: Chunks(x, 1))):
        with pytest.raises(
            ValueError, match=rf"^{name}: expected up to .* in row 3 \(1 of 5 rows\); rescale"
        ):
            make(x)
    Arrays(np.array([[2**31 - 1, -(2**31 - 1)]]))


def test_a_condition_may_be_absent():
    y = np.array([[1.0, 2.0], [np.nan, np.nan]])  # as contexts.Vector takes it
    np.testing.assert_array_equal(Arrays(np.zeros((2, 3)), y).batch(np.array([1]))["y"], y[1:])


def test_the_rows_asked_for_come_back_in_their_order():
    batch = Arrays(np.arange(12).reshape(6, 2), np.arange(6)).batch(np.array([4, 0, 4]))
    np.testing.assert_array_equal(batch["x"], [[8, 9], [0, 1], [8, 9]])
    np.testing.assert_array_equal(batch["y"], [4, 0, 4])


def test_windows_of_a_sequence_are_one_group_and_those_of_pieces_one_each():
    x = np.arange(20)
    assert groups(Arrays(x)).tolist() == list(range(20))
    assert groups(Chunks(x, 4, stride=4)).tolist() == [0] * 5
    # The middles of the windows are 2, 6, 10, 14 and 18, or a symbol later.
    assert groups(Chunks(x, 4, stride=4, ends=(7, 10, 20))).tolist() == [0, 0, 2, 2, 2]
    assert groups(Chunks(x, 4, stride=4, preceding=1, ends=(7, 10, 20))).tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_an_empty_split_is_refused_by_its_name(part):
    parts = {name: Arrays(np.zeros((3, 1))) for name in ("train", "validation", "test")}
    parts[part] = Arrays(np.zeros((0, 1)))
    with pytest.raises(ValueError, match=f"{part}: expected at least 1 example"):
        Splits(**parts)


def test_a_function_of_splits_is_that_of_each_part():
    lengths = Splits("a", "bb", "ccc").map(lambda text: text * 2)
    assert (lengths.train, lengths.validation, lengths.test) == ("aa", "bbbb", "cccccc")


@pytest.mark.parametrize(("length", "stride", "preceding"), [(4, 1, 0), (3, 1, 1), (3, 2, 2)])
def test_windows_are_the_pieces_of_the_sequence(length, stride, preceding):
    text = "the quick brown fox"
    tokens = np.frombuffer(text.encode(), np.uint8)
    chunks = Chunks(tokens, length, stride, preceding)
    starts = [s for s in range(0, len(text), stride) if s + preceding + length <= len(text)]
    assert len(chunks) == len(starts)
    batch = chunks.batch(np.arange(len(chunks)))
    for row, start in enumerate(starts):
        window = text[start : start + preceding + length]
        assert batch["x"][row].tobytes().decode() == window[preceding:]
        if preceding:
            assert batch["y"][row].tobytes().decode() == window[:preceding]
    assert ("y" in batch) == (preceding > 0)


def test_windows_side_by_side_score_each_symbol_once_given_the_one_before():
    tokens = np.arange(22)
    batch = (chunks := Chunks(tokens, 4, stride=4, preceding=1)).batch(np.arange(5))
    assert len(chunks) == 5
    np.testing.assert_array_equal(batch["x"].ravel(), tokens[1:21])  # the 21 is no whole window
    np.testing.assert_array_equal(batch["y"], batch["x"][:, :1] - 1)


def test_a_window_of_every_offset_that_nanogpt_draws():
    # nanoGPT draws offsets from 0 ... len(data) - block - 1
    assert len(Chunks(np.arange(100), 64, preceding=1)) == 36


def test_a_sequence_may_have_several_values_a_step():
    chorale = np.arange(40).reshape(10, 4)
    batch = Chunks(chorale, 3, preceding=2).batch(np.array([5, 1]))
    np.testing.assert_array_equal(batch["x"], [chorale[7:10], chorale[3:6]])
    np.testing.assert_array_equal(batch["y"], [chorale[5:7], chorale[1:3]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.arange(4), 4, 1, 1), "tokens: expected at least 5 symbols, one window, got 4"),
        ((np.arange(4), 0), "length: expected at least 1, got 0"),
        ((np.arange(4), 2, 0), "stride: expected at least 1, got 0"),
        ((np.arange(4), 2, 1, -1), "preceding: expected at least 0, got -1"),
        ((np.array([0.0, np.nan, 1]), 2), "tokens: .* NaN or infinity in row 1"),
    ],
)
def test_windows_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Chunks(*arguments)


def test_a_shuffled_split_deals_out_every_row_once():
    rows = shuffled_split(20, validation=3, test=4)
    assert [len(part) for part in (rows.train, rows.validation, rows.test)] == [13, 3, 4]
    dealt = np.concatenate([rows.train, rows.validation, rows.test])
    np.testing.assert_array_equal(np.sort(dealt), np.arange(20))
    assert not np.array_equal(dealt, np.arange(20))


def test_a_shuffled_split_never_changes():
    # numpy keeps the streams of its generators, so these rows are the same everywhere
    rows = shuffled_split(1000, validation=10, test=10, seed=3)
    expected = np.random.Generator(np.random.PCG64(3)).permutation(1000)
    np.testing.assert_array_equal(rows.validation, expected[980:990])
    other = shuffled_split(1000, validation=10, test=10, seed=4)
    assert not np.array_equal(rows.test, other.test)


def test_a_contiguous_split_keeps_the_text_in_its_order():
    splits = contiguous_split("to be or not to be", validation=5, test=3)
    assert (splits.train, splits.validation, splits.test) == ("to be or n", "ot to", " be")


@pytest.mark.parametrize("split", [contiguous_split, lambda x, v, t: shuffled_split(len(x), v, t)])
@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (0, 1, "validation: expected at least 1, got 0"),
        (1, 0, "test: expected at least 1, got 0"),
        (3, 2, r"validation, test: expected fewer than the 5 examples in sum, got 3 \+ 2"),
    ],
)
def test_a_split_that_leaves_a_part_empty_is_refused(split, validation, test, message):
    with pytest.raises(ValueError, match=message):
        split("abcde", validation, test)


def test_other_arrays_go_with_their_rows():
    x, lengths = np.arange(6).reshape(3, 2), np.array([2, 1, 0])
    source = Arrays(x, others={"lengths": lengths, "weight": lengths / 2})
    batch = source.batch(np.array([2, 0]))
    assert set(batch) == {"x", "lengths", "weight"}
    np.testing.assert_array_equal(batch["lengths"], [0, 2])
    np.testing.assert_array_equal(source.transformed(unchanged, 0).others["lengths"], lengths)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"lengths": np.zeros(2)}, "lengths: expected 3 rows, as in x, got 2"),
        ({"y": np.zeros(3)}, "others: expected names other than x, y and mask, got y"),
    ],
)
def test_other_arrays_that_do_not_fit_are_named(others, message):
    with pytest.raises(ValueError, match=message):
        Arrays(np.zeros((3, 2)), others=others)


class Frame:
    """As much of a pandas frame as is read of one."""

    def __init__(self, **columns):
        self.columns = list(columns)
        self.dtypes = {name: np.asarray(column).dtype for name, column in columns.items()}
        self._array = np.array(list(columns.values())).T

    def __array__(self, dtype=None, copy=None):
        return self._array


def test_a_frame_is_taken_as_its_numbers():
    source = Arrays(Frame(a=[1.0, 2.0], b=[3.0, 4.0]))
    np.testing.assert_array_equal(source.x, [[1, 3], [2, 4]])
    with pytest.raises(ValueError, match="x: expected columns of numbers, got b of <U1"):
        Arrays(Frame(a=[1.0, 2.0], b=["p", "q"]))
    with pytest.raises(ValueError, match="x: expected numbers, got <U1"):
        Arrays(np.array(["p"]))
