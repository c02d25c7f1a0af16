"""Events of which only a part is scored: padded ones, and ones with gaps."""

import math
from itertools import permutations, product
from typing import Any

import jax
import numpy as np
import optax
import pytest

import ar_jax as ar
from ar_jax.conditionals import MADE, MaskedTransformer, Transformer
from ar_jax.data import Arrays, EvaluationBatches, training_batches
from ar_jax.evaluation import evaluate
from ar_jax.flows import MAF, Affine, Layer
from ar_jax.heads import Bernoulli, Categorical, GaussianMixture
from ar_jax.models.batch import check_batch
from ar_jax.nn import FromTo
from ar_jax.objectives import MaskedDiffusion, MaximumLikelihood, RandomMember, RandomOrder
from ar_jax.orderings import Raster, Snake
from ar_jax.testing.base import random_variables
from ar_jax.training import Training, fit, init_state, read_metrics

X = np.array(list(product((0, 1), repeat=4))).reshape(16, 2, 2, 1)
ORDERS = np.array(list(permutations(range(4))))
CAUSAL = ar.AnyOrderModel(
    Snake((2, 2, 1)), Transformer(layers=1, width=8, heads=2, positions=FromTo()), Bernoulli()
)
MASKED = ar.OrderAgnosticModel(
    Snake((2, 2, 1)), MaskedTransformer(layers=1, width=8, heads=2), Bernoulli()
)
ONE = ar.AutoregressiveModel(Raster((3, 2), (1, 2)), MADE((8,)), Categorical(5))
TABLE = ar.AnyOrderModel(
    Raster((3,)), Transformer(layers=1, width=8, heads=2, positions=FromTo()), GaussianMixture(2)
)
PATTERNS = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1], [0, 1, 1, 1], [1, 1, 1, 1]], bool)
both = pytest.mark.parametrize("model", [CAUSAL, MASKED], ids=("causal", "masked"))


Table = dict[tuple[int, ...], np.ndarray]


def in_every_order(model: Any, variables: Any) -> Table:
    """log p of each event `[16]`, by the order."""
    score = jax.jit(lambda order: model.apply(variables, np.tile(X, (24, 1, 1, 1)), order=order))
    log_prob = np.asarray(score(np.repeat(ORDERS, 16, axis=0))).reshape(24, 16)
    return {tuple(order): row for order, row in zip(ORDERS.tolist(), log_prob, strict=True)}


def marginals(table: Table, order: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """log p of the seen cells of each event, summed over the others by enumeration: `[16]`.

    In the model of the order that goes through the seen cells first.
    """
    seen_first = np.concatenate([order[pattern[order]], order[~pattern[order]]])
    cells = X.reshape(16, 4)
    alike = (cells[:, None, pattern] == cells[None, :, pattern]).all(axis=2)
    return np.log(alike @ np.exp(table[tuple(seen_first.tolist())]))


@both
def test_what_is_seen_has_the_marginal_of_the_order_that_begins_with_it(model):
    with jax.enable_x64(True):
        variables = random_variables(model, X)
        table, other = in_every_order(model, variables), np.array([2, 0, 3, 1])
        score = jax.jit(lambda *args: model.apply(variables, X, order=args[0], seen=args[1]))
        for pattern in PATTERNS:
            seen = np.tile(pattern.reshape(1, 2, 2, 1), (16, 1, 1, 1))
            found = score(np.tile(other, (16, 1)), seen)
            np.testing.assert_allclose(found, marginals(table, other, pattern), atol=1e-9)
            found = ar.log_prob(model, variables, X, seen=seen)
            expected = marginals(table, model.ordering.order, pattern)
            np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("objective", "model"),
    [(RandomOrder(), CAUSAL), (MaskedDiffusion(), MASKED)],
    ids=("random order", "masked diffusion"),
)
def test_training_with_gaps_is_about_the_mean_over_orders_of_what_is_seen(objective, model):
    """In each of the patterns; 5 standard errors, by chance once in two million keys."""
    variables = random_variables(model, X)
    patterns, times = len(PATTERNS), 1000
    seen = np.repeat(PATTERNS, times, axis=0).reshape(-1, 2, 2, 1)
    batch = {"x": np.repeat(X[5:6], len(seen), axis=0), "seen": seen}
    key = jax.random.key(3)
    losses, scalars = jax.jit(lambda v: objective(model, v, batch, key))(variables)
    np.testing.assert_array_equal(scalars["variables"], np.repeat([0, 1, 2, 3, 4], times))
    losses, table = np.asarray(losses).reshape(patterns, times), in_every_order(model, variables)
    each = [[-marginals(table, o, one)[5] for o in ORDERS] for one in PATTERNS]
    error = losses.std(axis=1) / np.sqrt(times) + 1e-5  # and rounding
    assert (np.abs(losses.mean(axis=1) - np.mean(each, axis=1)) < 5 * error).all()
    if isinstance(objective, RandomOrder):
        for found, expected in zip(losses, each, strict=True):
            assert np.isclose(found[:, None], expected, atol=1e-4).any(axis=1).all()


