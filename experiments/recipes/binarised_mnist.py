"""MNIST in bits: Larochelle's fixed binarisation, and one that is drawn anew in each epoch.

The two are different data sets: the fixed one has 50,000 images to train, 10,000 to validate and
10,000 to test, and a model may learn its noise by heart. Of the dynamic one 55,000 images train and
5,000 validate; the 10,000 test images are binarised five times, by seeds that never change, and the
figure is the mean. The fixed one is TFDS's binarized_mnist.
"""

import dataclasses
import math
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.data import Arrays, EvaluationBatches, Splits, binarise, tfds_images, unchanged
from ar_jax.evaluation import Scores, score
from ar_jax.training import AdamW, Muon, Training
from ar_jax.training.optimizer import Optimizer
from experiments.blocks import by_blocks
from experiments.images import BinarisedMnist
from experiments.recipes.base import Benchmark, MadeUp, Published, Recipe, known_of

SHAPE, DRAWS = (28, 28, 1), 5

LAROCHELLE = (
    "Its address, www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist, is reported "
    "missing (github.com/jaanaltosaar/variational-autoencoder/issues/31)"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DynamicMnist(BinarisedMnist):
    """MNIST, binarised anew in each epoch, and five times to be scored."""

    tested_on: ClassVar[str] = f"test, mean over {DRAWS} fixed binarisations"

    def test_scores(self, variables: Any) -> Scores:
        """Of each image the mean over the draws of its bits."""
        grey = self.prepared("mnist", self.data.dir).test
        draws = [grey.transformed(binarise, seed=seed) for seed in range(1, 1 + DRAWS)]
        scores = [
            score(self.model, variables, EvaluationBatches(x, self.batch_size)) for x in draws
        ]
        nats = np.mean([each.nats for each in scores], axis=0)
        return dataclasses.replace(scores[0], nats=nats)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StaticMnist(MadeUp, BinarisedMnist):
    """MNIST in Larochelle's binarisation; --debug makes bits up."""

    tested_on: ClassVar[str] = "test, Larochelle's binarisation"
    transform = staticmethod(unchanged)

    @cached_property
    def splits(self) -> Splits[Arrays]:
        if self.debug:
            bits = np.random.default_rng(0).integers(0, 2, (600, *SHAPE))
            return Splits(*(Arrays(part.astype(np.int32)) for part in np.split(bits, 3)))
        with known_of(LAROCHELLE):
            fixed = tfds_images("binarized_mnist", self.data.dir, validation=0)
        return fixed.map(lambda part: Arrays(part.x.astype(np.int32)))


IMAGES = {StaticMnist: 50_000, DynamicMnist: 55_000}
"""How many there are to train with."""


def pixels(conditional: conditionals.Conditional) -> ar.AutoregressiveModel:
    """Pixel after pixel, row by row."""
    return ar.AutoregressiveModel(ar.orderings.Raster(SHAPE), conditional, ar.heads.Bernoulli())


def patches(layers: int, width: int, hidden: tuple[int, ...]) -> ar.AutoregressiveModel:
    """Patches of 4x4 pixels by a transformer, and the pixels of each by a MADE."""
    return by_blocks(
        ar.orderings.Raster(SHAPE, block=(4, 4, 1)),
        conditionals.Transformer(layers=layers, width=width, heads=4),
        ar.heads.Bernoulli(),
        hidden,
    )


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network of the literature, at the size at which its figures were published.

    Attributes:
      conditional: of the pixels.
      paper: with its arXiv number.
      epochs: of training.
      expect: hardware and time.
      optimizer: makes the updates.
      batch_size: examples of a step.
      static: published figure on the fixed binarisation.
      dynamic: published figure on the dynamic one.
    """

    conditional: conditionals.Conditional
    paper: str
    epochs: int
    expect: str
    optimizer: Optimizer = AdamW(learning_rate=1e-3, weight_decay=0.0)
    batch_size: int = 64
    static: Published | None = None
    dynamic: Published | None = None

    def recipe(self, kind: type[StaticMnist | DynamicMnist], published: Published | None) -> Recipe:
        """How it is trained on one of the binarisations, with 50 looks at the validation split."""
        steps = math.ceil(self.epochs * IMAGES[kind] / self.batch_size)
        training = Training(
            steps=steps, optimizer=self.optimizer, log_every=steps // 200,
            validate_every=steps // 50,
        )  # fmt: skip
        model = pixels(self.conditional)
        experiment = kind(model=model, training=training, batch_size=self.batch_size, folder=Path())
        return Recipe(experiment, self.paper, self.expect, published)


GENERATIVE = "pytorch-generative"

ARCHITECTURES = {
    "fvsbn": Architecture(
        conditionals.FVSBN(), "Frey 1998, Neal 1992", 50, "two CPU cores, ten minutes",
        dynamic=Published(96.58, GENERATIVE),
    ),
    "nade": Architecture(
        conditionals.NADE(hidden=500, activation="relu"), "arXiv 1605.02226", 50,
        "an A100, ten minutes", batch_size=512,
        static=Published(88.33, "arXiv 1502.03509"), dynamic=Published(85.65, GENERATIVE),
    ),
    "made": Architecture(
        conditionals.MADE(hidden=(8000,)), "arXiv 1502.03509", 85, "an A100, ten minutes",
        static=Published(88.40, "arXiv 1502.03509"), dynamic=Published(84.87, GENERATIVE),
    ),
    "pixelcnn": Architecture(
        conditionals.PixelCNN(blocks=15, channels=16), "arXiv 1601.06759", 457,
        "an A100, three hours", batch_size=256,
        static=Published(81.30, "arXiv 1601.06759"), dynamic=Published(81.45, GENERATIVE),
    ),
    "gated_pixelcnn": Architecture(
        conditionals.GatedPixelCNN(layers=10, channels=128), "arXiv 1606.05328", 462,
        "an A100, a day", batch_size=256, dynamic=Published(81.50, GENERATIVE),
    ),
    "pixelcnn_plus_plus": Architecture(
        conditionals.PixelCNNPlusPlus(blocks=3, channels=64, scales=2), "arXiv 1701.05517", 200,
        "an A100, half a day", batch_size=128,
    ),
    "pixelsnail": Architecture(
        conditionals.PixelSNAIL(stages=8, blocks=2, channels=64, key=4, value=32, dropout=0.0),
        "arXiv 1712.09763", 200, "an A100, a day", batch_size=128,
        dynamic=Published(78.61, GENERATIVE),
    ),
    "image_gpt": Architecture(
        conditionals.ImageGPT(layers=8, width=64, heads=2), "Chen et al., ICML 2020", 200,
        "an A100, half a day", dynamic=Published(79.17, GENERATIVE),
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
    best=Published(
        77.56, "arXiv 2006.12486", "LMConv, the mean of its probabilities in 8 orders of the pixels"
    ),
)
