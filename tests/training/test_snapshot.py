"""The files of a checkpoint: kept, damaged bit by bit, at random, and by someone hostile.

`python -m tests.training.test_snapshot` made `kept_checkpoints/7`, which every later version must
read. Do not make it again: a version with another format keeps one of its own beside it.
"""

import hashlib
import json
import os
import random
import shutil
import tracemalloc
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.training import Checkpoints, snapshot
from ar_jax.training.state import TrainState

KEPT = Path(__file__).with_name("kept_checkpoints")
UNREAD, SECONDS = [{"loss": 0.5}, {"loss": 0.1}], {"wall_seconds": 2.5}


def ramp(dtype, *shape):
    """0, 1/4, 2/4, ... in C order."""
    return (np.arange(np.prod(shape)) / 4).reshape(shape).astype(dtype)


KEY = np.array([3, 11], np.uint32)
SAVED = TrainState(
    step=np.array(7, np.int32),
    params={"dense": {"kernel": ramp(np.float32, 3, 5), "bias": -ramp(np.float32, 5)}},
    ema={"dense": {"kernel": ramp(np.float64, 3, 5), "bias": ramp(np.float16, 5)}},
    opt_state=(
        {"mu": ramp(jnp.bfloat16, 3, 5), "count": np.array(5, np.int32)},
        {"steps": 4 * ramp(np.int64, 2, 1, 3), "used": ramp(bool, 4), "none": ramp(np.int8, 0)},
    ),
    key=jax.random.wrap_key_data(KEY),
)
LIKE = SAVED.replace(  # of the same shapes and dtypes
    **{
        part: jax.tree.map(np.zeros_like, getattr(SAVED, part))
        for part in ("params", "ema", "opt_state")
    }
)


def values(state):
    leaves = jax.tree.leaves(state.replace(key=np.asarray(jax.random.key_data(state.key))))
    return [(leaf.dtype, leaf.shape, leaf.tobytes()) for leaf in leaves]


def read(folder):
    """All that a folder of checkpoints gives."""
    with Checkpoints(folder) as checkpoints:
        state = checkpoints.restore(LIKE)
        step = checkpoints.latest
        assert step == checkpoints.best
        validation = snapshot.read_contents(folder / str(step)).validation
        beside = validation, checkpoints.unread(step), checkpoints.seconds(step)
    return beside, values(state)


EXPECTED = (1.75, UNREAD, SECONDS), values(SAVED)


def test_the_checkpoint_that_was_kept_is_read_as_it_was_saved():
    assert read(KEPT) == EXPECTED


@pytest.fixture
def kept(tmp_path):
    return shutil.copytree(KEPT, tmp_path / "kept")


def named(folder):
    """Whether the damage is named, in one line; else all must be as it was saved."""
    try:
        restored = read(folder)
    except ValueError as error:
        said = str(error)
    else:
        assert restored == EXPECTED
        return False
    assert str(folder) in said
    assert said.isprintable()
    return True


KERNEL = "arrays/params.dense.kernel"
FILES = pytest.mark.parametrize(
    "file", [snapshot.CONTENTS, f"{KERNEL}/0.0", f"{KERNEL}/.zarray", "arrays/_METADATA"]
)


@FILES
def test_each_of_100_flipped_bits_is_named_or_changes_nothing(kept, file):
    rng = random.Random(0)
    path = kept / "7" / file
    data = path.read_bytes()
    for _ in range(100):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        assert named(kept) or file in (f"{KERNEL}/.zarray", "arrays/_METADATA")


def mutated(rng, data):
    """Some bytes replaced, deleted, inserted, repeated, swapped or set to one value."""
    for _ in range(rng.choice([1, 1, 1, 5])):
        i, j = sorted(rng.randrange(len(data) + 1) for _ in range(2))
        k = min(len(data), i + rng.choice([1, 2, 16, 512]))
        data = rng.choice(
            [
                data[:i] + rng.randbytes(k - i) + data[k:],
                data[:i] + data[k:],
                data[:i] + rng.randbytes(k - i) + data[i:],
                data[:i] + data[i:k] + data[i:],
                data[j:] + data[i:j] + data[:i],
                data[:i] + bytes([rng.randrange(256)]) * (k - i) + data[k:],
                data[:i],
                data[:i] + rng.choice([b"[", b"{", b"9", b'"', b"-1e999,"]) + data[i:],
            ]
        )
    return data


