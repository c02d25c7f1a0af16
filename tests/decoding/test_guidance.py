"""Guidance against its closed form, by enumeration of all events."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import GRU, MADE, Transformer
from ar_jax.contexts import ClassLabel, FirstToken, Nothing, Vector
from ar_jax.decoding import GuidedSampler
from ar_jax.heads import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    EndOfSequence,
    GaussianMixture,
    Nested,
)
from ar_jax.orderings import Raster, Reversed
from ar_jax.testing import random_variables
from ar_jax.testing.draws import check_frequencies

gru, labels = GRU(layers=1, width=5), ClassLabel(3, dropout=0.1, width=4)
patch = ar.AutoregressiveModel(Raster((2,)), MADE((9,)), Categorical(2), Vector(7))

MODELS = {  # whose variables come in the order of memory, or backwards
    "sequence": (Raster((3,)), gru, Categorical(3), labels),
    "backwards": (Reversed((3,)), Transformer(layers=1, width=8), Bernoulli(), labels),
    "colours": (Raster((1, 3), (1, 3)), gru, DiscretizedLogisticMixture(3, 2, 3), labels),
    "patches": (Raster((4,), (2,)), gru, Nested(patch), labels),
    "ends": (Raster((3, 2), (1, 2)), gru, EndOfSequence(Categorical(2)), labels),
}


def guided(log_towards, log_away, scale):
    """The joint that guidance in each step draws from, of joints over a grid of values."""
    joint = np.zeros(())
    for axis in range(log_towards.ndim):  # p(x_t | x_<t) are ratios of sums
        later = tuple(range(axis + 1, log_towards.ndim))
        step = []
        for log_prob in (log_towards, log_away):
            sums = np.exp(log_prob).sum(axis=later)
            with np.errstate(divide="ignore", invalid="ignore"):
                step.append(np.log(sums / sums.sum(axis=-1, keepdims=True)))
        with np.errstate(invalid="ignore"):
            power = np.where(step[0] == -np.inf, -np.inf, step[0] + scale * (step[0] - step[1]))
        power = np.exp(np.where(np.isnan(power), -np.inf, power))
        total = power.sum(axis=-1, keepdims=True)
        joint = joint[..., None] + np.log(np.maximum(power / np.where(total, total, 1), 1e-300))
    return np.exp(joint)


@pytest.mark.parametrize(("scale", "negative"), [(1.5, None), (-0.5, 2)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_draws_follow_the_product_of_guided_steps(name, scale, negative):
    """Fails by chance with odds of 1e-6."""
    model, count = ar.AutoregressiveModel(*MODELS[name]), 20_000
    sides = [kind.largest + 1 for kind in model.head.support(model.ordering.block_size)]
    sides = sides * model.ordering.count
    values = np.array(list(product(*map(range, sides))))
    steps = values.reshape(len(values), model.ordering.length, -1)
    events = np.asarray(model.ordering.to_event(steps))
    variables = random_variables(model, events[:1], np.zeros(1, int))
    variables = jax.tree.map(lambda x: x.astype(np.float32), variables)
    condition, other = (np.full(len(events), y) for y in (1, -1 if negative is None else negative))
    score = jax.jit(model.apply)  # inside which impossible events are no errors
    scored = [np.asarray(score(variables, events, y)).reshape(sides) for y in (condition, other)]
    expected = guided(*(score.astype(float) for score in scored), scale)
    np.testing.assert_allclose(expected.sum(), 1, 1e-5)
    guidance = ar.Guidance(scale, None if negative is None else np.full(count, negative))
    drawn = ar.sample(
        model, variables, jax.random.key(0), condition=np.full(count, 1), guidance=guidance
    )
    drawn = np.asarray(model.ordering.to_steps(drawn)).reshape(count, -1)
    check_frequencies(drawn, values, expected.ravel())


def test_the_features_of_real_numbers_are_extrapolated():
    model = ar.AutoregressiveModel(Raster((1,)), gru, GaussianMixture(1), labels)
    y, n = np.zeros(1, int), np.ones(1, int)
    variables = random_variables(model, np.zeros((1, 1)), y)
    greedy = {"sampler": ar.Sampler(temperature=0.0), "return_log_prob": True}
    (towards, _), (away, _) = (
        ar.sample(model, variables, jax.random.key(0), condition=c, **greedy) for c in (y, n)
    )
    (got, log_prob) = ar.sample(
        model, variables, jax.random.key(0), condition=y, guidance=ar.Guidance(2.0, n), **greedy
    )
    np.testing.assert_allclose(got, 3 * towards - 2 * away, 1e-5)
    np.testing.assert_allclose(log_prob, model.apply(variables, got, y), 1e-5)


def test_a_scale_of_zero_changes_nothing_and_prefixes_are_kept():
    model = ar.AutoregressiveModel(Raster((6,)), gru, Categorical(5), labels)
    y = np.arange(4) % 3
    variables = random_variables(model, np.zeros((1, 6), int), y[:1])
    given = {"condition": y, "return_log_prob": True}
    plain, log_prob = ar.sample(model, variables, jax.random.key(0), **given)
    same, same_log_prob = ar.sample(
        model, variables, jax.random.key(0), guidance=ar.Guidance(0.0), **given
    )
    np.testing.assert_array_equal(same, plain)
    np.testing.assert_allclose(same_log_prob, log_prob, 1e-5)
    given = {"condition": y, "prefix": plain[:, :3, None], "prefix_lengths": np.arange(4)}
    given |= {"guidance": ar.Guidance(3.0)}
    drawn = ar.sample(model, variables, jax.random.key(1), **given)
    known = np.arange(6) < np.arange(4)[:, None]
    np.testing.assert_array_equal(np.asarray(drawn)[known], np.asarray(plain)[known])
    steps = list(ar.stream(model, variables, jax.random.key(1), **given))
    np.testing.assert_array_equal(np.concatenate(steps, axis=1), drawn)


@pytest.mark.parametrize(
    ("context", "y", "negative", "message"),
    [
        (ClassLabel(3), [1], None, "condition: expected one for every example, since this model"),
        (Nothing(), None, None, "guidance: expected a condition as well, got None"),
        (FirstToken(3), [[1]], None, "guidance: expected a context that knows the absence"),
        (labels, [1], [7], "condition: expected integers -1 ... 2, got values 7 ... 7"),
        (labels, [1], [1, 2], r"condition: expected shape \[1\], got \[2\]"),
    ],
)
def test_guidance_without_what_it_leads_away_from_is_refused(context, y, negative, message):
    model = ar.AutoregressiveModel(Raster((2,)), gru, Categorical(3), context)
    y, negative = (None if given is None else np.array(given) for given in (y, negative))
    size = {"batch_size": 1} if y is None else {"condition": y}
    with pytest.raises(ValueError, match=f"^{message}"):
        ar.sample(model, {}, jax.random.key(0), guidance=ar.Guidance(1.0, negative), **size)


@pytest.mark.parametrize("scale", [np.nan, np.inf, -np.inf, 1e39, "1", np.ones(2)], ids=str)
def test_a_scale_that_is_no_finite_number_is_refused(scale):
    model = ar.AutoregressiveModel(Raster((2,)), gru, Categorical(3), labels)
    with pytest.raises(ValueError, match=r"^guidance scale: expected a finite number, got"):
        ar.sample(model, {}, jax.random.key(0), condition=[1], guidance=ar.Guidance(scale))


@pytest.mark.parametrize("scale", [1e30, 3e38, np.inf, -3e38])
def test_a_huge_scale_draws_what_the_condition_favours_most(scale):
    """Also where it is traced and cannot be refused: no sum overflows to NaN."""
    given, other = np.log([0.5, 0.3, 0.2, 1e-30]), np.log([0.7, 0.2, 0.1, 1e-30])
    log_pmf = jnp.asarray(np.stack([given] * 4 + [other] * 4), jnp.float32).at[:, 3].set(-jnp.inf)
    keys = jax.random.split(jax.random.key(0), 8)
    drawn = jax.jit(GuidedSampler(ar.Sampler(), scale))(keys, log_pmf)
    favoured = (given - other)[:3]  # log 5/7, log 3/2, log 2
    assert set(np.asarray(drawn)) == {np.argmax(favoured if scale > 0 else -favoured)}
