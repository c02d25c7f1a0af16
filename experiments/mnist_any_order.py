"""MNIST, dynamically binarised, in any order: a causal transformer that completes any image.

python -m experiments.mnist_any_order             train, evaluate, complete test images
python -m experiments.mnist_any_order evaluate    the figures again
python -m experiments.mnist_any_order sample      other completions, with --seed
python -m experiments.mnist_any_order --debug     the same in seconds

A step is a patch of 4x4 pixels. Each patch comes with its place and with that of the next, and each
training image with an order of its own (arXiv 2404.09562), so that known patches may come first,
whichever they are: completing a picture is exact, and decodes from a cache. The likelihood is that
of the raster's order. Reads MNIST as TFDS prepared it.
"""

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import ar_jax as ar
from ar_jax.experiment.plots import draw_images
from ar_jax.objectives import Objective, RandomOrder
from ar_jax.training import Muon, Training
from experiments.images import patch_transformer
from experiments.infilling import REGIONS, Infilling
from experiments.run import main

POSITIONS = ar.nn.FromTo()


def any_order() -> ar.AnyOrderModel:
    """The parts of `mnist_transformer`, told of the places."""
    parts = patch_transformer(ar.heads.Bernoulli())
    conditional = ar.conditionals.Transformer(layers=4, width=128, heads=4, positions=POSITIONS)
    return ar.AnyOrderModel(parts.ordering, conditional, parts.head)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistAnyOrder(Infilling):
    """Train a transformer on patches in any order, and complete images."""

    model: ar.AutoregressiveModel = dataclasses.field(default_factory=any_order)
    training: Training = Training(
        steps=3000, optimizer=Muon(learning_rate=3e-3), log_every=50, validate_every=500
    )
    folder: Path = Path("runs/mnist_any_order")

    objective: ClassVar[Objective] = RandomOrder()

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        path = path.with_suffix(".png")
        panels = {
            f"{region}: given, completions, image": self.completed(variables, options, missing)
            for region, missing in REGIONS.items()
        }
        draw_images(path, panels, self.levels)
        return path


if __name__ == "__main__":
    main(MnistAnyOrder(), __doc__ or "")