def test_a_gap_is_not_read_and_spoils_no_gradient():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    seen = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 0]], bool)
    holes = np.where(seen, x, np.nan).astype(np.float32)
    params = random_variables(TABLE, x)["params"]
    order = np.array([[0, 2, 1], [1, 2, 0], [0, 1, 2], [0, 1, 2]])
    expected = TABLE.apply({"params": params}, x, None, seen.sum(axis=1), order)

    def nats(params: Any) -> Any:
        batch = {"x": holes, "seen": seen}
        return MaximumLikelihood()(TABLE, {"params": params}, batch, jax.random.key(0))[0]

    np.testing.assert_allclose(jax.jit(nats)(params), -np.asarray(expected), rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda params: nats(params).mean())(params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    drawn = ar.infill(TABLE, {"params": params}, jax.random.key(0), holes, ~seen)
    np.testing.assert_allclose(np.asarray(drawn)[seen], x[seen])
    assert np.isfinite(drawn).all()


def test_a_table_with_gaps_is_trained_on_and_evaluated_by_what_is_seen(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(21, 3)).astype(np.float32)
    x[rng.random(x.shape) < 0.4] = np.nan
    table = Arrays(x, others={"seen": ~np.isnan(x)})
    held_out = EvaluationBatches(table, 8)
    training = Training(steps=2, log_every=1, validate_every=2)

    def validate(variables: Any) -> float:
        return evaluate(TABLE, variables, held_out, "validation").bits_per_dim

    fitted = fit(
        TABLE, training_batches(table, 8), validate, tmp_path, training, objective=RandomOrder()
    )
    found = evaluate(TABLE, fitted.variables, held_out, "test")
    nats = -np.asarray(ar.log_prob(TABLE, fitted.variables, x, seen=table.others["seen"]), float)
    bits = nats.sum() / (~np.isnan(x)).sum() / math.log(2)
    assert found.bits_per_dim == pytest.approx(bits, rel=1e-5)
    assert found.count == 21
    records = read_metrics(tmp_path / "metrics.jsonl")
    assert records[-1]["validation_bits_per_dim"] == pytest.approx(bits, rel=1e-5)
    assert "variables" not in records[0]


def test_padded_events_are_trained_on_and_evaluated_by_their_lengths(tmp_path):
    rng = np.random.default_rng(0)
    x, lengths = rng.integers(0, 5, (21, 3, 2)), rng.integers(0, 4, 21)
    padded = Arrays(x.astype(np.int32), others={"lengths": lengths})
    batches, held_out = training_batches(padded, 8), EvaluationBatches(padded, 8)
    params = init_state(ONE, optax.identity(), 0, {"x": padded.x}).params

    def bits(rows: Any) -> float:
        """Of the initial parameters."""
        by_step: Any = ONE.apply({"params": params}, rows["x"], method="step_log_probs")
        counts = np.arange(3) < rows["lengths"][:, None]
        return -np.where(counts, by_step, 0).sum() / (2 * counts.sum()) / math.log(2)

    found = evaluate(ONE, {"params": params}, held_out, "test")
    assert found.bits_per_dim == pytest.approx(bits(padded.batch(np.arange(21))), rel=1e-5)
    training = Training(steps=1, log_every=1, validate_every=1)
    fit(ONE, batches, lambda variables: 0.0, tmp_path, training)
    record = read_metrics(tmp_path / "metrics.jsonl")[0]
    assert record["train_bits_per_dim"] == pytest.approx(bits(batches[0]), rel=1e-5)


def test_what_follows_the_length_of_an_event_changes_nothing():
    members = ar.Ensemble((ONE, ONE.clone(conditional=MADE((4,)))))
    x, lengths = np.random.default_rng(0).integers(0, 5, (6, 3, 2)), np.arange(6) % 4
    other = np.where((np.arange(3) < lengths[:, None])[..., None], x, 4 - x)
    variables, key = random_variables(members, x), jax.random.key(0)
    one, two = (
        RandomMember()(members, variables, {"x": one, "lengths": lengths}, key)[0]
        for one in (x, other)
    )
    np.testing.assert_allclose(one, two, rtol=1e-6)
    assert not np.isclose(one, RandomMember()(members, variables, {"x": x}, key)[0]).all()


HOLES = np.array([[0.0, np.nan, 1.0], [np.nan, 0.0, 1.0]])


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({}, r'NaN or infinity in row 0 \(2 of 2 rows\); .* an AnyOrderModel what is "seen"'),
        ({"seen": np.isnan(HOLES)}, "NaN or infinity in row 0"),
        ({"seen": ~np.isnan(HOLES[:, :2])}, r"seen: expected shape \[2, 3\], got \[2, 2\]"),
        ({"seen": 1 - np.isnan(HOLES)}, "seen: expected booleans, got int64"),
    ],
)
def test_gaps_that_are_not_told_of_are_refused(others, message):
    with pytest.raises(ValueError, match=message):
        Arrays(HOLES, others=others)


