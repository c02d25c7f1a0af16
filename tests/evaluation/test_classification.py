"""Classification both ways, against the enumerated joint distribution."""

import itertools

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches
from ar_jax.evaluation import bayes, log_likelihoods, log_pmf, posterior
from ar_jax.testing.base import random_variables

EVENT = (2, 2, 1)
X = np.array(list(itertools.product(range(2), repeat=4)), np.int32).reshape(-1, *EVENT)
"""All images of four bits: whoever sums over them enumerates."""

PRIOR = np.array([0.2, 0.5, 0.3])
LABELS = np.arange(3)
NAMES = np.array([[0, 1, -1], [1, 0, 2], [2, -1, -1]], np.int32)  # "ab", "bac", "c"

CONTEXTS = {
    "labels": (ar.contexts.ClassLabel(3, dropout=0.1), LABELS),
    "names": (ar.contexts.Tokens(vocabulary=3, length=3, width=8), NAMES),
}


def model_of(context):
    return ar.AutoregressiveModel(
        ordering=ar.orderings.Raster(EVENT),
        conditional=ar.conditionals.MADE(hidden=(8,)),
        head=ar.heads.Bernoulli(),
        context=context,
    )


@pytest.fixture(scope="module", params=CONTEXTS)
def enumerated(request):
    """A model, its variables, the conditions, and p(x | y) `[x, y]` of all there are."""
    context, conditions = CONTEXTS[request.param]
    model = model_of(context)
    with jax.enable_x64(True):
        variables = random_variables(model, X[:1], conditions[:1])
        score = jax.jit(model.apply)
        under = [score(variables, X, np.repeat(c[None], len(X), axis=0)) for c in conditions]
        likelihood = np.exp(np.stack(under, axis=1))
    np.testing.assert_allclose(likelihood.sum(axis=0), 1, atol=1e-9)
    return model, variables, conditions, likelihood


def test_the_posterior_is_that_of_the_enumerated_joint(enumerated):
    model, variables, conditions, likelihood = enumerated
    joint = likelihood * PRIOR  # p(x, y)
    expected = joint / joint.sum(axis=1, keepdims=True)
    with jax.enable_x64(True):
        for constant in (0, 5):
            got = posterior(model, variables, X, conditions, np.log(PRIOR) + constant)
            np.testing.assert_allclose(np.exp(got), expected, atol=1e-9)
    # Over all x the posterior is on average the prior.
    np.testing.assert_allclose(joint.sum(axis=1) @ np.exp(got), PRIOR, atol=1e-9)
    assert len(np.unique(expected.argmax(axis=1))) > 1


def test_a_prior_of_each_example_is_its_own():
    rng = np.random.default_rng(0)
    likelihood = rng.dirichlet(np.ones(5), 3).T
    priors = rng.dirichlet(np.ones(3), 5)
    with jax.enable_x64(True):
        got = bayes(np.log(likelihood), np.log(priors))
    joint = likelihood * priors
    np.testing.assert_allclose(np.exp(got), joint / joint.sum(axis=1, keepdims=True), atol=1e-9)


def test_among_fewer_conditions_is_the_posterior_given_that_it_is_one_of_them(enumerated):
    model, variables, conditions, likelihood = enumerated
    few = [2, 0]
    with jax.enable_x64(True):
        got = np.exp(posterior(model, variables, X, conditions[few]))
        with np.errstate(divide="ignore"):
            ruled_out = np.exp(
                posterior(model, variables, X, conditions, np.log(np.array([1.0, 0.0, 1.0])))
            )
    expected = likelihood[:, few] / likelihood[:, few].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got, expected, atol=1e-9)
    np.testing.assert_allclose(ruled_out[:, few], expected, atol=1e-9)
    np.testing.assert_array_equal(ruled_out[:, 1], 0)


def test_a_split_is_scored_row_by_row_under_every_condition(enumerated):
    model, variables, conditions, likelihood = enumerated
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables)
    x = X[[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9]]  # 13: the last batch is filled up
    got = log_likelihoods(model, variables, EvaluationBatches(Arrays(x), 8), conditions)
    rows = x.reshape(len(x), -1) @ [8, 4, 2, 1]
    np.testing.assert_allclose(got, np.log(likelihood)[rows], rtol=1e-4, atol=1e-5)


def test_a_prior_of_other_classes_is_refused():
    for prior in (np.zeros(4), np.zeros((1, 3)), np.zeros((2, 3, 1))):
        with pytest.raises(ValueError, match="log_prior: expected shape"):
            bayes(np.zeros((2, 3)), prior)


CLASSIFIER = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((1,)),
    conditional=ar.conditionals.Transformer(layers=1, width=8, heads=2),
    head=ar.heads.Categorical(4),
    context=ar.contexts.Vector(size=3),
)
Y = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float32)


def test_a_discriminative_model_tells_the_probability_of_every_class_in_one_pass():
    anything = np.zeros((len(Y), 1), np.int32)
    variables = random_variables(CLASSIFIER, anything[:1], Y[:1])
    variables = jax.tree.map(lambda leaf: np.asarray(leaf, np.float32), variables)
    got = log_pmf(CLASSIFIER, variables, EvaluationBatches(Arrays(anything, Y), 8))
    score = jax.jit(CLASSIFIER.apply)
    expected = [score(variables, np.full((len(Y), 1), label), Y) for label in range(4)]
    np.testing.assert_allclose(got, np.stack(expected, axis=1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(got).sum(axis=1), 1, rtol=1e-5)
    assert len(np.unique(got.argmax(axis=1))) > 1


def test_a_discriminative_model_of_several_variables_is_refused():
    model = CLASSIFIER.clone(ordering=ar.orderings.Raster((2,)))
    with pytest.raises(ValueError, match=r"event: expected shape \[1\], got \[2\]"):
        log_pmf(model, {}, [])


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_an_example_without_a_posterior_is_named(bad):
    scores = np.array([[-1.0, -np.inf], bad])
    np.testing.assert_array_equal(bayes(scores[:1]), [[0, -np.inf]])
    with pytest.raises(ValueError, match=r"^log_likelihoods: .* in row 1 \(1 of 2\)"):
        bayes(scores)
    with pytest.raises(ValueError, match=r"^log_likelihoods: .* in row 0 \(2 of 2\)"):
        bayes(np.zeros((2, 2)), np.nan)
