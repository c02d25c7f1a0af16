"""MNIST in 256 grey levels, digit by digit, by a transformer over patches.

python -m experiments.mnist_grey                              train, evaluate and draw
python -m experiments.mnist_grey evaluate                     the figures again
python -m experiments.mnist_grey sample --guidance 0 1 3      digits, more and more marked
python -m experiments.mnist_grey sample --known 0.5           complete halves of test images
python -m experiments.mnist_grey compress FILES --to X.arj    PNG or .npy, without loss
python -m experiments.mnist_grey decompress X.arj --to FOLDER and back
python -m experiments.mnist_grey --debug                      the same in seconds

A step is a patch of 4x4 pixels; the features of a patch are the condition of a small MADE over its
pixels, each a mixture of logistics over the levels (arXiv 1701.05517). One condition in ten is left
out in training, so that it may be left out later and guidance can lead away from its absence. Reads
MNIST as TFDS prepared it: the grey levels as they are, where likelihood benchmarks binarise.
"""

import dataclasses
from pathlib import Path

from experiments.images import GreyImages
from experiments.run import main


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistGrey(GreyImages):
    """Train a transformer on MNIST in grey levels, evaluate it and draw."""

    folder: Path = Path("runs/mnist_grey")


if __name__ == "__main__":
    main(MnistGrey(), __doc__ or "")
