"""Files that hold no such data set are refused, with what is wrong and what to do."""

import json

import numpy as np
import pytest

from ar_jax.datasets import Chorales, Electricity, JSBChorales, Speech, Text
from ar_jax.datasets.jsb_chorales import piano_roll
from ar_jax.datasets.tables import read_loads
from tests.datasets.refused import refused


@pytest.mark.parametrize("length", [0, 9, 100, 5119])
def test_a_text_that_is_too_short_is_named_with_how_much_it_takes(length, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * length)
    message = rf"a.txt: expected at least 5,120 bytes, .*, got {length:,}; give a longer text"
    refused(message, lambda: Text(str(path)).splits)


def test_the_shortest_text_has_a_window_in_each_part(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a" * 5120)
    splits = Text(str(tmp_path / "a.txt")).splits
    assert [len(splits.validation), len(splits.test)] == [1, 1]


ROLL = np.full((700, 4), 60, np.uint8)
MELODY = np.random.default_rng(0).integers(30, 90, (700, 4)).astype(np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "expected an array lengths, got other"),
        ({"pitch": ROLL, "lengths": [-2, 702]}, "lengths: expected integers from 1 on"),
        ({"pitch": ROLL, "lengths": [70.0] * 10}, r"lengths: expected integers \[pieces\]"),
        ({"pitch": ROLL, "lengths": np.zeros(0, int)}, r"lengths: .*, got int64 \[0\]"),
        ({"pitch": ROLL[:, :3], "lengths": [70] * 10}, r"pitch: expected shape \[steps, 4\], got"),
        ({"pitch": ROLL[:, 0], "lengths": [70] * 10}, r"pitch: expected shape \[steps, 4\], got"),
        ({"pitch": ROLL + 0.5, "lengths": [70] * 10}, r"pitch: expected integers 0 ... 127, got"),
        ({"pitch": ROLL + 68, "lengths": [70] * 10}, r"pitch: expected integers 0 ... 127, got"),
        ({"pitch": ROLL, "lengths": [700 - 8, *[1] * 8]}, "at least 10 pieces, .*, got 9"),
        (
            {"pitch": ROLL, "lengths": [50] * 14},
            "pieces in the validation part that are not those of",
        ),
        (
            {"pitch": MELODY, "lengths": [50] * 14},
            "at least 64 steps, one window, in the validation",
        ),
    ],
)
def test_chorales_that_are_none_are_named(arrays, message, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, other=0, **arrays)
    refused(f"a.npz(, |: ).*{message}", lambda: Chorales(str(path)).splits)


@pytest.mark.parametrize("code", ["mu_law", "digits"])
@pytest.mark.parametrize(("count", "length"), [(9, 4000), (10, 2047)])
def test_few_or_short_recordings_are_told_with_how_much_they_take(code, count, length, tmp_path):
    path = tmp_path / "a.npz"
    names = [str(number) for number in range(count)]
    samples = np.zeros(count * length, np.int16)
    np.savez(path, samples=samples, lengths=[length] * count, name=names)
    expected = "at least 10 pieces" if count < 10 else "at least 2048 steps, one window"
    refused(f"a.npz: expected {expected}", lambda: Speech(str(path), code=code).splits)


LOADS = {
    "load": np.random.default_rng(0).random((20, 3)),
    "profile": ["a", "b", "c"],
    "time": [f"2016-01-{day + 1:02} 00:00" for day in range(20)],
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"load": LOADS["load"][:5]}, r"load: expected shape \[20, 3\]"),
        ({"load": LOADS["load"] * [1, 1, np.inf]}, "load: expected finite numbers"),
        ({"load": LOADS["load"].astype(str)}, "load: expected floating-point numbers"),
        ({"time": np.arange(20)}, r"time: expected texts, got int64 \[20\]"),
        ({"profile": np.arange(3)}, r"profile: expected texts, got int64 \[3\]"),
        ({"time": ["2016-01-01"] * 20}, "time: expected at least 13 days, got 1"),
    ],
)
def test_loads_that_do_not_fit_together_are_named(changed, message, tmp_path):
    np.savez(tmp_path / "a.npz", **LOADS | changed)
    refused(f"a.npz, {message}", lambda: read_loads(str(tmp_path / "a.npz")))


def test_the_fewest_days_can_be_dealt_out(tmp_path):
    rows = {"load": LOADS["load"][:13], "profile": LOADS["profile"], "time": LOADS["time"][:13]}
    np.savez(tmp_path / "a.npz", **rows)
    assert all(
        len(part) for part in vars(Electricity(path=str(tmp_path / "a.npz")).splits).values()
    )


NOTES = [[[60, 64], [62]]] * 20
PARTS = {"train": NOTES, "valid": NOTES, "test": NOTES}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PARTS | {"train": [[[60.5]]]}, "note 60.5, none of 21 ... 108"),
        (PARTS | {"train": [[[float("inf")]]]}, "note inf, none of"),
        (PARTS | {"train": [[["60"]]]}, "TypeError"),
        (PARTS | {"train": 5}, "TypeError"),
        ({"train": NOTES}, "KeyError"),
        ([], "TypeError"),
        (PARTS | {"test": NOTES[:3]}, "at least 32 steps, one window, in the test part, got 6"),
    ],
)
def test_pieces_that_are_none_are_named(content, message, tmp_path):
    refused(f"a.json: expected .*{message}", lambda: jsb(tmp_path, json.dumps(content).encode()))


def jsb(folder, content):
    (folder / "a.json").write_bytes(content)
    return JSBChorales(str(folder / "a.json")).splits


def test_pieces_nested_without_end_are_refused_and_a_byte_order_mark_is_not(tmp_path):
    refused("a.json: .*RecursionError", lambda: jsb(tmp_path, b"[" * 10**6))
    content = b"\xef\xbb\xbf" + json.dumps(PARTS).encode()
    assert len(jsb(tmp_path, content).train.tokens) == 40


def test_a_chord_is_a_row_of_keys():
    roll = piano_roll([[21, 60], [], [108]])
    assert [np.flatnonzero(row).tolist() for row in roll] == [[0, 39], [], [87]]
    with pytest.raises(ValueError, match="note 20"):
        piano_roll([[20]])
