import re
import struct
import wave

import numpy as np
import pytest

from ar_jax.data import read_recordings, read_wav
from tests.mutations import check_damaged


def one_line(error):
    return "\n" not in str(error.value)


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
        ({"lengths": [2, 5]}, "from 1 on that add up to 6, got ones from 2 on that add up to 7"),
        ({"name": ["a"]}, r"name: expected 2 texts, got <U1 \[1\]"),
        ({"samples": SOUND.astype(float)}, r"expected int16 \[samples\], got float64 \[6\]"),
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


PCM = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
GUID = bytes.fromhex("0100000000001000800000aa00389b71")
EXTENSIBLE = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + GUID
THREE = struct.pack("<3h", 1, -2, 300)


def chunk(name, content, size=None):
    padded = content + bytes(len(content) % 2)
    return name + struct.pack("<I", len(content) if size is None else size) + padded


def riff(*chunks, size=None):
    content = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content) if size is None else size) + content


def wav(form, samples=THREE, size=None, before=b"", after=b"", whole=None):
    """A WAV file of a format and samples, with further chunks, and sizes that may be untrue."""
    return riff(before, chunk(b"fmt ", form), chunk(b"data", samples, size), after, size=whole)


def pcm(tag=1, bits=16):
    width = bits // 8
    return struct.pack("<HHIIHH", tag, 1, 8000, 8000 * width, width, bits)


LIST = chunk(b"LIST", b"odd")
HEADERS = {
    "plain": wav(PCM),
    "extensible": wav(EXTENSIBLE),
    "extensible, without valid bits": wav(EXTENSIBLE.replace(b"\x16\0\x10\0", b"\x16\0\0\0")),
    "with further chunks": wav(PCM + b"\0\0", before=LIST, after=LIST),
    "streamed by ffmpeg": wav(PCM, size=0xFFFFFFFF, before=LIST, whole=0xFFFFFFFF),
    "streamed by SoX": wav(PCM, size=0x7FFFF000, whole=0x7FFFF024),
    "streamed by arecord": wav(PCM, size=0x80000000, whole=0x80000024),
    "streamed with a size of 0": wav(PCM, size=0, whole=0),
}


@pytest.mark.parametrize("content", HEADERS.values(), ids=HEADERS)
def test_the_same_samples_are_read_from_every_header(content, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)
    np.testing.assert_array_equal(read_wav(tmp_path / "a.wav", 8000), [1, -2, 300])


OTHERS = {
    "1 of 32 bits (floats)": wav(pcm(tag=3, bits=32)),
    "1 of 16 bits (floats)": wav(EXTENSIBLE[:24] + b"\3" + EXTENSIBLE[25:]),
    "1 of 24 bits": wav(pcm(bits=24)),
    "1 of 8 bits (format 0x0007)": wav(pcm(tag=7, bits=8)),
    "1 of 12 bits (in blocks of 2 bytes)": wav(
        EXTENSIBLE.replace(b"\x16\0\x10\0", b"\x16\0\x0c\0")
    ),
    "1 of 16 bits (in blocks of 4 bytes)": wav(struct.pack("<HHIIHH", 1, 1, 8000, 32000, 4, 16)),
    "1 of 16 bits (format 0xfffe)": wav(EXTENSIBLE[:-1] + b"\0"),
}


