"""TFDS's data sets, read from array_record files without TensorFlow.

A folder of another's is not trusted: TFDS would import whatever class its description names, so
only TFDS's own feature classes are allowed; the files of records lie inside the folder, and hold as
many records as the description says.
"""

import json
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordReader
from PIL import Image

from ar_jax.data.files import one_line
from ar_jax.data.sources import Arrays, Splits, stacked

DESCRIPTION_LIMIT = 2**24
"""Bytes of a file that describes a data set."""

FEATURE_CLASS = re.compile(r"tensorflow_datasets\.core\.features(\.\w+)+", re.ASCII)
FILE_TEMPLATE = re.compile(r"[^{}]*(\{[A-Z_]+\}[^{}]*)+")


def tfds_images(name: str, folder: str = "", validation: int = 5000) -> Splits[Arrays]:
    """Images of a prepared data set, such as mnist, held in memory.

    Args:
      name: as TFDS has it: `mnist`, `mnist:3.0.1`, `name/config:version`.
      folder: where the data sets lie; "" is TFDS_DATA_DIR or `~/tensorflow_datasets`.
      validation: how many examples at the end of TFDS's train split validate; 0 stands for those of
        its validation split.

    Returns:
      Events uint8 `[examples, height, width, channels]` and, where there are labels, int32
      `[examples]`.

    Raises:
      FileNotFoundError: when the data set is not prepared.
      ValueError: for what cannot be read, is not of 8 bits, or would run code; for too large a
        validation split.
    """
    names = ("train", "test") if validation else ("train", "validation", "test")
    parts = {
        split: _labelled(f"{name} {split}", columns)
        for split, columns in _read(name, folder, names, "image").items()
    }
    train, test = parts["train"], parts["test"]
    if not validation:
        return Splits(train, parts["validation"], test)
    rows = _held_out(len(train), validation)
    return Splits(*(Arrays(**train.batch(part)) for part in rows), test=test)


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Images that are read from their files when they are asked for, without labels.

    Attributes:
      records: of TFDS.
      rows: which of them `[examples]`.
    """

    records: Any
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: np.ndarray) -> dict[str, Any]:
        """The given rows as "x", uint8 `[batch, height, width, channels]`."""
        read = self.records.__getitems__(self.rows[rows].tolist())
        return {"x": _images([record["image"] for record in read], rows, "image")}


def tfds_stored_images(name: str, folder: str, validation: int, test: str) -> Splits[StoredImages]:
    """Images of a prepared data set that need not fit into memory, such as ImageNet's.

    Args:
      name: as TFDS has it.
      folder: where the data sets lie; "" is TFDS_DATA_DIR or `~/tensorflow_datasets`.
      validation: how many examples at the end of TFDS's train split validate.
      test: TFDS's name of the split that tests.

    Raises:
      FileNotFoundError: when the data set is not prepared.
      ValueError: for what cannot be read, or would run code.
    """
    sources = _sources(name, folder, ("train", test))
    train, held_out = sources["train"], sources[test]
    parts = (StoredImages(train, rows) for rows in _held_out(len(train), validation))
    return Splits(*parts, test=StoredImages(held_out, np.arange(len(held_out))))


def tfds_text(name: str, folder: str = "") -> Splits[str]:
    """A prepared text, such as tiny_shakespeare; records of a split are joined.

    Args:
      name: as TFDS has it: `tiny_shakespeare`, `tiny_shakespeare:1.0.0`.
      folder: where the data sets lie; "" is TFDS_DATA_DIR or `~/tensorflow_datasets`.

    Raises:
      FileNotFoundError: when the data set is not prepared.
      ValueError: for what cannot be read, or would run code.
    """
    splits = _read(name, folder, ("train", "validation", "test"), "text")
    try:
        return Splits(*(b"".join(columns["text"]).decode() for columns in splits.values()))
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: expected a text in UTF-8, got {error.reason}") from error


def _held_out(examples: int, validation: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a train split that train, and those at its end that validate."""
    if not 0 < validation < examples:
        raise ValueError(
            f"validation: expected 1 ... {examples - 1}, some of the {examples} examples of the "
            f"train split, got {validation}"
        )
    train, held_out = np.split(np.arange(examples), [examples - validation])
    return train, held_out


def _labelled(name: str, columns: dict[str, list[Any]]) -> Arrays:
    """Images, with their labels if there are any."""
    images, labels = columns["image"], columns.get("label")
    x = _images(images, np.arange(len(images)), name)
    return Arrays(x, None if labels is None else np.array(labels, np.int32))


def _images(images: list[np.ndarray], rows: np.ndarray, name: str) -> np.ndarray:
    """Images as one array, uint8 `[images, height, width, channels]`."""
    x = stacked(images, [f"{name} {row}" for row in rows])
    if x.dtype != np.uint8 or x.ndim != 4:
        raise ValueError(
            f"{name}: expected images of 8 bits, got {x.dtype} of shape {list(x.shape[1:])}"
        )
    return x


