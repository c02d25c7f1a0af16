"""What experiments read: each kind of wrong data is told, with its file and what to do."""

import dataclasses
import json
import wave

import h5py
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.chorales import Chorales, Pieces
from experiments.mnist_grey import MnistGrey
from experiments.recipes import RECIPES
from experiments.recipes.jsb_chorales import PiecesFile
from experiments.recipes.uci import read_table
from experiments.speech import Recordings, Speech
from experiments.speech_samples import SpeechSamples
from experiments.table_data import Loads, read_loads
from experiments.table_data import read_table as read_small_table
from experiments.text import Text, TextFile
from tests.mutations import check_damaged


def refused(message, read):
    with pytest.raises(ValueError, match=message) as error:
        read()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("length", [0, 9, 100, 5119])
def test_a_text_that_is_too_short_is_named_with_how_much_it_takes(length, tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"a" * length)
    message = rf"a.txt: expected at least 5,120 bytes, .*, got {length:,}; give a longer text"
    refused(message, lambda: Text(data=TextFile(str(path))).splits)


def test_the_shortest_text_has_a_window_in_each_part(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a" * 5120)
    splits = Text(data=TextFile(str(tmp_path / "a.txt"))).splits
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
    refused(f"a.npz(, |: ).*{message}", lambda: Chorales(data=Pieces(str(path))).splits)


@pytest.mark.parametrize("kind", [Speech, SpeechSamples])
@pytest.mark.parametrize(("count", "length"), [(9, 4000), (10, 2047)])
def test_few_or_short_recordings_are_told_with_how_much_they_take(kind, count, length, tmp_path):
    path = tmp_path / "a.npz"
    names = [str(number) for number in range(count)]
    samples = np.zeros(count * length, np.int16)
    np.savez(path, samples=samples, lengths=[length] * count, name=names)
    expected = "at least 10 pieces" if count < 10 else "at least 2048 steps, one window"
    refused(f"a.npz: expected {expected}", lambda: kind(data=Recordings(str(path))).splits)


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
    table = read_small_table("electricity", Loads(str(tmp_path / "a.npz")))
    assert all(len(part) for part in vars(table.fold(0).parts).values())


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
    recipe = RECIPES["jsb_chorales/gru"].experiment
    return dataclasses.replace(recipe, data=PiecesFile(str(folder / "a.json"))).splits


def test_pieces_nested_without_end_are_refused_and_a_byte_order_mark_is_not(tmp_path):
    refused("a.json: .*RecursionError", lambda: jsb(tmp_path, b"[" * 10**6))
    content = b"\xef\xbb\xbf" + json.dumps(PARTS).encode()
    assert len(jsb(tmp_path, content).train.tokens) == 40


TABLES = {"power": "power/data.npy", "miniboone": "miniboone/data.npy"}
TABLES |= {"gas": "gas/ethylene_CO.txt", "hepmass": "hepmass/1000_train.csv"}


@pytest.mark.parametrize(("name", "file"), TABLES.items())
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((19, 8)), "expected at least 20 rows, to deal out, got 19"),
        (np.ones((30, 3)), r"expected at least 4 columns, got shape \[30, 3\]"),
        (np.full((30, 8), np.nan), "expected finite numbers"),
    ],
)
def test_a_table_that_is_none_is_named(name, file, values, message, tmp_path):
    path = tmp_path / file
    path.parent.mkdir()
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        np.savetxt(path, values, delimiter="," if name == "hepmass" else " ", header="names")
        (path.parent / "1000_test.csv").write_bytes(path.read_bytes())
    refused(f"{path.name}: {message}", lambda: read_table(name, tmp_path))


def test_a_text_in_place_of_numbers_is_named(tmp_path):
    (tmp_path / "gas").mkdir()
    (tmp_path / "gas" / "ethylene_CO.txt").write_text("names\n1 2 x 4\n", encoding="utf-8")
    refused("CO.txt: expected rows of numbers, got could", lambda: read_table("gas", tmp_path))


def test_a_file_of_hdf5_that_claims_more_than_it_holds_is_refused(tmp_path):
    path = tmp_path / "BSDS300" / "BSDS300.hdf5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        for name in ("train", "validation", "test"):
            file.create_dataset(name, (2**40, 63), "f8", chunks=(2**10, 63))
    refused("hdf5: expected train, .*, more than the file", lambda: read_table("bsds300", tmp_path))
    path.write_bytes(b"no such file")
    refused("hdf5: expected train, validation and test", lambda: read_table("bsds300", tmp_path))


