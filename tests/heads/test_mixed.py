import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import MADE
from ar_jax.heads import Bernoulli, Categorical, EndOfSequence, GaussianMixture, Mixed, Poisson
from ar_jax.orderings import Raster
from ar_jax.testing import compiled_apply, random_variables

EVENT = Mixed((Categorical(3), Poisson(), GaussianMixture(2)), width=8)
FEATURES = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return random_variables(EVENT, FEATURES, np.zeros((1, 3), np.float32), method="log_prob")


def test_each_part_depends_on_those_before_it(variables):
    def ratio(i, first, second):
        """How much more likely the i-th variable is as `first` than as `second`, by the others."""
        others = np.array([[0, 1, 0.5], [1, 1, 0.5], [0, 3, 0.5], [0, 1, -0.5]], np.float32)
        scores = []
        for value in (first, second):
            others[:, i] = value
            features = np.tile(FEATURES, (4, 1))
            scores.append(compiled_apply(EVENT, variables, features, others, method="log_prob"))
        return scores[0] - scores[1]

    last = ratio(2, 0.2, 0.8)
    assert abs(last[0] - last[1]) > 1e-3  # the category tells about the number
    assert abs(last[0] - last[2]) > 1e-3  # and so does the count


def test_parts_may_have_several_variables():
    head = Mixed((Bernoulli(), Categorical(3)), sizes=(2, 1), width=8)
    ar.testing.check_head(head, 3)


def test_integers_are_held_as_floats_beside_real_numbers(variables):
    keys = jax.random.split(jax.random.key(0), 50)
    features = jnp.tile(FEATURES, (50, 1))
    drawn, _ = compiled_apply(EVENT, variables, features, keys, ar.Sampler(), method="sample")
    assert drawn.dtype == jnp.float32
    np.testing.assert_array_equal(drawn[:, :2], np.round(drawn[:, :2]))
    assert Mixed((Bernoulli(), Categorical(3))).dtype == jnp.int32


def test_a_fraction_of_a_category_is_impossible(variables):
    value = np.array([[0.5, 1, 0.0]], np.float32)
    assert compiled_apply(EVENT, variables, FEATURES, value, method="log_prob") == -np.inf
    with pytest.raises(ValueError, match="x: expected whole numbers of Categorical, got others"):
        EVENT.check("x", value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([3.0, 0.0, 0.0], r"x: expected integers 0 ... 2, got values 3 ... 3"),
        ([0.0, -1.0, 0.0], r"x: expected integers 0 ... 2147483647, got values -1"),
        ([0.0, 0.0, np.nan], "x: expected finite numbers"),
    ],
)
def test_each_part_checks_its_own(value, message):
    with pytest.raises(ValueError, match=message):
        EVENT.check("x", np.array([value], np.float32))


def test_a_block_has_the_variables_of_the_parts():
    with pytest.raises(ValueError, match="block: expected a variable for each of the parts"):
        EVENT.check_block(4)


def test_a_sampler_must_suit_every_part():
    with pytest.raises(ValueError, match="sampler: expected a temperature only"):
        EVENT.check_sampler(ar.Sampler(top_k=2))


@pytest.mark.parametrize(
    ("head", "size", "message"),
    [
        (Mixed((EndOfSequence(Bernoulli()),), sizes=(2,)), 2, "parts: expected none that looks"),
        (EndOfSequence(EndOfSequence(Bernoulli())), 3, "head: expected one that does not look"),
        (Mixed((Bernoulli(), Bernoulli()), sizes=(2, 0)), 2, "sizes: expected at least 1, got 0"),
    ],
)
def test_what_cannot_be_chained_is_refused(head, size, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        head.check_block(size)


def test_parts_do_not_share_what_they_hold_one_instance_of():
    part = Categorical(3, embedding=4)
    model = ar.AutoregressiveModel(Raster((3, 2), (1, 2)), MADE((8,)), Mixed((part, part)))
    parameters = random_variables(model, np.zeros((1, 3, 2), int))["params"]["head"]
    tables = [x for x in jax.tree.leaves(parameters) if x.shape == (3, 4)]
    assert len(tables) == 2
    assert not np.array_equal(*tables)


@pytest.mark.parametrize(
    ("count", "message"), [(3e9, "got values 3000000000"), (1e30, "expected numbers")]
)
def test_a_number_too_large_for_a_count_is_refused(count, message):
    with pytest.raises(ValueError, match=message):
        EVENT.check("x", np.array([[0, count, 0]], np.float32))
