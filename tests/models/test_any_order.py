"""Any order is a model with an exact likelihood."""

import math
from itertools import permutations, product
from typing import Any

import jax
import numpy as np
import pytest

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import MADE, MaskedTransformer, Transformer
from ar_jax.contexts import ClassLabel, Nothing
from ar_jax.heads import Bernoulli, Categorical, EndOfSequence
from ar_jax.nn import FromTo, Rotary
from ar_jax.orderings import PerExample, Permutation, Raster, Snake
from ar_jax.testing.base import random_variables, resized

NETWORK = Transformer(layers=2, width=8, heads=2, positions=FromTo())
MASKED = MaskedTransformer(layers=2, width=8, heads=2)
CAUSAL = ar.AnyOrderModel(Snake((2, 2, 1)), NETWORK, Bernoulli())
AGNOSTIC = ar.OrderAgnosticModel(Snake((2, 2, 1)), MASKED, Bernoulli())
EVENTS = np.array(list(product((0, 1), repeat=4))).reshape(16, 2, 2, 1)
ORDERS = np.array(list(permutations(range(4))))

both = pytest.mark.parametrize("model", [CAUSAL, AGNOSTIC], ids=["causal", "masked"])


def in_every_order(model: ar.AnyOrderModel) -> tuple[Any, np.ndarray]:
    """Variables, and log p of each event in each order: `[orders, events]`."""
    x, order = np.tile(EVENTS, (len(ORDERS), 1, 1, 1)), np.repeat(ORDERS, len(EVENTS), axis=0)
    variables = random_variables(model, EVENTS)
    log_prob: Any = jax.jit(lambda v: model.apply(v, x, order=order))(variables)
    return variables, np.asarray(log_prob).reshape(len(ORDERS), len(EVENTS))


@pytest.mark.parametrize(
    "model",
    [
        CAUSAL.clone(ordering=Raster((2, 2, 1)), context=ClassLabel(3)),
        AGNOSTIC.clone(head=Categorical(3), context=ClassLabel(3, dropout=0.5)),
    ],
    ids=["causal", "masked"],
)
def test_a_model_of_any_order_obeys_the_laws_in_its_own(model):
    ar.testing.check_model(model, np.array([1]))


@both
def test_the_probabilities_sum_to_one_in_each_order(model):
    with jax.enable_x64(True):
        _, log_prob = in_every_order(model)
        np.testing.assert_allclose(np.exp(log_prob).sum(axis=1), 1, rtol=1e-9)
        assert len(np.unique(log_prob.round(6))) > 16, "orders differ while nothing is learned"


@both
def test_an_order_is_that_of_the_model_of_a_permutation(model):
    with jax.enable_x64(True):
        variables, log_prob = in_every_order(model)
        for i in (0, 7, 23):
            ordering = Permutation((2, 2, 1), permutation=tuple(ORDERS[i]))
            fixed = ar.AutoregressiveModel(ordering, model.conditional, model.head)
            found: Any = jax.jit(fixed.apply)(variables, EVENTS)
            np.testing.assert_allclose(found, log_prob[i], rtol=1e-9)
        own = int(np.flatnonzero((model.ordering.order == ORDERS).all(axis=1))[0])
        found = jax.jit(model.apply)(variables, EVENTS)
        np.testing.assert_allclose(found, log_prob[own], rtol=1e-9)


@pytest.mark.parametrize("block", [(1, 1, 1), (2, 1, 2)], ids=str)
def test_each_example_follows_its_own_order(block):
    event, rng = (4, 3, 2), np.random.default_rng(0)
    orders = np.stack([rng.permutation(Raster(event, block).count) for _ in range(5)])
    x = rng.normal(size=(5, *event))
    ordering = PerExample(event, block, orders)
    for i, order in enumerate(orders):
        one = Permutation(event, block, tuple(order))
        np.testing.assert_allclose(ordering.to_steps(x)[i], one.to_steps(x)[i], rtol=1e-6)
    np.testing.assert_allclose(ordering.to_event(ordering.to_steps(x)), x, rtol=1e-6)


