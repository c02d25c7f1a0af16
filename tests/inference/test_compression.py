"""Compression: what goes in comes out, at the size that the likelihood promises, or not at all."""

import json
import platform
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import GRU, MADE, PixelCNN, Transformer
from ar_jax.contexts import ClassLabel, Nothing, Vector
from ar_jax.heads import (
    Bernoulli,
    Categorical,
    CoarseFineLogistic,
    DiscretizedLogisticMixture,
    EndOfSequence,
    GaussianMixture,
    Mixed,
    MuLaw,
    Nested,
    Poisson,
)
from ar_jax.inference import compression
from ar_jax.inference.compression import compress, decompress, read
from ar_jax.orderings import Graph, Hilbert, Raster, Reversed, Snake
from ar_jax.testing import compiled_apply, random_variables, to_float32

patch = ar.AutoregressiveModel(Snake((2, 2, 1)), MADE((9,)), Categorical(5, embedding=3), Vector(7))
graph = Graph.from_edges((8,), [(0, 2), (1, 2), (2, 3), (1, 5), (5, 6), (0, 7)])

MODELS = {
    "graph": (graph, MADE((20,)), Bernoulli(), Nothing()),
    "text": (Raster((9,)), GRU(layers=1, width=8), Categorical(50), Nothing()),
    "classes": (Hilbert((4, 4, 1)), Transformer(layers=1, width=8), MuLaw(7), ClassLabel(3)),
    "colours": (
        Reversed((3, 3, 3), (1, 1, 3)),
        PixelCNN(blocks=0, channels=6, first_kernel=3),
        DiscretizedLogisticMixture(256, 3, 3),
        Nothing(),
    ),
    "patches": (Raster((4, 4, 1), (2, 2, 1)), GRU(layers=1, width=8), Nested(patch), Nothing()),
    "digits": (Raster((4, 2), (1, 2)), GRU(layers=1, width=8), CoarseFineLogistic(), Nothing()),
    "ends": (Raster((5, 2), (1, 2)), GRU(width=8), EndOfSequence(Categorical(4)), Nothing()),
    "mixed": (
        Raster((4, 3), (1, 3)),
        GRU(layers=1, width=8),
        Mixed((MuLaw(5), Bernoulli(), Categorical(3)), width=6),
        Nothing(),
    ),
}  # fmt: skip


def drawn(name, count):
    """A model of that name, with events of its own and their conditions."""
    model = ar.AutoregressiveModel(*MODELS[name])
    y = np.arange(count) % 3 if name == "classes" else None
    blank = np.zeros((1, *model.ordering.event), np.int32)
    variables = random_variables(model, blank, None if y is None else y[:1])
    variables = to_float32(variables)
    size = {"batch_size": count} if y is None else {"condition": y}
    x = ar.sample(model, variables, jax.random.key(0), **size)
    return model, variables, np.asarray(x), y


@pytest.mark.parametrize("name", MODELS)
def test_events_come_back_at_the_size_of_their_likelihood(name):
    model, variables, x, y = drawn(name, 300)
    data = compress(model, variables, x, y, batch_size=128)  # whose last batch is not full
    np.testing.assert_array_equal(decompress(model, variables, data, y), x)
    header, payload = read(data)
    bits = -float(np.sum(compiled_apply(model, variables, x, y))) / np.log(2)
    assert len(data) - len(payload) < 500
    assert 8 * len(payload) < 1.005 * bits + 64  # the coder ends with a word or two
    assert header["count"] == 300


def test_steps_after_an_events_length_are_not_stored(small):
    model, variables, x, _ = small
    lengths = np.arange(20) % 10
    said = []
    data = compress(model, variables, x, lengths=lengths, about={"a": [1]}, progress=said.append)
    assert read(data)[0]["about"] == {"a": [1]}
    np.testing.assert_allclose(said, np.arange(1, 10) / 9)
    restored = decompress(model, variables, data, lengths=lengths)
    np.testing.assert_array_equal(restored, np.where(np.arange(9) < lengths[:, None], x, 0))
    bits = -float(np.sum(compiled_apply(model, variables, x, lengths=lengths))) / np.log(2)
    assert bits - 1 < 8 * len(read(data)[1]) < 1.005 * bits + 64
    with pytest.raises(ValueError, match=r"^data: expected what was compressed with these lengths"):
        decompress(model, variables, data)
    with pytest.raises(ValueError, match=r"^lengths: expected one for each of 20 events, got 19"):
        decompress(model, variables, data, lengths=lengths[1:])
    with pytest.raises(ValueError, match=r"^lengths: expected integers 0 ... 9"):
        compress(model, variables, x, lengths=lengths + 1)


@pytest.fixture(scope="module")
def small():
    """A model, its variables, events and what they are compressed to."""
    model, variables, x, _ = drawn("text", 20)
    return model, variables, x, compress(model, variables, x)


