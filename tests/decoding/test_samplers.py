import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.sampling import _sample

LOG_PMF = jnp.log(jnp.array([0.1, 0.4, 0.05, 0.3, 0.15]))


def frequencies(sampler, log_pmf=LOG_PMF, count=40_000):
    """How often each value is drawn; 5 standard errors are at most 0.0125 (odds 6e-7 each)."""
    keys = jax.random.split(jax.random.key(0), count)
    drawn = sampler(keys, jnp.tile(log_pmf, (count, 1)))
    return np.bincount(drawn, minlength=len(log_pmf)) / count


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (ar.Sampler(), [0.1, 0.4, 0.05, 0.3, 0.15]),
        (ar.Sampler(top_k=2), [0, 4 / 7, 0, 3 / 7, 0]),
        (ar.Sampler(top_k=99), [0.1, 0.4, 0.05, 0.3, 0.15]),
        (ar.Sampler(top_p=0.7), [0, 4 / 7, 0, 3 / 7, 0]),
        (ar.Sampler(top_p=0.71), [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        (ar.Sampler(top_p=1e-6), [0, 1, 0, 0, 0]),
        (ar.Sampler(min_p=0.3), [0, 0.4 / 0.85, 0, 0.3 / 0.85, 0.15 / 0.85]),
        (ar.Sampler(min_p=1.0), [0, 1, 0, 0, 0]),
        (ar.Sampler(temperature=0.0), [0, 1, 0, 0, 0]),
        (ar.Sampler(top_k=3, top_p=0.5), [0, 4 / 7, 0, 3 / 7, 0]),
    ],
)
def test_a_sampler_draws_from_the_distribution_that_it_describes(sampler, expected):
    np.testing.assert_allclose(frequencies(sampler), expected, atol=0.0125)


def test_temperature_is_a_power_of_the_probabilities():
    powers = np.exp(np.asarray(LOG_PMF) / 0.5)
    got = frequencies(ar.Sampler(temperature=0.5))
    np.testing.assert_allclose(got, powers / powers.sum(), atol=0.0125)


def test_temperature_comes_before_the_nucleus():
    """At temperature 0.5 the two likeliest values reach 0.8, at 1 they do not."""
    got = frequencies(ar.Sampler(temperature=0.5, top_p=0.8))
    assert set(np.flatnonzero(got)) == {1, 3}


def test_rounding_does_not_cut_a_value_when_top_p_is_off():
    """In float32, 1 - 2e-9 is 1: the likelier value alone seems to have it all."""
    kept = ar.Sampler(top_k=2)._truncate(jnp.array([[0.0, -20.0]]))
    np.testing.assert_array_equal(kept, [[0.0, -20.0]])


def test_of_equals_the_first_is_greedy_and_top_1():
    for sampler in (ar.Sampler(temperature=0.0), ar.Sampler(top_k=1)):
        assert frequencies(sampler, jnp.log(jnp.array([0.2, 0.4, 0.4])))[1] == 1


def test_sampling_with_new_numbers_does_not_compile_again():
    model = ar.AutoregressiveModel(
        ar.orderings.Raster((2, 2)), ar.conditionals.MADE((4,)), ar.heads.Bernoulli()
    )
    variables = model.init(jax.random.key(0), np.zeros((1, 2, 2), int))
    before = _sample._cache_size()
    for sampler in (ar.Sampler(), ar.Sampler(temperature=0), ar.Sampler(top_k=1, top_p=0.5)):
        ar.sample(model, variables, jax.random.key(0), batch_size=2, sampler=sampler)
    assert _sample._cache_size() == before + 1


def test_new_numbers_do_not_trace_again():
    draw = jax.jit(chex.assert_max_traces(lambda s, k: s(k, LOG_PMF[None]), n=1))
    for temperature in (0.0, 0.5, 1.0):
        draw(
            ar.Sampler(temperature=temperature, top_k=int(temperature * 4)),
            jax.random.split(jax.random.key(0), 1),
        )
