"""Each family against a second implementation in float64, over parameters that break formulas."""

import jax
import numpy as np
import pytest
from mpmath import mp
from scipy import stats
from scipy.special import logsumexp

from ar_jax.heads import (
    GaussianMixture,
    LogisticMixture,
    MultivariateGaussianMixture,
    NegativeBinomial,
    NeuralSpline,
    Poisson,
    StudentTMixture,
    VonMisesMixture,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.choice([-90.0, -3.0, 0.0, 3.0, 90.0], (400, 2))
MEANS = RNG.choice([-100.0, -0.3, 0.0, 0.3, 100.0], (400, 2))
LOG_SCALES = RNG.choice([-16.1, -3.0, 0.0, 3.0], (400, 2))  # 1e-7 ... 20
FAR = RNG.choice([-1e4, -30.0, -2.0, 0.0, 0.5, 30.0, 1e4], 400)


def near_a_mean(scales):
    """Values that lie scales away from a component, as float32 has them."""
    return np.float32(MEANS[:, 0] + FAR * scales[:, 0])


def log_probs(head, features, value):
    score = jax.jit(lambda f, x: head.apply({}, f, x, method="log_prob"))
    return score(np.float32(features), value)


def as_float32(*arrays):
    return tuple(np.float32(x).astype(float) for x in arrays)


def mixed(logits, log_densities):
    return logsumexp(logits - logsumexp(logits, axis=1, keepdims=True) + log_densities, axis=1)


@pytest.mark.parametrize(
    ("head", "distribution"),
    [(GaussianMixture(2), stats.norm), (LogisticMixture(2), stats.logistic)],
    ids=["gaussian", "logistic"],
)
def test_a_mixture_is_that_of_scipy(head, distribution):
    value = near_a_mean(np.exp(LOG_SCALES))
    got = log_probs(head, np.concatenate([LOGITS, MEANS, LOG_SCALES], axis=1), value[:, None])
    logits, means, log_scales = as_float32(LOGITS, MEANS, LOG_SCALES)
    densities = distribution.logpdf(value[:, None].astype(float), means, np.exp(log_scales))
    np.testing.assert_allclose(got, mixed(logits, densities), rtol=1e-5, atol=1e-5)


def test_a_mixture_of_student_t_is_that_of_scipy():
    shapes = RNG.choice([-1e4, -5.0, 0.0, 0.6, 1e4], (400, 2))
    value = near_a_mean(np.exp(LOG_SCALES))
    features = np.concatenate([LOGITS, MEANS, LOG_SCALES, shapes], axis=1)
    got = log_probs(StudentTMixture(2), features, value[:, None])
    logits, means, log_scales, shapes = as_float32(LOGITS, MEANS, LOG_SCALES, shapes)
    freedoms = np.exp(3 + shapes / (1 + np.abs(shapes) / 3.5))
    densities = stats.t.logpdf(value[:, None].astype(float), freedoms, means, np.exp(log_scales))
    np.testing.assert_allclose(got, mixed(logits, densities), rtol=1e-5, atol=1e-5)


def test_a_mixture_of_von_mises_is_that_of_scipy():
    means = RNG.choice([-3.0, -0.3, 0.0, 0.3, 1.5], (400, 2))
    log_concentrations = RNG.choice([-16.0, -1.0, 3.8, 4.0, 10.0, 32.0], (400, 2))
    scales = np.minimum(np.exp(-log_concentrations[:, 0] / 2), 1)
    value = np.clip(means[:, 0] + RNG.choice([-30, -2, 0, 0.5, 3], 400) * scales, -np.pi, np.pi)
    value = np.float32(value)
    features = np.concatenate([LOGITS, means, log_concentrations], axis=1)
    got = log_probs(VonMisesMixture(2), features, value[:, None])
    logits, means, log_concentrations = as_float32(LOGITS, means, log_concentrations)
    concentrations = np.exp(log_concentrations)
    densities = stats.vonmises.logpdf(value[:, None].astype(float), concentrations, means)
    np.testing.assert_allclose(got, mixed(logits, densities), rtol=1e-5, atol=1e-5)


def test_a_multivariate_gaussian_is_that_of_scipy():
    mean, log_scale, below = RNG.normal(size=3), RNG.normal(size=3), RNG.normal(size=3)
    factor = np.eye(3)
    factor[np.tril_indices(3, -1)] = below
    precision = factor.T @ np.diag(np.exp(-2 * log_scale)) @ factor
    value = RNG.normal(size=(50, 3))
    features = np.tile(np.concatenate([[0.7], mean, log_scale, below]), (50, 1))
    got = log_probs(MultivariateGaussianMixture(1, group=3), features, np.float32(value))
    expected = stats.multivariate_normal.logpdf(value, mean, np.linalg.inv(precision))
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_a_mixture_of_multivariate_gaussians_is_that_of_60_digits():
    """Each by its inverse covariance and the determinant of this, which float64 cannot hold."""
    rng, count, size = np.random.default_rng(1), 60, 3
    logits = rng.choice([-90.0, -3.0, 0.0, 3.0], (count, 2))
    means = rng.choice([-100.0, -0.3, 0.0, 0.3, 100.0], (count, size, 2))
    log_scales = rng.choice([-16.1, -3.0, 0.0, 3.0], (count, size, 2))
    below = rng.choice([-30.0, -0.7, 0.0, 0.3, 30.0], (count, size, 2))
    far = rng.choice([0.1, 1, 30, 1e4], (count, 1)) * rng.normal(size=(count, size))
    value = np.float32(means[..., 0] + far * np.exp(log_scales[..., 0]))
    features = np.concatenate(
        [logits, *(x.reshape(count, -1) for x in (means, log_scales, below))], 1
    )
    got = log_probs(MultivariateGaussianMixture(2, group=size), features, value)
    logits, means, log_scales, below = as_float32(logits, means, log_scales, below)

    def log_density(x, mean, log_scale, below):
        factor, scales = mp.eye(size), mp.diag([mp.exp(-2 * mp.mpf(s)) for s in log_scale])
        for (i, j), a in zip(np.argwhere(np.tri(size, k=-1)), below, strict=True):
            factor[int(i), int(j)] = mp.mpf(a)
        precision = factor.T * scales * factor
        centred = mp.matrix([mp.mpf(a) - mp.mpf(m) for a, m in zip(x, mean, strict=True)])
        square = (centred.T * precision * centred)[0]
        return float((mp.log(mp.det(precision)) - square - size * mp.log(2 * mp.pi)) / 2)

    with mp.workdps(60):
        densities = [
            [log_density(x, m[:, k], s[:, k], a[:, k]) for k in range(2)]
            for x, m, s, a in zip(value.astype(float), means, log_scales, below, strict=True)
        ]
    np.testing.assert_allclose(got, mixed(logits, np.array(densities)), rtol=1e-5, atol=1e-5)


def test_a_poisson_is_that_of_scipy():
    """A rounding of the logarithm of a rate moves the result by (n - rate) times it."""
    log_rates = RNG.choice([-16.1, -3.0, 0.0, 2.2, 7.0, 13.0, 16.0], 400)
    rates = np.exp(np.float32(log_rates).astype(float))
    deviations = RNG.choice([-3, 0, 1, 5, 30], 400)
    counts = np.maximum(np.round(rates + deviations * np.sqrt(rates)), 0).astype(np.int32)
    got = log_probs(Poisson(), log_rates[:, None], counts[:, None])
    error = np.abs(got - stats.poisson.logpmf(counts, rates))
    rounding = np.abs(counts - rates) * np.abs(log_rates)
    assert np.all(error <= 1e-5 * (1 + np.abs(got)) + 4 * np.finfo(np.float32).eps * rounding)


def test_a_negative_binomial_is_that_of_scipy():
    log_means = RNG.choice([-16.1, -3.0, 0.0, 2.2, 7.0, 13.0], 400)
    log_shapes = RNG.choice([-5.0, -1.0, 0.0, 2.0, 9.0, 14.0], 400)
    means, shapes = (np.exp(np.float32(x).astype(float)) for x in (log_means, log_shapes))
    spread = np.sqrt(means + means**2 / shapes)
    counts = np.maximum(np.round(means + RNG.choice([-2, 0, 1, 5, 30], 400) * spread), 0)
    counts = np.minimum(counts, 2**24).astype(np.int32)
    features = np.stack([log_means, log_shapes], axis=1)
    got = log_probs(NegativeBinomial(), features, counts[:, None])
    expected = stats.nbinom.logpmf(counts, shapes, shapes / (shapes + means))
    error = np.abs(got - expected)
    rounding = np.abs(counts - means) * shapes / (shapes + means) * np.abs(log_means)
    assert np.all(error <= 1e-5 * (1 + np.abs(got)) + 4 * np.finfo(np.float32).eps * rounding)


def test_a_spline_that_is_the_identity_leaves_a_logistic():
    value = np.float32(RNG.normal(size=(50, 1)) * 10)
    features = np.concatenate([np.tile([0.5, 0.7], (50, 1)), np.zeros((50, 11))], axis=1)
    got = log_probs(NeuralSpline(bins=4), features, value)
    expected = stats.logistic.logpdf(value[:, 0], 0.5, np.exp(0.7))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
