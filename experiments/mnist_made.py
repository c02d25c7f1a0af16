"""MNIST, dynamically binarised, by MADE with one layer of 8000 hidden units.

python -m experiments.mnist_made                       train, evaluate and draw
python -m experiments.mnist_made evaluate              the figures again, from the checkpoint
python -m experiments.mnist_made sample --known 0.5    complete halves of test images
python -m experiments.mnist_made --class-conditional   p(image | digit)
python -m experiments.mnist_made --debug               the same in seconds

The network of arXiv 1502.03509, on 55,000 training images. Reads MNIST as TFDS prepared it.
"""

import dataclasses
from pathlib import Path

import ar_jax as ar
from ar_jax.training import AdamW, Training
from experiments.images import BinarisedMnist
from experiments.run import main


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistMade(BinarisedMnist):
    """Train MADE on binarised MNIST, evaluate it and draw."""

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((28, 28, 1)),
            conditional=ar.conditionals.MADE(hidden=(8000,)),
            head=ar.heads.Bernoulli(),
        )
    )
    training: Training = Training(
        steps=15_000,
        optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01),
        log_every=100,
        validate_every=2500,
    )
    batch_size: int = 128
    folder: Path = Path("runs/mnist_made")


if __name__ == "__main__":
    main(MnistMade(), __doc__ or "")
