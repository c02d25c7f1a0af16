"""What a variable can be: that over which its probabilities sum, or integrate, to one."""

from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from ar_jax.checks import check_floats, check_integers, is_concrete


@dataclass(frozen=True)
class Integers:
    """The integers 0 ... largest.

    Attributes:
      largest: the last of them; left out, that of int32, which stands for no end.
    """

    largest: int = 2**31 - 1

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError when a value is another."""
        check_integers(name, value, 0, self.largest)


@dataclass(frozen=True)
class Reals:
    """The real numbers low ... high.

    Attributes:
      low: the smallest.
      high: the largest.
    """

    low: float = -inf
    high: float = inf

    def check(self, name: str, value: Any) -> None:
        """Raises ValueError when a value is another, rounding to float32 aside."""
        check_floats(name, value)
        if is_concrete(value) and not self.holds(np.asarray(value)).all():
            raise ValueError(f"{name}: expected {self.low} ... {self.high}, got values outside")

    def holds(self, value: Any) -> Any:
        """Whether each value is in it, rounding to float32 aside."""
        return (value >= float(np.float32(self.low))) & (value <= float(np.float32(self.high)))


Support = Integers | Reals