@pytest.mark.parametrize(("got", "content"), OTHERS.items(), ids=OTHERS)
def test_samples_of_another_kind_are_refused_with_what_converts_them(got, content, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)
    message = re.escape(f"got {got} at 8000 Hz; convert it, e.g. with `ffmpeg -i a.wav -ac 1 -ar")
    with pytest.raises(ValueError, match=message) as error:
        read_wav(tmp_path / "a.wav", 8000)
    assert one_line(error)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (wav(PCM, b""), "of 2 bytes each, got 0 bytes"),
        (wav(PCM, b"", after=LIST), "of 2 bytes each, got 0 bytes"),
        (wav(PCM, THREE[:3]), "of 2 bytes each, got 3 bytes"),
        (wav(PCM, THREE[:3], size=0xFFFFFFFF)[:-1], "of 2 bytes each, got 3 bytes"),
        (wav(PCM, size=8), "expected 4 samples, got 3; the file is cut off"),
        (riff(chunk(b"fmt ", PCM)), "got one without samples"),
        (riff(chunk(b"data", THREE)), "got a format of 0 bytes"),
        (b"RIFX" + wav(PCM)[4:], "begins with b'RIFX.*; convert it, .*ffmpeg -i"),
        (b"RF64" + wav(PCM)[4:], "begins with b'RF64.*; convert it, .*ffmpeg -i"),
        (b"", "begins with b''"),
    ],
    ids=range(10),
)
def test_a_file_that_is_no_whole_recording_is_refused(content, message, tmp_path):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.wav: .*{message}") as error:
        read_wav(tmp_path / "a.wav", 8000)
    assert one_line(error)


def test_recordings_are_found_by_any_case_and_hidden_files_are_none(tmp_path):
    write_wav(tmp_path / "a.WAV", SOUND)
    (tmp_path / "._a.WAV").write_bytes(b"\0\5\x16\7")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "Thumbs.db").touch()
    assert list(read_recordings(tmp_path, 8000)) == ["a"]
    write_wav(tmp_path / "a.wav", SOUND)
    with pytest.raises(ValueError, match="expected distinct names, got two"):
        read_recordings(tmp_path, 8000)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lengths": [-2, 8]}, "lengths: .* got ones from -2 on that add up to 6"),
        ({"lengths": [0, 6]}, "lengths: .* got ones from 0 on"),
        ({"lengths": [2.0, 4.0]}, r"lengths: expected integers \[pieces\], got float64 \[2\]"),
        ({"lengths": [[2], [4]]}, r"lengths: expected integers \[pieces\], got int64 \[2, 1\]"),
        ({"lengths": np.zeros(0, int), "name": np.zeros(0, str)}, r"lengths: .*, got int64 \[0\]"),
        (
            {"lengths": np.array([2**63, 2**63 + 6], np.uint64)},
            "lengths: .* to 18446744073709551622",
        ),
        ({"samples": np.zeros((6, 2), np.int16)}, r"samples: expected .*, got int16 \[6, 2\]"),
        ({"name": [1, 2]}, r"name: expected 2 texts, got int64 \[2\]"),
    ],
)
def test_an_array_of_recordings_that_is_none_is_named(changed, message, tmp_path):
    np.savez(
        tmp_path / "a.npz", **{"samples": SOUND, "lengths": [2, 4], "name": ["a", "b"]} | changed
    )
    with pytest.raises(ValueError, match=f"a.npz, {message}") as error:
        read_recordings(tmp_path / "a.npz", 8000)
    assert one_line(error)


def test_lengths_of_any_integers_are_read(tmp_path):
    for dtype in (np.uint8, np.uint64, ">i4"):
        lengths = np.array([2, 4], dtype)
        np.savez(tmp_path / "a.npz", samples=SOUND, lengths=lengths, name=["a", "b"])
        assert [len(each) for each in read_recordings(tmp_path / "a.npz", 8000).values()] == [2, 4]


@pytest.mark.parametrize("form", [PCM, EXTENSIBLE], ids=["plain", "extensible"])
@pytest.mark.parametrize("size", [None, 0xFFFFFFFF], ids=["file", "stream"])
def test_a_damaged_file_gives_samples_or_a_value_error(form, size, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(form, size=size, before=chunk(b"LIST", b"INFO")))
    check_damaged(
        lambda path: read_wav(path, 8000),
        tmp_path / "a.wav",
        lambda samples: samples.dtype == np.int16 and len(samples) > 0,
    )
