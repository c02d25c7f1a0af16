import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.inference.sampling import _sample

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


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [NAN, INF, -INF, 1e39, 1e-39, 1e-60, -1e-9, "1", None, np.ones(2)]),
        ("top_k", [NAN, INF, 2.5, -1, 1e39, "3"]),
        ("top_p", [NAN, INF, 0, -0.1, 1.01, None]),
        ("min_p", [NAN, INF, -0.1, 1.01, [0.5]]),
    ],
)
def test_a_number_outside_its_range_is_refused_by_its_name(name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name}: expected .*, got"):
            ar.Sampler(**{name: value}).check()


def test_numbers_of_numpy_and_booleans_are_numbers():
    ar.Sampler(np.float32(0.5), np.int64(3), np.float16(0.5), False).check()
    ar.Sampler(True, True, True, True).check()


def test_traced_numbers_are_passed_over_and_others_are_not():
    with pytest.raises(ValueError, match=r"^top_p: expected"):
        jax.jit(lambda t: ar.Sampler(temperature=t, top_p=NAN).check())(1.0)


def test_the_smallest_temperature_draws_equals_alike_and_never_what_is_less_likely():
    """Divided by it, the logarithm of each probability would be minus infinity.

    Each of 4 equals is drawn 10,000 +- 87 times: odds of 1e-8 for 5.7 standard errors."""
    log_pmf = jnp.log(jnp.array([0.2499, 0.12505, 0.12505, 0.12505, 0.12505, 0.2499, 0]))
    cold = np.finfo(np.float32).tiny
    got = frequencies(ar.Sampler(temperature=cold), jnp.log(jnp.full(4, 0.25)))
    np.testing.assert_allclose(got, 0.25, atol=0.0125)
    np.testing.assert_allclose(
        frequencies(ar.Sampler(temperature=cold), log_pmf), [0.5, 0, 0, 0, 0, 0.5, 0], atol=0.0125
    )


def test_a_traced_infinite_temperature_draws_alike_what_is_possible():
    log_pmf = jnp.log(jnp.array([0.7, 0.0, 0.2, 0.1]))
    for temperature in (INF, 3e38):
        got = frequencies(ar.Sampler(temperature=temperature), log_pmf)
        np.testing.assert_allclose(got, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.0125)


@pytest.mark.parametrize("top_p", [1e-45, 1e-60])
def test_the_likeliest_value_is_kept_by_the_smallest_nucleus(top_p):
    assert frequencies(ar.Sampler(top_p=top_p))[1] == 1