NUMBERS = np.zeros((2, 3))
FLOW = MAF((Layer(Raster((3,)), MADE((8,)), Affine()),))


@pytest.mark.parametrize(
    ("model", "batch", "message"),
    [
        (ONE, {"x": X, "seen": X == 0}, "seen: expected an AnyOrderModel, .* got Autoregressive"),
        (
            FLOW,
            {"x": NUMBERS, "lengths": [1, 2]},
            "lengths: expected an Autoregr.* MAF",
        ),
        (ONE, {"x": np.zeros((1, 3, 2), int), "lengths": np.array([4])}, "lengths: .* 0 ... 3"),
        (ONE, {"x": np.zeros((1, 3, 2), int), "lengths": np.array([1, 1])}, "lengths: .*shape"),
        (TABLE, {"x": NUMBERS, "seen": NUMBERS == 0, "lengths": [1, 2]}, "expected one of them"),
        (TABLE, {"x": HOLES}, "x: expected finite numbers, got NaN"),
        (
            TABLE.clone(ordering=Raster((3, 2), (1, 2))),
            {"x": np.zeros((1, 3, 2)), "seen": np.array([[[1, 0], [1, 1], [0, 0]]], bool)},
            r"seen: expected whole cells of \[1, 2\]",
        ),
    ],
)
def test_a_part_that_a_model_cannot_score_is_refused(model, batch, message):
    with pytest.raises(ValueError, match=message):
        check_batch(model, batch)


@pytest.mark.parametrize(
    ("objective", "model"),
    [(RandomOrder(), CAUSAL), (MaskedDiffusion(), MASKED)],
    ids=("random order", "masked diffusion"),
)
def test_first_steps_of_a_random_order_are_refused(objective, model):
    batch = {"x": X, "lengths": np.ones(16, int)}
    with pytest.raises(ValueError, match="lengths: expected the cells to score as seen"):
        objective(model, random_variables(model, X), batch, jax.random.key(0))


def test_a_split_of_which_nothing_is_scored_has_no_likelihood():
    nothing = Arrays(
        X.reshape(16, 4)[:, :3].astype(float), others={"seen": np.zeros((16, 3), bool)}
    )
    variables = random_variables(TABLE, nothing.x)
    with pytest.raises(ValueError, match="x: expected something to score"):
        evaluate(TABLE, variables, EvaluationBatches(nothing, 8), "test")


def test_a_flow_is_scored_by_the_function_beside_sample():
    x = np.random.default_rng(0).normal(size=(4, 3))
    variables = random_variables(FLOW, x)
    np.testing.assert_allclose(ar.log_prob(FLOW, variables, x), FLOW.apply(variables, x), rtol=1e-6)
