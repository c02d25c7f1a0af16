"""What `compress` takes, `decompress` gives back; what an archive says of its files is doubted."""

import io
import json
import unicodedata

import jax
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from scipy.io import wavfile

from ar_jax.experiment import codec
from ar_jax.experiment.codec import contents
from experiments.codec import compress_files, decompress_files
from experiments.fashion_transformer import FashionTransformer
from experiments.speech_samples import SpeechSamples
from experiments.text import Text, byte_transformer

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))


def silent(share):
    """Tells nobody how much is done."""


@pytest.mark.parametrize(
    "files",
    [
        None,
        {},
        [],
        [["../a", 3]],
        [["/etc/a", 3]],
        [["..", 3]],
        [[".", 3]],
        [["", 3]],
        [["a/", 3]],
        [["a\0", 3]],
        [["a\x1b[2J", 3]],
        [["a\n", 3]],
        [["a\x9b", 3]],
        [["a\udcff", 3]],
        [["a" * 256, 3]],
        [["é" * 128, 3]],
        [["a", -1]],
        [["a", True]],
        [["a", 2.0]],
        [["a", 2**63]],
        [["a", 3, 4]],
        [[3, "a"]],
        [["a", 0]],
        [["a", 1], ["a", 2]],
        [["a", 1], ["A", 2]],
        [["straße", 1], ["STRASSE", 2]],
        [[COMPOSED, 1], [DECOMPOSED, 2]],
    ],
    ids=lambda files: json.dumps(files)[:40],
)
def test_names_that_lead_elsewhere_and_counts_that_cannot_be_are_refused(files, monkeypatch):
    monkeypatch.setattr(codec, "read", lambda data: ({"about": {"files": files}}, b""))
    with pytest.raises(ValueError, match=r"^files: expected") as raised:
        contents(b"")
    assert str(raised.value).isascii()
    assert str(raised.value).isprintable()


def test_names_that_this_system_cannot_have_are_refused(monkeypatch):
    monkeypatch.setattr(codec, "FORBIDDEN", '/\\:*?"<>|')
    for name in ("a\\b", "c:a", "a:stream", "a?"):
        with pytest.raises(ValueError, match=r"^files: expected names of 1 ... 255 bytes"):
            codec.check_files([[name, 3]])


NAMES = ["plain.txt", "log 10:00.txt", "a\\b", "c:a", "a.new", "a", ".b", " ", "[b]", "-x"]
NAMES += [DECOMPOSED, "n" * 255, "é" * 127, "\u202f", "漢\U0001f600", "con", "empty"]


@pytest.fixture(scope="module")
def text():
    """An experiment on bytes, whose window is longer than the files, and its variables."""
    experiment = Text(model=byte_transformer(layers=1, width=8, window=256))
    variables = jax.jit(experiment.model.init)(jax.random.key(0), np.zeros((1, 512), np.int32))
    return experiment, variables


def test_short_files_come_back_whatever_their_names(text, tmp_path):
    files = {name: name.encode() for name in NAMES} | {"empty": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    data = compress_files(*text, [tmp_path / name for name in files], silent)
    assert [name for name, _ in contents(data)] == NAMES
    assert decompress_files(*text, data, silent) == files


@pytest.mark.parametrize("name", ["a\x1b[2J", "a\n", "a\udcff", "\x7f"], ids=ascii)
def test_what_decompress_would_refuse_is_not_compressed(text, name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"content")
    with pytest.raises(ValueError, match=r"^files: expected names of 1 ... 255 bytes"):
        compress_files(*text, [path], silent)


def test_names_that_differ_only_by_case_are_not_compressed_together(text, tmp_path):
    paths = [tmp_path / "Makefile", tmp_path / "makefile"]
    with pytest.raises(ValueError, match=r"^files: expected names that differ by more than case"):
        compress_files(*text, paths, silent)


def test_both_sides_take_as_many_values_as_they_are_told(text, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    with pytest.raises(ValueError, match=r"^files: expected 9 variables at most, got 10 steps"):
        compress_files(*text, [path], silent, 9)
    data = compress_files(*text, [path], silent, 10)
    with pytest.raises(ValueError, match=r"^files: expected 9 variables at most, got 10 steps"):
        decompress_files(*text, data, silent, 9)
    assert decompress_files(*text, data, silent, 10) == {"a": b"0123456789"}


def test_counts_that_claim_the_moon_are_refused_before_the_model_is_traced(text, monkeypatch):
    files = [[f"{i}", 2**62] for i in range(40)]
    monkeypatch.setattr(codec, "read", lambda data: ({"about": {"files": files}}, b""))
    monkeypatch.setattr(codec, "with_length", None)
    with pytest.raises(ValueError, match=r"^files: expected 268435456 variables at most"):
        decompress_files(*text, b"", silent)


def wav(path, samples, extra=b""):
    wavfile.write(path, 8000, samples)
    path.write_bytes(path.read_bytes() + extra)


def test_a_recording_that_holds_more_than_its_samples_is_not_compressed(tmp_path):
    path = tmp_path / "a.wav"
    wav(path, np.arange(3, dtype=np.int16), b"LIST\4\0\0\0note")
    with pytest.raises(ValueError, match=r"a\.wav: expected"):
        compress_files(SpeechSamples(), {}, [path], silent)


@pytest.mark.parametrize("kind", ["text", "dpi", "trailing", "jpeg", "animated", "twice"])
def test_an_image_that_holds_more_than_its_pixels_is_not_compressed(kind, tmp_path):
    image, options, extra = Image.fromarray(np.zeros((28, 28), np.uint8)), {}, b""
    path = tmp_path / "a.png"
    match kind:
        case "text":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_text("Title", "zero")
        case "dpi":
            options["dpi"] = (72, 72)
        case "trailing":
            extra = b"more"
        case "animated":
            other = Image.fromarray(np.ones((28, 28), np.uint8))
            options |= {"save_all": True, "append_images": [other]}
        case "twice":
            path = tmp_path / "a.npy"
    content = io.BytesIO()
    if kind == "twice":
        for _ in range(2):
            np.save(content, np.zeros((1, 28, 28, 1), np.uint8))
    else:
        image.save(content, "JPEG" if kind == "jpeg" else "PNG", **options)
    path.write_bytes(content.getvalue() + extra)
    with pytest.raises(ValueError, match=r"a\.(png|npy): expected"):
        compress_files(FashionTransformer(), {}, [path], silent)


def test_an_image_is_the_same_however_its_pixels_are_packed():
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    small, large = io.BytesIO(), io.BytesIO()
    Image.fromarray(pixels).save(small, "PNG", optimize=True)
    Image.fromarray(pixels).save(large, "PNG", compress_level=0)
    experiment = FashionTransformer()
    assert experiment.same(small.getvalue(), large.getvalue())
    Image.fromarray(pixels ^ 1).save(other := io.BytesIO(), "PNG")
    assert not experiment.same(small.getvalue(), other.getvalue())


def test_a_sequence_lies_side_by_side_in_streams_of_one_length_but_the_last():
    values = np.arange(14).reshape(7, 2)
    streams = codec.side_by_side(values, np.array([3, 3, 1]))
    np.testing.assert_array_equal(streams.reshape(-1, 2)[:7], values)
    assert streams.shape == (3, 3, 2)
    assert not streams[2, 1:].any()
