"""CIFAR-10: photographs of 32x32 pixels."""

import dataclasses

import numpy as np

from ar_jax.data import Arrays, Splits, tfds_images
from ar_jax.datasets.base import Origin
from ar_jax.datasets.images import TFDS_FOLDER, TFDSImages


@dataclasses.dataclass(frozen=True)
class CIFAR10(TFDSImages):
    """CIFAR-10: 45,000 / 5,000 / 10,000 photographs, uint8 `[examples, 32, 32, 3]`.

    The last 5,000 training images validate.

    Attributes:
      labels: give the class of each image as its condition y.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
      mirror: mirror half of the training images, others in every epoch.
    """

    mirror: bool = False

    @property
    def origin(self) -> Origin:
        return Origin("https://www.cs.toronto.edu/~kriz/cifar.html", TFDS_FOLDER)

    @property
    def event(self) -> tuple[int, int, int]:
        return 32, 32, 3

    @property
    def class_names(self) -> tuple[str, ...]:
        return (
            "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
            "truck",
        )  # fmt: skip

    def load(self) -> Splits[Arrays]:
        return self.labelled(tfds_images("cifar10", self.dir))

    def fake(self) -> Splits[Arrays]:
        return self.random(self.levels, np.uint8)

    def transform(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if not self.mirror:
            return x
        mirrored = rng.random(len(x)) < 0.5
        return np.where(mirrored[:, None, None, None], x[:, :, ::-1], x)
