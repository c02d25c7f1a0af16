"""Fashion-MNIST in 256 grey levels, class by class, by a transformer over patches.

python -m experiments.fashion_transformer                             train, evaluate and draw
python -m experiments.fashion_transformer evaluate                    the figures again
python -m experiments.fashion_transformer sample --guidance 0 1 3     classes, more marked
python -m experiments.fashion_transformer sample --known 0.5          complete halves of test images
python -m experiments.fashion_transformer compress FILES --to X.arj    PNG or .npy, without loss
python -m experiments.fashion_transformer decompress X.arj --to FOLDER and back
python -m experiments.fashion_transformer --debug                     the same in seconds

A step is a patch of 4x4 pixels; the features of a patch are the condition of a small MADE over its
pixels, each a mixture of logistics over the levels (arXiv 1701.05517). One condition in ten is left
out in training, so that it may be left out later and guidance can lead away from its absence. Reads
Fashion-MNIST (arXiv 1708.07747) as TFDS prepared it.
"""

import dataclasses
from functools import cached_property
from pathlib import Path

from ar_jax.datasets import FashionMNIST
from experiments.images import GreyImages
from experiments.run import main


@dataclasses.dataclass(frozen=True, kw_only=True)
class FashionTransformer(GreyImages):
    """Train a transformer on Fashion-MNIST, evaluate it and draw."""

    folder: Path = Path("runs/fashion_transformer")

    @cached_property
    def dataset(self) -> FashionMNIST:
        return FashionMNIST(self.class_labels, self.data.dir)


if __name__ == "__main__":
    main(FashionTransformer(), __doc__ or "")
