"""Each objective has the mean that it says, and reaches training whole."""

import re
from itertools import permutations, product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ar_jax as ar
import ar_jax.testing
from ar_jax.conditionals import MADE, MaskedTransformer, Transformer
from ar_jax.contexts import ClassLabel
from ar_jax.heads import Bernoulli, Categorical
from ar_jax.nn import FromTo
from ar_jax.objectives import (
    MaskedDiffusion,
    MaximumLikelihood,
    Objective,
    RandomMember,
    RandomOrder,
)
from ar_jax.orderings import Permutation, Raster, Reversed
from ar_jax.testing.base import random_variables
from ar_jax.training.loop import check_objective
from ar_jax.training.state import init_state
from ar_jax.training.step import make_train_step

EVENTS = np.array(list(product((0, 1), repeat=4)))
ORDERS = np.array(list(permutations(range(4))))
CAUSAL = ar.AnyOrderModel(
    Raster((4,)), Transformer(layers=1, width=8, heads=2, positions=FromTo()), Bernoulli()
)
MASKED = ar.OrderAgnosticModel(
    Raster((4,)), MaskedTransformer(layers=1, width=8, heads=2), Bernoulli()
)
ONE = ar.AutoregressiveModel(Raster((4,)), MADE((9,), activation="tanh"), Bernoulli())
MEMBERS = ar.Ensemble(
    (
        ONE,
        ONE.clone(ordering=Reversed((4,))),
        ONE.clone(ordering=Permutation((4,), (), (2, 0, 3, 1))),
    ),
    shared=True,
)
KEY = jax.random.key(3)


def in_every_order(model: Any, variables: Any) -> np.ndarray:
    """-log p of the sixth event in each order: `[orders]`."""
    x = np.tile(EVENTS[5], (len(ORDERS), 1))
    return -np.asarray(jax.jit(lambda v: model.apply(v, x, order=ORDERS))(variables))


def many(objective: Objective, model: Any, variables: Any, count: int = 4000) -> np.ndarray:
    """Losses of the sixth event, so many times."""
    batch = {"x": np.tile(EVENTS[5], (count, 1))}
    losses, scalars = jax.jit(lambda v: objective(model, v, batch, KEY))(variables)
    np.testing.assert_array_equal(losses, scalars["nats"])
    return np.asarray(losses)


def test_a_random_order_is_one_of_all_and_all_are_as_likely():
    variables = random_variables(CAUSAL, EVENTS)
    each = in_every_order(CAUSAL, variables)
    found = many(RandomOrder(), CAUSAL, variables)
    assert np.isclose(found[:, None], each, rtol=1e-4).any(axis=1).all()
    error = found.std() / np.sqrt(len(found))
    # 5 standard errors: by chance once in two million keys; the key is fixed.
    assert found.mean() == pytest.approx(each.mean(), abs=5 * error)


def test_masked_diffusion_estimates_the_mean_over_all_orders():
    variables = random_variables(MASKED, EVENTS)
    found = many(MaskedDiffusion(), MASKED, variables)
    error = found.std() / np.sqrt(len(found))
    # As above.
    assert found.mean() == pytest.approx(in_every_order(MASKED, variables).mean(), abs=5 * error)


def test_a_random_member_scores_the_whole_batch_and_each_comes_up():
    """Of 64 draws of 3 members each comes up, but for once in 6e10 keys; the keys are fixed."""
    variables = random_variables(MEMBERS, EVENTS)
    own = {"params": variables["params"]["member_0"]}
    each = [-np.asarray(model.apply(own, EVENTS)) for model in MEMBERS.models]
    score = jax.jit(lambda key: RandomMember()(MEMBERS, variables, {"x": EVENTS}, key)[0])
    counts = np.zeros(3)
    for key in jax.random.split(KEY, 64):
        found = score(key)
        counts += [np.allclose(found, one, rtol=1e-4) for one in each]
    assert counts.sum() == 64
    assert counts.all()


@pytest.mark.parametrize(
    ("objective", "model"),
    [(RandomOrder(), CAUSAL), (MaskedDiffusion(), MASKED), (RandomMember(), MEMBERS)],
    ids=lambda part: type(part).__name__,
)
def test_a_rng_of_dropout_alone_changes_nothing_of_a_model_without_dropout(objective, model):
    variables = random_variables(model, EVENTS)
    plain = model.apply(variables, EVENTS)
    np.testing.assert_array_equal(model.apply(variables, EVENTS, rngs={"dropout": KEY}), plain)
    gradient = jax.grad(
        lambda params: objective(model, {"params": params}, {"x": EVENTS}, KEY)[0].mean()
    )(variables["params"])
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient))


def stepped(model: Any, objective: Any, batch: Any, micro_batches: int = 1, devices: int = 1):
    """The scalars of one step of SGD, and by how much it moved the parameters."""
    optimizer = optax.sgd(1.0)
    state = init_state(model, optimizer, 0, batch)
    step = make_train_step(model, optimizer, 0.9, micro_batches, objective=objective)
    share = jax.tree.map(lambda a: jnp.reshape(a, (devices, -1, *np.shape(a)[1:])), batch)
    run = jax.jit(jax.vmap(step, in_axes=(None, 0), out_axes=None, axis_name="data"))
    after, scalars = run(state, share)
    return jax.tree.map(jnp.subtract, state.params, after.params), scalars, state.params


