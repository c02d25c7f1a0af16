"""Invertible maps of one real number, whose parameters a conditional computes."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from ar_jax.checks import check_positive
from ar_jax.math.splines import inverse_rational_quadratic, rational_quadratic, squash


class Transform(ABC):
    """An increasing map of the real numbers onto themselves; a frozen dataclass."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """How many unbounded numbers describe the map of one variable."""

    @abstractmethod
    def forward(self, x: jax.Array, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        """y and log dy/dx `[...]`, from x `[...]` and parameters `[..., parameters]`."""

    @abstractmethod
    def inverse(self, y: jax.Array, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        """x and log dx/dy `[...]`, from y `[...]` and parameters `[..., parameters]`."""

    @abstractmethod
    def check(self) -> None:
        """Raises ValueError for a field outside its range."""


@dataclass(frozen=True)
class Affine(Transform):
    """y = exp(a) x + b (MAF, arXiv 1705.07057; IAF, arXiv 1606.04934).

    The parameters are b, and a before it is squashed into its bounds.

    Attributes:
      min_slope: the least exp(a), whose inverse is the largest.
    """

    min_slope: float = 1e-3

    @property
    def parameters(self) -> int:
        return 2

    def forward(self, x: jax.Array, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, a = self._numbers(parameters)
        return jnp.exp(a) * x + b, a

    def inverse(self, y: jax.Array, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, a = self._numbers(parameters)
        return jnp.exp(-a) * (y - b), -a

    def _numbers(self, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        b, a = parameters[..., 0], parameters[..., 1]
        return b, squash(a, -math.log(self.min_slope))

    def check(self) -> None:
        _check_min_slope(self.min_slope)


@dataclass(frozen=True)
class Spline(Transform):
    """A rational-quadratic spline inside bounds, the identity outside (arXiv 1906.04032).

    Data should be standardised, so that almost all of them lie inside.

    Attributes:
      bins: of the spline.
      bound: of the domain and of the range.
      min_slope: the least slope at a knot, whose inverse is the largest; also the least ratio of
        two widths or of two heights.
    """

    bins: int = 8
    bound: float = 5.0
    min_slope: float = 1e-3

    @property
    def parameters(self) -> int:
        return 3 * self.bins - 1

    def forward(self, x: jax.Array, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        return rational_quadratic(x, parameters, self.bound, self.min_slope)

    def inverse(self, y: jax.Array, parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
        return inverse_rational_quadratic(y, parameters, self.bound, self.min_slope)

    def check(self) -> None:
        check_positive(bins=self.bins)
        _check_min_slope(self.min_slope)
        if not 0 < self.bound < math.inf:
            raise ValueError(f"bound: expected above 0 and finite, got {self.bound}")


def _check_min_slope(min_slope: float) -> None:
    if not 0 < min_slope < 1:
        raise ValueError(f"min_slope: expected above 0 and below 1, got {min_slope}")
