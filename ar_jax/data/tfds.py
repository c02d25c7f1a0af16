"""TFDS's data sets, read from array_record files without TensorFlow."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from ar_jax.data.files import one_line
from ar_jax.data.sources import Arrays, Splits, stacked


def tfds_images(name: str, folder: str = "", validation: int = 5000) -> Splits[Arrays]:
    """Images of a prepared data set, such as mnist, held in memory.

    Args:
      name: as TFDS has it: `mnist`, `mnist:3.0.1`, `name/config:version`.
      folder: where the data sets lie; "" is TFDS_DATA_DIR or `~/tensorflow_datasets`.
      validation: how many examples at the end of TFDS's train split validate.

    Returns:
      Events uint8 `[examples, height, width, channels]` and, where there are labels, int32
      `[examples]`.

    Raises:
      FileNotFoundError: when the data set is not prepared.
      ValueError: for what cannot be read, or too large a validation split.
    """
    train, test = (
        _labelled(f"{name} {split}", columns)
        for split, columns in _read(name, folder, ("train", "test"), "image").items()
    )
    rows = np.arange(len(train))
    if not 0 < validation < len(train):
        raise ValueError(
            f"validation: expected 1 ... {len(train) - 1}, some of the {len(train)} examples of "
            f"the train split, got {validation}"
        )
    return Splits(
        train=Arrays(**train.batch(rows[:-validation])),
        validation=Arrays(**train.batch(rows[-validation:])),
        test=test,
    )


def tfds_text(name: str, folder: str = "") -> Splits[str]:
    """A prepared text, such as tiny_shakespeare; records of a split are joined.

    Args:
      name: as TFDS has it: `tiny_shakespeare`, `tiny_shakespeare:1.0.0`.
      folder: where the data sets lie; "" is TFDS_DATA_DIR or `~/tensorflow_datasets`.

    Raises:
      FileNotFoundError: when the data set is not prepared.
      ValueError: for what cannot be read.
    """
    splits = _read(name, folder, ("train", "validation", "test"), "text")
    return Splits(*(b"".join(columns["text"]).decode() for columns in splits.values()))


def _labelled(name: str, columns: dict[str, list[Any]]) -> Arrays:
    """Images, with their labels if there are any."""
    images, labels = columns["image"], columns.get("label")
    x = stacked(images, [f"{name} {index}" for index in range(len(images))])
    return Arrays(x, None if labels is None else np.array(labels, np.int32))


def _read(
    name: str, folder: str, splits: tuple[str, ...], feature: str
) -> dict[str, dict[str, list[Any]]]:
    """The columns of each split; `feature` must be among them."""
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
            f"{name}: expected a prepared data set in {root}, got none; to prepare it: {prepare}"
        )
    if len(prepared) > 1:
        found = ", ".join(str(path.relative_to(root)) for path in prepared)
        raise ValueError(f"{name}: expected one prepared version, got {found}; name one of them")
    with _without_advice():
        sources: dict[str, Any] = {}
        try:
            builder: Any = tfds.builder_from_directory(prepared[0])
            for split, info in builder.info.splits.items():
                if split in splits and info.num_examples:
                    sources[split] = builder.as_data_source(split)
        except Exception as error:  # such as TFRecords, which only TensorFlow reads
            raise ValueError(
                f"{name}: expected array_record files in {prepared[0]}, got {one_line(error)}; "
                f"delete that folder and prepare it: {prepare}"
            ) from error
        if missing := [split for split in splits if split not in sources]:
            raise ValueError(
                f"{name}: expected examples in the splits {', '.join(splits)}, "
                f"got none in {missing[0]}"
            )
        return {split: _columns(name, split, sources[split], feature) for split in splits}


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
    """Silence TFDS's advice to install OpenCV, which these readers do not need."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
