"""Recordings of sound from files."""

import struct
from pathlib import Path

import numpy as np

from ar_jax.data.files import existing, read_content, visible
from ar_jax.data.npz import read_npz
from ar_jax.data.sources import split_pieces

KINDS = {1: "", 3: "floats"}  # of samples, by the format's tag: integers have no name
EXTENSIBLE = 0xFFFE
GUID = bytes.fromhex("000000001000800000aa00389b71")  # what follows the tag in an extensible format
STREAM = 0x7FFFF000
"""Sizes from here on, and 0, stand in the header of a stream, whose end was not known."""


def read_wav(path: Path | str, rate: int) -> np.ndarray:
    """A recording of one channel and 16 bits: int16 `[samples]`.

    The samples are integers (PCM), in a plain or an extensible header. Where the header is that of
    a stream, which gives no size (0, or 2 GiB and more than there is), they go on to the end of
    the file.

    Args:
      path: of the file.
      rate: samples per second that it must have.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is no such recording, is cut off, or has no samples.
    """
    content = read_content(path)
    form, data = _chunks(path, content)
    if len(form) < 16:
        raise ValueError(f"{path}: expected a WAV file, got a format of {len(form)} bytes")
    tag, channels, got_rate, _, width, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and len(form) >= 40 and form[26:40] == GUID:
        valid, _, tag = struct.unpack_from("<HIH", form, 18)
        bits = valid or bits
    kind = KINDS.get(tag, f"format {tag:#06x}")
    if 8 * width != channels * bits:
        kind = kind or f"in blocks of {width} bytes"
    if (kind, channels, bits, got_rate) != ("", 1, 16, rate):
        raise ValueError(
            f"{path}: expected 1 channel of 16 bits at {rate} Hz, got {channels} of {bits} "
            f"bits{kind and f' ({kind})'} at {got_rate} Hz; convert it, e.g. with `ffmpeg -i "
            f"{Path(path).name} -ac 1 -ar {rate} -c:a pcm_s16le NEW.wav`"
        )
    if not data or len(data) % 2:
        raise ValueError(f"{path}: expected samples of 2 bytes each, got {len(data)} bytes")
    return np.frombuffer(data, "<i2").astype(np.int16)


def read_recordings(path: Path | str, rate: int) -> dict[str, np.ndarray]:
    """Recordings by name, each int16 `[samples]`.

    Args:
      path: a folder of WAV files (sub-folders, what systems hide, and files that do not end in
        `.wav` are left out), or an `.npz` of `samples` int16 (all recordings, one after the
        other), `lengths` and `name`.
      rate: samples per second that WAV files must have; an `.npz` does not tell.

    Raises:
      FileNotFoundError: when there is no such folder or file, or no recording in it.
      ValueError: when a recording cannot be read, or two have one name.
    """
    path = existing(path)
    if path.is_dir():
        files = [file for file in visible(path) if file.suffix.lower() == ".wav"]
        if not files:
            raise FileNotFoundError(
                f"{path}: expected .wav files, got none; sub-folders are not looked into"
            )
        recordings = {file.stem: read_wav(file, rate) for file in files}
        if len(recordings) < len(files):
            raise ValueError(f"{path}: expected distinct names, got two that differ in .wav only")
        return recordings
    arrays = read_npz(path)
    if missing := {"samples", "lengths", "name"} - set(arrays):
        raise ValueError(f"{path}: expected an array {min(missing)}, got {', '.join(arrays)}")
    samples, lengths, names = arrays["samples"], arrays["lengths"], arrays["name"]
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(
            f"{path}, samples: expected int16 [samples], got {samples.dtype} {list(samples.shape)}"
        )
    recordings = split_pieces(f"{path}, lengths", samples, lengths)
    if names.dtype.kind != "U" or names.shape != lengths.shape:
        raise ValueError(
            f"{path}, name: expected {len(lengths)} texts, got {names.dtype} {list(names.shape)}"
        )
    if len(distinct := set(names.tolist())) < len(names):
        raise ValueError(f"{path}: expected {len(names)} distinct names, got {len(distinct)}")
    return dict(zip(names.tolist(), recordings, strict=True))


def _chunks(path: Path | str, content: bytes) -> tuple[bytes, bytes]:
    """The format and the samples of a WAV file."""
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(
            f"{path}: expected a WAV file, got one that begins with {content[:12]!r}; convert it, "
            f"e.g. with `ffmpeg -i {Path(path).name} -c:a pcm_s16le NEW.wav`"
        )
    form, place = b"", 12
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        body = content[place + 8 : place + 8 + size]
        if name == b"data":
            rest = content[place + 8 :]
            stream = size >= STREAM and len(body) < size
            if stream or (size == 0 and not _are_chunks(rest)):
                return form, rest
            if len(body) < size:
                raise ValueError(
                    f"{path}: expected {size // 2} samples, got {len(body) // 2}; the file is cut "
                    "off"
                )
            return form, body
        if name == b"fmt ":
            form = body
        place += 8 + size + size % 2
    raise ValueError(f"{path}: expected a WAV file, got one without samples; it is cut off")


def _are_chunks(content: bytes) -> bool:
    """Whether this is a row of chunks, to its end."""
    place = 0
    while place + 8 <= len(content) and content[place : place + 4].isascii():
        place += 8 + struct.unpack_from("<I", content, place + 4)[0]
        place += place % 2
    return len(content) <= place <= len(content) + 1  # the last may lack its padding
