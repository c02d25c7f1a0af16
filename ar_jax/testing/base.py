"""What laws share: random variables, and how close is close."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.contexts import map_condition

TOLERANCE = 1e-9
"""Absolute and relative, for two ways of computing the same in float64."""


def apply(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """`module.apply`, whose result may be anything."""
    return module.apply(*args, **kwargs)


def compiled_apply(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """`module.apply` as one program: on small arrays, most of its time is compiling operations."""
    return jax.jit(module.apply, static_argnames="method")(*args, **kwargs)


def random_variables(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Random variables for a module: initial ones are often zero, and hide what they multiply."""
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        scale = leaf.shape[-2] ** -0.5 if len(leaf.shape) > 1 else 0.5
        return jnp.asarray(rng.normal(size=leaf.shape, scale=scale))

    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args, **kwargs))
    return jax.tree.map(draw, shapes)


def to_float32(tree: Any) -> Any:
    """The floating-point arrays of a pytree in float32, by NumPy, which compiles nothing."""

    def narrow(x: Any) -> jax.Array:
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        return jnp.asarray(np.asarray(x).astype(np.float32) if floating else x)

    return jax.tree.map(narrow, tree)


def scaled(tree: Any, factor: float) -> Any:
    """The arrays of a pytree times a factor, by NumPy, which compiles nothing."""
    return jax.tree.map(lambda x: jnp.asarray(factor * np.asarray(x)), tree)


def close(got: Any, wanted: Any, law: str) -> None:
    """Raises AssertionError, naming the law, unless the two agree in float64."""
    np.testing.assert_allclose(got, wanted, TOLERANCE, TOLERANCE, equal_nan=False, err_msg=law)


def resized(x: Any, count: int) -> Any:
    """`[count, ...]`: the rows of an array, or of each array of a tuple, over and over."""
    return map_condition(lambda rows: np.resize(rows, (count, *np.shape(rows)[1:])), x)
