import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ar_jax as ar
from ar_jax.heads import Bernoulli, GaussianMixture


def draw(features, sampler, count=20_000):
    keys = jax.random.split(jax.random.key(0), count)
    features = jnp.tile(jnp.asarray(features), (count, 1))
    value, _ = GaussianMixture(features.shape[1] // 3).apply(
        {}, features, keys, sampler, method="sample"
    )
    return np.asarray(value)[:, 0]


def test_temperature_multiplies_the_variance_of_one_gaussian():
    """Kolmogorov and Smirnov; fails by chance with odds 1e-6."""
    drawn = draw([0.0, 2.0, np.log(3.0)], ar.Sampler(temperature=0.25))
    assert stats.kstest(drawn, stats.norm(2.0, 1.5).cdf).pvalue > 1e-6


def test_temperature_sharpens_the_weights():
    """Far apart, 0.2 : 0.8 becomes 1 : 16 at temperature 0.5; 5 standard errors are 0.0084."""
    drawn = draw([np.log(0.2), np.log(0.8), -50.0, 50.0, 0.0, 0.0], ar.Sampler(temperature=0.5))
    np.testing.assert_allclose((drawn < 0).mean(), 1 / 17, atol=0.0084)


def test_greedy_is_the_highest_peak_not_the_heaviest_component():
    drawn = draw([np.log(0.3), np.log(0.7), -5.0, 5.0, np.log(0.1), 0.0], ar.Sampler(0.0), 4)
    np.testing.assert_array_equal(drawn, -5.0)


@pytest.mark.parametrize("logit", [-1e4, -90.0, 0.0, 90.0, 1e4])
def test_a_saturated_logit_has_finite_gradients_where_it_is_right(logit):
    value = jnp.array([[1 if logit >= 0 else 0]])

    def log_prob(features):
        return Bernoulli().apply({}, features, value, method="log_prob").sum()

    assert jnp.isfinite(log_prob(jnp.array([[logit]])))
    assert jnp.isfinite(jax.grad(log_prob)(jnp.array([[logit]]))).all()