@pytest.mark.parametrize(
    ("name", "option", "address"),
    [
        ("power/maf_1x100", "--data.dir FOLDER", "https://zenodo.org/records/1161203"),
        ("jsb_chorales/gru", "--data.path FILE", "https://github.com/czhuang/JSB-Chorales-dataset"),
        ("text8/mamba", "--data.path FILE", "http://mattmahoney.net/dc/text8.zip"),
        ("enwik8/mamba", "--data.path FILE", "http://mattmahoney.net/dc/enwik8.zip"),
        ("speech/wavenet", "--data.path FOLDER", "https://downloads.asterisk.org"),
        ("king_james/transformer", "--data.path FILE", "in UTF-8"),
        ("chorales/lstm", "--data.path FILE", "music21"),
        ("imagenet32/pixelsnail", "--data.dir FOLDER", "tensorflow/datasets/issues/4662"),
        ("imagenet64/pixelsnail", "--data.dir FOLDER", "none of this benchmark"),
        ("static_mnist/made", "--data.dir FOLDER", "is reported missing"),
        ("cifar10/pixelsnail", "--data.dir FOLDER", "tfds.builder('cifar10'"),
        ("dynamic_mnist/made", "--data.dir FOLDER", "tfds.builder('mnist'"),
    ],
)
def test_data_that_is_not_given_is_asked_for_by_its_option_and_address(
    name, option, address, tmp_path, monkeypatch
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        _ = RECIPES[name].experiment.splits
    assert option in str(error.value)
    assert address in str(error.value)
    assert "\n" not in str(error.value)


def test_a_recording_is_written_as_it_was_read(tmp_path):
    sound = np.random.default_rng(0).integers(-(2**15), 2**15, 50, np.int16)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(sound.tobytes())
    codec = SpeechSamples()
    back = codec.written(codec.read(tmp_path / "a.wav"), "a.wav")
    assert back == (tmp_path / "a.wav").read_bytes()


GREY = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)


def kinds_of_png():
    """The same grey image, with something that a codec of grey levels does not give back."""
    image, text, exif = Image.fromarray(GREY), PngInfo(), Image.Exif()
    text.add_text("Author", "a person")
    exif[0x0112] = 6
    opaque = Image.fromarray(np.stack([GREY, np.full_like(GREY, 255)], -1))
    return {
        "an alpha": (opaque, {}),
        "an orientation": (image, {"exif": exif}),
        "a palette": (image.convert("P"), {}),
        "colours": (image.convert("RGB"), {}),
        "black and white": (image.convert("1"), {}),
        "fewer bits": (Image.fromarray(GREY // 64), {"bits": 2}),
        "a text": (image, {"pnginfo": text}),
        "a resolution": (image, {"dpi": (300, 300)}),
        "colour management": (image, {"icc_profile": b"profile"}),
        "several pictures": (image, {"save_all": True, "append_images": [Image.fromarray(~GREY)]}),
    }


@pytest.mark.parametrize("kind", kinds_of_png())
def test_an_image_that_cannot_be_given_back_is_refused(kind, tmp_path):
    image, options = kinds_of_png()[kind]
    image.save(tmp_path / "a.png", **options)
    assert not comes_back(tmp_path / "a.png")


def test_an_image_of_nothing_but_grey_levels_comes_back(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert comes_back(tmp_path / "a.png")
    with (tmp_path / "a.png").open("ab") as file:
        file.write(b"more")
    assert not comes_back(tmp_path / "a.png")


def comes_back(path):
    """Whether the codec of grey images says that it gives a file back."""
    codec = MnistGrey()
    try:
        values = codec.read(path)
    except ValueError:
        return False
    fits = values.shape[1:] == (28, 28, 1)
    return fits and codec.same(path.read_bytes(), codec.written(values, path.name))


def test_a_damaged_array_of_images_gives_images_or_a_value_error(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 3, 1), np.uint8))
    check_damaged(MnistGrey().read, tmp_path / "a.npy", lambda x: x.dtype == np.int32)
