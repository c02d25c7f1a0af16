"""Data sets, as arrays in memory."""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np


@dataclass(frozen=True, eq=False)
class Arrays:
    """Examples held in memory.

    Attributes:
      x: events `[examples, *event]`.
      y: their conditions `[examples, ...]`, or None.

    Raises:
      ValueError: when x and y differ in length.
    """

    x: np.ndarray
    y: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.y is not None and len(self.y) != len(self.x):
            raise ValueError(f"y: expected {len(self.x)} rows, as in x, got {len(self.y)}")

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The given rows as the dictionary that training and evaluation steps read."""
        x = {"x": self.x[rows]}
        return x if self.y is None else x | {"y": self.y[rows]}


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set in its three parts."""

    train: Arrays
    validation: Arrays
    test: Arrays


def digits() -> Splits:
    """Handwritten digits of 8x8 pixels in 17 grey levels: 1400 / 100 / 297 examples.

    UCI's Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998; CC BY 4.0), shipped
    with the package. The split was drawn once and does not change.

    Returns:
      Events int32 `[examples, 8, 8, 1]`, 0 (paper) to 16 (ink), and labels int32 `[examples]`.
    """
    with np.load(str(files("ar_jax.data") / "digits.npz")) as arrays:
        x, y = arrays["images"].astype(np.int32), arrays["labels"].astype(np.int32)
    return Splits(
        train=Arrays(x[:1400], y[:1400]),
        validation=Arrays(x[1400:1500], y[1400:1500]),
        test=Arrays(x[1500:], y[1500:]),
    )
