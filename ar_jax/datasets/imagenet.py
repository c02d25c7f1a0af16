"""ImageNet at 32x32 and 64x64 pixels, as likelihood benchmarks have it."""

import dataclasses
from typing import Any, Literal

import numpy as np

from ar_jax.data import Arrays, Splits, tfds_stored_images
from ar_jax.datasets.base import Dataset, File, Origin, place

TRAIN = 1_281_149
"""Training images of arXiv 1601.06759; image-net.org's own resized ones are 1,281,167."""

FILES = {
    32: (
        File(
            "train_32x32.tar", 4_113_018_880,
            "244a323d48f8d72f65ad8b54658c01fed68d2d7bdc77ccb43da58c11e94224e5",
        ),
        File(
            "valid_32x32.tar", 161_474_560,
            "862e559462b24cf736212a19f6b0d47b55c2dc8ebdaa95ccecfe71260124c8f7",
        ),
    ),
    64: (
        File(
            "train_64x64.tar", 12_112_588_800,
            "e2a2c1947a748d0d256e98e6d82800d855441dc9e4de2e71a773f1324c4524d7",
        ),
        File(
            "valid_64x64.tar", 477_255_680,
            "eeac03ec4f585baf871d2b4cb9c974bfe345e74878a74e5820fe6eb1041629cd",
        ),
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ImageNet(Dataset):
    """ImageNet, resized as for arXiv 1601.06759: uint8 `[examples, size, size, 3]`, no labels.

    The last 10,000 of 1,281,149 training images validate, the 49,999 of the validation split test,
    as in the papers. It is TFDS's downsampled_imagenet, whose address is dead. What image-net.org
    itself gives at these sizes was resized otherwise and is easier: it is refused.

    Attributes:
      size: pixels of a side.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    size: Literal[32, 64] = 32
    dir: str = place()

    @property
    def origin(self) -> Origin:
        return Origin(
            "https://www.tensorflow.org/datasets/catalog/downsampled_imagenet",
            "TFDS's download of it is dead (github.com/tensorflow/datasets/issues/4662 tells of "
            "copies; compare their digests with those of TFDS); what image-net.org itself gives at "
            "this size was resized otherwise and is easier: figures of it are none of this "
            "benchmark; name the folder by --data.dir FOLDER or TFDS_DATA_DIR",
            "for research that is not commercial: https://image-net.org/download",
            FILES[self.size],
        )

    def load(self) -> Splits[Any]:
        name = f"downsampled_imagenet/{self.size}x{self.size}"
        parts = tfds_stored_images(name, self.dir, validation=10_000, test="validation")
        if (count := len(parts.train) + len(parts.validation)) != TRAIN:
            raise ValueError(
                f"{name}: expected the {TRAIN:,} training images of arXiv 1601.06759, got "
                f"{count:,}; image-net.org's own 1,281,167 were resized otherwise and are easier"
            )
        return parts

    def fake(self) -> Splits[Arrays]:
        shape = (3, 40, self.size, self.size, 3)
        levels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        return Splits(*map(Arrays, levels))
