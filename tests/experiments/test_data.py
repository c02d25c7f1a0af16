"""What experiments read and write: data that is not given is asked for by its option."""

import wave

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.mnist_grey import MnistGrey
from experiments.recipes import RECIPES
from experiments.speech_samples import SpeechSamples
from tests.mutations import check_damaged


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
