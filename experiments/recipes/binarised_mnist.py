"""MNIST in bits: Larochelle's fixed binarisation, and one that is drawn anew in each epoch.

The two are different data sets: the fixed one has 50,000 images to train, 10,000 to validate and
10,000 to test, and a model may learn its noise by heart. Of the dynamic one 55,000 images train and
5,000 validate; the 10,000 test images are binarised five times, by seeds that never change, and the
figure is the mean. The fixed one is TFDS's binarized_mnist.

Sizes, epochs and rates are those of pytorch-generative, which published most of the figures, but
for the Diagonal BiLSTM and PixelCNN++. Its FVSBN, NADE, MADE (without direct connections, in a
random order of the pixels) and PixelCNN are these networks; its Gated PixelCNN (with skips to the
output), PixelSNAIL (with residuals of its own) and ImageGPT (with a convolution in front and
doubled residuals) are others than their papers', which are here.
"""

import dataclasses
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.data import EvaluationBatches, binarise
from ar_jax.datasets import BinarisedMNIST, StaticBinarisedMNIST
from ar_jax.evaluation import Scores, score
from ar_jax.training import Adam, Exponential, Muon, Training
from ar_jax.training.optimizer import Optimizer
from experiments.blocks import by_blocks
from experiments.images import BinarisedMnist
from experiments.recipes.base import NOT_TIMED, Benchmark, Published, Recipe

SHAPE, DRAWS = (28, 28, 1), 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicMnist(BinarisedMnist):
    """MNIST, binarised anew in each epoch, and five times to be scored."""

    @cached_property
    def dataset(self) -> BinarisedMNIST:
        return BinarisedMNIST(self.class_labels, self.data.dir)

    @property
    def tested_on(self) -> str:
        return super().tested_on if self.debug else f"test, mean over {DRAWS} fixed binarisations"

    def test_scores(self, variables: Any) -> Scores:
        """Of each image the mean over the draws of its bits."""
        grey = self.dataset.fake_grey() if self.debug else self.dataset.grey
        draws = [grey.test.transformed(binarise, seed=seed) for seed in range(1, 1 + DRAWS)]
        scores = [
            score(self.model, variables, EvaluationBatches(x, self.batch_size)) for x in draws
        ]
        nats = np.mean([each.nats for each in scores], axis=0)
        return dataclasses.replace(scores[0], nats=nats)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticMnist(BinarisedMnist):
    """MNIST in Larochelle's binarisation."""

    @cached_property
    def dataset(self) -> StaticBinarisedMNIST:
        return StaticBinarisedMNIST(self.class_labels, self.data.dir)


IMAGES = {StaticMnist: 50_000, DynamicMnist: 55_000}
"""How many there are to train with."""


def pixels(
    conditional: conditionals.Conditional,
    ordering: ar.orderings.Ordering = ar.orderings.Raster(SHAPE),
) -> ar.AutoregressiveModel:
    """Pixel after pixel."""
    return ar.AutoregressiveModel(ordering, conditional, ar.heads.Bernoulli())


def patches(layers: int, width: int, hidden: tuple[int, ...]) -> ar.AutoregressiveModel:
    """Patches of 4x4 pixels by a transformer, and the pixels of each by a MADE."""
    return by_blocks(
        ar.orderings.Raster(SHAPE, block=(4, 4, 1)),
        conditionals.Transformer(layers=layers, width=width, heads=4),
        ar.heads.Bernoulli(),
        hidden,
    )


def adam(learning_rate: float = 1e-3, decay: float = 1.0) -> Adam:
    """As pytorch-generative has it: nothing is clipped, and the rate shrinks at each update."""
    schedule = Exponential(warmup=0.0, decay=decay)
    return Adam(learning_rate=learning_rate, schedule=schedule, clip_norm=math.inf)


@dataclasses.dataclass(frozen=True)
class PublishedNetwork:
    """A network of the literature, pixel by pixel, and how it is trained.

    Attributes:
      conditional: of the pixels.
      paper: with its arXiv number.
      epochs: of training.
      optimizer: makes the updates.
      batch_size: examples of a step.
      ordering: of the pixels.
      static: published figure on the fixed binarisation.
      dynamic: published figure on the dynamic one.
    """

    conditional: conditionals.Conditional
    paper: str
    epochs: int = 457
    optimizer: Optimizer = adam(decay=0.999977)
    batch_size: int = 128
    ordering: ar.orderings.Ordering = ar.orderings.Raster(SHAPE)
    static: Published | None = None
    dynamic: Published | None = None

    def recipe(self, kind: type[StaticMnist | DynamicMnist], published: Published | None) -> Recipe:
        """How it is trained on one of the binarisations, with 50 looks at the validation split."""
        steps = self.epochs * math.ceil(IMAGES[kind] / self.batch_size)
        training = Training(
            steps=steps, optimizer=self.optimizer, ema_decay=0.0, log_every=steps // 200,
            validate_every=steps // 50,
        )  # fmt: skip
        model = pixels(self.conditional, self.ordering)
        experiment = kind(model=model, training=training, batch_size=self.batch_size, folder=Path())
        return Recipe(experiment, self.paper, NOT_TIMED, published)


