"""Monotone rational-quadratic splines (Neural Spline Flows, arXiv 1906.04032).

Between knots (x0, y0) and (x1, y1) with slopes d0 and d1, s = (y1 - y0) / (x1 - x0) the slope of
the chord, z = (x - x0) / (x1 - x0) and w = 1 - z,

    y = y0 + (y1 - y0) (s z^2 + d0 z w) / (s (z^2 + w^2) + (d0 + d1) z w).

No term is negative, so that nothing cancels. Outside (-bound, bound) the spline is the identity.

The parameters are unbounded: those of the bins' widths, of their heights, and of the slopes at the
inner knots, `bins + bins + bins - 1`. They are those of zuko's MonotonicRQSTransform.
"""

from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp


def rational_quadratic(
    x: jax.Array, parameters: jax.Array, bound: float = 5.0, min_slope: float = 1e-3
) -> tuple[jax.Array, jax.Array]:
    """The spline.

    Args:
      x: `[...]`.
      parameters: `[..., 3 bins - 1]`; at 0 the spline is the identity.
      bound: of the domain and of the range.
      min_slope: the least slope at a knot, whose inverse is the largest; also the least ratio of
        two widths or of two heights.

    Returns:
      y and log dy/dx, both `[...]`.
    """
    knots = knots_of(parameters, bound, min_slope)
    inside = jnp.abs(x) < bound
    inner = jnp.where(inside, x, 0)  # where gradients are finite, whatever x is
    (x0, y0, d0), (x1, y1, d1) = _ends(knots, inner, knots.x)
    z, w = (inner - x0) / (x1 - x0), (x1 - inner) / (x1 - x0)
    s = (y1 - y0) / (x1 - x0)
    y = y0 + (y1 - y0) * (s * z**2 + d0 * z * w) / _denominator(z, w, s, d0, d1)
    return jnp.where(inside, y, x), jnp.where(inside, _log_slope(z, w, s, d0, d1), 0)


def inverse_rational_quadratic(
    y: jax.Array, parameters: jax.Array, bound: float = 5.0, min_slope: float = 1e-3
) -> tuple[jax.Array, jax.Array]:
    """The inverse of `rational_quadratic`, exactly.

    Args:
      y: `[...]`.
      parameters: `[..., 3 bins - 1]`.
      bound: of the domain and of the range.
      min_slope: as there.

    Returns:
      x and log dx/dy, both `[...]`.
    """
    knots = knots_of(parameters, bound, min_slope)
    inside = jnp.abs(y) < bound
    inner = jnp.where(inside, y, 0)
    (x0, y0, d0), (x1, y1, d1) = _ends(knots, inner, knots.y)
    u, v = (inner - y0) / (y1 - y0), (y1 - inner) / (y1 - y0)
    s = (y1 - y0) / (x1 - x0)
    # s v z^2 + b z w - s u w^2 = 0 has one root z / w > 0, here without a difference.
    b = d0 * v - d1 * u
    rising = b >= 0
    q = jnp.where(rising, b, -b) + jnp.sqrt(b**2 + 4 * s**2 * u * v)
    z, w = jnp.where(rising, 2 * s * u, q), jnp.where(rising, q, 2 * s * v)
    z, w = z / (z + w), w / (z + w)
    x = x0 + (x1 - x0) * z
    return jnp.where(inside, x, y), jnp.where(inside, -_log_slope(z, w, s, d0, d1), 0)


def squash(x: jax.Array, limit: float) -> jax.Array:
    """To (-limit, limit), with slope 1 at 0."""
    return x / (1 + jnp.abs(x) / limit)


class Knots(NamedTuple):
    """All knots, or one for each x: `[..., bins + 1]` or `[...]`."""

    x: jax.Array
    y: jax.Array
    slope: jax.Array


def knots_of(parameters: jax.Array, bound: float = 5.0, min_slope: float = 1e-3) -> Knots:
    """Those of the spline that has these parameters; the arguments are as there."""
    bins = (parameters.shape[-1] + 1) // 3
    widths, heights, slopes = jnp.split(parameters, [bins, 2 * bins], axis=-1)
    limit = -log(min_slope)
    one = jnp.ones((*parameters.shape[:-1], 1), parameters.dtype)

    def edges(sizes: jax.Array) -> jax.Array:
        shares = jax.nn.softmax(squash(sizes, limit / 2), axis=-1)
        inner = bound * (2 * jnp.cumsum(shares, axis=-1)[..., :-1] - 1)
        return jnp.concatenate([-bound * one, inner, bound * one], axis=-1)

    # At the ends the slope is 1, that of the identity outside.
    slopes = jnp.concatenate([one, jnp.exp(squash(slopes, limit)), one], axis=-1)
    return Knots(edges(widths), edges(heights), slopes)


def _ends(knots: Knots, at: jax.Array, edges: jax.Array) -> tuple[Knots, Knots]:
    """The knots to the left and to the right of each number, which lies among the edges."""
    left = (at[..., None] >= edges[..., :-1]) & (at[..., None] < edges[..., 1:])  # one bin of all

    def choose(side: slice) -> Knots:
        return Knots(*(jnp.where(left, values[..., side], 0).sum(axis=-1) for values in knots))

    return choose(slice(None, -1)), choose(slice(1, None))


def _denominator(
    z: jax.Array, w: jax.Array, s: jax.Array, d0: jax.Array, d1: jax.Array
) -> jax.Array:
    return s * (z**2 + w**2) + (d0 + d1) * z * w


def _log_slope(z: jax.Array, w: jax.Array, s: jax.Array, d0: jax.Array, d1: jax.Array) -> jax.Array:
    """log dy/dx."""
    towards = d1 * z**2 + 2 * s * z * w + d0 * w**2
    return 2 * jnp.log(s / _denominator(z, w, s, d0, d1)) + jnp.log(towards)