def test_another_process_gives_the_same_bytes_and_reads_them(small, tmp_path):
    _, variables, x, data = small
    flat = {jax.tree_util.keystr(k): v for k, v in jax.tree_util.tree_leaves_with_path(variables)}
    np.savez(tmp_path / "variables.npz", x=x, **flat)
    (tmp_path / "data").write_bytes(data)
    program = f"""
import jax, numpy as np
from ar_jax.inference import compression
from tests.inference.test_compression import MODELS
import ar_jax as ar
stored = np.load({str(tmp_path / "variables.npz")!r})
model = ar.AutoregressiveModel(*MODELS["text"])
shapes = jax.eval_shape(model.init, jax.random.key(0), stored["x"])
variables = jax.tree_util.tree_map_with_path(lambda k, _: stored[jax.tree_util.keystr(k)], shapes)
data = open({str(tmp_path / "data")!r}, "rb").read()
assert compression.compress(model, variables, stored["x"]) == data
assert (compression.decompress(model, variables, data) == stored["x"]).all()
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_every_damaged_byte_and_thousands_of_damaged_files_are_refused(small):
    model, variables, _, data = small
    rng = np.random.default_rng(0)
    for i in range(len(data) + 6000):
        damaged = bytearray(data)
        where = i if i < len(data) else int(rng.integers(len(data)))
        match i % 3 if i >= len(data) else 3:
            case 0:  # cut short
                del damaged[where:]
            case 1:  # longer
                damaged[where:where] = rng.bytes(int(rng.integers(1, 20)))
            case 2:  # other bytes from there on
                damaged[where:] = rng.bytes(len(data) - where)
            case 3:  # another byte
                damaged[where] ^= int(rng.integers(1, 256))
        if damaged != data:
            with pytest.raises(ValueError, match=r"^data: expected"):
                decompress(model, variables, bytes(damaged))


def test_only_the_same_model_variables_and_condition_read_what_was_compressed(small):
    model, variables, x, data = small
    other = jax.tree.map(lambda leaf: 2 * leaf, variables)
    with pytest.raises(ValueError, match=r"^data: expected what this model and these variables"):
        decompress(model, other, data)
    model, variables, x, y = drawn("classes", 4)
    data = compress(model, variables, x, y)
    with pytest.raises(
        ValueError, match=r"^data: expected what was compressed with this condition"
    ):
        decompress(model, variables, data, np.roll(y, 1))
    with pytest.raises(ValueError, match=r"^condition: expected one for each of 4 events, got 3"):
        decompress(model, variables, data, y[:3])


def forged(data, payload=None, written=None, **changes):
    """The same with another payload or fields of its header, whose checksums are right."""
    header, kept = read(data)
    payload = kept if payload is None else payload
    header |= {"size": len(payload), "payload": zlib.crc32(payload)} | changes
    written = json.dumps(header).encode() if written is None else written
    return (
        data[:8]
        + np.array([len(written), zlib.crc32(written)], "<u4").tobytes()
        + written
        + payload
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": "0" * 16}, "what was compressed where the model computes"),
        ({"version": 1}, "version 3, got 1"),
        (
            {"count": 10**15},
            "1 ... 268435456 variables, got 1000000000000000 events of 9; see limit",
        ),
        ({"count": 10**7, "batch": 1}, "at most 64 steps a byte, got 10000000 events of 9, in 9"),
        ({"count": 10**30}, "1 ... 268435456 variables, got 10{30} events"),
        ({"size": 10**30}, "a header that"),
        ({"jax": "\x1b[2J"}, "a header that"),
        ({"model": "0" * 15}, "a header that"),
        ({"model": "G" * 16}, "a header that"),
        ({"count": 21}, "events of the header's checksum|a code"),
        ({"count": 19, "batch": 19}, "what was compressed where the model computes"),
        ({"count": -1}, "a header that"),
        ({"count": 20.0}, "a header that"),
        ({"count": True}, "a header that"),
        ({"batch": 0}, "a header that"),
        ({"batch": 10**9, "count": 10**9}, "a header that"),
        ({"events": "0"}, "a header that"),
        ({"jax": None}, "a header that"),
        ({"more": 1}, "a header that"),
        ({"events": 0}, "events of the header's checksum"),
        ({"payload": b""}, "at most 64 steps a byte, got 20 events of 9, in 9 steps and 0 bytes"),
        ({"payload": bytes(4)}, "events of the header's checksum|a code"),
        ({"payload": b"12345"}, "5 bytes of their checksum"),
        ({"payload": b"\xff" * 400}, "events of the header's checksum|a code"),
        ({"written": b"[" * 10**5}, "a header in JSON"),
        ({"written": b"[]"}, "version 3, got None"),
        ({"written": b"\xff"}, "a header in JSON"),
    ],
    ids=str,
)
def test_forged_files_of_right_checksums_are_refused(small, changes, message):
    model, variables, _, data = small
    with pytest.raises(ValueError, match=f"^data: expected ({message})"):
        decompress(model, variables, forged(data, **changes))


def test_a_header_of_any_other_byte_gives_the_events_or_an_error(small):
    """Its checksums are right: this is what someone does, not what happens."""
    model, variables, x, data = small
    header, _ = read(data)
    written = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    refused = 0
    for where in rng.permutation(len(written)):
        other = bytearray(written)
        other[where] = rng.choice(list(b'0123456789abc"{}[],:. \x1b\xff'))
        try:
            events = decompress(model, variables, forged(data, written=bytes(other)))
        except ValueError as error:
            refused += 1
            message = str(error)
            assert message.startswith("data: expected")
            assert len(message) < 500
            assert message.isprintable()
        else:
            np.testing.assert_array_equal(events, x)
    assert refused > len(written) / 2


def test_both_sides_refuse_more_variables_than_asked_for(small):
    model, variables, x, data = small
    for refused in (
        lambda: compress(model, variables, x, limit=179),
        lambda: decompress(model, variables, data, limit=179),
    ):
        with pytest.raises(ValueError, match=r"^data: expected 1 ... 179 variables, got 20 events"):
            refused()
    np.testing.assert_array_equal(decompress(model, variables, data, limit=180), x)


def test_a_payload_shorter_than_its_steps_allow_is_filled_up(small, monkeypatch):
    model, variables, x, _ = small
    monkeypatch.setattr(compression, "STEPS_PER_BYTE", 1)
    data = compress(model, variables, x, batch_size=1)
    assert len(read(data)[1]) == 20 * 9  # steps; the events take 126 bytes
    np.testing.assert_array_equal(decompress(model, variables, data), x)


@pytest.mark.parametrize(
    "about",
    [{1: 2}, {"a": (1,)}, {"a": {1}}, {"a": float("nan")}, {"a": "x" * 2**24}],
    ids=["key", "tuple", "set", "nan", "long"],
)
def test_what_json_does_not_give_back_is_not_stored(small, about):
    model, variables, x, _ = small
    with pytest.raises(ValueError, match=r"^about: expected what JSON"):
        compress(model, variables, x, about=about)


def stored():
    """What an archive of before holds: numbers from formulas, whose sums are exact in float32.

    So their probabilities depend on the processor and on jax by an exponential only.
    """
    model = ar.AutoregressiveModel(Raster((12,)), MADE((16,)), Categorical(5))
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 12), int))
    leaves, structure = jax.tree.flatten(shapes)
    filled = [
        ((np.arange(leaf.size).reshape(leaf.shape) * 7 + i) % 5 - 2).astype(np.float32) / 4
        for i, leaf in enumerate(leaves)
    ]
    x = np.arange(20 * 12).reshape(20, 12) ** 2 % 7 % 5
    return model, jax.tree.unflatten(structure, filled), x


def test_an_archive_of_version_3_is_read_by_every_later_version():
    data = (Path(__file__).parents[1] / "stored" / "version3.arj").read_bytes()
    model, variables, x = stored()
    header, payload = read(data)
    assert (header["version"], header["count"], header["about"]) == (3, 20, {"name": "é"})
    assert len(payload) % 4 == 0
    message, events = "", None
    try:
        events = decompress(model, variables, data)
    except ValueError as error:
        message = str(error)
    if message and (header["jax"], "x86_64") != (jax.__version__, platform.machine()):
        # By design: where the probabilities are others, however little, nothing can be decoded.
        same = "what was compressed where the model computes the same probabilities"
        assert message.startswith(f"data: expected {same}")
        assert message.endswith(f"(jax {header['jax']} there, jax {jax.__version__} here)")
    else:
        np.testing.assert_array_equal(events, x, message)


def test_events_that_do_not_fit_and_broken_variables_are_refused(small):
    model, variables, x, _ = small
    with pytest.raises(ValueError, match=r"^x: expected integers 0 ... 49"):
        compress(model, variables, x + 1)
    broken = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), variables)
    with pytest.raises(ValueError, match=r"^variables: expected ones of finite probabilities"):
        compress(model, broken, x)


def test_real_numbers_and_endless_counts_are_refused():
    for head, x in ((GaussianMixture(2), np.zeros((2, 3))), (Poisson(), np.zeros((2, 3), int))):
        model = ar.AutoregressiveModel(Raster((3,)), GRU(layers=1, width=4), head)
        variables = model.init(jax.random.key(0), x)
        with pytest.raises(ValueError, match=r"^head: expected one of finitely many values"):
            compress(model, variables, x)
