from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ar_jax as ar
from ar_jax.heads import NegativeBinomial, Poisson

COUNT = 20_000


def draw(head, features, sampler=ar.Sampler(), count=COUNT):
    keys = jax.random.split(jax.random.key(0), count)
    features = jnp.tile(jnp.asarray(features, jnp.float32), (count, 1))
    return np.asarray(sample(head, features, keys, sampler))[:, 0]


@partial(jax.jit, static_argnums=0)
def sample(head, features, keys, sampler):
    return head.apply({}, features, keys, sampler, method="sample")[0]


def distance_chance(drawn, expected):
    """The odds of draws as far from a distribution over integers as these."""
    points = np.unique(drawn)
    empirical = np.searchsorted(np.sort(drawn), points, side="right") / len(drawn)
    return stats.kstwo.sf(np.abs(empirical - expected.cdf(points)).max(), len(drawn))


@pytest.mark.parametrize("log_rate", [-3.0, 1.5, 6.0, 15.0])
def test_poisson_counts_are_drawn_as_by_scipy(log_rate):
    """Kolmogorov and Smirnov, which is strict for integers; fails by chance with odds 1e-6."""
    drawn = draw(Poisson(), [log_rate])
    assert distance_chance(drawn, stats.poisson(np.exp(log_rate))) > 1e-6


@pytest.mark.parametrize(
    ("log_mean", "log_shape"),
    [(0.0, -6.0), (5.0, -6.0), (16.0, -6.0), (-3.0, 0.0), (3.0, 1.0), (2.0, 8.0), (16.0, 16.0)],
)
def test_negative_binomial_counts_are_drawn_as_by_scipy(log_mean, log_shape):
    """Kolmogorov and Smirnov; fails by chance with odds 1e-6, 7e-6 all together."""
    mean, shape = np.exp(log_mean), np.exp(log_shape)
    drawn = draw(NegativeBinomial(), [log_mean, log_shape])
    assert distance_chance(drawn, stats.nbinom(shape, shape / (shape + mean))) > 1e-6


@pytest.mark.parametrize("head", [Poisson(), NegativeBinomial()], ids=lambda x: type(x).__name__)
def test_greedy_is_the_most_likely_count(head):
    for features in ([2.345, 1.5], [0.3, -2.0]):
        features = features[: head.parameters]
        (mode,) = draw(head, features, ar.Sampler(0.0), 1)
        every = jnp.arange(100)[:, None]
        log_pmf = head.apply({}, jnp.tile(jnp.array(features), (100, 1)), every, method="log_prob")
        assert mode == np.argmax(log_pmf)


def test_temperature_multiplies_the_variance_of_many_counts():
    """The variance of a variance of n Gaussians is 2 / n of its square; five of its roots."""
    drawn = draw(Poisson(), [12.0], ar.Sampler(temperature=0.25))
    expected = np.exp(12.0) / 4
    assert abs(drawn.var() - expected) < 5 * np.sqrt(2 / COUNT) * expected
    assert abs(drawn.mean() - 4 * expected) < 5 * np.sqrt(expected / COUNT) + 1


def test_no_count_is_left_out_at_high_temperature():
    """A count next to the mode of so broad a Poisson misses 20,000 draws with odds of e^-100.

    Five standard errors of the variance, to which rounding and spreading add less than 1.
    """
    drawn = draw(Poisson(), [6.9], ar.Sampler(temperature=4.0))
    mode = int(np.floor(np.exp(6.9)))
    assert set(range(mode - 20, mode + 20)) <= set(drawn.tolist())
    expected = 4 * np.exp(6.9)
    assert abs(drawn.var() - expected) < 5 * np.sqrt(2 / COUNT) * expected + 1


def test_counts_never_fall_below_zero_at_high_temperature():
    drawn = draw(Poisson(), [0.0], ar.Sampler(temperature=25.0), 1000)
    assert drawn.min() == 0
    assert drawn.max() > 10


def test_a_negative_binomial_of_large_shape_is_a_poisson():
    counts, log_mean = jnp.arange(30)[:, None], 1.5
    features = jnp.tile(jnp.array([log_mean, 16.0]), (30, 1))
    got = NegativeBinomial().apply({}, features, counts, method="log_prob")
    expected = Poisson().apply({}, features[:, :1], counts, method="log_prob")
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)  # 30^2 / e^16


def test_sampling_ends_where_training_has_diverged():
    draw(Poisson(), [np.nan], count=2)


def test_counts_have_no_list_to_cut():
    with pytest.raises(ValueError, match=r"sampler: expected a temperature only, .* Poisson has"):
        Poisson().check_sampler(ar.Sampler(top_k=3))


def test_a_negative_count_is_impossible():
    log_prob = Poisson().apply({}, jnp.zeros((1, 1)), jnp.array([[-1]]), method="log_prob")
    assert log_prob == -np.inf
    with pytest.raises(ValueError, match=r"x: expected integers 0 ... 2147483647, got values -1"):
        Poisson().check("x", np.array([[-1]]))
