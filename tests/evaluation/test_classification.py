import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import logsumexp

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches
from ar_jax.evaluation import accuracy, posterior
from ar_jax.training import init_state

MODEL = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((2, 3, 1)),
    conditional=ar.conditionals.MADE(hidden=(8,)),
    head=ar.heads.Bernoulli(),
    context=ar.contexts.ClassLabel(3, dropout=0.1),
)
RNG = np.random.default_rng(0)
X = RNG.integers(0, 2, (21, 2, 3, 1), dtype=np.int32)
Y = RNG.integers(0, 3, 21, dtype=np.int32)
LOG_PRIOR = np.log([0.2, 0.5, 0.3]).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    """Random ones: an initial model may not yet tell the classes apart."""
    initial = init_state(MODEL, optax.identity(), 0, {"x": X, "y": Y}).variables
    leaves, structure = jax.tree.flatten(initial)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    random = [jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, random)


@pytest.fixture(scope="module")
def brute_force(variables):
    log_prob = jax.jit(MODEL.apply)
    columns = [log_prob(variables, X, np.full(21, label)) + LOG_PRIOR[label] for label in range(3)]
    joint = np.stack(columns, axis=1)
    return joint - logsumexp(joint, axis=1, keepdims=True)


def test_the_posterior_is_that_of_brute_force(variables, brute_force):
    got = posterior(MODEL, variables, X, LOG_PRIOR)
    assert got.shape == (21, 3)
    np.testing.assert_allclose(got, brute_force, rtol=1e-4, atol=1e-5)
    assert len(np.unique(brute_force.argmax(axis=1))) > 1


def test_the_posterior_sums_to_one_whatever_the_constant_in_the_prior(variables):
    got = posterior(MODEL, variables, X, jnp.asarray(LOG_PRIOR) + 5)
    np.testing.assert_allclose(np.exp(got).sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(got, posterior(MODEL, variables, X, LOG_PRIOR), atol=1e-5)


def test_accuracy_counts_each_example_once(variables, brute_force):
    predicted = brute_force.argmax(axis=1)
    labels = np.append(Y[:-1], predicted[-1])  # the copies that fill the last batch up are right
    batches = EvaluationBatches(Arrays(X, labels.astype(np.int32)), 16)
    expected = np.mean(predicted == labels)
    assert accuracy(MODEL, variables, batches, jnp.asarray(LOG_PRIOR)) == pytest.approx(expected)
