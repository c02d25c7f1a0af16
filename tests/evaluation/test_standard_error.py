"""Standard errors, against simulations whose true error is known.

Each simulation has a seed of its own. A mean over n simulations of an estimate with the deviation d
(of one, in parts of the true error) errs by d / sqrt(n); bounds are four times that and more apart:
with another seed a test would fail by chance less than once in 10,000.
"""

import math

import numpy as np
import pytest

from ar_jax.evaluation.standard_error import (
    block_length,
    of_blocks,
    of_clusters,
    standard_error,
)


def autoregressive(rng, count, correlation, sequences):
    """AR(1) sequences of variance 1 `[sequences, count]`, from the first value on."""
    x = np.empty((sequences, count))
    x[:, 0] = rng.standard_normal(sequences)
    noise = math.sqrt(1 - correlation**2) * rng.standard_normal((sequences, count))
    for t in range(1, count):
        x[:, t] = correlation * x[:, t - 1] + noise[:, t]
    return x


def true_error(count, correlation):
    """Of the mean of such a sequence: its variance is the mean of all correlations."""
    distance = np.abs(np.arange(count)[:, None] - np.arange(count))
    return math.sqrt(np.mean(correlation**distance))


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.8])
def test_blocks_know_the_error_of_a_sequence_that_depends_on_itself(correlation):
    """At 0.8 independence would make it a third; 200 estimates of deviations below 0.2."""
    true = true_error(400, correlation)
    sequences = autoregressive(np.random.default_rng(0), 400, correlation, 200)
    found = [standard_error(x, np.zeros(400)) for x in sequences]
    assert all(each.method.startswith("moving blocks of ") for each in found)
    assert 0.8 < np.mean([each.value for each in found]) / true < 1.05
    naive = np.mean([standard_error(x, np.arange(400)).value for x in sequences]) / true
    assert naive == pytest.approx(math.sqrt((1 - correlation) / (1 + correlation)), rel=0.03)


def test_blocks_of_independent_values_have_the_error_of_independent_values():
    """200 estimates of deviations of 0.05: their mean errs by 0.004."""
    sequences = np.random.default_rng(1).standard_normal((200, 400))
    found = [standard_error(x, np.zeros(400)).value for x in sequences]
    assert np.mean(found) * 20 == pytest.approx(1, abs=0.04)
    x = sequences[0]
    assert of_blocks(x, 1) == pytest.approx(x.std(ddof=1) / 20, rel=1e-12)


def test_blocks_of_a_sequence_without_dependence_beyond_them_are_not_too_small():
    """Runs of 10 equal values, cut anywhere: blocks of 100 lose a twentieth at most."""
    rng = np.random.default_rng(2)
    found = [of_blocks(np.repeat(rng.standard_normal(100), 10), 100) for _ in range(300)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.1, rel=0.12)


@pytest.mark.parametrize("correlation", [0.6, 0.8])
def test_the_length_of_blocks_is_that_of_the_rule_for_a_known_sequence(correlation):
    """(1.5 n (slope / spectrum)^2)^(1/3); of AR(1) the ratio is 2 r / (1 - r^2). n is 1,000.

    The median of 100, each off by up to a half, as autocovariances are estimated.
    """
    theory = (1500 * (2 * correlation / (1 - correlation**2)) ** 2) ** (1 / 3)
    sequences = autoregressive(np.random.default_rng(3), 1000, correlation, 100)
    assert np.median([block_length(x) for x in sequences]) == pytest.approx(theory, rel=0.3)


def test_clusters_know_the_error_of_their_mean():
    """40 clusters of 1 to 20 values that share a level: 400 estimates, of deviations below 0.2."""
    rng, estimates, means, naive = np.random.default_rng(4), [], [], []
    sizes = rng.integers(1, 21, 40)
    groups = np.repeat(np.arange(40), sizes)
    for _ in range(400):
        values = rng.standard_normal(40)[groups] + 0.3 * rng.standard_normal(len(groups))
        found = standard_error(values, groups)
        assert found.method == "clusters: 40 pieces"
        estimates.append(found.value)
        naive.append(standard_error(values, np.arange(len(values))).value)
        means.append(values.mean())
    true = math.sqrt(np.sum(sizes**2) + 0.09 * sizes.sum()) / sizes.sum()
    assert np.std(means) == pytest.approx(true, rel=0.15)  # the formula, itself by simulation
    assert np.mean(estimates) == pytest.approx(true, rel=0.08)
    assert np.mean(naive) < 0.4 * true


def test_a_cluster_of_one_value_each_is_an_independent_example():
    values = np.random.default_rng(5).standard_normal(50)
    found = standard_error(values, np.random.default_rng(5).permutation(50))
    assert found.method == "independent examples"
    assert found.value == pytest.approx(values.std(ddof=1) / math.sqrt(50), rel=1e-12)


def test_the_error_of_a_mean_over_characters_is_that_of_a_ratio():
    """Proteins of their own lengths; jackknife: each left out once, a second implementation."""
    rng = np.random.default_rng(6)
    sizes = rng.integers(30, 1000, 300).astype(float)
    nats = sizes * rng.normal(2.9, 0.1, 300)
    without = (nats.sum() - nats) / (sizes.sum() - sizes)
    jackknife = math.sqrt(299 / 300 * np.sum((without - without.mean()) ** 2))
    assert standard_error(nats, np.arange(300), sizes).value == pytest.approx(jackknife, rel=0.01)


def test_few_pieces_are_scored_in_blocks():
    x = autoregressive(np.random.default_rng(7), 190, 0.6, 1)[0]
    found = standard_error(x, np.repeat(np.arange(19), 10))
    assert found.method == f"moving blocks of {block_length(x)} of 190 windows"


@pytest.mark.parametrize("values", [np.ones(1), np.ones(5), np.arange(9.0) % 2])
def test_few_or_equal_values_have_an_error_too(values):
    assert standard_error(values, np.zeros(len(values))).value >= 0


def test_nothing_is_known_of_the_error_of_one_cluster():
    assert math.isinf(of_clusters(np.ones(1), np.ones(1)))
