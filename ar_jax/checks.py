"""Checks of what users pass in: errors that name the field, what was expected and what came."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer


def is_concrete(value: Any) -> bool:
    """Whether the values can be looked at: not inside `jit`, `grad` or `vmap`."""
    return not isinstance(value, Tracer)


def check_shape(name: str, value: Any, expected: tuple[int | str, ...]) -> None:
    """Raises unless the shape is as expected; a string stands for any size."""
    shape = np.shape(value)
    if len(shape) != len(expected) or any(
        isinstance(size, int) and size != got for size, got in zip(expected, shape, strict=True)
    ):
        wanted = ", ".join(map(str, expected))
        raise ValueError(f"{name}: expected shape [{wanted}], got {list(shape)}")


def check_integers(name: str, value: Any, low: int, high: int) -> None:
    """Raises unless the values are integers from low to high, both included."""
    expected = f"{name}: expected integers {low} ... {high}"
    dtype = _dtype(value)
    if not (jnp.issubdtype(dtype, jnp.integer) or dtype == jnp.bool_):
        raise ValueError(f"{expected}, got dtype {dtype}")
    if is_concrete(value) and np.size(value):
        smallest, largest = int(np.min(np.asarray(value))), int(np.max(np.asarray(value)))
        if smallest < low or largest > high:
            raise ValueError(f"{expected}, got values {smallest} ... {largest}")


def check_floats(name: str, value: Any) -> None:
    """Raises unless the values are finite real numbers."""
    dtype = _dtype(value)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name}: expected floating-point numbers, got dtype {dtype}")
    if is_concrete(value) and not np.isfinite(np.asarray(value)).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")


def check_parameters(variables: Any) -> None:
    """Raises unless all parameters are finite, e.g. before anything is sampled or evaluated.

    Args:
      variables: as `model.apply` takes them, or any tree of arrays; arrays whose values are hidden
        by `jit` are passed over.
    """
    xp = np if jax.default_backend() == "cpu" else jnp  # where the arrays are
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        if not jnp.issubdtype(_dtype(leaf), jnp.inexact) or not is_concrete(leaf):
            continue
        finite = xp.isfinite(leaf)
        if not finite.all():
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            what = "NaN" if xp.isnan(leaf).any() else "infinity"
            count = finite.size - int(finite.sum())
            raise ValueError(
                f"{name}: expected finite numbers, got {what} in {count} of {finite.size} values; "
                "the parameters are damaged or training diverged: use those of an earlier step"
            )


def check_positive(**values: int) -> None:
    """Raises unless each is at least 1."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")


def check_levels(levels: int) -> None:
    """Raises unless there are at least two."""
    if levels < 2:
        raise ValueError(f"levels: expected at least 2, got {levels}")


def check_fractions(**values: float) -> None:
    """Raises unless each is at least 0 and less than 1."""
    for name, value in values.items():
        if not 0 <= value < 1:  # written so that NaN is refused
            raise ValueError(f"{name}: expected at least 0 and less than 1, got {value}")


def _dtype(value: Any) -> np.dtype[Any]:
    """Of an array, a tracer or a list, which stay where they are."""
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
