"""The laws: what every conditional, head and model must satisfy, to be run on parts of one's own.

    ar.testing.check_conditional(MyConditional(), ar.orderings.Raster((4, 3, 1)))
    ar.testing.check_rounding(MyConditional(), ar.orderings.Raster((4, 3, 1)))
    ar.testing.check_head(MyHead(), block_size=2)
    ar.testing.check_extremes(MyHead(), block_size=2)
    ar.testing.check_model(model)
    ar.testing.check_flow(flow)

They use random parameters, not initial ones, and all but `check_rounding` and `check_extremes`
float64: the rounding of float32, about 4e-6, hides bugs. Each raises AssertionError with the name
of the law that is broken.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeGuard

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from scipy import stats

from ar_jax.conditionals.base import Conditional
from ar_jax.contexts import Context
from ar_jax.decoding import Sampler, example_keys
from ar_jax.flows import Flow, Transform
from ar_jax.heads import Head, Integers, Reals, Support
from ar_jax.model import Array, AutoregressiveModel, sample
from ar_jax.orderings import Ordering, Raster

TOLERANCE = 1e-9
"""Absolute and relative, for two ways of computing the same in float64."""

CHANCE = 1e-6
"""The odds that a law about random draws fails by chance."""


def check_ordering(ordering: Ordering) -> None:
    """To steps and back is the identity, each cell comes once, coordinates say where.

    Args:
      ordering: any.
    """
    count = int(np.prod(ordering.event))
    event = np.arange(2 * count).reshape(2, *ordering.event)
    steps = ordering.to_steps(jnp.asarray(event))
    assert steps.shape == (2, ordering.length, ordering.step_size), "steps have the wrong shape"
    np.testing.assert_array_equal(ordering.to_event(steps), event, "to_event undoes to_steps")
    assert sorted(ordering.order) == list(range(ordering.count)), "a cell comes twice or never"
    visited = ordering.slots[ordering.valid]
    np.testing.assert_array_equal(visited, ordering.order, "steps visit the cells in order")
    assert not np.triu(ordering.before).any(), "a cell depends on itself or a later one"
    step = np.nonzero(ordering.valid)[0]
    assert not np.any(ordering.before & (step[:, None] == step)), "a step depends on itself"
    sides = zip(ordering.event, ordering.block, strict=True)
    corners = np.ix_(*[range(0, size, side) for size, side in sides])
    first = event[0][corners][tuple(ordering.coordinates.T)]
    got = ordering.by_cell(steps)[0, ordering.valid, 0]
    np.testing.assert_array_equal(got, first, "coordinates say where a cell is")
    if ordering.grid is not None:
        order = ordering.order.reshape(*ordering.grid, ordering.channels)
        for axis in (0, 1, 2):
            assert len(np.unique(np.diff(order, axis=axis))) <= 1, "the grid keeps neighbours"


def check_conditional(
    conditional: Conditional,
    ordering: Ordering,
    *,
    context_length: int = 2,
    inputs: int = 2,
    features: int = 3,
) -> None:
    """Features depend on exactly the steps that `visible` names, and decoding computes the same.

    Args:
      conditional: any.
      ordering: one that it accepts, of few steps.
      context_length: how many vectors the context has; the last of several does not count.
      inputs: size of an encoded cell.
      features: how many are asked for of each cell.
    """
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(3, ordering.length, ordering.width * inputs))
    features *= ordering.width
    vectors = rng.normal(size=(3, context_length, 4))
    mask = np.tile(np.arange(context_length) < max(context_length - 1, 1), (3, 1))
    context = (vectors, mask)
    with jax.enable_x64(True):
        variables = random_variables(conditional, steps, ordering, context, features)
        _check_dependence(conditional, variables, ordering, steps, context, inputs, features)
        _check_decoding(conditional, variables, ordering, steps, context, features)


def _check_dependence(
    conditional: Conditional,
    variables: Any,
    ordering: Ordering,
    steps: Array,
    context: tuple[Array, Array],
    inputs: int,
    features: int,
) -> None:
    vectors, mask = context

    def network(variables: Any, steps: jax.Array, vectors: jax.Array) -> jax.Array:
        batched = jax.tree.map(lambda x: x[None], (steps, (vectors, mask[0])))
        return apply(conditional, variables, batched[0], ordering, batched[1], features)[0]

    on_steps, on_context = _run(
        jax.vmap(jax.jacrev(network, (1, 2)), (None, 0, 0)), variables, steps, vectors
    )
    length, width, counts = ordering.length, ordering.width, ordering.valid
    nonzero = (on_steps != 0).any(axis=0).reshape(length, width, -1, length, width, inputs)
    sees = nonzero.any(axis=(2, 5))[counts]  # [count, length, width]
    assert not sees[:, ~counts].any(), "what fills up a step is seen by none"
    visible = conditional.visible(ordering)
    np.testing.assert_array_equal(sees[:, counts], visible, "features depend on what is visible")
    assert not np.triu(visible).any(), "a step sees itself or a later one"
    nonzero = (on_context != 0).any(axis=(0, 4)).reshape(length, width, -1, vectors.shape[1])
    told = nonzero.any(axis=2)[counts]  # [count, context_length]
    expected = conditional.reads(ordering, told.shape[1]) & mask[0]
    np.testing.assert_array_equal(told, expected, "the context reaches each step, the masked none")


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
    shape = (3, ordering.length, ordering.width * inputs)
    steps = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    features *= ordering.width
    nothing = np.zeros((3, 0, 4), np.float32), np.zeros((3, 0), bool)
    variables = random_variables(conditional, steps, ordering, nothing, features)
    parallel, stepped = _ways(conditional, variables, ordering, steps, nothing, features)
    law = "step in a scan gives the features of __call__ in float32"
    np.testing.assert_allclose(stepped, parallel, 1e-3, 1e-3, equal_nan=False, err_msg=law)


def _check_decoding(
    conditional: Conditional,
    variables: Any,
    ordering: Ordering,
    steps: Array,
    context: tuple[Array, Array],
    features: int,
) -> None:
    some, static = min(2, ordering.length), {"ordering": ordering, "features": features}

    def in_pieces(variables: Any, steps: jax.Array, context: Any) -> tuple[jax.Array, jax.Array]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return apply(conditional, variables, *args, **kwargs)

        previous = _before(steps)
        empty = run(steps[:, 0], ordering, context, method="init_cache")
        cache, extended = run(empty, previous[:, :some], 0, method="extend", **static)
        if some < ordering.length:
            at = jnp.asarray(some)  # traced, where the first piece has an integer
            _, rest = run(cache, previous[:, some:], at, method="extend", **static)
            extended = jnp.concatenate([extended, rest], axis=1)
        return extended, run(empty, previous[:, 0], 0, method="step", **static)[1]

    parallel, stepped = _ways(conditional, variables, ordering, steps, context, features)
    close(stepped, parallel, "step in a scan gives the features of __call__")
    extended, first = _run(in_pieces, variables, steps, context)
    close(extended, parallel, "extend in pieces gives the features of __call__")
    close(first, parallel[:, 0], "t may be a Python integer")


def _ways(
    conditional: Conditional,
    variables: Any,
    ordering: Ordering,
    steps: Array,
    context: tuple[Array, Array],
    features: int,
) -> tuple[jax.Array, jax.Array]:
    """The features by `__call__`, and step by step."""
    static = {"ordering": ordering, "features": features}

    def both(variables: Any, steps: jax.Array, context: Any) -> tuple[jax.Array, jax.Array]:
        def run(*args: Any, **kwargs: Any) -> Any:
            return apply(conditional, variables, *args, **kwargs)

        def body(cache: Any, inputs: tuple[jax.Array, jax.Array]) -> Any:
            return run(cache, *inputs, method="step", **static)

        empty = run(steps[:, 0], ordering, context, method="init_cache")
        slots = _before(steps).swapaxes(0, 1), jnp.arange(ordering.length)
        _, stepped = jax.lax.scan(body, empty, slots)
        return run(steps, context=context, **static), stepped.swapaxes(0, 1)

    return _run(both, variables, steps, context)


def _run(function: Any, *args: Any) -> Any:
    """`function(*args)`, compiled once: most conditionals are one program for all orderings."""
    lowered = jax.jit(function).lower(*args)
    return _compiled(_Program(lowered.as_text(), lowered))(*args)


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
        features = np.random.default_rng(0).normal(size=head.features(block_size))
        steps, weights, places = _grid(support)
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
        log_prob = partial(score, variables, features)
        keys = example_keys(jax.random.key(0), 20_000)
        drawn, drawn_log_prob = draw(variables, features, keys)
        assert drawn.dtype == head.dtype, "what is drawn has the head's dtype"
        head.check("drawn", drawn)
        close(drawn_log_prob, log_prob(drawn), "sample returns log_prob of what it drew")
        probability = weights * np.exp(log_prob(everything))
        finite = all(map(_is_finite, support))
        law = "sums to one" if finite else "integrates to one"
        exact = TOLERANCE if finite else 1e-6
        np.testing.assert_allclose(probability.sum(), 1, exact, exact, err_msg=law)
        _check_draws(drawn, steps, places, probability)
        for variable, kind in enumerate(support):
            for value in _outside(kind):
                outside = everything[:1].copy()
                outside[:, variable] = value
                law = "values outside the support are impossible"
                assert np.all(log_prob(outside) == -np.inf), law


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
    features = rng.choice(np.array(choices, np.float32), (count, head.features(block_size)))
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


def check_context(context: Context, condition: Any) -> None:
    """Presence is told apart from absence, and dropout happens only where it is asked for.

    Args:
      context: any.
      condition: `[batch, ...]`, several different ones; None for `Nothing`.
    """
    batch = 16
    if condition is None:
        vectors, mask = apply(context, {}, None, batch)
        assert vectors.shape[:2] == mask.shape == (batch, 0), "nothing has no vectors"
        return
    condition = np.resize(condition, (batch, *np.shape(condition)[1:]))
    variables = random_variables(context, condition, batch)
    present, mask = apply(context, variables, condition, batch)
    assert present.shape[:2] == mask.shape == (batch, mask.shape[1]), "vectors fit their mask"
    assert mask.any(axis=1).all(), "each example is told something"
    again, _ = apply(context, variables, condition, batch)
    np.testing.assert_array_equal(present, again, "without a dropout rng nothing is random")
    if getattr(context, "dropout", 0) == 0:
        absent, _ = apply(context, variables, None, batch)
        assert np.isnan(absent).all(), "an absence that was never trained is not made up"
        return
    null, null_mask = apply(context, variables, None, batch)
    (null,) = np.unique(np.asarray(null)[np.asarray(null_mask)], axis=0)
    rngs = {"dropout": jax.random.key(1)}
    dropped, dropped_mask = apply(context, variables, condition, batch, rngs=rngs)
    alone = np.asarray(dropped_mask).sum(axis=1) == 1
    is_null = alone & np.all(np.asarray(dropped)[:, 0] == null, axis=-1)
    same = np.all(np.asarray(dropped == present).reshape(batch, -1), axis=1)
    assert np.all(is_null | same), "dropout changes a condition to the null and nothing else"
    assert is_null.any(), "dropout takes some conditions"
    assert same.any(), "dropout leaves some conditions"


def check_model(model: AutoregressiveModel, condition: Any = None) -> None:
    """The model sums to one, samples follow it, samplers and prefixes do what they say.

    Args:
      model: over an event of few variables, so that all its events can be listed; the sums of
        others than finite ones are left to `check_head`.
      condition: `[1, ...]`, one condition; None for none.
    """
    count = 4096  # one size, so that scoring compiles once
    raster = Raster(model.ordering.event, model.ordering.block)
    support = model.head.support(raster.block_size) * raster.count
    finite = all(map(_is_finite, support))
    with jax.enable_x64(True):
        steps = _grid(support)[0] if finite else np.zeros((1, len(support)))
        steps = steps.astype(model.head.dtype)
        everything = raster.to_event(steps.reshape(len(steps), raster.count, -1))
        variables = random_variables(model, everything[:1], condition)

        def tiled(batch: int) -> Any:
            return None if condition is None else np.repeat(np.asarray(condition), batch, axis=0)

        @jax.jit
        def log_probs(variables: Any, x: jax.Array) -> jax.Array:
            return apply(model, variables, x, tiled(count), method="step_log_probs")

        def score(x: Any) -> Array:
            return log_probs(variables, resized(x, count))[: len(x)]

        def draw(key: int, batch: int = count, **options: Any) -> Any:
            given = {"batch_size": batch} if condition is None else {"condition": tiled(batch)}
            return sample(
                model, variables, jax.random.key(key), return_log_prob=True, **given, **options
            )

        drawn, drawn_log_prob = draw(1)
        close(drawn_log_prob, score(drawn).sum(axis=1), "what sampling accumulates is log_prob")
        if finite:
            probability = np.exp(score(everything).sum(axis=1))
            close(probability.sum(), 1, "sums to one")
            drawn_steps = raster.to_steps(np.asarray(drawn)).reshape(count, -1)
            _check_frequencies(drawn_steps, steps, probability)
            greedy, _ = draw(1, sampler=Sampler(temperature=0.0))
            close(greedy, draw(2, sampler=Sampler(top_k=1))[0], "greedy is top-1")
            values = 1 + max(kind.largest for kind in support if _is_finite(kind))
            kept, _ = draw(1, sampler=Sampler(top_k=values))
            close(kept, drawn, "cutting nothing changes nothing")
        else:
            greedy, again = (draw(key, sampler=Sampler(temperature=0.0))[0] for key in (1, 2))
            close(greedy, again, "greedy does not depend on the key")
        steps = model.ordering.to_steps(drawn[:8])
        most = model.ordering.length // 2 + 1
        lengths = np.maximum(most - np.arange(8) % 2, 1)
        prefix = {"prefix": steps[:, :most], "prefix_lengths": lengths}
        same, _ = draw(1, batch=8, **prefix)
        close(same, drawn[:8], "a prefix of what would be drawn anyway changes nothing")
        after, after_log_prob = draw(3, batch=8, **prefix)
        known = np.arange(model.ordering.length) < lengths[:, None]
        kept = np.where(known[..., None], model.ordering.to_steps(after) - steps, 0)
        close(kept, 0, "a prefix is kept")
        rest = np.where(known, 0, score(after)).sum(axis=1)
        close(after_log_prob, rest, "with a prefix, it is log p(drawn | prefix)")
        # Smaller parameters: with random ones of size 1 a continuous density can be too steep for
        # the rounding of x itself.
        calm = jax.tree.map(lambda x: 0.3 * x, variables)
        noise = np.random.default_rng(1).normal(size=(count, len(support)))
        drawn = raster.to_steps(np.asarray(drawn)).reshape(count, -1)
        bounds = zip(support, noise.T, drawn.T, strict=True)
        x = [
            np.clip(normal, kind.low, kind.high) if isinstance(kind, Reals) else values
            for kind, normal, values in bounds
        ]
        x = np.stack(x, axis=-1).astype(model.head.dtype)
        x = raster.to_event(x.reshape(count, raster.count, -1))
        wide = log_probs(calm, x)
    narrow = log_probs(*to_float32((calm, x)))
    law = "float32 agrees with float64"
    np.testing.assert_allclose(narrow, wide, 1e-4, 1e-4, equal_nan=False, err_msg=law)


def check_transform(transform: Transform) -> None:
    """It increases, its inverse undoes it, slopes are the derivative's, gradients are finite.

    Args:
      transform: any.
    """
    transform.check()
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=300, scale=3), [-1e30, -1e4, 0, 1e4, 1e30]])
    parameters = rng.normal(size=(len(x), transform.parameters))
    line: Any = np.linspace(-8, 8, 2001)

    ways = transform.forward, transform.inverse

    @jax.jit
    def there_and_back(x: jax.Array, parameters: jax.Array) -> Any:
        results = []
        for way, back in (ways, ways[::-1]):
            y, log_slope = way(x, parameters)
            slope = jax.vmap(jax.grad(lambda *args, way=way: way(*args)[0]))(x, parameters)
            lines = way(line, parameters[:9, None])[0]
            results.append((log_slope, *back(y, parameters), slope, lines))
        return results

    @jax.jit
    def gradients(x: jax.Array, parameters: jax.Array) -> Any:
        sums = [lambda x, p, way=way: sum(way(x, p)) for way in ways]
        return [jax.vmap(jax.grad(way, (0, 1)))(x, parameters) for way in sums]

    with jax.enable_x64(True):
        for log_slope, again, log_back, slope, lines in there_and_back(x, parameters):
            close(again, x, "forward and inverse undo each other")
            close(log_back, -log_slope, "their slopes are each other's inverse")
            close(log_slope, np.log(slope), "the slope is the derivative")
            assert np.all(np.diff(lines) > 0), "it increases"
    for scale in (1, 30):
        for slope in jax.tree.leaves(gradients(*to_float32((x, scale * parameters)))):
            assert np.isfinite(slope).all(), "gradients are finite in float32"


def check_flow(flow: Flow, condition: Any = None) -> None:
    """The flow is invertible, its log-determinant the Jacobian's, and it draws what it scores.

    A flow of two variables also integrates to one, and what is drawn follows the density.

    Args:
      flow: over an event of few variables.
      condition: `[several, ...]`, different ones; None for none.
    """
    count, size, event = 4096, math.prod(flow.ordering.event), flow.ordering.event
    x, z = np.random.default_rng(0).normal(size=(2, 8, *event))
    conditions = None if condition is None else resized(condition, count)
    y = None if conditions is None else conditions[:8]

    @jax.jit
    def round_trips(variables: Any, x: jax.Array, z: jax.Array, y: Any) -> Any:
        to_noise, to_event = (
            partial(apply, flow, variables, method=method) for method in ("to_noise", "to_event")
        )

        def one(x: jax.Array, y: Any) -> jax.Array:
            return to_noise(*jax.tree.map(lambda leaf: leaf[None], (x, y)))[0].ravel()

        jacobian = jax.vmap(jax.jacfwd(one))(x, y).reshape(len(x), size, size)
        noise, event = to_noise(x, y), to_event(z, y)
        return noise, event, to_event(noise[0], y), to_noise(event[0], y), jacobian

    @jax.jit  # for one size, so that it compiles once
    def log_prob(variables: Any, x: jax.Array, y: Any) -> jax.Array:
        return apply(flow, variables, x, y)

    def score(variables: Any, x: Any, y: Any = conditions) -> Array:
        return log_prob(variables, resized(x, count), y)[: len(x)]

    def draw(variables: Any, key: int, y: Any = conditions, **options: Any) -> Any:
        given = {"batch_size": count} if y is None else {"condition": y}
        return sample(
            flow, variables, jax.random.key(key), return_log_prob=True, **given, **options
        )

    with jax.enable_x64(True):
        variables = random_variables(flow, x, y)
        noise, mapped, back, again, jacobian = round_trips(variables, x, z, y)
        close(back[0], x, "to_event undoes to_noise")
        close(again[0], z, "to_noise undoes to_event")
        close(back[1], -noise[1], "back from the noise, the determinant is the inverse")
        close(again[1], -mapped[1], "back from events, the determinant is the inverse")
        sign, log_det = np.linalg.slogdet(jacobian)
        close(sign, 1, "the Jacobian's determinant is positive")
        close(noise[1], log_det, "the log-determinant is the Jacobian's")
        drawn, drawn_log_prob = draw(variables, 1)
        close(drawn_log_prob, score(variables, drawn), "sampling gives log_prob of what it drew")
        greedy, again = (
            draw(variables, key, sampler=Sampler(temperature=0.0))[0] for key in (1, 2)
        )
        close(greedy, again, "greedy does not depend on the key")
        if conditions is not None:
            others = resized(np.roll(np.asarray(condition), 1, axis=0), count)
            assert np.all(score(variables, x) != score(variables, x, others)), "y is heard"
        # Smaller parameters: with random ones of size 1 a density can be too steep for the
        # rounding of x itself, and for quadrature.
        calm = jax.tree.map(lambda x: 0.3 * x, variables)
        wide = score(calm, x)
        if size == 2:
            one = None if conditions is None else conditions[:1].repeat(count, axis=0)
            nodes, weights = _nodes(Reals(), 300)
            places = [place.ravel() for place in np.indices((len(nodes),) * 2)]
            points = np.stack([nodes[place] for place in places], axis=-1)
            parts = np.array_split(points.reshape(-1, *event), range(count, len(points), count))
            density = np.exp(np.concatenate([score(calm, part, one) for part in parts]))
            probability = density * weights[places[0]] * weights[places[1]]
            # As exact as quadrature is that does not know the kinks of splines and ReLUs.
            np.testing.assert_allclose(probability.sum(), 1, 1e-3, err_msg="integrates to one")
            drawn, _ = draw(calm, 1, one)
            _check_draws(drawn.reshape(-1, 2), points, places, probability)
    narrow = score(*to_float32((calm, x)))
    law = "float32 agrees with float64"
    np.testing.assert_allclose(narrow, wide, 1e-4, 1e-4, equal_nan=False, err_msg=law)


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
    blank, nothing = jnp.zeros((1, inputs)), (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))

    def begin(key: jax.Array) -> Any:
        steps = jnp.zeros((1, ordering.length, inputs))
        variables = conditional.init(key, steps, ordering, nothing, 1)
        return apply(conditional, variables, blank, ordering, nothing, method="init_cache")

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


def apply(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """`module.apply`, whose result may be anything."""
    return module.apply(*args, **kwargs)


def random_variables(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Random variables for a module: initial ones are often zero, and hide what they multiply."""
    rng = np.random.default_rng(0)

    def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        scale = leaf.shape[-2] ** -0.5 if len(leaf.shape) > 1 else 0.5
        return jnp.asarray(rng.normal(size=leaf.shape, scale=scale))

    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args, **kwargs))
    return jax.tree.map(draw, shapes)


