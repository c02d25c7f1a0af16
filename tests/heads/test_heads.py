import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import MADE
from ar_jax.contexts import Vector
from ar_jax.heads import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    EndOfSequence,
    GaussianMixture,
    LogisticMixture,
    Mixed,
    MuLaw,
    MultivariateGaussianMixture,
    NegativeBinomial,
    Nested,
    NeuralSpline,
    Poisson,
    StudentTMixture,
    VonMisesMixture,
)
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables

NESTED = Nested(ar.AutoregressiveModel(Raster((2,)), MADE((9,)), Bernoulli(), Vector(5)))


@pytest.mark.parametrize(
    ("head", "block_size"),
    [
        (Bernoulli(), 2),
        (Categorical(3), 2),
        (DiscretizedLogisticMixture(4, 2, channels=2), 2),
        (MuLaw(3), 2),
        (GaussianMixture(2), 2),
        (GaussianMixture(2, group=2), 2),
        (MultivariateGaussianMixture(2, group=2), 2),
        (LogisticMixture(2), 2),
        (StudentTMixture(2), 2),
        (VonMisesMixture(2), 2),
        (Poisson(), 2),
        (NegativeBinomial(), 2),
        (Mixed((Categorical(3), Poisson(), GaussianMixture(2)), width=5), 3),
        (NESTED, 2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_every_feature_counts(head, block_size):
    features = 0.3 * jax.random.normal(jax.random.key(0), (1, head.num_params(block_size)))
    value = np.ones((1, block_size), head.dtype)
    variables = random_variables(head, features, value, method="log_prob")

    def score(features):
        return head.apply(variables, features, value, method="log_prob").sum()

    assert np.all(jax.jit(jax.grad(score))(features) != 0)


@pytest.mark.parametrize(
    ("head", "values"),
    [
        (Bernoulli(), np.arange(2)),
        (Categorical(3), np.arange(3)),
        (DiscretizedLogisticMixture(4), np.arange(4)),
        (MuLaw(16), np.arange(16)),
        (Poisson(), np.array([0, 1, 2, 1000, 1_000_000])),
        (GaussianMixture(2), np.linspace(-2, 2, 5, dtype=np.float32)),
        (NeuralSpline(), np.linspace(-2, 2, 5, dtype=np.float32)),
        (VonMisesMixture(2), np.linspace(-3, 3, 5, dtype=np.float32)),
    ],
    ids=lambda part: type(part).__name__,
)
def test_conditionals_see_which_value_it_is(head, values):
    variables = random_variables(head, values[:, None], method="encode")
    encoded = head.apply(variables, values[:, None], method="encode")
    assert len(np.unique(encoded, axis=0)) == len(values)


def test_the_logit_of_a_bernoulli_is_that_of_one():
    got = Bernoulli().apply({}, np.array([[np.log(3.0)]]), np.array([[1]]), method="log_prob")
    np.testing.assert_allclose(got, np.log(0.75), rtol=1e-6)


@pytest.mark.parametrize("value", [-1, 99])
@pytest.mark.parametrize("head", [Bernoulli(), Categorical(3), DiscretizedLogisticMixture(4)])
def test_a_value_outside_the_support_is_impossible(head, value):
    features = jnp.zeros((1, head.num_params(1)))
    assert head.apply({}, features, np.array([[value]]), method="log_prob") == -np.inf


@pytest.mark.parametrize(
    ("head", "block_size"),
    [
        (Categorical(3), 1),
        (GaussianMixture(2), 1),
        (DiscretizedLogisticMixture(4), 1),
        (Poisson(), 1),
        (NeuralSpline(), 1),
        (EndOfSequence(Bernoulli()), 2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_features_in_half_precision_are_scored_in_single(head, block_size):
    features = jnp.ones((1, head.num_params(block_size)), jnp.bfloat16)
    value = jnp.ones((1, block_size), head.dtype)
    score = jax.eval_shape(lambda: head.apply({}, features, value, method="log_prob"))
    assert score.dtype == jnp.float32
