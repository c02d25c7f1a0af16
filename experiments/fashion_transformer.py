"""Fashion-MNIST in 256 grey levels, by a transformer over patches.

python -m experiments.fashion_transformer                       train, evaluate and draw
python -m experiments.fashion_transformer evaluate              the figures again
python -m experiments.fashion_transformer sample --known 0.5    complete halves of test images
python -m experiments.fashion_transformer --debug               the same in seconds

A step is a patch of 4x4 pixels; the features of a patch are the condition of a small MADE over its
pixels, each a mixture of logistics over the levels (arXiv 1701.05517). Reads Fashion-MNIST (arXiv
1708.07747) as TFDS prepared it.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, Splits
from ar_jax.training import AdamW, Training
from experiments.images import ImageExperiment, patch_transformer
from experiments.run import Data, main


@dataclasses.dataclass(frozen=True, kw_only=True)
class FashionTransformer(ImageExperiment):
    """Train a transformer on Fashion-MNIST, evaluate it and draw.

    Attributes:
      data: where the data is.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: patch_transformer(
            ar.heads.DiscretizedLogisticMixture(levels=256, components=10)
        )
    )
    training: Training = Training(
        steps=5000, optimizer=AdamW(learning_rate=1e-3), log_every=50, validate_every=1000
    )
    folder: Path = Path("runs/fashion_transformer")
    data: Data = Data()

    small: ClassVar[ar.conditionals.Conditional] = ar.conditionals.Transformer(
        layers=1, width=16, heads=2
    )
    levels: ClassVar[int] = 256

    @cached_property
    def splits(self) -> Splits:
        def integers(arrays: Arrays) -> Arrays:
            return Arrays(arrays.x.astype(np.int32), arrays.y)

        return self.prepared("fashion_mnist", self.data.dir).map(integers)


if __name__ == "__main__":
    main(FashionTransformer(), __doc__ or "")
