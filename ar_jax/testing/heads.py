"""The laws of heads."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.decoding import Sampler, example_keys
from ar_jax.heads import Head, Integers, Support
from ar_jax.testing.base import TOLERANCE, apply, close, random_variables, to_float32
from ar_jax.testing.draws import check_draws, grid, is_finite


def check_head(head: Head, block_size: int) -> None:
    """Probabilities sum to one, samples follow them, values outside the support have none.

    Args:
      head: any.
      block_size: the number of variables of a step: few, since sums and integrals are over all.
    """
    head.check_block(block_size)
    support = head.support(block_size)
    assert len(support) == block_size, "support tells of each variable"
    with jax.enable_x64(True):
        features = np.random.default_rng(0).normal(size=head.num_params(block_size))
        steps, weights, places = grid(support)
        everything = steps.astype(head.dtype)

        def tiled(features: Any, count: int) -> jax.Array:
            return jnp.broadcast_to(features, (count, len(features)))

        @jax.jit
        def score(variables: Any, features: Any, value: jax.Array) -> jax.Array:
            features = tiled(features, len(value))
            return apply(head, variables, features, value, method=_score)

        @jax.jit
        def draw(variables: Any, features: Any, keys: jax.Array) -> tuple[jax.Array, jax.Array]:
            features = tiled(features, len(keys))
            return apply(head, variables, features, keys, Sampler(), method="sample")

        variables = random_variables(head, features[None], everything[:1], method=_score)
        keys = example_keys(jax.random.key(0), 20_000)
        drawn, drawn_log_prob = draw(variables, features, keys)
        assert drawn.dtype == head.dtype, "what is drawn has the head's dtype"
        head.check("drawn", drawn)
        outside = _outside(support, everything[0])
        scored = np.asarray(
            score(variables, features, np.concatenate([drawn, everything, outside]))
        )
        again, each, never = np.split(scored, np.cumsum([len(drawn), len(everything)]))
        close(drawn_log_prob, again, "sample returns log_prob of what it drew")
        probability = weights * np.exp(each)
        finite = all(map(is_finite, support))
        law = "sums to one" if finite else "integrates to one"
        exact = TOLERANCE if finite else 1e-6
        np.testing.assert_allclose(probability.sum(), 1, exact, exact, err_msg=law)
        check_draws(drawn, steps, places, probability)
        assert np.all(never == -np.inf), "values outside the support are impossible"


def check_extremes(head: Head, block_size: int) -> None:
    """Whatever the features, nothing overflows, and float32 is as good as its inputs.

    Features are as large as 1e4 and as close to a value as float32 tells apart. Draws are finite,
    log-probabilities below infinity, their gradients finite, and in float32 they are what float64
    makes of features, parameters and values that differ in the last few bits; of a value, in those
    of the spread of what is drawn as well.

    Args:
      head: any.
      block_size: the number of variables of a step.
    """
    rng, count = np.random.default_rng(0), 600
    close_by = float(np.nextafter(np.float32(0.3), np.float32(1)))
    steps = np.stack([rng.choice(_extremes(kind), count) for kind in head.support(block_size)], -1)
    choices = [-1e4, -90, -16.1, -1, 0, 0.3, close_by, 1.5, 16.1, 90, 1e4]
    features = rng.choice(np.array(choices, np.float32), (count, head.num_params(block_size)))
    value = np.asarray(steps, np.float32).astype(head.dtype)
    variables = to_float32(random_variables(head, features, value, method=_score))

    def scored(inputs: tuple[Any, ...]) -> tuple[jax.Array, Any]:
        """One step's log-probability, and its gradient."""

        def score(inputs: tuple[Any, ...]) -> jax.Array:
            variables, features, value = inputs
            batched = features[None], value[None]
            return apply(head, variables, *batched, method=_score)[0]

        return jax.value_and_grad(score, allow_int=True)(inputs)

    every = jax.jit(jax.vmap(scored, ((None, 0, 0),)))
    got, narrow = jax.tree.map(np.asarray, every((variables, features, value)))
    keys = example_keys(jax.random.key(0), 8 * count).reshape(8, count)
    draw = jax.jit(jax.vmap(partial(apply, head, method="sample"), (None, None, 0, None)))
    drawn, _ = draw(variables, features, keys, Sampler())
    head.check("drawn", drawn)
    with jax.enable_x64(True):
        inputs = jax.tree.map(_to_float64, (variables, features, value))
        inputs, (expected, wide) = jax.tree.map(np.asarray, (inputs, every(inputs)))
    rounding = np.zeros(count)
    for x, slope in zip(*map(jax.tree.leaves, (inputs, wide)), strict=True):
        if jnp.issubdtype(x.dtype, jnp.floating):
            rounding += np.abs(x * slope).reshape(count, -1).sum(axis=1)
    if jnp.issubdtype(head.dtype, jnp.floating):
        rounding += (np.ptp(drawn, axis=0) * np.abs(wide[2])).sum(axis=-1)
    possible = np.isfinite(expected)
    assert not np.isnan(got).any(), "log-probabilities are numbers"
    assert np.all(got < np.inf), "densities are finite"
    slopes = [x for x in jax.tree.leaves((narrow, wide)) if jnp.issubdtype(x.dtype, jnp.floating)]
    assert all(np.isfinite(slope).all() for slope in slopes), "gradients are finite"
    np.testing.assert_array_equal(np.isfinite(got), possible, "what is possible in float32 is so")
    bits = 32 * float(np.finfo(np.float32).eps)
    features, value, got, expected, rounding = (
        x[possible] for x in (features, value, got, expected, rounding)
    )
    error, allowed = np.abs(got - expected), bits * (1 + np.abs(expected) + rounding)
    worst = np.argmax(error / allowed)
    assert error[worst] <= allowed[worst], (
        f"float32 is as good as its inputs: features {features[worst]} and value {value[worst]} "
        f"give {got[worst]}, not {expected[worst]} within {allowed[worst]}"
    )


def _score(head: Head, features: jax.Array, value: jax.Array) -> jax.Array:
    """The log-probability, where `init` sees what `encode` has too."""
    encoded = head.encode(value)
    assert jnp.issubdtype(encoded.dtype, jnp.floating), "encode returns floating point"
    return head.log_prob(features, value)


def _to_float64(x: Any) -> jax.Array:
    return jnp.asarray(x, float if jnp.issubdtype(x.dtype, jnp.floating) else None)


def _outside(support: tuple[Support, ...], step: np.ndarray) -> np.ndarray:
    """A step `[variables]`, each time with one variable outside its support: `[n, variables]`."""
    outside = []
    for variable, kind in enumerate(support):
        if isinstance(kind, Integers):
            values = [-1, kind.largest + 1] if is_finite(kind) else [-1]
        else:
            values = [end for end in (2 * kind.low, 2 * kind.high) if np.isfinite(end)]
        for value in values:
            outside.append(step.copy())
            outside[-1][variable] = value
    return np.reshape(outside, (-1, len(step))).astype(step.dtype)


def _extremes(kind: Support) -> list[float]:
    """Values at which formulas break."""
    if isinstance(kind, Integers):
        few = [0, 1, 2, 7, 30, 127, 128, 254, 255, 1000, 10**6]
        few += [kind.largest - 1, kind.largest] if is_finite(kind) else []
        return [value for value in few if 0 <= value <= kind.largest]
    few = [kind.low, -1e4, -1, -1e-7, 0, 1e-7, 0.3, 0.5, 1, 1.5, 3, 30, 1e4, kind.high]
    return [value for value in few if np.isfinite(value) and kind.low <= value <= kind.high]