def to_float32(tree: Any) -> Any:
    """The floating-point arrays of a pytree in float32."""
    return jax.tree.map(
        lambda x: x.astype(np.float32) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree
    )


def close(got: Any, wanted: Any, law: str) -> None:
    """Raises AssertionError, naming the law, unless the two agree in float64."""
    np.testing.assert_allclose(got, wanted, TOLERANCE, TOLERANCE, equal_nan=False, err_msg=law)


def resized(x: Any, count: int) -> np.ndarray:
    """`[count, ...]`: the rows of x, over and over."""
    return np.resize(x, (count, *np.shape(x)[1:]))


def _score(head: Head, features: jax.Array, value: jax.Array) -> jax.Array:
    """The log-probability, where `init` sees what `encode` has too."""
    encoded = head.encode(value)
    assert jnp.issubdtype(encoded.dtype, jnp.floating), "encode returns floating point"
    return head.log_prob(features, value)


def _to_float64(x: Any) -> jax.Array:
    return jnp.asarray(x, float if jnp.issubdtype(x.dtype, jnp.floating) else None)


def _is_finite(kind: Support) -> TypeGuard[Integers]:
    """Whether all its values can be listed."""
    return isinstance(kind, Integers) and kind != Integers()


def _grid(support: tuple[Support, ...]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """All steps, or points to integrate over.

    Returns:
      Steps `[points, variables]`, their weights `[points]`, and for each variable the places, in
      its own order, of the points `[points]`.
    """
    infinite = sum(not _is_finite(kind) for kind in support)
    listed = math.prod(kind.largest + 1 for kind in support if _is_finite(kind))
    count = int((400_000 / listed) ** (1 / max(infinite, 1)))
    nodes, weights = zip(*(_nodes(kind, min(count, 100_000)) for kind in support), strict=True)
    places = [place.ravel() for place in np.indices([len(x) for x in nodes])]
    steps = np.stack([x[place] for x, place in zip(nodes, places, strict=True)], axis=-1)
    weight = np.prod([w[place] for w, place in zip(weights, places, strict=True)], axis=0)
    return steps, weight, places


def _nodes(kind: Support, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where to look, and what it weighs, so that sums over it are sums or integrals."""
    if isinstance(kind, Integers):
        nodes = np.arange(min(kind.largest + 1, count))
        return nodes, np.ones(len(nodes))
    # Double exponential quadrature (Takahasi and Mori): the ends, or infinity, are far away.
    t = np.linspace(-5, 5, count) if np.isinf(kind.low) else np.linspace(-3, 3, count)
    u, slope = np.pi / 2 * np.sinh(t), np.pi / 2 * np.cosh(t) * (t[1] - t[0])
    if np.isinf(kind.low):
        return np.sinh(u), np.cosh(u) * slope
    half = (kind.high - kind.low) / 2
    return kind.low + half * (1 + np.tanh(u)), half * slope / np.cosh(u) ** 2


def _check_draws(
    drawn: Any, steps: np.ndarray, places: list[np.ndarray], probability: np.ndarray
) -> None:
    """Draws `[draws, variables]` fall into cells of a grid as often as these are likely."""
    cells = [_cells(x, p, probability) for x, p in zip(steps.T, places, strict=True)]
    cell, drawn_cell = (
        np.stack([np.searchsorted(e, x) for e, x in zip(cells, y.T, strict=True)], axis=-1)
        for y in (steps, np.asarray(drawn))
    )
    _check_frequencies(drawn_cell, cell, probability)


def _cells(nodes: np.ndarray, places: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Edges between at most 10 cells of a variable that are about as likely.

    A likely value of a few has one of its own.
    """
    mass = np.bincount(places, probability)
    nodes = nodes[np.unique(places, return_index=True)[1]]
    cell = np.floor(10 * (np.cumsum(mass) - mass / 2))
    last = np.flatnonzero(np.diff(cell))
    return (nodes[last] + nodes[last + 1]) / 2


def _outside(kind: Support) -> list[float]:
    """Values that are not in it."""
    if isinstance(kind, Integers):
        return [-1, kind.largest + 1] if _is_finite(kind) else [-1]
    return [end for end in (2 * kind.low, 2 * kind.high) if np.isfinite(end)]


def _extremes(kind: Support) -> list[float]:
    """Values at which formulas break."""
    if isinstance(kind, Integers):
        few = [0, 1, 2, 7, 30, 127, 128, 254, 255, 1000, 10**6]
        few += [kind.largest - 1, kind.largest] if _is_finite(kind) else []
        return [value for value in few if 0 <= value <= kind.largest]
    few = [kind.low, -1e4, -1, -1e-7, 0, 1e-7, 0.3, 0.5, 1, 1.5, 3, 30, 1e4, kind.high]
    return [value for value in few if np.isfinite(value) and kind.low <= value <= kind.high]


def _check_frequencies(drawn: Any, everything: np.ndarray, probability: np.ndarray) -> None:
    """Chi-squared, the rarest events together; fails by chance with odds `CHANCE`.

    Args:
      drawn: `[draws, variables]`, integers.
      everything: `[events, variables]`, integers, in which the same may come several times.
      probability: `[events]`, of each.
    """
    sides = everything.max(axis=0) + 1
    places = [np.ravel_multi_index(np.asarray(x).T, sides) for x in (drawn, everything)]
    observed = np.bincount(places[0], minlength=math.prod(sides))
    expected = len(drawn) * np.bincount(places[1], probability, math.prod(sides))
    possible = expected > 0
    assert not observed[~possible].any(), "the impossible is not drawn"
    observed, expected = observed[possible], expected[possible]
    rare = expected < 5
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5 and len(expected) > 1:  # still too rare: join the next
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    assert len(expected) > 1, "too many values to count how often each is drawn"
    chance = stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue
    assert chance > CHANCE, f"samples follow the probabilities (p = {chance})"
