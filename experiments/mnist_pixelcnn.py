"""MNIST, dynamically binarised, by a PixelCNN of 15 blocks.

python -m experiments.mnist_pixelcnn                       train, evaluate and draw
python -m experiments.mnist_pixelcnn evaluate              the figures again, from the checkpoint
python -m experiments.mnist_pixelcnn sample --known 0.5    complete halves of test images
python -m experiments.mnist_pixelcnn --class-conditional   p(image | digit)
python -m experiments.mnist_pixelcnn --debug               the same in seconds

The network of arXiv 1601.06759, on 55,000 training images. Reads MNIST as TFDS prepared it.
"""

import dataclasses
from pathlib import Path

import ar_jax as ar
from ar_jax.training import Muon, Training
from experiments.images import BinarisedMnist
from experiments.run import main


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistPixelCNN(BinarisedMnist):
    """Train a PixelCNN on binarised MNIST, evaluate it and draw."""

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((28, 28, 1)),
            conditional=ar.conditionals.PixelCNN(blocks=15, channels=16),
            head=ar.heads.Bernoulli(),
        )
    )
    training: Training = Training(
        steps=13_000,
        optimizer=Muon(learning_rate=5e-3),
        log_every=100,
        validate_every=2000,
    )
    batch_size: int = 16
    folder: Path = Path("runs/mnist_pixelcnn")


if __name__ == "__main__":
    main(MnistPixelCNN(), __doc__ or "")
