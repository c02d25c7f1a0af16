"""Readers of the kinds of files that people have. None of them splits: see `shuffled_split`."""

import gzip
import wave
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from ar_jax.data.sources import Arrays, stacked

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def read_npz(path: Path | str) -> dict[str, np.ndarray]:
    """The named arrays of an `.npz` file; pickled objects are refused, since they run code.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it, or an array of it, cannot be read.
    """
    path = _file(path)
    try:
        with zipfile.ZipFile(path):  # numpy would take another file for a pickle
            pass
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: expected an .npz of arrays, got {one_line(error)}") from error


def read_text(path: Path | str) -> str:
    """A text in UTF-8, compressed if it ends in `.gz`; line ends stay as they are.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is not UTF-8, with the offset in bytes, or not gzip.
    """
    path = _file(path)
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected UTF-8, got byte {error.object[error.start]:#04x} at offset "
            f"{error.start}; convert it, e.g. with iconv"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: expected gzip, got {one_line(error)}") from error


def read_fasta(path: Path | str) -> list[tuple[str, str]]:
    """Headers and sequences of a FASTA file, compressed if it ends in `.gz`.

    Args:
      path: of the file; a header may hold `>` itself.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it does not begin with `>`, or a sequence is empty.
    """
    text = read_text(path)
    if not text.startswith(">"):
        raise ValueError(f"{path}: expected FASTA, which begins with '>', got {text[:20]!r}")
    records = []
    for index, record in enumerate(text[1:].split("\n>")):
        header, _, lines = record.partition("\n")
        records.append((header.strip(), "".join(lines.split())))
        if not records[-1][1]:
            raise ValueError(f"{path}: expected sequences, got an empty one at index {index}")
    return records


def read_image(path: Path | str) -> np.ndarray:
    """An image of 8 bits a channel: uint8 `[height, width, channels]`, grey or RGB.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is no such image.
    """
    path = _file(path)
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                raise ValueError(f"mode {image.mode}")
            pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except (ValueError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: expected an 8-bit image, got {one_line(error)}") from error
    return pixels.reshape(*pixels.shape[:2], -1)


def read_images(folder: Path | str) -> tuple[Arrays, list[str]]:
    """The images of a folder, all of one size, in the order of their names.

    Args:
      folder: of images, or of one sub-folder of images for each class.

    Returns:
      Events uint8 `[images, height, width, channels]` with, where there are sub-folders, labels
      int32 `[images]`; and the names of the classes, sorted.

    Raises:
      FileNotFoundError: when there is no such folder, or no image in it.
      ValueError: when an image cannot be read or differs from the first.
    """
    folder = _existing(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder, got a file")
    classes = sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
    pattern = "[!.]*/*" if classes else "*"
    paths = sorted(path for path in folder.glob(pattern) if _is_image(path))
    if not paths:
        raise FileNotFoundError(f"{folder}: expected images, such as .png or .jpg, got none")
    if classes and (stray := [path for path in folder.iterdir() if _is_image(path)]):
        raise ValueError(f"{stray[0]}: expected images in sub-folders only, as the others")
    x = stacked([read_image(path) for path in paths], [str(path) for path in paths])
    if not classes:
        return Arrays(x), classes
    labels = [classes.index(path.parent.name) for path in paths]
    return Arrays(x, np.array(labels, np.int32)), classes


def read_wav(path: Path | str, rate: int) -> np.ndarray:
    """A recording of one channel and 16 bits: int16 `[samples]`.

    Args:
      path: of the file.
      rate: samples per second that it must have.

    Raises:
      FileNotFoundError: when there is no such file.
      ValueError: when it is no such recording, or is cut off.
    """
    path = _file(path)
    try:
        with wave.open(str(path)) as file:
            form = file.getnchannels(), 8 * file.getsampwidth(), file.getframerate()
            frames, content = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: expected a WAV file, got {one_line(error)}") from error
    if form != (1, 16, rate):
        raise ValueError(
            f"{path}: expected 1 channel of 16 bits at {rate} Hz, got {form[0]} of {form[1]} "
            f"bits at {form[2]} Hz; convert it, e.g. with `ffmpeg -ac 1 -ar {rate} -sample_fmt s16`"
        )
    if len(content) != 2 * frames:
        got = len(content) // 2
        raise ValueError(f"{path}: expected {frames} samples, got {got}; the file is cut off")
    return np.frombuffer(content, "<i2").astype(np.int16)


def read_recordings(path: Path | str, rate: int) -> dict[str, np.ndarray]:
    """Recordings by name, each int16 `[samples]`.

    Args:
      path: a folder of WAV files, or an `.npz` of `samples` int16 (all recordings, one after the
        other), `lengths` and `name`.
      rate: samples per second that WAV files must have; an `.npz` does not tell.

    Raises:
      FileNotFoundError: when there is no such folder or file, or no recording in it.
      ValueError: when a recording cannot be read.
    """
    path = _existing(path)
    if path.is_dir():
        recordings = {file.stem: read_wav(file, rate) for file in sorted(path.glob("*.wav"))}
        if not recordings:
            raise FileNotFoundError(f"{path}: expected .wav files, got none")
        return recordings
    arrays = read_npz(path)
    if missing := {"samples", "lengths", "name"} - set(arrays):
        raise ValueError(f"{path}: expected an array {min(missing)}, got {', '.join(arrays)}")
    samples, lengths, names = arrays["samples"], arrays["lengths"], arrays["name"]
    if samples.dtype != np.int16 or lengths.sum() != len(samples) or len(names) != len(lengths):
        raise ValueError(
            f"{path}: expected int16 samples, as many as the lengths add up to, got "
            f"{len(samples)} of {samples.dtype} for {lengths.sum()} in {len(names)} names"
        )
    if len(distinct := set(names.tolist())) < len(names):
        raise ValueError(f"{path}: expected {len(names)} distinct names, got {len(distinct)}")
    return dict(zip(names.tolist(), np.split(samples, np.cumsum(lengths)[:-1]), strict=True))


def _existing(path: Path | str) -> Path:
    path = Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file or folder, got none of that name")
    return path


def _file(path: Path | str) -> Path:
    path = _existing(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, got a folder")
    return path


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGES


def one_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
