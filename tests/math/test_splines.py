"""Splines follow the paper's formulas, which a loop over scalars writes down anew."""

import bisect
import math

import jax
import numpy as np
import pytest
from scipy import stats

from ar_jax.heads import NeuralSpline
from ar_jax.math.splines import inverse_rational_quadratic, rational_quadratic
from ar_jax.testing import close

BOUND, SLOPE = 3.0, 1e-2


def softsign(x, limit):
    return x / (1 + abs(x) / limit)


def naive(x, parameters, bound=BOUND, min_slope=SLOPE):
    """y and log dy/dx, after equations 4 and 5 of arXiv 1906.04032."""
    if abs(x) >= bound:
        return x, 0.0
    bins, limit = (len(parameters) + 1) // 3, -math.log(min_slope)
    knots = []
    for sizes in (parameters[:bins], parameters[bins : 2 * bins]):
        weights = [math.exp(softsign(size, limit / 2)) for size in sizes]
        shares = [sum(weights[:k]) / sum(weights) for k in range(bins + 1)]
        knots.append([bound * (2 * share - 1) for share in shares])
    slopes = [1, *(math.exp(softsign(d, limit)) for d in parameters[2 * bins :]), 1]
    xs, ys = knots
    k = min(bisect.bisect_right(xs, x) - 1, bins - 1)
    width, height = xs[k + 1] - xs[k], ys[k + 1] - ys[k]
    s, xi = height / width, (x - xs[k]) / width
    below = s + (slopes[k + 1] + slopes[k] - 2 * s) * xi * (1 - xi)
    y = ys[k] + height * (s * xi**2 + slopes[k] * xi * (1 - xi)) / below
    above = slopes[k + 1] * xi**2 + 2 * s * xi * (1 - xi) + slopes[k] * (1 - xi) ** 2
    return y, math.log(s**2 * above / below**2)


@pytest.mark.parametrize("bins", [1, 2, 7])
@pytest.mark.parametrize("scale", [0, 1, 5])
def test_a_spline_is_the_papers(bins, scale):
    rng = np.random.default_rng(bins)
    x = np.concatenate([rng.uniform(-1.2, 1.2, 60) * BOUND, [-BOUND, BOUND, 0, 1e20]])
    parameters = scale * rng.normal(size=(len(x), 3 * bins - 1))
    expected = np.array([naive(*row) for row in zip(x, parameters, strict=True)])
    with jax.enable_x64(True):
        got = jax.jit(rational_quadratic, static_argnums=(2, 3))(x, parameters, BOUND, SLOPE)
    close(np.stack(got, axis=1), expected, "y and log dy/dx")


@pytest.mark.parametrize("scale", [1, 5])
def test_a_spline_head_is_a_logistic_through_the_papers_spline(scale):
    rng, head, mean, log_scale = np.random.default_rng(0), NeuralSpline(bins=5), 0.4, -1.3
    z = np.concatenate([rng.uniform(-8, 8, 100), [-1e4, -6, 0, 6, 1e4]])
    shape = scale * rng.normal(size=(len(z), 3 * head.bins - 1))
    u, log_slope = np.transpose(
        [naive(*row, head.bound, 1e-3) for row in zip(z, shape, strict=True)]
    )
    features = np.concatenate([np.tile([mean, log_scale], (len(z), 1)), shape], axis=1)
    with jax.enable_x64(True):
        value = mean + math.exp(log_scale) * z[:, None]
        got = jax.jit(lambda f, x: head.apply({}, f, x, method="log_prob"))(features, value)
    close(got, stats.logistic.logpdf(u) + log_slope - log_scale, "log-density")


def test_a_spline_without_parameters_is_the_identity():
    x = np.linspace(-9, 9, 301)
    with jax.enable_x64(True):
        for spline in (rational_quadratic, inverse_rational_quadratic):
            y, log_slope = jax.jit(spline)(x, np.zeros((301, 11)))
            close(y, x, "the identity")
            close(log_slope, 0, "has slope 1")


def test_a_spline_is_exact_at_its_knots_and_ends():
    parameters = np.float32([30.0, -30.0, 0.0, -30.0, 30.0, 0.0, 9.0, -9.0])
    ends = np.float32([-5, np.nextafter(np.float32(-5), 0), np.nextafter(np.float32(5), 0), 5])
    for spline in (rational_quadratic, inverse_rational_quadratic):
        y, log_slope = jax.jit(jax.vmap(spline, (0, None)))(ends, parameters)
        np.testing.assert_allclose(y, ends, atol=1e-3)
        assert np.isfinite(log_slope).all()
        assert np.all(np.diff(y) >= 0)
