"""Handwritten digits, class by class: the smallest whole run.

python -m experiments.digits                        train, evaluate and draw: about a minute
python -m experiments.digits train --model.conditional.blocks 8 --folder runs/deeper
python -m experiments.digits evaluate               the table again, from the checkpoint
python -m experiments.digits sample --sampler.temperature 0.8
python -m experiments.digits --debug                the same in seconds

Learns p(image | digit) from 1400 images of 8x8 pixels in 17 grey levels, which come with the
package.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import ar_jax as ar
from ar_jax import datasets
from ar_jax.data import EvaluationBatches
from ar_jax.evaluation import bayes, correct, log_likelihoods
from ar_jax.training import AdamW, Training
from experiments.images import CLASSES, ImageExperiment
from experiments.run import main

LEVELS = 17


@dataclasses.dataclass(frozen=True, kw_only=True)
class Digits(ImageExperiment):
    """Train p(image | digit), evaluate it on the test split, and draw it."""

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((8, 8, 1)),
            conditional=ar.conditionals.PixelCNN(blocks=5, channels=32, head_channels=64),
            head=ar.heads.DiscretizedLogisticMixture(levels=LEVELS, components=5),
            context=ar.contexts.ClassLabel(CLASSES, dropout=0.1),
        )
    )
    training: Training = Training(
        steps=500, optimizer=AdamW(learning_rate=2e-3, weight_decay=0.1), validate_every=100
    )
    folder: Path = Path("runs/digits")

    @cached_property
    def dataset(self) -> datasets.Digits:
        return datasets.Digits(labels=True)

    def figures(self, variables: Any) -> dict[str, Any]:
        batches = EvaluationBatches(self.splits.test, self.batch_size)
        scores = log_likelihoods(self.model, variables, batches, np.arange(CLASSES))
        right = correct(np.asarray(bayes(scores)), self.splits.test.y)
        return super().figures(variables) | {"bayes_accuracy": float(right.mean())}


if __name__ == "__main__":
    main(Digits(), __doc__ or "")
