"""MNIST, dynamically binarised, classified by a transformer: p(digit | image).

python -m experiments.mnist_classifier             train, evaluate, show what is taken for which
python -m experiments.mnist_classifier evaluate    the figures again
python -m experiments.mnist_classifier --debug     the same in seconds

The discriminative twin of mnist_transformer: an autoregressive model over one variable of ten
values, whose context is the image. The same transformer reads the same patches, which all see each
other and are seen by the one step (a vision transformer, arXiv 2010.11929), and learns from the
same images in the same order for as many steps. Likelihoods are those of the digit. Reads MNIST as
TFDS prepared it.
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import grain
import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches, Splits
from ar_jax.datasets import BinarisedMNIST
from ar_jax.evaluation import correct, log_pmf
from ar_jax.experiment.plots import draw_images
from ar_jax.training import Training
from experiments.images import CLASSES
from experiments.mnist_transformer import MnistTransformer
from experiments.run import Data, Experiment, main


def questions(images: Arrays) -> Arrays:
    """Which digit is this? The label is the event `[examples, 1]`, the image the condition."""
    asked = _question({"x": images.x, "y": images.y})
    return Arrays(asked["x"], asked["y"])


def _question(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {"x": batch["y"][:, None], "y": batch["x"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistClassifier(Experiment):
    """Train p(digit | image) on binarised MNIST, and show what it takes for what.

    Attributes:
      data: where the data is.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((1,)),
            conditional=ar.conditionals.Transformer(layers=4, width=128, heads=4),
            head=ar.heads.Categorical(CLASSES),
            context=ar.contexts.Image((28, 28, 1), patch=(4, 4), levels=2, width=128),
        )
    )
    training: Training = dataclasses.field(default_factory=lambda: MnistTransformer().training)
    data: Data = Data()
    folder: Path = Path("runs/mnist_classifier")

    @cached_property
    def dataset(self) -> BinarisedMNIST:
        return BinarisedMNIST(labels=True, dir=self.data.dir)

    @property
    def example(self) -> Mapping[str, np.ndarray]:
        return _question(super().example)

    @cached_property
    def splits(self) -> Splits[Arrays]:
        """Those of the twin; `batches` asks what the images of its training part are."""
        images = super().splits
        return Splits(images.train, questions(images.validation), questions(images.test))

    def batches(self) -> grain.MapDataset[Any]:
        return super().batches().map(_question)

    def log_posterior(self, variables: Any, asked: Arrays) -> np.ndarray:
        """log p(digit | image) of questions: `[examples, classes]`, nats."""
        return log_pmf(self.model, variables, EvaluationBatches(asked, self.batch_size))

    def figures(self, variables: Any) -> dict[str, Any]:
        test = self.splits.test
        right = correct(self.log_posterior(variables, test), test.x[:, 0])
        return super().figures(variables) | {"accuracy": float(right.mean())}

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        rows, columns, path = np.arange(200), 10, path.with_suffix(".png")
        shown = Arrays(**self.splits.test.batch(rows[: len(self.splits.test)]))
        taken = self.log_posterior(variables, shown).argmax(axis=1)
        page = np.zeros((CLASSES, columns, 28, 28, 1))
        for digit in range(CLASSES):
            alike = np.asarray(shown.y)[taken == digit][:columns]
            page[digit, : len(alike)] = alike
        draw_images(path, {"test images, taken for": page}, 2, self.dataset.class_names)
        return path


if __name__ == "__main__":
    main(MnistClassifier(), __doc__ or "")
