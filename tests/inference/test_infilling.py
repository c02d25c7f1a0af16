"""Infilling against the conditional probabilities of a joint that is known."""

from functools import partial
from itertools import permutations, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ar_jax as ar
from ar_jax.conditionals import MADE, MaskedTransformer, Transformer
from ar_jax.contexts import ClassLabel
from ar_jax.heads import Bernoulli, Categorical
from ar_jax.nn import FromTo
from ar_jax.orderings import Raster, Snake
from ar_jax.testing.base import random_variables
from ar_jax.testing.draws import check_frequencies

CAUSAL = ar.AnyOrderModel(
    Raster((3,)), Transformer(layers=2, width=32, heads=2, positions=FromTo()), Categorical(3)
)
AGNOSTIC = ar.OrderAgnosticModel(
    Raster((3,)), MaskedTransformer(layers=2, width=32, heads=2), Categorical(3)
)
EVENTS = np.array(list(product(range(3), repeat=3)))
ORDERS = np.array(list(permutations(range(3))))
SUBSETS = np.array(list(product((False, True), repeat=3)))

JOINT = np.exp(np.random.default_rng(0).normal(size=27))
JOINT /= JOINT.sum()

both = pytest.mark.parametrize("model", [CAUSAL, AGNOSTIC], ids=["causal", "masked"])


@pytest.fixture(scope="module")
def learned():
    """Variables of both models after training on the joint: all events in all orders, no noise."""
    x, order = np.tile(EVENTS, (6, 1)), np.repeat(ORDERS, 27, axis=0)

    def causal_loss(variables: Any) -> Any:
        return -(CAUSAL.apply(variables, x, order=order).reshape(6, 27).mean(axis=0) @ JOINT)

    def masked_loss(variables: Any) -> Any:
        """Over the sets of known cells, as often as orders begin with them."""
        known = SUBSETS[:-1]
        left = 3 - known.sum(axis=1)
        weights = 1 / left / np.array([1, 3, 3, 1])[left]
        rows = np.tile(EVENTS, (7, 1)), np.repeat(known, 27, axis=0)
        log_prob: Any = AGNOSTIC.apply(variables, *rows, method="masked_log_probs")
        return -(weights @ log_prob.sum(axis=1).reshape(7, 27) @ JOINT)

    return {
        CAUSAL: trained(CAUSAL, causal_loss, steps=1500),
        AGNOSTIC: trained(AGNOSTIC, masked_loss, steps=1000),
    }