def generative(figure: float, network: str = "the same network") -> Published:
    """A figure of https://github.com/EugenHotaj/pytorch-generative, and what it is of."""
    return Published(
        figure, "pytorch-generative",
        f"{network}, all 60,000 images trained, one draw of the test split's bits, which is scored "
        "each epoch",
    )  # fmt: skip


ARCHITECTURES = {
    "fvsbn": PublishedNetwork(
        conditionals.FVSBN(), "Frey 1998, Neal 1992", 50, adam(), 512, dynamic=generative(96.58)
    ),
    "nade": PublishedNetwork(
        conditionals.NADE(hidden=500, activation="relu"), "arXiv 1605.02226", 50, adam(), 512,
        static=Published(88.33, "arXiv 1502.03509", "NADE in a fixed order; its size unverified"),
        dynamic=generative(85.65),
    ),
    "made": PublishedNetwork(
        conditionals.MADE(hidden=(8000,), direct=False), "arXiv 1502.03509", 85, adam(), 64,
        ar.orderings.Permutation.random(SHAPE),
        static=Published(
            88.40, "arXiv 1502.03509",
            "one hidden layer, one mask; its order and direct connections unverified",
        ),
        dynamic=generative(84.87),
    ),
    "pixelcnn": PublishedNetwork(
        conditionals.PixelCNN(blocks=15, channels=16), "after arXiv 1601.06759", batch_size=256,
        dynamic=generative(81.45),
    ),
    "gated_pixelcnn": PublishedNetwork(
        conditionals.GatedPixelCNN(layers=10, channels=128), "after arXiv 1606.05328",
        optimizer=adam(decay=0.9999),
    ),
    "diagonal_bilstm": PublishedNetwork(
        conditionals.DiagonalBiLSTM(layers=7, channels=16), "arXiv 1601.06759", 100, adam(), 16,
        static=Published(79.20, "arXiv 1601.06759", "7 layers, h = 16; by RMSProp"),
    ),
    "pixelcnn_plus_plus": PublishedNetwork(
        conditionals.PixelCNNPlusPlus(blocks=3, channels=64, scales=2), "after arXiv 1701.05517"
    ),
    "pixelsnail": PublishedNetwork(
        conditionals.PixelSNAIL(stages=8, blocks=2, channels=64, key=4, value=32, dropout=0.0),
        "after arXiv 1712.09763",
    ),
    "image_gpt": PublishedNetwork(
        conditionals.ImageGPT(layers=8, width=64, heads=2), "after Chen et al., ICML 2020",
        optimizer=adam(5e-3, decay=0.999977), batch_size=64,
    ),
}  # fmt: skip


def on_two_cores(model: ar.AutoregressiveModel, steps: int, seconds: int) -> Recipe:
    """A transformer over patches, trained for so many CPU-seconds."""
    training = Training(
        steps=steps, optimizer=Muon(learning_rate=5e-3), log_every=50, validate_every=steps // 8
    )
    experiment = DynamicMnist(model=model, training=training, batch_size=32, folder=Path())
    return Recipe(
        experiment, "arXiv 1706.03762, over patches", f"two CPU cores, {seconds} CPU-seconds"
    )


STATIC = Benchmark(
    "MNIST, fixed binarisation",
    "10,000 test images in Larochelle's bits; 10,000 others chose the checkpoint",
    "nats",
    {name: each.recipe(StaticMnist, each.static) for name, each in ARCHITECTURES.items()},
)

DYNAMIC = Benchmark(
    "MNIST, dynamic binarisation",
    f"10,000 test images, the mean over {DRAWS} fixed draws of their bits; the last 5,000 training "
    "images chose the checkpoint",
    "nats",
    {name: each.recipe(DynamicMnist, each.dynamic) for name, each in ARCHITECTURES.items()}
    | {
        "patches_1200": on_two_cores(patches(4, 128, (384, 384)), 4000, 1200),
        "patches_7200": on_two_cores(patches(6, 144, (384, 384)), 16_500, 7200),
    },
    others={
        "LMConv": Published(
            77.56,
            "arXiv 2006.12486",
            "the mean of its probabilities in 8 orders of the pixels; "
            "bits drawn anew at each look, 60,000 training images, the test images scored after "
            "each epoch",
        ),
        "PixelSNAIL": generative(78.61, "a PixelSNAIL with residuals of its own"),
        "ImageGPT": generative(79.17, "0.4 M parameters with a convolution in front"),
        "Gated PixelCNN": generative(81.50, "a Gated PixelCNN with skips to the output"),
    },
)
