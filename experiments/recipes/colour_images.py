"""Photographs in colour: CIFAR-10, and ImageNet at 32x32 and 64x64 pixels.

CIFAR-10's 50,000 training images are 45,000 to train and 5,000 to validate; its 10,000 test images
test. None is mirrored, as in the code of PixelCNN++, PixelSNAIL and the Image Transformer; the
Sparse Transformer's is not public, and arXiv 2107.00630 lists it without augmentation. Of ImageNet
(TFDS's downsampled_imagenet, the resized images of arXiv 1601.06759) the last 10,000 training
images validate, and the 50,000 images of its validation split test, as in the papers. Figures are
of the 8-bit levels themselves: nothing is dequantised. Rates of the convolutional networks shrink
as in their code; those of the transformers are ours.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np

import ar_jax as ar
from ar_jax import conditionals, nn
from ar_jax.datasets import CIFAR10, Dataset, ImageNet
from ar_jax.experiment.plots import draw_images
from ar_jax.training import Adam, AdamW, Cosine, Exponential, Training
from experiments.recipes.base import NOT_TIMED, Benchmark, Published, Recipe
from experiments.run import Data, Experiment, Sample

LEVELS = 256


@dataclasses.dataclass(frozen=True)
class SamplePhotographs(Sample):
    """Draw images.

    Attributes:
      side: images in each row, and rows.
    """

    side: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photographs(Experiment):
    """Images in colour: ImageNet's.

    Attributes:
      data: where the data is.
    """

    data: Data = Data()

    sample: ClassVar[Sample] = SamplePhotographs()
    small_sample: ClassVar[Sample] = SamplePhotographs(side=1)

    @cached_property
    def dataset(self) -> Dataset:
        return ImageNet(32 if self.model.ordering.event[0] == 32 else 64, self.data.dir)

    def preset(self, arguments: Sequence[str]) -> Self:
        config = super().preset(arguments)
        if not config.debug:
            return config
        training = dataclasses.replace(config.training, steps=4, log_every=1, validate_every=4)
        return dataclasses.replace(config, training=training)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        side, count = options.side, options.side**2
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), batch_size=count,
            sampler=options.sampler,
        )  # fmt: skip
        data = self.splits.test.batch(np.arange(count))["x"]
        shape = (side, side, *self.model.ordering.event)
        path = path.with_suffix(".png")
        panels = {"samples": np.reshape(drawn, shape), "data": np.reshape(data, shape)}
        draw_images(path, panels, LEVELS)
        return path


class Cifar10(Photographs):
    """CIFAR-10's images."""

    @cached_property
    def dataset(self) -> CIFAR10:
        return CIFAR10(dir=self.data.dir)


def pixel_by_pixel(
    side: int, conditional: conditionals.Conditional, components: int = 10
) -> ar.AutoregressiveModel:
    """A step is a pixel, whose three channels are a chain inside the head."""
    return ar.AutoregressiveModel(
        ar.orderings.Raster((side, side, 3), block=(1, 1, 3)),
        conditional,
        ar.heads.DiscretizedLogisticMixture(LEVELS, components=components, channels=3),
    )


def channel_by_channel(side: int, conditional: conditionals.Conditional) -> ar.AutoregressiveModel:
    """A step is a channel of a pixel, one of 256 values."""
    return ar.AutoregressiveModel(
        ar.orderings.Raster((side, side, 3)),
        conditional,
        ar.heads.Categorical(LEVELS, embedding=64),
    )


