"""MNIST, dynamically binarised, by a transformer over patches.

python -m experiments.mnist_transformer                       train, evaluate and draw
python -m experiments.mnist_transformer evaluate              the figures again
python -m experiments.mnist_transformer sample --known 0.5    complete halves of test images
python -m experiments.mnist_transformer --class-conditional   p(image | digit)
python -m experiments.mnist_transformer --debug               the same in seconds

A step is a patch of 4x4 pixels: 49 steps in place of 784. The features of a patch are the condition
of a small MADE over its pixels, so that the likelihood is exact. Reads MNIST as TFDS prepared it.
"""

import dataclasses
from pathlib import Path

import ar_jax as ar
from ar_jax.training import Muon, Training
from experiments.images import BinarisedMnist, patch_transformer
from experiments.run import main


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistTransformer(BinarisedMnist):
    """Train a transformer on binarised MNIST, evaluate it and draw."""

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: patch_transformer(ar.heads.Bernoulli())
    )
    training: Training = Training(
        steps=6000, optimizer=Muon(learning_rate=3e-3), log_every=50, validate_every=500
    )
    folder: Path = Path("runs/mnist_transformer")


if __name__ == "__main__":
    main(MnistTransformer(), __doc__ or "")
