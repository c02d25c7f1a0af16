"""The laws: what every conditional, head and model must satisfy, to be run on parts of one's own.

    ar.testing.check_conditional(MyConditional(), ar.orderings.Raster((4, 3, 1)))
    ar.testing.check_rounding(MyConditional(), ar.orderings.Raster((4, 3, 1)))
    ar.testing.check_head(MyHead(), block_size=2, values=3)
    ar.testing.check_model(model, values=2)

They use random parameters, not initial ones, and all but `check_rounding` float64: the rounding of
float32, about 4e-6, hides bugs. Each raises AssertionError with the name of the law that is broken.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from scipy import stats

from ar_jax.conditionals.base import Conditional
from ar_jax.contexts import Context
from ar_jax.decoding import Sampler, example_keys
from ar_jax.heads.base import Head
from ar_jax.model import Array, AutoregressiveModel, sample
from ar_jax.orderings import Ordering

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
    assert steps.shape == (2, ordering.length, ordering.block_size), "steps have the wrong shape"
    np.testing.assert_array_equal(ordering.to_event(steps), event, "to_event undoes to_steps")
    assert sorted(ordering.order) == list(range(ordering.length)), "a cell comes twice or never"
    sides = zip(ordering.event, ordering.block, strict=True)
    corners = np.ix_(*[range(0, size, side) for size, side in sides])
    first = event[0][corners][tuple(ordering.coordinates.T)]
    np.testing.assert_array_equal(steps[0, :, 0], first, "coordinates say where a step is")
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
      inputs: size of an encoded step.
      features: how many are asked for.
    """
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(3, ordering.length, inputs))
    vectors = rng.normal(size=(3, context_length, 4))
    mask = np.tile(np.arange(context_length) < max(context_length - 1, 1), (3, 1))
    context = (vectors, mask)
    with jax.enable_x64(True):
        variables = random_variables(conditional, steps, ordering, context, features)
        _check_dependence(conditional, variables, ordering, steps, context, features)
        _check_decoding(conditional, variables, ordering, steps, context, features)


def _check_dependence(
    conditional: Conditional,
    variables: Any,
    ordering: Ordering,
    steps: Array,
    context: tuple[Array, Array],
    features: int,
) -> None:
    vectors, mask = context

    def network(variables: Any, steps: jax.Array, vectors: jax.Array) -> jax.Array:
        batched = jax.tree.map(lambda x: x[None], (steps, (vectors, mask[0])))
        return apply(conditional, variables, batched[0], ordering, batched[1], features)[0]

    on_steps, on_context = _run(
        jax.vmap(jax.jacrev(network, (1, 2)), (None, 0, 0)), variables, steps, vectors
    )
    sees = (on_steps != 0).any(axis=(0, 2, 4))  # [length, length]
    visible = conditional.visible(ordering)
    np.testing.assert_array_equal(sees, visible, "the features at t depend on what is visible")
    assert not np.triu(visible).any(), "a step sees itself or a later one"
    told = (on_context != 0).any(axis=(0, 2, 4))  # [length, context_length]
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
    steps = np.random.default_rng(0).normal(size=(3, ordering.length, inputs)).astype(np.float32)
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


def check_head(head: Head, block_size: int, values: int = 0) -> None:
    """Probabilities sum to one, samples follow them, values outside the support have none.

    Args:
      head: any.
      block_size: the number of variables of a step; 1 for a continuous head.
      values: how many values a variable has, with few ** block_size; 0 for a continuous head.
    """
    head.check_block(block_size)
    with jax.enable_x64(True):
        features = np.random.default_rng(0).normal(size=head.features(block_size))
        everything = _enumerate(values, block_size) if values else np.zeros((1, block_size))

        def everywhere(module: Head, value: jax.Array) -> jax.Array:
            encoded = module.encode(value)
            assert jnp.issubdtype(encoded.dtype, jnp.floating), "encode returns floating point"
            return module.log_prob(jnp.broadcast_to(features, (len(value), len(features))), value)

        variables = random_variables(head, everything, method=everywhere)
        log_prob = jax.jit(lambda x: apply(head, variables, x, method=everywhere))
        count = 20_000
        drawn, drawn_log_prob = jax.jit(
            lambda keys: apply(
                head,
                variables,
                jnp.broadcast_to(features, (count, len(features))),
                keys,
                Sampler(),
                method="sample",
            )
        )(example_keys(jax.random.key(0), count))
        assert drawn.dtype == head.dtype, "what is drawn has the head's dtype"
        close(drawn_log_prob, log_prob(drawn), "sample returns log_prob of what it drew")
        if values:
            probability = np.exp(log_prob(everything))
            close(probability.sum(), 1, "sums to one")
            outside = everything.copy()
            outside[:, -1] = values
            assert np.all(log_prob(outside) == -np.inf), "values outside the support are impossible"
            _check_frequencies(drawn, values, probability)
        else:
            line = np.linspace(-40, 40, 400_001)
            density = np.exp(log_prob(line[:, None]))
            mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)]) * (
                line[1] - line[0]
            )
            np.testing.assert_allclose(mass[-1], 1, rtol=1e-6, err_msg="integrates to one")
            fit = stats.kstest(np.asarray(drawn)[:, 0], lambda x: np.interp(x, line, mass))
            assert fit.pvalue > CHANCE, f"samples follow the density (p = {fit.pvalue})"


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


def check_model(model: AutoregressiveModel, values: int, condition: Any = None) -> None:
    """The model sums to one, samples follow it, samplers and prefixes do what they say.

    Args:
      model: over an event of few variables, so that all its events can be listed.
      values: how many values a variable has; 0 for a continuous head, whose sum is left to
        `check_head`.
      condition: `[1, ...]`, one condition; None for none.
    """
    count, event = 4096, model.ordering.event  # one size, so that scoring compiles once
    with jax.enable_x64(True):
        size = int(np.prod(event))
        everything = _enumerate(values, size) if values else np.zeros((1, size))
        everything = everything.reshape(-1, *event)
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
        if values:
            probability = np.exp(score(everything).sum(axis=1))
            close(probability.sum(), 1, "sums to one")
            _check_frequencies(np.asarray(drawn).reshape(count, size), values, probability)
            greedy, _ = draw(1, sampler=Sampler(temperature=0.0))
            close(greedy, draw(2, sampler=Sampler(top_k=1))[0], "greedy is top-1")
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
        x = drawn if values else np.random.default_rng(1).normal(size=(count, *event))
        wide = log_probs(calm, x)
    narrow = log_probs(*to_float32((calm, x)))
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
    previous = jnp.zeros((1, model.ordering.block_size), model.head.dtype)
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


def _enumerate(values: int, variables: int) -> np.ndarray:
    """`[values ** variables, variables]`: everything there is."""
    return np.array(list(product(range(values), repeat=variables)), np.int32)


def _check_frequencies(drawn: Any, values: int, probability: np.ndarray) -> None:
    """Chi-squared, the rarest events together; fails by chance with odds `CHANCE`."""
    place = values ** np.arange(np.shape(drawn)[1])[::-1]
    observed = np.bincount(np.asarray(drawn) @ place, minlength=len(probability))
    expected = len(drawn) * probability
    rare = expected < 5
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    if expected[-1] < 5:  # what is left is too rare even together: join the next
        observed = np.append(observed[:-2], observed[-2:].sum())
        expected = np.append(expected[:-2], expected[-2:].sum())
    assert len(expected) > 1, "too many values to count how often each is drawn"
    chance = stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue
    assert chance > CHANCE, f"samples follow the probabilities (p = {chance})"
