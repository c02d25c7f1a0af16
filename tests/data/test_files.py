import gzip
import shutil
import struct
import wave

import numpy as np
import pytest
from PIL import Image

from ar_jax.data import (
    read_fasta,
    read_image,
    read_images,
    read_npz,
    read_recordings,
    read_text,
    read_wav,
)


def one_line(error):
    return "\n" not in str(error.value)


@pytest.mark.parametrize(
    "read",
    [
        read_fasta,
        read_image,
        read_images,
        read_npz,
        read_text,
        lambda path: read_wav(path, 8000),
        lambda path: read_recordings(path, 8000),
    ],
)
def test_what_is_absent_is_said_to_be(read, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing: expected a file or folder") as error:
        read(tmp_path / "nothing")
    assert one_line(error)


def test_the_arrays_of_an_npz_come_back_by_their_names(tmp_path):
    x, name = np.arange(6.0).reshape(2, 3), np.array(["a", "b"])
    np.savez_compressed(tmp_path / "a.npz", x=x, name=name)
    arrays = read_npz(tmp_path / "a.npz")
    assert set(arrays) == {"x", "name"}
    np.testing.assert_array_equal(arrays["x"], x)
    np.testing.assert_array_equal(arrays["name"], name)


def test_pickled_objects_in_an_npz_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{"code": "may run"}], object))
    with pytest.raises(ValueError, match=r"expected an .npz of arrays, got Object") as error:
        read_npz(tmp_path / "a.npz")
    assert one_line(error)


@pytest.mark.parametrize("cut", [0, 10, 200, 500])
def test_a_file_that_is_no_whole_npz_is_refused(cut, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"a.npz: expected an .npz of arrays, got") as error:
        read_npz(tmp_path / "a.npz")
    assert one_line(error)


def test_an_array_damaged_within_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(100))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[500] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.npz: expected an .npz of arrays, got Bad CRC-32"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_text_comes_back_with_its_line_ends(name, tmp_path):
    text = "première ligne\r\nzweite Zeile\n\n"
    write = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(write(text.encode()))
    assert read_text(tmp_path / name) == text
    assert read_text(str(tmp_path / name)) == text


def test_a_byte_that_is_not_utf_8_is_named_by_its_offset(tmp_path):
    (tmp_path / "a.txt").write_bytes("äb".encode() + b"\xe4c")
    with pytest.raises(ValueError, match="expected UTF-8, got byte 0xe4 at offset 3") as error:
        read_text(tmp_path / "a.txt")
    assert one_line(error)


@pytest.mark.parametrize("content", [b"plain", gzip.compress(b"x" * 1000, mtime=0)[:-9]])
def test_a_text_that_is_not_whole_gzip_is_refused(content, tmp_path):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a.gz: expected gzip, got") as error:
        read_text(tmp_path / "a.gz")
    assert one_line(error)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fasta_gives_headers_and_joined_lines(end, tmp_path):
    lines = [">sp|P1 alpha > beta", "MKV", "LAA", ">second", "GG", ""]
    (tmp_path / "a.fasta").write_bytes(end.join(lines).encode())
    expected = [("sp|P1 alpha > beta", "MKVLAA"), ("second", "GG")]
    assert read_fasta(tmp_path / "a.fasta") == expected


def test_fasta_may_be_compressed(tmp_path):
    (tmp_path / "a.fasta.gz").write_bytes(gzip.compress(b">a\nACGT\n>a\nTT", mtime=0))
    assert read_fasta(tmp_path / "a.fasta.gz") == [("a", "ACGT"), ("a", "TT")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("ACGT\n", "expected FASTA, which begins with '>', got 'ACGT"),
        ("", "expected FASTA, which begins with '>', got ''"),
        (">a\nAC\n>b\n>c\nGT", "got an empty one at index 1"),
    ],
)
def test_what_is_no_fasta_is_refused(content, message, tmp_path):
    (tmp_path / "a.fasta").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        read_fasta(tmp_path / "a.fasta")
    assert one_line(error)


def random_image(seed, shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(5, 7, 1), (5, 7, 3)])
def test_an_image_comes_back_with_its_channels(shape, tmp_path):
    pixels = random_image(0, shape)
    Image.fromarray(pixels[..., 0] if shape[-1] == 1 else pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, pixels)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 1), ("P", 3), ("RGBA", 3)])
def test_other_images_of_8_bits_become_grey_or_rgb(mode, channels, tmp_path):
    Image.new(mode, (4, 4), 1).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").shape == (4, 4, channels)