def test_orders_of_examples_are_equal_only_to_themselves():
    ordering, other = (PerExample((4,), (), np.roll(np.arange(4), i)[None]) for i in range(2))
    assert ordering == ordering
    assert len({ordering, other}) == 2


def test_known_cells_are_told_in_the_order_of_the_model():
    """A snake's third cell stands last in the raster."""
    with jax.enable_x64(True):
        variables = random_variables(AGNOSTIC, EVENTS)
        steps: Any = AGNOSTIC.apply(variables, EVENTS, method="step_log_probs")
        for t in range(4):
            known = np.tile(np.arange(4) < t, (16, 1))
            found: Any = AGNOSTIC.apply(variables, EVENTS, known, method="masked_log_probs")
            np.testing.assert_allclose(found[:, t], steps[:, t], rtol=1e-9)
    with pytest.raises(ValueError, match="known: expected booleans, got int64"):
        AGNOSTIC.apply(variables, EVENTS, known.astype(int), method="masked_log_probs")


def test_the_bound_of_training_is_the_mean_over_all_orders():
    """Each set of known cells counts as often as orders begin with it."""
    with jax.enable_x64(True):
        variables, log_prob = in_every_order(AGNOSTIC)
        known = np.array(list(product((False, True), repeat=4)))
        rows = [np.repeat(EVENTS, 16, axis=0), np.tile(known, (16, 1))]
        score = jax.jit(lambda *args: AGNOSTIC.apply(*args, method="masked_log_probs"))
        masked: Any = score(variables, *rows)
        assert not np.asarray(masked)[rows[1]].any()
        left = 4 - known.sum(axis=1)
        weights = [1 / n / math.comb(4, n) if n else 0 for n in left]
        bound = np.asarray(masked).sum(axis=1).reshape(16, 16) @ weights
        np.testing.assert_allclose(bound, log_prob.mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((ar.AnyOrderModel, Raster((4,)), MADE((5,)), Bernoulli()), "got MADE"),
        ((ar.AnyOrderModel, Raster((4,)), Transformer(), Bernoulli()), "with FromTo positions"),
        (
            (ar.AnyOrderModel, Raster((4,)), Transformer(positions=Rotary()), Bernoulli()),
            "with FromTo positions",
        ),
        ((ar.OrderAgnosticModel, Raster((4,)), NETWORK, Bernoulli()), "a MaskedTransformer"),
        (
            (ar.AnyOrderModel, Raster((4, 2), (1, 2)), NETWORK, EndOfSequence(Categorical(2))),
            "looks back",
        ),
        (
            (ar.OrderAgnosticModel, Raster((4,)), MaskedTransformer(width=6, heads=4), Bernoulli()),
            "heads: expected a divisor of the width 6, got 4",
        ),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else value,
)
def test_parts_that_follow_no_other_order_are_refused(parts, message):
    kind, *fields = parts
    model = kind(*fields)
    with pytest.raises(ValueError, match=message):
        model.init(jax.random.key(0), np.zeros((1, *model.ordering.event), int))


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (np.zeros((16, 4), int), "order: expected each of 0 ... 3 once in each row"),
        (np.zeros((16, 4)), "order: expected integers 0 ... 3, got dtype float64"),
        (np.tile(np.arange(4), (3, 1)), r"order: expected shape \[16, 4\], got \[3, 4\]"),
    ],
)
def test_orders_that_are_none_are_refused(order, message):
    variables = random_variables(CAUSAL, EVENTS)
    with pytest.raises(ValueError, match=message):
        CAUSAL.apply(variables, EVENTS, order=order)


def test_a_condition_is_read_in_each_order():
    model = CAUSAL.clone(context=ClassLabel(3))
    variables = random_variables(model, EVENTS, np.zeros(16, int))
    order = resized(ORDERS[7][None], 16)
    one, other = (model.apply(variables, EVENTS, np.full(16, y), order=order) for y in (0, 1))
    assert not np.isclose(one, other).any()
    assert isinstance(CAUSAL.context, Nothing)
