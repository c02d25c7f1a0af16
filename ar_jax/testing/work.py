"""What decoding costs, in multiply-adds and in bytes."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from ar_jax.conditionals.base import Conditional
from ar_jax.decoding import Sampler, example_keys
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.orderings import Ordering
from ar_jax.testing.base import apply


def check_work(model: AutoregressiveModel, condition: Any = None, limit: float = 1.25) -> None:
    """Drawing one sample costs the arithmetic of scoring it once.

    Args:
      model: any.
      condition: `[1, ...]`, one condition; None for none.
      limit: the most multiply-adds of drawing, as a multiple of those of scoring.
    """
    drawing, scoring = decoding_work(model, condition)
    ratio = drawing / scoring
    assert ratio <= limit, f"drawing costs {ratio:.2f} times the multiply-adds of scoring"


def decoding_work(model: AutoregressiveModel, condition: Any = None) -> tuple[int, int]:
    """Multiply-adds of drawing one sample step by step, and of scoring it in parallel."""
    x = jnp.zeros((1, *model.ordering.event), model.head.dtype)
    variables = jax.eval_shape(model.init, jax.random.key(0), x, condition)
    scoring = multiply_adds(jax.make_jaxpr(partial(apply, model))(variables, x, condition).jaxpr)

    def begin(variables: Any) -> Any:
        return apply(model, variables, 1, condition, method="init_cache")

    drawing = multiply_adds(jax.make_jaxpr(begin)(variables).jaxpr)
    cache = jax.eval_shape(begin, variables)
    previous = jnp.zeros((1, model.ordering.step_size), model.head.dtype)
    keys = example_keys(jax.random.key(0), 1)
    for t in range(model.ordering.length):

        def draw(variables: Any, cache: Any, t: int = t) -> Any:
            return apply(model, variables, cache, previous, t, keys, Sampler(), method="draw")

        drawing += multiply_adds(jax.make_jaxpr(draw)(variables, cache).jaxpr)
    return drawing, scoring


def cache_bytes(conditional: Conditional, ordering: Ordering, inputs: int = 2) -> int:
    """How much the conditional keeps for one example while decoding without a context."""
    template, nothing = jnp.zeros((1, inputs)), (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))

    def begin(key: jax.Array) -> Any:
        steps = jnp.zeros((1, ordering.length, inputs))
        variables = conditional.init(key, steps, ordering, nothing, 1)
        return apply(conditional, variables, template, ordering, nothing, method="init_cache")

    cache = jax.eval_shape(begin, jax.random.key(0))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(cache))


def multiply_adds(jaxpr: Jaxpr) -> int:
    """Of the matrix products and convolutions of a jaxpr, loop bodies times their length.

    A branch counts by itself if its predicate is a literal, else the costliest one does.

    Raises:
      ValueError: for a loop of unknown length around arithmetic.
    """
    total = 0
    for eqn in jaxpr.eqns:
        operands: list[Any] = [variable.aval for variable in eqn.invars]
        results: list[Any] = [variable.aval for variable in eqn.outvars]
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            total += results[0].size * math.prod(operands[0].shape[axis] for axis in contracted)
        elif eqn.primitive.name == "conv_general_dilated":
            outputs = operands[1].shape[eqn.params["dimension_numbers"].rhs_spec[0]]
            total += results[0].size * operands[1].size // outputs
        elif eqn.primitive.name == "cond":
            branches = [multiply_adds(branch.jaxpr) for branch in eqn.params["branches"]]
            which = eqn.invars[0]
            total += branches[int(which.val)] if isinstance(which, Literal) else max(branches)
        else:
            inner = [
                multiply_adds(value.jaxpr if isinstance(value, ClosedJaxpr) else value)
                for value in eqn.params.values()
                if isinstance(value, (ClosedJaxpr, Jaxpr))
            ]
            if eqn.primitive.name == "while" and any(inner):
                raise ValueError("a while loop has no length to count by: use scan or fori_loop")
            total += eqn.params.get("length", 1) * sum(inner) if inner else 0
    return total