def on(
    kind: type[Photographs], model: ar.AutoregressiveModel, steps: int, batch_size: int,
    training: Training,
) -> Photographs:  # fmt: skip
    """So many steps, with 50 looks at the validation split."""
    training = dataclasses.replace(training, steps=steps, validate_every=steps // 50)
    return kind(model=model, training=training, batch_size=batch_size, folder=Path())


def convolutions(decay: float, ema_decay: float = 0.9995) -> Training:
    """As the codes of PixelCNN++ and PixelSNAIL: the rate shrinks at each update."""
    schedule = Exponential(warmup=0.0, decay=decay)
    optimizer = Adam(learning_rate=1e-3, schedule=schedule, beta1=0.95, beta2=0.9995)
    return Training(optimizer=optimizer, ema_decay=ema_decay, log_every=100)


PLUS_PLUS, SNAIL = convolutions(0.999995), convolutions(0.999998)
ATTENTION = Training(
    optimizer=AdamW(learning_rate=3.5e-4, schedule=Cosine(warmup=0.01), weight_decay=0.01),
    ema_decay=0.999, log_every=100, precision="bfloat16",
)  # fmt: skip


def of_values(dropout: float) -> conditionals.ImageTransformer:
    """The Image Transformer over the channels of pixels, each of 256 values."""
    return conditionals.ImageTransformer(
        layers=12, width=512, heads=4, hidden=2048, dropout=dropout
    )


OF_LOGISTICS = conditionals.ImageTransformer(
    layers=14, width=256, heads=8, hidden=512, positions=nn.Axial(), dropout=0.2
)
"""The Image Transformer over pixels, a mixture of logistics each."""

CODE = "its code trains all 50,000 images and scores the test split each epoch"


def imagenet(
    side: int, snail: Published | None, image: Published | None, sparse: Published | None
) -> Benchmark:
    """ImageNet at a size, with the published figures of three architectures."""
    stride_128 = conditionals.SparseTransformer(
        layers=48, width=512, heads=16, hidden=2048, query_width=0, stride=128, dropout=0.01,
        remat=True,
    )  # fmt: skip

    def trained(model: ar.AutoregressiveModel, batch_size: int, training: Training) -> Photographs:
        return on(Photographs, model, 1_000_000, batch_size, training)

    return Benchmark(
        f"ImageNet, {side}x{side}",
        "50,000 images of the validation split; the last 10,000 training images chose; none was "
        "mirrored",
        "bits/dim",
        {
            "pixelcnn_plus_plus": Recipe(
                trained(pixel_by_pixel(side, conditionals.PixelCNNPlusPlus(dropout=0.0)), 64,
                        PLUS_PLUS),
                "after arXiv 1701.05517", NOT_TIMED,
            ),
            "pixelsnail": Recipe(
                trained(pixel_by_pixel(side, conditionals.PixelSNAIL(dropout=0.0), 32), 64,
                        convolutions(0.999998, 0.9997)),
                "arXiv 1712.09763", NOT_TIMED, snail,
            ),
            "image_transformer": Recipe(
                trained(channel_by_channel(side, of_values(0.1)), 32, ATTENTION),
                "arXiv 1802.05751", NOT_TIMED, image,
            ),
            "sparse_transformer": Recipe(
                trained(channel_by_channel(side, stride_128), 128, ATTENTION),
                "arXiv 1904.10509", "64 V100, a week (paper)", sparse,
            ),
        },
        variables=1,
    )  # fmt: skip


BENCHMARKS = {
    "cifar10": Benchmark(
        "CIFAR-10",
        "10,000 test images, 8-bit levels; the last 5,000 training images chose; none was mirrored",
        "bits/dim",
        {
            "pixelcnn_plus_plus": Recipe(
                on(Cifar10, pixel_by_pixel(32, conditionals.PixelCNNPlusPlus()), 300_000, 128,
                   PLUS_PLUS),
                "arXiv 1701.05517", "8 Titan X, five days (its code)",
                Published(2.92, "arXiv 1701.05517", CODE),
            ),
            "pixelsnail": Recipe(
                on(Cifar10, pixel_by_pixel(32, conditionals.PixelSNAIL()), 300_000, 64, SNAIL),
                "arXiv 1712.09763", NOT_TIMED, Published(2.85, "arXiv 1712.09763", CODE),
            ),
            "image_transformer": Recipe(
                on(Cifar10, channel_by_channel(32, of_values(0.3)), 200_000, 32, ATTENTION),
                "arXiv 1802.05751", NOT_TIMED,
                Published(2.90, "arXiv 1802.05751",
                          "one of 256 values; all 50,000 images trained (its code)"),
            ),
            "image_transformer_dmol": Recipe(
                on(Cifar10, pixel_by_pixel(32, OF_LOGISTICS), 200_000, 64, ATTENTION),
                "arXiv 1802.05751", "8 P100, four days (its code)",
                Published(2.90, "arXiv 1802.05751",
                          "a mixture of logistics; its code, with keys and values of 512, names "
                          "2.92 of 14 layers and 2.90 of 12"),
            ),
            "sparse_transformer": Recipe(
                on(Cifar10, channel_by_channel(
                    32, conditionals.SparseTransformer(stride=128, remat=True)
                ), 340_000, 16, ATTENTION),
                "arXiv 1904.10509", NOT_TIMED,
                Published(2.80, "arXiv 1904.10509", "protocol not verified"),
            ),
        },
    ),
    "imagenet32": imagenet(
        32,
        Published(3.80, "arXiv 1712.09763", "its code scores the test split each epoch"),
        Published(3.77, "arXiv 1802.05751", "one of 256 values (its code)"),
        None,
    ),
    "imagenet64": imagenet(
        64,
        None,
        None,
        Published(3.44, "arXiv 1904.10509", "protocol not verified"),
    ),
}  # fmt: skip
