"""What data sets of images share."""

import dataclasses
from abc import abstractmethod

import numpy as np

from ar_jax.data import Arrays, Splits
from ar_jax.datasets.base import Dataset, place


@dataclasses.dataclass(frozen=True)
class Images(Dataset):
    """Images in levels, which may have labels: int32 `[examples]`, 0 ... 9.

    Attributes:
      labels: give the class of each image as its condition y.
    """

    labels: bool = False

    @property
    @abstractmethod
    def event(self) -> tuple[int, int, int]:
        """Height, width and channels."""

    @property
    def levels(self) -> int:
        """How many levels a channel has, from 0 on."""
        return 256

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the labels."""
        return tuple("0123456789")

    def labelled(self, parts: Splits[Arrays]) -> Splits[Arrays]:
        """Images with their labels, if these are asked for."""
        return parts.map(lambda part: Arrays(part.x, part.y if self.labels else None))

    def random(self, levels: int, dtype: type[np.integer]) -> Splits[Arrays]:
        """Made-up images `[100, *event]` of each part, ten of each class."""
        shape, y = (3, 100, *self.event), np.arange(100, dtype=np.int32) % 10
        x = np.random.default_rng(0).integers(0, levels, shape, dtype)
        return self.labelled(Splits(*(Arrays(part, y) for part in x)))


@dataclasses.dataclass(frozen=True)
class TFDSImages(Images):
    """Images that TFDS prepares.

    Attributes:
      labels: give the class of each image as its condition y.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    dir: str = place()


TFDS_FOLDER = "prepare it by TFDS, and name the folder by --data.dir FOLDER or TFDS_DATA_DIR"
