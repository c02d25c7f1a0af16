"""MNIST in grey levels and in bits, and Fashion-MNIST."""

import dataclasses
from functools import cached_property

import numpy as np

from ar_jax.data import Arrays, Splits, binarise, tfds_images
from ar_jax.datasets.base import File, Origin
from ar_jax.datasets.images import TFDS_FOLDER, TFDSImages


@dataclasses.dataclass(frozen=True)
class MNIST(TFDSImages):
    """MNIST in 256 grey levels: 55,000 / 5,000 / 10,000 images, int32 `[examples, 28, 28, 1]`.

    The last 5,000 training images validate. Likelihood benchmarks are of bits: `BinarisedMNIST`.

    Attributes:
      labels: give the class of each image as its condition y.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    @property
    def origin(self) -> Origin:
        address = "https://www.tensorflow.org/datasets/catalog/mnist"
        return Origin(address, TFDS_FOLDER)

    @property
    def event(self) -> tuple[int, int, int]:
        return 28, 28, 1

    def load(self) -> Splits[Arrays]:
        return self.labelled(_integers(tfds_images("mnist", self.dir)))

    def fake(self) -> Splits[Arrays]:
        return self.random(self.levels, np.int32)


@dataclasses.dataclass(frozen=True)
class FashionMNIST(MNIST):
    """Fashion-MNIST (arXiv 1708.07747): clothes in the format and the parts of `MNIST`.

    Attributes:
      labels: give the class of each image as its condition y.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    @property
    def origin(self) -> Origin:
        address = "https://www.tensorflow.org/datasets/catalog/fashion_mnist"
        return Origin(address, TFDS_FOLDER, "MIT")

    @property
    def class_names(self) -> tuple[str, ...]:
        return (
            "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
            "boot",
        )  # fmt: skip

    def load(self) -> Splits[Arrays]:
        return self.labelled(_integers(tfds_images("fashion_mnist", self.dir)))


@dataclasses.dataclass(frozen=True)
class BinarisedMNIST(MNIST):
    """MNIST in bits, dynamically binarised: 55,000 / 5,000 / 10,000 images.

    A bit is 1 with probability level / 255. The bits of training images are drawn anew in every
    epoch, by `transform`; those of the others once, the same for every run: int32. `train` holds
    the levels, uint8. Figures cannot be compared with those of `StaticBinarisedMNIST`.

    Attributes:
      labels: give the class of each image as its condition y.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    @property
    def levels(self) -> int:
        return 2

    @property
    def test_label(self) -> str:
        return "test, one dynamic binarisation"

    @cached_property
    def grey(self) -> Splits[Arrays]:
        """The images in 256 levels, uint8, of which bits are drawn."""
        return self.labelled(tfds_images("mnist", self.dir))

    def fake_grey(self) -> Splits[Arrays]:
        """Made-up images in 256 levels, uint8."""
        return self.random(256, np.uint8)

    def load(self) -> Splits[Arrays]:
        return _drawn(self.grey)

    def fake(self) -> Splits[Arrays]:
        return _drawn(self.fake_grey())

    def transform(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return binarise(x, rng)


@dataclasses.dataclass(frozen=True)
class StaticBinarisedMNIST(TFDSImages):
    """MNIST in Larochelle's bits, drawn once: 50,000 / 10,000 / 10,000 images, without labels.

    A data set of its own, of int32 `[examples, 28, 28, 1]`: a model may learn its noise by heart.
    It is TFDS's binarized_mnist.

    Attributes:
      labels: there are none: false.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    def __post_init__(self) -> None:
        if self.labels:
            raise ValueError("labels: expected False, the data set has none, got True")

    @property
    def origin(self) -> Origin:
        address = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist"
        return Origin(
            address,
            "this address, from which TFDS prepares it, is reported missing "
            "(github.com/jaanaltosaar/variational-autoencoder/issues/31); get its files elsewhere, "
            f"compare their digests with those of TFDS, {TFDS_FOLDER}",
            files=(
                File(
                    "binarized_mnist_train.amat", 78_400_000,
                    "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
                ),
                File(
                    "binarized_mnist_valid.amat", 15_680_000,
                    "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
                ),
                File(
                    "binarized_mnist_test.amat", 15_680_000,
                    "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
                ),
            ),
        )  # fmt: skip

    @property
    def event(self) -> tuple[int, int, int]:
        return 28, 28, 1

    @property
    def levels(self) -> int:
        return 2

    @property
    def test_label(self) -> str:
        return "test, Larochelle's binarisation"

    def load(self) -> Splits[Arrays]:
        return _integers(tfds_images("binarized_mnist", self.dir, validation=0))

    def fake(self) -> Splits[Arrays]:
        return self.random(self.levels, np.int32)


def _integers(parts: Splits[Arrays]) -> Splits[Arrays]:
    return parts.map(lambda part: Arrays(part.x.astype(np.int32), part.y))


def _drawn(grey: Splits[Arrays]) -> Splits[Arrays]:
    """The bits of what is scored, by seeds that never change; training draws its own."""
    return Splits(
        grey.train,
        grey.validation.transformed(binarise, seed=0),
        grey.test.transformed(binarise, seed=1),
    )
