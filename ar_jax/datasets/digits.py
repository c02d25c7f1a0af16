"""Handwritten digits of 8x8 pixels, which come with the package."""

import dataclasses
from importlib.resources import files

import numpy as np

from ar_jax.data import Arrays, Splits
from ar_jax.datasets.base import Origin
from ar_jax.datasets.images import Images


@dataclasses.dataclass(frozen=True)
class Digits(Images):
    """Handwritten digits of 8x8 pixels in 17 grey levels: 1400 / 100 / 297 examples.

    UCI's Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998; CC BY 4.0), shipped
    with the package. Events are int32 `[examples, 8, 8, 1]`, 0 (paper) to 16 (ink). The split was
    drawn once and does not change.

    Attributes:
      labels: give the class of each image as its condition y.
    """

    @property
    def origin(self) -> Origin:
        address = "https://archive.ics.uci.edu/dataset/80"
        return Origin(address, licence="CC BY 4.0")

    @property
    def event(self) -> tuple[int, int, int]:
        return 8, 8, 1

    @property
    def levels(self) -> int:
        return 17

    def load(self) -> Splits[Arrays]:
        with np.load(str(files("ar_jax.datasets") / "digits.npz")) as arrays:
            x, y = arrays["images"].astype(np.int32), arrays["labels"].astype(np.int32)
        parts = Splits(
            train=Arrays(x[:1400], y[:1400]),
            validation=Arrays(x[1400:1500], y[1400:1500]),
            test=Arrays(x[1500:], y[1500:]),
        )
        return self.labelled(parts)

    def fake(self) -> Splits[Arrays]:
        return self.random(self.levels, np.int32)
