"""Sequences of 0 to 3 values, their ends included."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import GRU, MADE
from ar_jax.heads import Categorical, EndOfSequence, GaussianMixture
from ar_jax.orderings import Raster
from ar_jax.testing import compiled_apply, random_variables

LENGTH = 3
MODEL = ar.AutoregressiveModel(
    Raster((LENGTH, 2), (1, 2)), MADE((20,)), EndOfSequence(Categorical(2, embedding=3))
)
SEQUENCES = [list(x) for n in range(LENGTH + 1) for x in product(range(2), repeat=n)]
LENGTHS = np.array([len(x) for x in SEQUENCES])
VALUES = np.array([x + [1] * (LENGTH - len(x)) for x in SEQUENCES])[..., None]  # 1: never read
EVENTS = np.asarray(EndOfSequence.pad(jnp.asarray(VALUES), LENGTHS))


@pytest.fixture(scope="module")
def variables():
    return random_variables(MODEL, EVENTS)


def test_the_probabilities_of_all_sequences_sum_to_one(variables):
    assert len(np.unique(EVENTS, axis=0)) == 1 + 2 + 4 + 8
    np.testing.assert_allclose(np.exp(compiled_apply(MODEL, variables, EVENTS)).sum(), 1, rtol=1e-5)


def test_what_comes_after_the_end_is_certain(variables):
    log_probs = np.asarray(compiled_apply(MODEL, variables, EVENTS, method="step_log_probs"))
    scored = np.arange(LENGTH) <= LENGTHS[:, None]  # the end too
    np.testing.assert_array_equal(log_probs[~scored], 0)
    assert np.all(log_probs[scored] < 0)


def test_lengths_that_let_the_end_count_change_nothing(variables):
    lengths = np.minimum(LENGTHS + 1, LENGTH)
    expected = compiled_apply(MODEL, variables, EVENTS)
    np.testing.assert_array_equal(compiled_apply(MODEL, variables, EVENTS, None, lengths), expected)


def test_the_lengths_of_what_is_drawn_can_be_read(variables):
    events = ar.sample(MODEL, variables, jax.random.key(0), batch_size=200)
    lengths = np.asarray(EndOfSequence.lengths(MODEL.ordering.to_steps(events)))
    assert set(lengths) == {0, 1, 2, 3}
    again = EndOfSequence.pad(events[..., 1:], lengths)
    np.testing.assert_array_equal(again, events)
    np.testing.assert_array_equal(EndOfSequence.lengths(EVENTS), LENGTHS)


def test_a_prefix_that_has_ended_stays_so(variables):
    prefix = np.tile([[[0, 1], [1, 0]]], (20, 1, 1))
    for lengths in (None, np.full(20, 2)):
        events, log_prob = ar.sample(
            MODEL, variables, jax.random.key(0), prefix=prefix, prefix_lengths=lengths,
            return_log_prob=True,
        )  # fmt: skip
        np.testing.assert_array_equal(events[:, 2], np.tile([1, 0], (20, 1)))
        np.testing.assert_array_equal(log_prob, 0)


def test_going_on_after_the_end_is_impossible(variables):
    event = np.array([[[1, 0], [0, 1], [1, 0]]])
    assert compiled_apply(MODEL, variables, event) == -np.inf
    options = {"prefix": event[:, :2], "prefix_lengths": np.array([2])}
    with pytest.raises(ValueError, match="prefix: expected nothing after the end, got a step"):
        ar.sample(MODEL, variables, jax.random.key(0), **options)
    options["prefix_lengths"] = np.array([1])  # the end alone
    drawn = ar.sample(MODEL, variables, jax.random.key(0), **options)
    np.testing.assert_array_equal(drawn, [3 * [[1, 0]]])


def test_the_end_of_real_numbers_is_a_point_among_them():
    """Its probability and the integral over the others are one."""
    head = EndOfSequence(GaussianMixture(2))
    features = np.tile(np.random.default_rng(0).normal(size=head.num_params(2)), (4001, 1))
    line = np.linspace(-20, 20, 4001)
    steps = np.stack([np.zeros(4001), line], axis=1)
    density = np.exp(compiled_apply(head, {}, features, steps, method="log_prob"))
    end = np.exp(compiled_apply(head, {}, features[:1], np.array([[1.0, 0.0]]), method="log_prob"))
    np.testing.assert_allclose(np.trapezoid(density, line) + end, 1, rtol=1e-5)
    elsewhere = compiled_apply(head, {}, features[:1], np.array([[1.0, 0.5]]), method="log_prob")
    assert elsewhere == -np.inf


def test_gradients_are_finite_after_the_end():
    model = MODEL.clone(head=EndOfSequence(GaussianMixture(2)), conditional=GRU(width=4, layers=1))
    x = np.array([[[0, 0.5], [1, 0], [1, 0]]], np.float32)
    gradient = jax.grad(lambda v: compiled_apply(model, v, x).sum())(random_variables(model, x))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ([2, 0], "x: expected 0 or 1 as the first variable of a step"),
        ([1, 1], "x: expected zeros as the values of steps that are over"),
        ([0, 2], "x: expected integers 0 ... 1, got values 2"),
    ],
)
def test_steps_that_do_not_fit_are_refused(step, message):
    with pytest.raises(ValueError, match=message):
        MODEL.head.check("x", np.array([[step]]))


def test_a_step_has_room_for_the_end():
    with pytest.raises(ValueError, match="block: expected at least 2 variables"):
        MODEL.head.check_block(1)
