"""The laws of flows and of their transforms."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np

from ar_jax.contexts import map_condition
from ar_jax.decoding import Sampler
from ar_jax.flows import Flow, Transform
from ar_jax.heads import Reals
from ar_jax.inference.sampling import sample
from ar_jax.models.autoregressive import Array
from ar_jax.testing.base import apply, close, random_variables, resized, scaled, to_float32
from ar_jax.testing.draws import check_draws, quadrature


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
    conditions = resized(condition, count)
    y = resized(condition, 8)

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
            rolled = map_condition(lambda y: np.roll(np.asarray(y), 1, axis=0), condition)
            others = resized(rolled, count)
            assert np.all(score(variables, x) != score(variables, x, others)), "y is heard"
        # Smaller parameters: with random ones of size 1 a density can be too steep for the
        # rounding of x itself, and for quadrature.
        calm = scaled(variables, 0.3)
        wide = score(calm, x)
        if size == 2:
            one = resized(resized(condition, 1), count)
            nodes, weights = quadrature(Reals(), 300)
            places = [place.ravel() for place in np.indices((len(nodes),) * 2)]
            points = np.stack([nodes[place] for place in places], axis=-1)
            parts = np.array_split(points.reshape(-1, *event), range(count, len(points), count))
            density = np.exp(np.concatenate([score(calm, part, one) for part in parts]))
            probability = density * weights[places[0]] * weights[places[1]]
            # As exact as quadrature is that does not know the kinks of splines.
            np.testing.assert_allclose(probability.sum(), 1, 2e-4, err_msg="integrates to one")
            drawn, _ = draw(calm, 1, one)
            check_draws(drawn.reshape(-1, 2), points, places, probability)
    narrow = score(*to_float32((calm, x)))
    law = "float32 agrees with float64"
    np.testing.assert_allclose(narrow, wide, 1e-4, 1e-4, equal_nan=False, err_msg=law)