def test_an_image_of_16_bits_is_refused(tmp_path):
    Image.fromarray(np.arange(16, dtype=np.uint16).reshape(4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: expected an 8-bit image, got mode I;16"):
        read_image(tmp_path / "a.png")


def images_in(folder, count, seed):
    folder.mkdir(exist_ok=True)
    images = [random_image(seed + i, (3, 4, 3)) for i in range(count)]
    for i, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{i}.png")
    return images


def test_a_folder_of_images_is_read_in_the_order_of_names(tmp_path):
    images = images_in(tmp_path, 3, seed=0)
    (tmp_path / "notes.txt").write_text("not an image", encoding="utf-8")
    arrays, classes = read_images(tmp_path)
    np.testing.assert_array_equal(arrays.x, images)
    assert arrays.y is None
    assert classes == []


def test_sub_folders_are_classes(tmp_path):
    zebras, ants = images_in(tmp_path / "zebra", 2, 0), images_in(tmp_path / "ant", 3, 5)
    arrays, classes = read_images(tmp_path)
    assert classes == ["ant", "zebra"]
    np.testing.assert_array_equal(arrays.x, [*ants, *zebras])
    np.testing.assert_array_equal(arrays.y, np.array([0, 0, 0, 1, 1], np.int32))


def test_an_unreadable_image_is_named(tmp_path):
    images_in(tmp_path, 3, seed=0)
    content = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"1.png: expected an 8-bit image, got") as error:
        read_images(tmp_path)
    assert one_line(error)
    (tmp_path / "1.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"1.png: expected an 8-bit image, got"):
        read_images(tmp_path)


def test_an_image_of_another_shape_is_named(tmp_path):
    images_in(tmp_path, 3, seed=0)
    Image.new("RGB", (9, 9)).save(tmp_path / "2.png")
    message = r"2.png: expected shape \[3, 4, 3\], as .*0.png, got \[9, 9, 3\]"
    with pytest.raises(ValueError, match=message) as error:
        read_images(tmp_path)
    assert one_line(error)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected images, such as .png or .jpg"):
        read_images(tmp_path)


def test_images_beside_sub_folders_of_images_are_refused(tmp_path):
    images_in(tmp_path / "ant", 1, 0)
    images_in(tmp_path, 1, 0)
    with pytest.raises(ValueError, match=r"0.png: expected images in sub-folders only"):
        read_images(tmp_path)


def write_wav(path, samples, rate=8000, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", "not compressed"))
        file.writeframes(samples.tobytes())


SOUND = np.array([0, 1, -1, 32767, -32768, 258], np.int16)


def test_a_recording_comes_back_sample_by_sample(tmp_path):
    write_wav(tmp_path / "a.wav", SOUND)
    samples = read_wav(tmp_path / "a.wav", 8000)
    assert samples.dtype == np.int16
    np.testing.assert_array_equal(samples, SOUND)


def test_a_wav_is_what_its_format_says(tmp_path):
    # Written byte by byte, with a chunk that has nothing to do with sound before the samples
    data = struct.pack("<3h", -2, 5, 300)
    chunks = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    chunks += b"LIST" + struct.pack("<I", 4) + b"INFO" + b"data" + struct.pack("<I", 6) + data
    (tmp_path / "a.wav").write_bytes(
        b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
    )
    np.testing.assert_array_equal(read_wav(tmp_path / "a.wav", 8000), [-2, 5, 300])


@pytest.mark.parametrize(
    ("form", "got"),
    [
        ({"rate": 44100}, "1 of 16 bits at 44100 Hz"),
        ({"channels": 2}, "2 of 16 bits at 8000 Hz"),
        ({"width": 1}, "1 of 8 bits at 8000 Hz"),
    ],
)
def test_a_recording_of_another_form_is_refused(form, got, tmp_path):
    write_wav(tmp_path / "a.wav", SOUND, **form)
    message = f"a.wav: expected 1 channel of 16 bits at 8000 Hz, got {got}; convert it"
    with pytest.raises(ValueError, match=message) as error:
        read_wav(tmp_path / "a.wav", 8000)
    assert one_line(error)


def test_a_recording_that_is_cut_off_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", SOUND)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:-4])
    with pytest.raises(ValueError, match=r"a.wav: expected 6 samples, got 4; the file is cut off"):
        read_wav(tmp_path / "a.wav", 8000)
    (tmp_path / "a.wav").write_bytes(content[:20])
    with pytest.raises(ValueError, match=r"a.wav: expected a WAV file, got"):
        read_wav(tmp_path / "a.wav", 8000)


def test_a_folder_of_recordings_is_read_by_name(tmp_path):
    write_wav(tmp_path / "one.wav", SOUND)
    write_wav(tmp_path / "half.wav", SOUND[:3])
    recordings = read_recordings(tmp_path, 8000)
    assert list(recordings) == ["half", "one"]
    np.testing.assert_array_equal(recordings["half"], SOUND[:3])


def test_an_npz_of_recordings_is_read_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", samples=SOUND, lengths=[2, 4], name=["a", "b"])
    recordings = read_recordings(tmp_path / "a.npz", 8000)
    assert list(recordings) == ["a", "b"]
    np.testing.assert_array_equal(recordings["b"], SOUND[2:])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lengths": [2, 5]}, "got 6 of int16 for 7 in 2 names"),
        ({"name": ["a"]}, "got 6 of int16 for 6 in 1 names"),
        ({"samples": SOUND.astype(float)}, "got 6 of float64 for 6 in 2 names"),
        ({"name": ["a", "a"]}, "expected 2 distinct names, got 1"),
    ],
)
def test_an_npz_whose_recordings_do_not_add_up_is_refused(changed, message, tmp_path):
    arrays = {"samples": SOUND, "lengths": [2, 4], "name": ["a", "b"]} | changed
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=message) as error:
        read_recordings(tmp_path / "a.npz", 8000)
    assert one_line(error)


def test_an_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", samples=SOUND, name=["a"])
    with pytest.raises(ValueError, match="expected an array lengths, got samples, name"):
        read_recordings(tmp_path / "a.npz", 8000)


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected .wav files, got none"):
        read_recordings(tmp_path, 8000)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    shutil.copytree(tmp_path, tmp_path / "folder")
    for read in (read_text, read_npz, read_image, read_fasta, lambda path: read_wav(path, 8000)):
        with pytest.raises(ValueError, match="folder: expected a file, got a folder"):
            read(tmp_path / "folder")


def test_a_file_in_place_of_a_folder_of_images_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a.txt: expected a folder, got a file"):
        read_images(tmp_path / "a.txt")
