import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ar_jax as ar
from ar_jax.heads import (
    GaussianMixture,
    LogisticMixture,
    MultivariateGaussianMixture,
    NeuralSpline,
    StudentTMixture,
    VonMisesMixture,
)


def draw(head, features, sampler=ar.Sampler(), count=20_000):
    keys = jax.random.split(jax.random.key(0), count)
    features = jnp.tile(jnp.asarray(features, jnp.float32), (count, 1))
    sample = jax.jit(lambda f, k: head.apply({}, f, k, sampler, method="sample")[0])
    return np.asarray(sample(features, keys))


def test_variables_of_a_group_share_their_component():
    means = [-50.0, 50.0, -50.0, 50.0]  # of each variable, by component
    drawn = draw(GaussianMixture(2, group=2), [0.0, 0.0, *means, *[0.0] * 4])
    np.testing.assert_array_equal(drawn[:, 0] < 0, drawn[:, 1] < 0)
    assert 0 < (drawn[:, 0] < 0).mean() < 1


def test_a_multivariate_gaussian_draws_its_covariance():
    """An entry has a standard error of sqrt((c_ii c_jj + c_ij^2) / 20000); five of them."""
    log_scale, below = np.array([0.5, -0.5, 0.2]), np.array([0.8, -1.2, 0.5])
    factor = np.eye(3)
    factor[np.tril_indices(3, -1)] = below
    covariance = np.linalg.inv(factor.T @ np.diag(np.exp(-2 * log_scale)) @ factor)
    head = MultivariateGaussianMixture(1, group=3)
    drawn = draw(head, np.concatenate([[0.0, 1.0, 2.0, 3.0], log_scale, below]))
    variances = np.diag(covariance)
    errors = np.sqrt((np.outer(variances, variances) + covariance**2) / len(drawn))
    assert np.all(np.abs(np.cov(drawn.T) - covariance) < 5 * errors)
    assert np.all(np.abs(drawn.mean(axis=0) - [1, 2, 3]) < 5 * np.sqrt(variances / len(drawn)))


@pytest.mark.parametrize("log_concentration", [-7.0, 1.0, 5.0, 30.0])
def test_angles_are_drawn_from_von_mises(log_concentration):
    """Kolmogorov and Smirnov; fails by chance with odds 1e-6."""
    drawn = draw(VonMisesMixture(1), [0.0, 0.0, log_concentration])[:, 0].astype(float)
    concentration = np.exp(log_concentration)
    expected = stats.vonmises(concentration)
    if concentration > 1e6:  # where it is a Gaussian to 1e-6
        expected = stats.norm(0, concentration**-0.5)
    assert stats.kstest(drawn, expected.cdf).pvalue > 1e-6


@pytest.mark.parametrize("mean", [-np.pi, np.pi, 3.0, -100.0, 12345.0])
def test_angles_stay_within_a_turn(mean):
    drawn = draw(VonMisesMixture(1), [0.0, mean, 3.0], count=500)
    VonMisesMixture(1).check("drawn", drawn)
    assert np.cos(drawn - np.float32(mean)).mean() > 0.9


@pytest.mark.parametrize("sampler", [ar.Sampler(), ar.Sampler(temperature=0.0)])
def test_sampling_ends_where_training_has_diverged(sampler):
    drawn = draw(VonMisesMixture(1), [0.0, np.nan, np.nan], sampler, count=2)
    assert np.isnan(drawn).all()


@pytest.mark.parametrize(
    ("head", "features", "expected"),
    [
        (LogisticMixture(1), [0.0, 2.0, 1.0], stats.logistic(2, 0.5 * np.e)),
        (StudentTMixture(1), [0.0, 2.0, 1.0, 0.0], stats.t(np.e**3, 2, 0.5 * np.e)),
        (VonMisesMixture(1), [0.0, 0.0, 1.0], stats.vonmises(4 * np.e)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_temperature_narrows_a_component(head, features, expected):
    """Kolmogorov and Smirnov; fails by chance with odds 1e-6."""
    drawn = draw(head, features, ar.Sampler(temperature=0.25))[:, 0]
    assert stats.kstest(drawn, expected.cdf).pvalue > 1e-6


@pytest.mark.parametrize(
    "head",
    [LogisticMixture(2), StudentTMixture(2), VonMisesMixture(2)],
    ids=lambda x: type(x).__name__,
)
def test_greedy_is_the_highest_peak_of_any_mixture(head):
    narrow, wide = (-2.0, 0.0) if isinstance(head, VonMisesMixture) else (0.0, 2.0)
    shapes = [1.0, 1.0] if isinstance(head, StudentTMixture) else []
    scales = [-narrow, -wide] if isinstance(head, VonMisesMixture) else [narrow, wide]
    features = [np.log(0.4), np.log(0.6), -1.0, 1.0, *scales, *shapes]
    np.testing.assert_array_equal(draw(head, features, ar.Sampler(0.0), 2), -1.0)


# One bin of each is as narrow as it gets, and of so little height that its peak is easily missed.
STEEP = np.concatenate([20 - 40 * np.eye(6), 20 - 22 * np.eye(6), np.zeros((6, 5))], axis=1)


@pytest.mark.parametrize(
    "shape", [np.random.default_rng(0).normal(size=(6, 17)), STEEP], ids=["smooth", "steep"]
)
def test_greedy_is_where_the_density_of_a_spline_is_highest(shape):
    head, keys = NeuralSpline(bins=6), jax.random.split(jax.random.key(0), 6)
    features = np.concatenate([np.tile([0.7, -0.2], (6, 1)), shape], axis=1)
    sample = jax.jit(lambda f, k: head.apply({}, f, k, ar.Sampler(0.0), method="sample"))
    _, heights = sample(features, keys)
    places = 0.7 + np.exp(-0.2) * np.linspace(-head.bound, head.bound, 20_001)[:, None]
    score = jax.jit(lambda f: head.apply({}, jnp.tile(f, (20_001, 1)), places, method="log_prob"))
    assert np.all(heights > np.array([score(one).max() for one in features]) - 0.01)


@pytest.mark.parametrize("shape", [-1e3, -20.0, 0.0, 20.0, 1e3])
@pytest.mark.parametrize(("value", "way"), [(0.0, 1), (1e3, -1)], ids=["centre", "tail"])
def test_the_freedom_of_a_student_t_moves_from_wherever_it_is(shape, value, way):
    """The more of it, the higher the centre and the lower the tails."""

    def score(shape):
        features = jnp.stack([0.0, 0.0, 0.0, shape])[None]
        return StudentTMixture(1).apply({}, features, np.full((1, 1), value), method="log_prob")[0]

    assert np.sign(jax.grad(score)(shape)) == way


def test_an_angle_outside_a_turn_is_refused():
    with pytest.raises(ValueError, match=r"x: expected -3.14.* got values outside"):
        VonMisesMixture(1).check("x", np.full((1, 1), 3.2))
    VonMisesMixture(1).check("x", np.full((1, 1), np.pi, np.float32))  # which rounds up


def test_a_block_holds_whole_groups():
    with pytest.raises(ValueError, match="block: expected a multiple of 2 variables"):
        GaussianMixture(group=2).check_block(3)