def test_maximum_likelihood_descends_the_mean_negative_log_likelihood():
    batch = {"x": EVENTS}
    moved, scalars, params = stepped(ONE, MaximumLikelihood(), batch)
    value, gradient = jax.value_and_grad(
        lambda params: -ONE.apply({"params": params}, EVENTS).mean() / 4
    )(params)
    assert scalars["loss"] == pytest.approx(float(value))
    assert scalars["nats"] == pytest.approx(float(4 * value))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), moved, gradient)


@pytest.mark.parametrize(("micro_batches", "devices"), [(1, 1), (2, 1), (1, 2), (2, 4)])
def test_lengths_are_summed_over_all_parts_of_a_batch(micro_batches, devices):
    """The bits/dim of the log are nats by variables, whoever computes them."""
    lengths = np.arange(16) % 5
    batch = {"x": EVENTS, "lengths": lengths}
    _, scalars, params = stepped(ONE, MaximumLikelihood(), batch, micro_batches, devices)
    by_step = ONE.apply({"params": params}, EVENTS, method="step_log_probs")
    scored = np.where(np.arange(4) < lengths[:, None], by_step, 0)
    expected = -scored.sum() / lengths.sum()
    assert scalars["nats"] / scalars["variables"] == pytest.approx(float(expected), rel=1e-5)


def test_a_function_of_ones_own_sees_the_whole_batch_and_logs_its_terms():
    def weighted(model, variables, batch, key):
        nats = -model.apply(variables, batch["x"])
        penalty = sum((leaf**2).sum() for leaf in jax.tree.leaves(variables))
        return batch["weight"] * nats + penalty, {"nats": nats, "penalty": penalty}

    weight = np.linspace(0, 1, 16)
    moved, scalars, params = stepped(ONE, weighted, {"x": EVENTS, "weight": weight}, 2, 2)

    def loss(params):
        nats = -ONE.apply({"params": params}, EVENTS)
        penalty = sum((leaf**2).sum() for leaf in jax.tree.leaves(params))
        return ((weight * nats).mean() + penalty) / 4

    gradient = jax.grad(loss)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-6), moved, gradient)
    expected = sum((leaf**2).sum() for leaf in jax.tree.leaves(params))
    assert scalars["penalty"] == pytest.approx(float(expected), rel=1e-5)


def example() -> Any:
    """The function in the docstring of `Objective`."""
    (code,) = re.findall(r"```python\n(.*?)```", Objective.__doc__ or "", re.DOTALL)
    names: dict[str, Any] = {"ar": ar, "jnp": jnp}
    exec(code.split("    ar.training.fit")[0].replace("\n    ", "\n").strip(), names)
    return names["label_smoothing"]


def test_label_smoothing_as_the_docstring_has_it_is_right():
    model = ar.AutoregressiveModel(
        Raster((3,)), MADE((8,)), Categorical(3, embedding=2), ClassLabel(2, width=4)
    )
    x, y = np.random.default_rng(0).integers(0, 3, (5, 3)), np.arange(5) % 2
    variables = random_variables(model, x, y)
    losses, scalars = example()(model, variables, {"x": x, "y": y}, KEY)
    pmf = ar.log_pmf(model, variables, x, condition=y)[:, :, 0]
    target = 0.9 * np.eye(3)[x] + 0.1 / 3
    np.testing.assert_allclose(losses, -(target * pmf).sum(axis=(1, 2)), rtol=1e-5)
    exact = -ar.log_prob(model, variables, x, condition=y)
    np.testing.assert_allclose(scalars["nats"], exact, rtol=1e-5)


@pytest.mark.parametrize(
    ("objective", "model", "message"),
    [
        (RandomOrder(), ONE, "RandomOrder expects an AnyOrderModel, got AutoregressiveModel"),
        (MaskedDiffusion(), CAUSAL, "expects an OrderAgnosticModel, got AnyOrderModel"),
        (RandomMember(), ONE, "RandomMember expects an Ensemble, got AutoregressiveModel"),
        (RandomOrder, CAUSAL, "expected one of ar_jax.objectives or a function"),
        ("nll", ONE, "expected one of ar_jax.objectives or a function"),
    ],
)
def test_an_objective_that_does_not_suit_the_model_is_named(objective, model, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_objective(objective, model)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda nats: nats, "got ArrayImpl|got .*Tracer"),
        (lambda nats: (nats.mean(), {}), r"got losses \[\]"),
        (lambda nats: (nats[:3], {}), r"got losses \[3\]"),
        (lambda nats: (nats, nats), "beside the losses"),
        (lambda nats: (nats, {"loss": nats}), "named otherwise than loss"),
        (lambda nats: (nats, {"a": nats[:3]}), r"got a \[3\]"),
    ],
)
def test_what_an_objective_should_not_return_is_named(returned, message):
    def objective(model, variables, batch, key):
        return returned(-model.apply(variables, batch["x"]))

    with pytest.raises(ValueError, match=f"objective: expected losses .16. .*({message})"):
        stepped(ONE, objective, {"x": EVENTS})
