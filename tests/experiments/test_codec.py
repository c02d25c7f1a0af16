"""What an archive says of its files is not believed."""

import json

import numpy as np
import pytest

from experiments import codec


@pytest.mark.parametrize(
    "files",
    [
        None,
        [],
        [["../a", 3]],
        [["/etc/a", 3]],
        [["a\\b", 3]],
        [["c:a", 3]],
        [["..", 3]],
        [["", 3]],
        [["a", -1]],
        [["a", True]],
        [["a", 2**31]],
        [["a", 3, 4]],
        [[3, "a"]],
        [["a", 0]],
        [["a", 1], ["a", 2]],
    ],
    ids=json.dumps,
)
def test_names_that_lead_elsewhere_and_counts_that_cannot_be_are_refused(files, monkeypatch):
    monkeypatch.setattr(codec, "read", lambda data: ({"about": {"files": files}}, b""))
    with pytest.raises(
        ValueError, match=r"^data: expected (the names of files|files of different)"
    ):
        codec.contents(b"")


def test_a_sequence_lies_side_by_side_in_streams_of_one_length_but_the_last():
    values = np.arange(14).reshape(7, 2)
    streams = codec.side_by_side(values, np.array([3, 3, 1]))
    np.testing.assert_array_equal(streams.reshape(-1, 2)[:7], values)
    assert streams.shape == (3, 3, 2)
    assert not streams[2, 1:].any()