def trained(model: ar.AnyOrderModel, loss: Any, steps: int) -> Any:
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, steps))

    @jax.jit
    def run(variables: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            variables, state = carry
            updates, state = optimizer.update(jax.grad(loss)(variables), state)
            return (optax.apply_updates(variables, updates), state), None

        return jax.lax.scan(step, (variables, optimizer.init(variables)), None, steps)[0][0]

    return run(model.init(jax.random.key(0), EVENTS))


def completions(missing: np.ndarray) -> np.ndarray:
    """`[27, 27]` booleans: which events (columns) agree with each in all that is not missing."""
    return (EVENTS[:, None] == EVENTS)[..., ~missing].all(axis=2)


def conditional(joint: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """`[27, 27]`: p(event | what is known of each event)."""
    kept = np.where(completions(missing), joint, 0)
    return kept / kept.sum(axis=1, keepdims=True)


def log_conditional(model: ar.AnyOrderModel, variables: Any, missing: np.ndarray) -> np.ndarray:
    """log p(missing | known) of each event, in the order that `infill` draws in: `[27]`."""
    order = np.tile(np.argsort(missing, kind="stable"), (27, 1))
    log_prob: Any = step_log_probs(model, variables, order)
    return np.asarray(log_prob)[:, (~missing).sum() :].sum(axis=1)


@partial(jax.jit, static_argnums=0)
def step_log_probs(model: ar.AnyOrderModel, variables: Any, order: np.ndarray) -> Any:
    return model.apply(variables, EVENTS, order=order, method="step_log_probs")


@both
def test_a_trained_model_completes_as_the_joint_does(learned, model):
    """Total variation under 0.02, for each set of missing cells and all values of the others."""
    for missing in SUBSETS[1:]:
        found = np.exp(log_conditional(model, learned[model], missing))
        found = np.where(completions(missing), found, 0)  # [known, completed]
        variation = abs(found - conditional(JOINT, missing)).sum(axis=1) / 2
        assert variation.max() < 0.02, missing


@both
def test_completions_are_drawn_with_their_probabilities(learned, model):
    """And the log-probability that is returned is theirs."""
    missing = np.array([False, True, True])
    log_prob, given, count = log_conditional(model, learned[model], missing), EVENTS[9], 4096
    x, gone = np.tile(given, (count, 1)), np.tile(missing, (count, 1))
    drawn, found = ar.infill(
        model, learned[model], jax.random.key(0), np.where(gone, 1, x), gone, return_log_prob=True
    )
    drawn = np.asarray(drawn)
    np.testing.assert_array_equal(drawn[:, ~missing], x[:, ~missing])
    rows = drawn @ [9, 3, 1]
    np.testing.assert_allclose(found, log_prob[rows], rtol=1e-4)
    probability = np.where(completions(missing)[9], np.exp(log_prob), 0)
    check_frequencies(drawn, EVENTS, probability / probability.sum())


@both
def test_what_is_known_may_differ_in_each_example(learned, model):
    x, missing = EVENTS[np.arange(8)], SUBSETS
    drawn, log_prob = ar.infill(
        model, learned[model], jax.random.key(1), x, missing, return_log_prob=True
    )
    np.testing.assert_array_equal(np.asarray(drawn)[~missing], x[~missing])
    order, counts = np.argsort(missing, axis=1, kind="stable"), (~missing).sum(axis=1)
    steps: Any = model.apply(learned[model], drawn, order=order, method="step_log_probs")
    expected = np.where(np.arange(3) < counts[:, None], 0, steps).sum(axis=1)
    np.testing.assert_allclose(log_prob, expected, atol=1e-5)
    assert log_prob[0] == 0  # nothing is missing


@both
def test_with_nothing_known_it_is_sampling(learned, model):
    x, key = np.zeros((8, 3), int), jax.random.key(2)
    drawn = ar.infill(model, learned[model], key, x, np.ones((8, 3), bool))
    np.testing.assert_array_equal(drawn, ar.sample(model, learned[model], key, batch_size=8))
    same = ar.infill(model, learned[model], key, EVENTS, np.zeros((27, 3), bool))
    np.testing.assert_array_equal(same, EVENTS)


def test_the_events_of_a_snake_in_blocks_are_completed():
    model = ar.AnyOrderModel(
        Snake((4, 4), (2, 2)), CAUSAL.conditional, Categorical(3), ClassLabel(2, dropout=0.5)
    )
    x = np.random.default_rng(0).integers(0, 3, (5, 4, 4))
    y = np.array([0, 1, -1, 0, 1])
    variables = random_variables(model, x, y)
    missing = np.zeros((5, 4, 4), bool)
    missing[:2, 2:, :2] = missing[2:, :2] = True
    drawn = np.asarray(ar.infill(model, variables, jax.random.key(0), x, missing, condition=y))
    np.testing.assert_array_equal(drawn[~missing], x[~missing])
    one, other = (
        ar.infill(
            model, variables, jax.random.key(0), x, missing, condition=z, return_log_prob=True
        )[1]
        for z in (y, 1 - abs(y))
    )
    assert (one != other).all()


def test_rounds_keep_to_a_snake_of_blocks_to_conditions_and_to_the_example():
    model = ar.OrderAgnosticModel(
        Snake((4, 4), (2, 2)), AGNOSTIC.conditional, Categorical(3), ClassLabel(2, dropout=0.5)
    )
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 3, (5, 4, 4)), np.array([0, 1, -1, 0, 1])
    variables = random_variables(model, x, y)
    missing = np.kron(rng.integers(0, 2, (5, 2, 2)), np.ones((2, 2), int)) > 0

    def draw(count: int, y: np.ndarray, key: jax.Array = jax.random.key(0)) -> np.ndarray:
        given = x[:count], missing[:count]
        return np.asarray(ar.infill_in_rounds(model, variables, key, *given, 2, condition=y))

    drawn = draw(5, y)
    np.testing.assert_array_equal(drawn[~missing], x[~missing])
    np.testing.assert_array_equal(draw(3, y[:3]), drawn[:3])
    assert (draw(5, 1 - abs(y)) != drawn).any()
    assert draw(5, y, jax.random.PRNGKey(0)).shape == x.shape


def test_a_choice_that_puts_off_does_not_leave_anything_out(learned):
    """All scores are minus infinity: the last round draws what is left."""

    def never(log_prob: jax.Array, keys: jax.Array) -> jax.Array:
        return jnp.full_like(log_prob, -jnp.inf)

    forced = jax.tree.map(jnp.zeros_like, learned[AGNOSTIC])
    forced["params"]["conditional"]["readout"]["bias"] = jnp.array([0.0, 0.0, 100.0])
    x, missing = np.array([[1, 0, 0]]), np.array([[False, True, True]])
    drawn = ar.infill_in_rounds(AGNOSTIC, forced, jax.random.key(0), x, missing, 2, choice=never)
    np.testing.assert_array_equal(drawn, [[1, 2, 2]])


def test_all_at_once_draws_from_the_marginals(learned):
    """One round: each missing cell by itself, given the known ones."""
    variables, count = learned[AGNOSTIC], 4096
    missing = np.array([True, False, True])
    marginals: Any = AGNOSTIC.apply(
        variables, EVENTS, np.tile(~missing, (27, 1)), method="masked_log_probs"
    )
    probability = np.where(completions(missing)[5], np.exp(np.asarray(marginals).sum(axis=1)), 0)
    x, gone = np.tile(EVENTS[5], (count, 1)), np.tile(missing, (count, 1))
    drawn = ar.infill_in_rounds(AGNOSTIC, variables, jax.random.key(0), x, gone, 1)
    check_frequencies(np.asarray(drawn), EVENTS, probability / probability.sum())
    assert abs(probability - conditional(JOINT, missing)[5]).sum() / 2 > 0.05, "haste costs"


def test_as_many_rounds_as_cells_draw_in_a_random_order(learned):
    variables, count = learned[AGNOSTIC], 4096
    x, order = np.tile(EVENTS, (6, 1)), np.repeat(ORDERS, 27, axis=0)
    log_prob: Any = jax.jit(AGNOSTIC.apply)(variables, x, order=order)
    probability = np.exp(np.asarray(log_prob)).reshape(6, 27).mean(axis=0)
    blank = np.zeros((count, 3), int)
    drawn = ar.infill_in_rounds(
        AGNOSTIC, variables, jax.random.key(0), blank, np.ones_like(blank, bool), 3
    )
    check_frequencies(np.asarray(drawn), EVENTS, probability / probability.sum())


def test_the_most_confident_draws_stay(learned):
    """Greedy, in two rounds: the two likeliest cells, then the last given these."""
    variables, gone = learned[AGNOSTIC], np.ones((1, 3), bool)
    drawn = ar.infill_in_rounds(
        AGNOSTIC, variables, jax.random.key(0), np.zeros((1, 3), int), gone, 2,
        choice=ar.most_confident, sampler=ar.Sampler(temperature=0.0),
    )  # fmt: skip

    def likeliest(x: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pair = jnp.stack([
            AGNOSTIC.apply(variables, np.where(known, x, value), known, method="masked_log_probs")
            for value in range(3)
        ])  # fmt: skip
        return np.asarray(pair.argmax(axis=0)), np.asarray(pair.max(axis=0))

    values, confidence = likeliest(np.zeros((1, 3), int), ~gone)
    known = np.zeros((1, 3), bool)
    known[0, np.argsort(-confidence[0])[:2]] = True
    rest, _ = likeliest(values, known)
    np.testing.assert_array_equal(drawn, np.where(known, values, rest))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"missing": np.zeros((2, 3), int)}, "missing: expected booleans, got int64"),
        ({"missing": np.zeros((2, 2), bool)}, r"missing: expected shape \[2, 3\]"),
        ({"x": np.zeros((2, 5), int)}, r"x: expected shape \[batch, 3\]"),
        ({"x": np.full((2, 3), 0.9)}, "x: expected integers 0 ... 2, got dtype float64"),
        ({"x": np.zeros((0, 3), int), "missing": np.zeros((0, 3), bool)}, "examples: expected at"),
        ({"x": np.full((2, 3), 3)}, "x: expected integers 0 ... 2"),
        (
            {"model": ar.AutoregressiveModel(Raster((3,)), MADE((3,)), Bernoulli())},
            "model: expected an AnyOrderModel or an OrderAgnosticModel",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_completed_is_refused(learned, change, message):
    given = {"model": CAUSAL, "x": np.zeros((2, 3), int), "missing": np.zeros((2, 3), bool)}
    given |= change
    with pytest.raises(ValueError, match=message):
        ar.infill(variables=learned[CAUSAL], key=jax.random.key(0), **given)


def test_what_is_missing_may_hold_anything(learned):
    missing = np.array([[True, False, False]])
    drawn = ar.infill(CAUSAL, learned[CAUSAL], jax.random.key(0), np.array([[-7, 1, 2]]), missing)
    assert drawn[0, 0] in (0, 1, 2)


def test_a_part_of_a_cell_is_not_completed():
    model = CAUSAL.clone(ordering=Raster((4,), (2,)))
    missing = np.array([[True, False, False, False]])
    with pytest.raises(ValueError, match=r"missing: expected whole cells of \[2\]"):
        ar.infill(model, {}, jax.random.key(0), np.zeros((1, 4), int), missing)


def test_rounds_ask_for_an_order_agnostic_model_and_for_one_at_least(learned):
    x = np.zeros((1, 3), int)
    with pytest.raises(ValueError, match="rounds: expected at least 1, got 0"):
        ar.infill_in_rounds(AGNOSTIC, {}, jax.random.key(0), x, x == 0, 0)
    causal: Any = CAUSAL
    with pytest.raises(ValueError, match="model: expected an OrderAgnosticModel"):
        ar.infill_in_rounds(causal, {}, jax.random.key(0), x, x == 0, 1)
