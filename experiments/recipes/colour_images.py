"""Photographs in colour: CIFAR-10, and ImageNet at 32x32 and 64x64 pixels.

CIFAR-10's 50,000 training images are 45,000 to train, flipped at random, and 5,000 to validate;
its 10,000 test images test. Of ImageNet (TFDS's downsampled_imagenet, the resized images of arXiv
1601.06759) the last 10,000 training images validate, and the 50,000 images of its validation split
test, as in the papers. Figures are of the 8-bit levels themselves: nothing is dequantised.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import numpy as np

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.data import Arrays, Source, Splits, tfds_images, tfds_stored_images
from ar_jax.training import AdamW, Constant, Cosine, Training
from experiments.figures import draw_images
from experiments.recipes.base import Benchmark, MadeUp, Published, Recipe, known_of
from experiments.run import Data, Sample

LEVELS = 256

DOWNSAMPLED_IMAGENET = (
    "TFDS's download of it is dead (github.com/tensorflow/datasets/issues/4662 tells of copies); "
    "what image-net.org itself gives at 32x32 was resized otherwise and is easier: figures of it "
    "are none of this benchmark"
)


@dataclasses.dataclass(frozen=True)
class SamplePhotographs(Sample):
    """Draw images.

    Attributes:
      side: images in each row, and rows.
    """

    side: int = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Photographs(MadeUp):
    """Images in colour; --debug makes some up.

    Attributes:
      data: where the data is.
    """

    data: Data = Data()

    sample: ClassVar[Sample] = SamplePhotographs()
    small_sample: ClassVar[Sample] = SamplePhotographs(side=1)

    @cached_property
    def splits(self) -> Splits[Any]:
        if self.debug:
            shape = (48, *self.model.ordering.event)
            levels = np.random.default_rng(0).integers(0, LEVELS, shape, np.uint8)
            return Splits(*map(Arrays, np.split(levels, 3)))
        return self.photographs()

    def preset(self, arguments: Sequence[str]) -> Self:
        config = super().preset(arguments)
        if not config.debug:
            return config
        training = dataclasses.replace(config.training, steps=4, log_every=1, validate_every=4)
        return dataclasses.replace(config, training=training)

    def photographs(self) -> Splits[Any]:
        """The data."""
        side = self.model.ordering.event[0]
        with known_of(DOWNSAMPLED_IMAGENET):
            return tfds_stored_images(
                f"downsampled_imagenet/{side}x{side}", self.data.dir, validation=10_000,
                test="validation",
            )  # fmt: skip

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

    def photographs(self) -> Splits[Source]:
        return tfds_images("cifar10", self.data.dir).map(lambda part: Arrays(part.x))

    @staticmethod
    def transform(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Images as they are, or their mirror images."""
        return np.where(rng.random((len(x), 1, 1, 1)) < 0.5, x, x[:, :, ::-1])


def pixel_by_pixel(side: int, conditional: conditionals.Conditional) -> ar.AutoregressiveModel:
    """A step is a pixel, whose three channels are a chain inside the head."""
    return ar.AutoregressiveModel(
        ar.orderings.Raster((side, side, 3), block=(1, 1, 3)),
        conditional,
        ar.heads.DiscretizedLogisticMixture(LEVELS, components=10, channels=3),
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


CONVOLUTIONS = Training(
    optimizer=AdamW(learning_rate=1e-3, schedule=Constant(), weight_decay=0.0, beta1=0.95,
                    beta2=0.9995),
    ema_decay=0.9995, log_every=100,
)  # fmt: skip
ATTENTION = Training(
    optimizer=AdamW(learning_rate=3.5e-4, schedule=Cosine(warmup=0.01), weight_decay=0.01),
    ema_decay=0.999, log_every=100, precision="bfloat16",
)  # fmt: skip


def image_transformer() -> conditionals.ImageTransformer:
    """The paper's network with one-dimensional local attention."""
    return conditionals.ImageTransformer(heads=8, hidden=2048, dropout=0.1)


def imagenet(
    side: int, plus_plus: float | None, snail: float | None, image: float | None,
    sparse: float | None,
) -> Benchmark:  # fmt: skip
    """ImageNet at a size, with the published figures of the four architectures."""

    def published(figure: float | None, paper: str) -> Published | None:
        return Published(figure, paper) if figure else None

    pixel = {
        "pixelcnn_plus_plus": (
            conditionals.PixelCNNPlusPlus(dropout=0.0), CONVOLUTIONS, 64,
            "arXiv 1701.05517", "8 A100, a week", plus_plus,
        ),
        "pixelsnail": (
            conditionals.PixelSNAIL(dropout=0.0), CONVOLUTIONS, 64,
            "arXiv 1712.09763", "8 A100, a week", snail,
        ),
        "image_transformer": (
            image_transformer(), ATTENTION, 32,
            "arXiv 1802.05751", "8 A100, four days", image,
        ),
    }  # fmt: skip
    recipes = {
        name: Recipe(
            on(Photographs, pixel_by_pixel(side, conditional), 1_000_000, batch, training),
            paper, expect, published(figure, paper),
        )
        for name, (conditional, training, batch, paper, expect, figure) in pixel.items()
    }  # fmt: skip
    network = conditionals.SparseTransformer(
        layers=48, width=512, heads=16, hidden=2048, query_width=0, stride=128, dropout=0.01,
        remat=True,
    )  # fmt: skip
    recipes["sparse_transformer"] = Recipe(
        on(Photographs, channel_by_channel(side, network), 1_000_000, 128, ATTENTION),
        "arXiv 1904.10509", "64 V100, a week (paper)", published(sparse, "arXiv 1904.10509"),
    )  # fmt: skip
    return Benchmark(
        f"ImageNet, {side}x{side}",
        "50,000 images of the validation split; the last 10,000 training images chose",
        "bits/dim",
        recipes,
        variables=1,
    )


BENCHMARKS = {
    "cifar10": Benchmark(
        "CIFAR-10",
        "10,000 test images, 8-bit levels; the last 5,000 training images chose",
        "bits/dim",
        {
            "pixelcnn_plus_plus": Recipe(
                on(Cifar10, pixel_by_pixel(32, conditionals.PixelCNNPlusPlus()), 300_000, 128,
                   CONVOLUTIONS),
                "arXiv 1701.05517", "8 Titan X, five days (paper); 8 A100, a day",
                Published(2.92, "arXiv 1701.05517"),
            ),
            "pixelsnail": Recipe(
                on(Cifar10, pixel_by_pixel(32, conditionals.PixelSNAIL()), 300_000, 64,
                   CONVOLUTIONS),
                "arXiv 1712.09763", "8 A100, three days", Published(2.85, "arXiv 1712.09763"),
            ),
            "image_transformer": Recipe(
                on(Cifar10, pixel_by_pixel(32, image_transformer()), 200_000, 32, ATTENTION),
                "arXiv 1802.05751", "8 A100, a day", Published(2.90, "arXiv 1802.05751"),
            ),
            "sparse_transformer": Recipe(
                on(Cifar10, channel_by_channel(
                    32, conditionals.SparseTransformer(stride=128, remat=True)
                ), 340_000, 16, ATTENTION),
                "arXiv 1904.10509", "8 V100, a week (paper)", Published(2.80, "arXiv 1904.10509"),
            ),
        },
    ),
    "imagenet32": imagenet(32, None, 3.80, 3.77, None),
    "imagenet64": imagenet(64, None, 3.52, None, 3.44),
}  # fmt: skip