def _read(
    name: str, folder: str, splits: tuple[str, ...], feature: str
) -> dict[str, dict[str, list[Any]]]:
    """The columns of each split; `feature` must be among them."""
    with _without_advice():
        sources = _sources(name, folder, splits)
        return {split: _columns(name, split, sources[split], feature) for split in splits}


def _sources(name: str, folder: str, splits: tuple[str, ...]) -> dict[str, Any]:
    """The records of each split."""
    root = Path(folder or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()
    prepare = (
        "pip install tensorflow, then "
        f"python -c \"import tensorflow_datasets as tfds; tfds.builder('{name}', "
        f"data_dir='{root}', file_format='array_record').download_and_prepare()\""
    )
    # Looked up here: TFDS itself would ask a server for what is not on the disk.
    paths = root.glob(f"{name.replace(':', '/')}/**/features.json")
    prepared = sorted(path.parent for path in paths if "incomplete" not in path.parent.name)
    if not prepared:
        raise FileNotFoundError(
            f"{name}: expected a prepared data set in {root}, got none; name the folder that it "
            f"lies in (--data.dir FOLDER, or TFDS_DATA_DIR), or prepare it: {prepare}"
        )
    if len(prepared) > 1:
        found = ", ".join(str(path.relative_to(root)) for path in prepared)
        raise ValueError(f"{name}: expected one prepared version, got {found}; name one of them")
    sources: dict[str, Any] = {}
    try:
        _check_description(prepared[0])
        with _without_advice():
            builder: Any = tfds.builder_from_directory(prepared[0])
            for split, info in builder.info.splits.items():
                if split in splits and info.num_examples:
                    _check_shards(info)
                    sources[split] = builder.as_data_source(split)
    except Exception as error:  # such as TFRecords, which only TensorFlow reads
        raise ValueError(
            f"{name}: expected array_record files in {prepared[0]}, got {one_line(error)}; "
            f"delete that folder and prepare it: {prepare}"
        ) from error
    if missing := [split for split in splits if split not in sources]:
        raise ValueError(
            f"{name}: expected examples in the splits {', '.join(splits)}, got none in {missing[0]}"
        )
    return sources


def _check_description(folder: Path) -> None:
    """Raises unless the features are TFDS's own: it imports the module of each that is named."""

    def checked(pairs: list[tuple[str, Any]]) -> None:
        for key, value in pairs:
            named = key in ("pythonClassName", "python_class_name", "type") and value is not None
            if named and not FEATURE_CLASS.fullmatch(str(value)):
                raise ValueError(f"a feature {value!r}, which is none of TFDS and could run code")
            if key in ("json", "content") and isinstance(value, str):  # features within a text
                json.loads(value, object_pairs_hook=checked)
            if ".." in key or key.startswith("/"):
                raise ValueError(f"a feature {key!r}, whose file lies elsewhere")

    for name in ("features.json", "dataset_info.json"):
        if (size := (folder / name).stat().st_size) > DESCRIPTION_LIMIT:
            raise ValueError(f"{name} of {size:,} bytes, more than {DESCRIPTION_LIMIT:,}")
    json.loads((folder / "features.json").read_bytes(), object_pairs_hook=checked)


def _check_shards(split: Any) -> None:
    """Raises unless the files of a split lie in its folder and hold the records that it claims."""
    template = split.filename_template
    if not FILE_TEMPLATE.fullmatch(template.template):
        raise ValueError(f"a template {template.template!r} of files")
    for index, claimed in enumerate(split.shard_lengths):
        file = Path(
            template.relative_filepath(shard_index=index, num_shards=len(split.shard_lengths))
        )
        if file.is_absolute() or ".." in file.parts:
            raise ValueError(f"a file {str(file)!r}, which lies elsewhere")
        reader = ArrayRecordReader(str(template.data_dir / file))
        records = reader.num_records()
        reader.close()
        if records != claimed:
            raise ValueError(f"{records:,} records in {file}, which should hold {claimed:,}")


def _columns(name: str, split: str, source: Any, feature: str) -> dict[str, list[Any]]:
    """The records of a split, read in bulk (one at a time is several times as slow)."""
    try:
        records = source.__getitems__(range(len(source)))
    except Exception as error:
        index, cause = _unreadable(source, error)
        raise ValueError(
            f"{name}: expected readable records, got an unreadable one at index {index} of split "
            f"{split} ({cause}); delete the folder and prepare it again"
        ) from error
    if feature not in records[0]:
        raise ValueError(f"{name}: expected a feature {feature}, got {', '.join(records[0])}")
    return {key: [record[key] for record in records] for key in records[0]}


def _unreadable(source: Any, error: Exception) -> tuple[int, str]:
    """The first record that cannot be read, and why."""
    for index in range(len(source)):
        try:
            source[index]
        except Exception as cause:
            return index, one_line(cause)
    raise error  # none: something else went wrong


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence TFDS's advice to install OpenCV, which these readers do not need.

    Pillow only warns of an image that claims very many pixels: here it is an error.
    """
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        logger.setLevel(level)
