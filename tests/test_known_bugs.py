"""Bugs that well-known code of the field has had, each as a test that would have caught it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ar_jax as ar
from ar_jax.heads import DiscretizedLogisticMixture, GaussianMixture
from ar_jax.testing import compiled_apply, random_variables


@pytest.fixture
def digit_model() -> ar.AutoregressiveModel:
    return ar.AutoregressiveModel(
        ordering=ar.orderings.Raster((2, 3, 1)),
        conditional=ar.conditionals.MADE(hidden=(20,)),
        head=ar.heads.Bernoulli(),
        context=ar.contexts.ClassLabel(4, dropout=0.2),
    )


X = np.random.default_rng(0).integers(0, 2, (4, 2, 3, 1))
Y = np.arange(4)


@pytest.mark.parametrize(
    "conditional",
    [
        ar.conditionals.MADE(hidden=(20,)),
        ar.conditionals.PixelCNN(blocks=1, channels=4),
        ar.conditionals.Transformer(layers=1, width=16, heads=2),
        ar.conditionals.Transformer(layers=1, width=16, heads=2, cross_attention=True),
    ],
    ids=lambda module: type(module).__name__,
)
def test_the_condition_reaches_the_first_variable(digit_model, conditional):
    model = digit_model.clone(conditional=conditional)
    variables = random_variables(model, X, Y)
    same = np.repeat(X[:1], 4, axis=0)
    first = compiled_apply(model, variables, same, Y, method="step_log_probs")[:, 0]
    assert len(np.unique(first)) == 4


def test_sampling_works_without_a_condition(digit_model):
    variables = random_variables(digit_model, X, Y)
    images, log_prob = ar.sample(
        digit_model, variables, jax.random.key(0), batch_size=5, return_log_prob=True
    )
    assert images.shape == (5, 2, 3, 1)
    np.testing.assert_allclose(log_prob, compiled_apply(digit_model, variables, images), rtol=1e-5)
    np.testing.assert_allclose(
        log_prob, compiled_apply(digit_model, variables, images, np.full(5, -1)), rtol=1e-5
    )


def test_the_first_variable_is_part_of_the_likelihood(digit_model):
    variables = jax.tree.map(jnp.zeros_like, random_variables(digit_model, X, Y))
    np.testing.assert_allclose(
        compiled_apply(digit_model, variables, X, Y), -6 * np.log(2), rtol=1e-6
    )


def test_what_is_drawn_is_a_level_not_a_rounded_real():
    head = DiscretizedLogisticMixture(levels=16, components=2)
    keys = jax.random.split(jax.random.key(0), 64)
    features = jax.random.normal(jax.random.key(1), (64, head.num_params(1)))
    value, log_prob = compiled_apply(head, {}, features, keys, ar.Sampler(), method="sample")
    assert value.dtype == jnp.int32
    np.testing.assert_allclose(
        log_prob, compiled_apply(head, {}, features, value, method="log_prob")
    )


def test_colour_channels_are_drawn_with_their_coupling():
    """Independent channels would correlate by 0.03 at most (5 standard errors of 1/sqrt(20000))."""
    head = DiscretizedLogisticMixture(levels=256, components=1, channels=3)
    logit, means, log_scales = 0.0, [0.0, 0.0, 0.0], [-2.0, -2.0, -2.0]
    slopes = [3.0, 0.0, 3.0]  # green on red, blue on red, blue on green, before tanh
    features = jnp.tile(jnp.array([logit, *means, *log_scales, *slopes]), (20_000, 1))
    keys = jax.random.split(jax.random.key(0), 20_000)
    value, _ = compiled_apply(head, {}, features, keys, ar.Sampler(), method="sample")
    correlation = np.corrcoef(value.T)
    assert correlation[0, 1] > 0.5
    assert correlation[1, 2] > 0.5


def test_a_mixture_of_one_channel_sums_over_its_components():
    head = DiscretizedLogisticMixture(levels=4, components=2)
    weights, means, scales = np.array([0.3, 0.7]), np.array([-0.5, 0.4]), np.array([0.2, 0.1])
    features = np.stack([np.log(weights), means, np.log(scales)], axis=-1).ravel()
    edges = np.array([-np.inf, -2 / 3, 0, 2 / 3, np.inf])
    cdf = stats.logistic.cdf(edges[:, None], means, scales)
    expected = np.log((weights * np.diff(cdf, axis=0)).sum(axis=1))
    got = compiled_apply(
        head, {}, jnp.tile(features, (4, 1)), np.arange(4)[:, None], method="log_prob"
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_gaussian_keeps_its_constant():
    head = GaussianMixture(components=2)
    weights, means, scales = np.array([0.3, 0.7]), np.array([-0.5, 0.4]), np.array([0.2, 1.5])
    features = np.concatenate([np.log(weights), means, np.log(scales)])
    value = np.linspace(-3, 3, 7)
    expected = np.log(stats.norm.pdf(value[:, None], means, scales) @ weights)
    got = compiled_apply(head, {}, jnp.tile(features, (7, 1)), value[:, None], method="log_prob")
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "head", [ar.heads.Categorical(256), DiscretizedLogisticMixture(256, channels=3)]
)
def test_events_of_8_bits_have_the_probability_of_the_same_integers(head):
    ordering = ar.orderings.Raster((2, 2, 3), (1, 1, 3))
    model = ar.AutoregressiveModel(ordering, ar.conditionals.MADE(hidden=(8,)), head)
    x = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 3), np.uint8)
    variables = model.init(jax.random.key(0), x)
    log_prob = jax.jit(model.apply)  # where values cannot be looked at
    np.testing.assert_array_equal(log_prob(variables, x), log_prob(variables, x.astype(np.int32)))
