"""The laws of conditionals."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.base import Conditional
from ar_jax.models.autoregressive import Array
from ar_jax.orderings import Ordering
from ar_jax.testing.base import apply, close, random_variables


def check_conditional(
    conditional: Conditional,
    ordering: Ordering,
    *,
    context_length: int = 2,
    inputs: int = 2,
    features: int = 3,
) -> None:
    """Checks that features depend on what `dependency_mask` says, and that decoding agrees.

    Args:
      conditional: any.
      ordering: one that it accepts, of few steps.
      context_length: how many vectors the context has; the last of several does not count.
      inputs: size of an encoded cell.
      features: how many are asked for of each cell.
    """
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(3, ordering.length, ordering.cells_per_step * inputs))
    features *= ordering.cells_per_step
    vectors = rng.normal(size=(3, context_length, 4))
    mask = np.tile(np.arange(context_length) < max(context_length - 1, 1), (3, 1))
    context = (vectors, mask)
    with jax.enable_x64(True):
        variables = random_variables(conditional, steps, ordering, context, features)
        parallel = _check_dependence(
            conditional, variables, ordering, steps, context, inputs, features
        )
        _check_decoding(conditional, variables, ordering, steps, context, parallel)


def _check_dependence(
    conditional: Conditional,
    variables: Any,
    ordering: Ordering,
    steps: Array,
    context: tuple[Array, Array],
    inputs: int,
    features: int,
) -> Array:
    """Gives the features, too: a program less to compile."""
    vectors, mask = context

    def derivatives(variables: Any, steps: jax.Array, vectors: jax.Array, mask: jax.Array) -> Any:
        def network(more: jax.Array, perturbation: jax.Array) -> tuple[jax.Array, jax.Array]:
            context = vectors + perturbation, mask
            out = apply(conditional, variables, steps + more, ordering, context, features)
            return out, out

        still = jnp.zeros_like(steps[0]), jnp.zeros_like(vectors[0])  # moved in all examples alike
        return jax.jacfwd(network, (0, 1), has_aux=True)(*still)

    (on_steps, on_context), parallel = _run(derivatives, variables, steps, vectors, mask)
    length, width, counts = ordering.length, ordering.cells_per_step, ordering.valid
    nonzero = (on_steps != 0).any(axis=0).reshape(length, width, -1, length, width, inputs)
    sees = nonzero.any(axis=(2, 5))[counts]  # [count, length, width]
    assert not sees[:, ~counts].any(), "what fills up a step is seen by none"
    visible = conditional.dependency_mask(ordering)
    np.testing.assert_array_equal(sees[:, counts], visible, "features depend on what is visible")
    assert not np.triu(visible).any(), "a step sees itself or a later one"
    count = len(mask[0])
    nonzero = (on_context != 0).any(axis=(0, 4)).reshape(length, width, features // width, count)
    reached = nonzero.any(axis=2)[counts]  # [count, context_length]
    expected = conditional.context_dependency_mask(ordering, count) & mask[0]
    np.testing.assert_array_equal(reached, expected, "all steps read the whole context")
    return parallel


def check_rounding(
    conditional: Conditional, ordering: Ordering, *, inputs: int = 2, features: int = 3
) -> None:
    """In float32, decoding computes what `__call__` computes.

    Args:
      conditional: any.
      ordering: one that it accepts, of few steps.
      inputs: size of an encoded step.
      features: how many are asked for.
    """
    shape = (3, ordering.length, ordering.cells_per_step * inputs)
    steps = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    features *= ordering.cells_per_step
    nothing = np.zeros((3, 0, 4), np.float32), np.zeros((3, 0), bool)
    variables = random_variables(conditional, steps, ordering, nothing, features)

    def both(variables: Any, steps: jax.Array, context: Any) -> tuple[jax.Array, jax.Array]:
        parallel = apply(conditional, variables, steps, ordering, context, features)
        empty = apply(conditional, variables, steps[:, 0], ordering, context, method="init_cache")
        return parallel, _stepped(conditional, variables, empty, ordering, steps, features)

    parallel, stepped = _run(both, variables, steps, nothing)
    law = "step in a scan gives the features of __call__ in float32"
    np.testing.assert_allclose(stepped, parallel, 1e-3, 1e-3, equal_nan=False, err_msg=law)


def _check_decoding(
    conditional: Conditional,
    variables: Any,
    ordering: Ordering,
    steps: Array,
    context: tuple[Array, Array],
    parallel: Array,
) -> None:
    some, static = min(2, ordering.length), {"ordering": ordering, "features": parallel.shape[-1]}

    def decode(variables: Any, steps: jax.Array, context: Any) -> tuple[jax.Array, ...]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return apply(conditional, variables, *args, **kwargs)

        previous = _before(steps)
        empty = run(steps[:, 0], ordering, context, method="init_cache")
        cache, extended = run(empty, previous[:, :some], 0, method="extend", **static)
        if some < ordering.length:
            at = jnp.asarray(some)  # traced, where the first piece has an integer
            _, rest = run(cache, previous[:, some:], at, method="extend", **static)
            extended = jnp.concatenate([extended, rest], axis=1)
        stepped = _stepped(conditional, variables, empty, steps=steps, **static)
        return stepped, extended, run(empty, previous[:, 0], 0, method="step", **static)[1]

    stepped, extended, first = _run(decode, variables, steps, context)
    if not np.allclose(stepped, parallel, 1e-9, 1e-9):  # a common slip, which has a name
        blank = jnp.asarray(steps).at[:, -1].set(0)  # it stands before the first, read by no other
        empty = _run(_empty_cache(conditional, ordering), variables, steps, context)
        zeroed = _stepped(conditional, variables, empty, ordering, blank, static["features"])
        assert not np.allclose(zeroed, parallel, 1e-9, 1e-9), (
            "step reads `previous` at t = 0, where no step precedes and it may hold anything: "
            "use jnp.where(t == 0, 0, previous)"
        )
    close(stepped, parallel, "step in a scan gives the features of __call__")
    close(extended, parallel, "extend in pieces gives the features of __call__")
    close(first, parallel[:, 0], "t may be a Python integer")


def _empty_cache(conditional: Conditional, ordering: Ordering) -> Any:
    """(variables, steps, context) -> the cache before the first step."""

    def init(variables: Any, steps: jax.Array, context: Any) -> Any:
        return apply(conditional, variables, steps[:, 0], ordering, context, method="init_cache")

    return init


def _stepped(
    conditional: Conditional,
    variables: Any,
    empty: Any,
    ordering: Ordering,
    steps: jax.Array,
    features: int,
) -> jax.Array:
    """The features step by step, from an empty cache."""

    def body(cache: Any, inputs: tuple[jax.Array, jax.Array]) -> Any:
        return apply(conditional, variables, cache, *inputs, ordering, features, method="step")

    slots = _before(steps).swapaxes(0, 1), jnp.arange(ordering.length)
    return jax.lax.scan(body, empty, slots)[1].swapaxes(0, 1)


def _run(function: Any, *args: Any) -> Any:
    """`function(*args)`, compiled once: most conditionals are one program for all orderings."""
    lowered = jax.jit(function).lower(*args)
    return jax.tree.map(np.asarray, _compiled(_Program(lowered.as_text(), lowered))(*args))


@dataclass(frozen=True)
class _Program:
    """A lowered program, which is equal to others of the same text."""

    text: str
    lowered: Any = field(compare=False)


@lru_cache(maxsize=32)
def _compiled(program: _Program) -> Any:
    return program.lowered.compile()


def _before(steps: jax.Array) -> jax.Array:
    """Each slot's previous step. What stands before the first is ignored, so anything may."""
    return jnp.concatenate([steps[:, -1:], steps[:, :-1]], axis=1)