@FILES
def test_100_random_changes_are_named_or_change_nothing(kept, file):
    rng = random.Random(1)
    path = kept / "7" / file
    data = path.read_bytes()
    count = 0
    for _ in range(100):
        path.write_bytes(mutated(rng, data))
        count += named(kept)
    assert count > (80 if file != "arrays/_METADATA" else 10)


def forge(folder, stored):
    """Writes contents with the digest that belongs to them."""
    digest = hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()
    (folder / "7" / snapshot.CONTENTS).write_bytes(json.dumps(stored | {"sha256": digest}).encode())


WRONG = {
    "step": ["7", 7.0, True, None, -7, 8, 10**4000],
    "validation": ["0", 1, float("nan"), float("-inf"), [1.0], True],
    "unread": [
        5,
        {"loss": 1.0},
        [1.0],
        [{"loss": "x"}],
        [{"loss": 1}],
        [{"loss": 1e999}],
        [[]],
        [{"a": 1.0}, {}],
    ],
    "seconds": [None, [], {"wall_seconds": None}, {"wall_seconds": {}}],
    "arrays": [None, [], 3, {}, {"step": 3}, {"step": []}, {"../../\x1b[2J" * 999: {}}],
    "folder": ["/etc"],
}
WRONG_ARRAY = {
    "dtype": ["object", "O", "float64", "V4", "\x1b[2J", "f" * 99, None, ["f4"], "f4,f4"],
    "shape": [[2**62, 2**62], [-3, 5], [5, 3], [15], [3.0, 5], ["3", 5], {}, 15, [1] * 99, [True]],
    "sha256": ["", "0" * 64, None, 5],
    "file": ["/etc/passwd"],
}


def forgeries():
    """All that `checkpoint.json` may be, well signed."""
    stored = json.loads((KEPT / "7" / snapshot.CONTENTS).read_bytes())
    del stored["sha256"]
    array = "params.dense.kernel"
    for missing in stored:
        yield {name: value for name, value in stored.items() if name != missing}
    for missing in stored["arrays"]:
        others = {name: value for name, value in stored["arrays"].items() if name != missing}
        yield stored | {"arrays": others}
    yield stored | {"arrays": stored["arrays"] | {"\x1b[2J" * 9999: stored["arrays"][array]}}
    for name, values in WRONG.items():
        yield from (stored | {name: value} for value in values)
    for name, values in WRONG_ARRAY.items():
        for value in values:
            wrong = stored["arrays"][array] | {name: value}
            yield stored | {"arrays": stored["arrays"] | {array: wrong}}


def test_contents_that_are_wrong_but_well_signed_are_named_without_large_memory(kept):
    tracemalloc.start()
    for stored in forgeries():
        forge(kept, stored)
        assert named(kept), stored
    assert tracemalloc.get_traced_memory()[1] < 10**7  # bytes
    tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    ["[" * 10**6, '{"step":' * 10**6, "9" * 10**6, "null", "7", '"', '{"sha256": null}', "{}"],
    ids=lambda text: text[:16],
)
def test_json_of_another_kind_is_named(kept, text):
    (kept / "7" / snapshot.CONTENTS).write_bytes(text.encode())
    assert named(kept)


def test_what_is_above_its_size_is_not_read(kept):
    os.truncate(kept / "7" / snapshot.CONTENTS, 2**40)  # takes no room on the disk
    with pytest.raises(
        ValueError, match="expected at most 33,554,432 bytes, got 1,099,511,627,776"
    ):
        read(kept)
    shutil.copy(KEPT / "7" / snapshot.CONTENTS, kept / "7")
    for file in (f"{KERNEL}/0.0", f"{KERNEL}/.zarray", "arrays/_METADATA"):
        os.truncate(kept / "7" / file, 2**40)
        assert named(kept)
        shutil.copy(KEPT / "7" / file, kept / "7" / file)


def test_contents_above_the_limit_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(snapshot, "LIMIT", 1000)
    with (
        pytest.raises(ValueError, match=r"checkpoint.json: expected at most 1,000 bytes, got 1,6"),
        Checkpoints(tmp_path) as checkpoints,
    ):
        checkpoints.save(SAVED)
    assert not list(tmp_path.iterdir())


if __name__ == "__main__":
    with Checkpoints(KEPT) as made:
        made.save(SAVED, 1.75, UNREAD, SECONDS)
