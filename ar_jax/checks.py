"""Checks of what users pass in: errors that name the field, what was expected and what came."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
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


def check_seen(seen: Any, x: Any) -> None:
    """Raises unless these are booleans of the shape of x."""
    check_shape("seen", seen, np.shape(x))
    if not jnp.issubdtype(_dtype(seen), jnp.bool_):
        raise ValueError(f"seen: expected booleans, got {_dtype(seen)}")


def check_floats(name: str, value: Any) -> None:
    """Raises unless the values are finite real numbers that are no larger than `largest`."""
    dtype = _dtype(value)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(f"{name}: expected floating-point numbers, got dtype {dtype}")
    if is_concrete(value) and np.size(value):
        size, high = float(np.abs(np.asarray(value)).max()), largest(dtype)  # NaN if one is
        if not np.isfinite(size):
            raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
        if size > high:
            raise ValueError(
                f"{name}: expected numbers up to {high:.2g} in size, whose squares the model can "
                f"compute with, got one of size {size:.2g}; rescale them"
            )


def largest(dtype: np.dtype[Any]) -> float:
    """The largest number of this dtype that a model takes.

    JAX computes in 32 bits unless it is told otherwise (`jax_enable_x64`): there an integer must
    be in range, and a real number with its square, which is in most log-densities.
    """
    dtype = jax.dtypes.canonicalize_dtype(dtype)
    if jnp.issubdtype(dtype, jnp.floating):
        return float(jnp.finfo(jnp.promote_types(dtype, jnp.float32)).max) ** 0.5
    return np.iinfo(jax.dtypes.canonicalize_dtype(np.int64)).max


def check_number(name: str, value: Any, expected: str, holds: Callable[[float], bool]) -> None:
    """Raises unless the value is one finite number, in float32 too, for which something holds.

    Args:
      name: of the number.
      value: of Python or NumPy, or an array `[]`; a tracer is passed over.
      expected: what holds, in words.
      holds: whether a finite number is allowed.
    """
    if not is_concrete(value):
        return
    number, high = np.asarray(value), float(np.finfo(np.float32).max)
    kinds = jnp.floating, jnp.integer, jnp.bool_
    real = number.ndim == 0 and any(jnp.issubdtype(number.dtype, kind) for kind in kinds)
    if not (real and abs(float(number)) <= high and holds(float(number))):
        raise ValueError(f"{name}: expected {expected}, got {value}")


def as_keys(name: str, keys: Any, shape: tuple[int | str, ...] = ()) -> jax.Array:
    """Random keys of a shape, in which a string stands for any size.

    Raw ones, as `jax.random.PRNGKey` makes them, become those of `jax.random.key`: other code
    would take the two words of a raw key for two keys.

    Raises:
      ValueError: when they are none, or of another shape.
    """
    dtype = getattr(keys, "dtype", None)
    if dtype == np.uint32 and np.ndim(keys):
        raw = jax.random.key_data(jax.random.key(0)).shape
        if np.shape(keys)[-1:] == raw:
            keys = jax.random.wrap_key_data(jnp.asarray(keys))
    if not jnp.issubdtype(getattr(keys, "dtype", np.dtype(object)), jax.dtypes.prng_key):
        got = f"{keys!r}" if dtype is None else f"{dtype} {list(np.shape(keys))}"
        raise ValueError(f"{name}: expected what jax.random.key(seed) makes, got {got}")
    check_shape(name, keys, shape)
    return keys


def check_variables(variables: Any) -> None:
    """Raises unless these are a model's variables, `{"params": ...}`, and finite."""
    if not isinstance(variables, Mapping) or (variables and "params" not in variables):
        keys = f" with {', '.join(map(str, variables))}" if isinstance(variables, Mapping) else ""
        raise ValueError(
            'variables: expected all that model.init returned, a dictionary with "params", got '
            f'{type(variables).__name__}{keys}; give variables, not variables["params"]'
        )
    check_parameters(variables)


def check_parameters(variables: Any) -> None:
    """Raises unless all parameters are finite, e.g. before anything is sampled or evaluated.

    Args:
      variables: as `model.apply` takes them, or any tree of arrays; arrays whose values are hidden
        by `jit` are passed over.
    """
    leaves = [
        (path, leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
        if jnp.issubdtype(_dtype(leaf), jnp.inexact) and is_concrete(leaf)
    ]
    xp = in_place()
    if xp is jnp and _all_finite([leaf for _, leaf in leaves]):
        return
    for path, leaf in leaves:
        finite = xp.isfinite(leaf)
        if not finite.all():
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            what = "NaN" if xp.isnan(leaf).any() else "infinity"
            count = finite.size - int(finite.sum())
            raise ValueError(
                f"{name}: expected finite numbers, got {what} in {count} of {finite.size} values; "
                "the parameters are damaged or training diverged: use those of an earlier step"
            )


def check_at_least(low: int, **values: int) -> None:
    """Raises unless each is an integer of at least so much."""
    for name, value in values.items():
        if not isinstance(value, int | np.integer | np.bool_):
            raise ValueError(f"{name}: expected an integer, got {value}")
        if value < low:
            raise ValueError(f"{name}: expected at least {low}, got {value}")


def check_positive(**values: int) -> None:
    """Raises unless each is an integer of at least 1."""
    check_at_least(1, **values)


def as_integers(name: str, values: Any) -> tuple[int, ...]:
    """A sequence of integers, of NumPy too, as a tuple of Python's; others are not rounded."""
    values = tuple(values)
    if not all(isinstance(value, int | np.integer) for value in values):
        raise ValueError(f"{name}: expected integers, got {values[:8]}")
    return tuple(map(int, values))


def check_fields(part: nn.Module) -> None:
    """Raises unless fields declared as integers hold integers, and those of floats are not NaN.

    Fields that are modules too are looked into.
    """
    for field in dataclasses.fields(part):
        if field.name in ("parent", "name"):  # of Linen's
            continue
        value = getattr(part, field.name)
        if field.type is int or field.type == tuple[int, ...]:
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(isinstance(number, int | np.integer | np.bool_) for number in numbers):
                raise ValueError(f"{field.name}: expected whole numbers, got {value}")
        elif field.type is float and is_concrete(value) and value != value:
            raise ValueError(f"{field.name}: expected a number, got {value}")
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, nn.Module):
                check_fields(one)


def check_levels(levels: int) -> None:
    """Raises unless there are at least two."""
    check_at_least(2, levels=levels)


def check_fractions(**values: float) -> None:
    """Raises unless each is at least 0 and less than 1."""
    for name, value in values.items():
        if not 0 <= value < 1:  # written so that NaN is refused
            raise ValueError(f"{name}: expected at least 0 and less than 1, got {value}")


def in_place() -> Any:
    """NumPy on a CPU, else JAX's: what looks at arrays without a copy to the host."""
    return np if jax.default_backend() == "cpu" else jnp


@jax.jit
def _all_finite(leaves: list[Any]) -> jax.Array:
    """Whether all arrays are finite, in one program: an answer from a device takes its time."""
    return (
        jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all()
        if leaves
        else jnp.array(True)
    )


def _dtype(value: Any) -> np.dtype[Any]:
    """Of an array, a tracer or a list, which stay where they are."""
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype
