import math

import jax
import numpy as np
import optax
import pytest
from scipy import stats

import ar_jax as ar
from ar_jax import AutoregressiveModel, Ensemble
from ar_jax.conditionals import FVSBN, MADE, NADE
from ar_jax.contexts import ClassLabel
from ar_jax.evaluation import evaluate
from ar_jax.heads import Bernoulli, Categorical
from ar_jax.objectives import RandomMember
from ar_jax.orderings import Permutation, Raster, Reversed
from ar_jax.testing import compiled_apply, random_variables
from ar_jax.training.state import init_state
from ar_jax.training.step import make_train_step

SHUFFLED = Permutation((2, 2), (), (2, 0, 3, 1))
EVENTS = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), axis=-1).reshape(16, 2, 2)

ONE = AutoregressiveModel(Raster((2, 2)), MADE((9,), activation="tanh"), Bernoulli())
ORDERINGS = Ensemble(tuple(ONE.clone(ordering=o) for o in (Raster((2, 2)), SHUFFLED)), shared=True)
CONNECTIVITIES = Ensemble(
    tuple(ONE.clone(conditional=ONE.conditional.clone(connectivity=i)) for i in range(3)),
    shared=True,
)
OWN = Ensemble(
    (ONE, AutoregressiveModel(Reversed((2, 2)), NADE(5), Bernoulli()), ONE.clone(ordering=SHUFFLED))
)
ENSEMBLES = [ORDERINGS, CONNECTIVITIES, OWN]
IDS = ["orderings", "connectivities", "own"]


def probability(model, variables):
    """Of all events, `[16]`."""
    return np.exp(jax.jit(model.apply)(variables, EVENTS))


def members(ensemble, variables):
    """Each member with its own variables."""
    names = [f"member_{0 if ensemble.shared else i}" for i in range(len(ensemble.models))]
    params = variables["params"]
    return [(m, {"params": params[name]}) for m, name in zip(ensemble.models, names, strict=True)]


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=IDS)
def test_the_probability_is_the_mean_of_the_members_and_sums_to_one(ensemble):
    with jax.enable_x64(True):
        variables = random_variables(ensemble, EVENTS)
        each = [probability(*member) for member in members(ensemble, variables)]
        got = probability(ensemble, variables)
    np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-12)
    np.testing.assert_allclose(got.sum(), 1, rtol=1e-12)
    for one in each:
        assert np.abs(one - got).max() > 0.01  # the members differ


def test_probabilities_are_averaged_and_not_logits():
    """Two members whose pixel is on with odds of 9 to 1 and 1 to 1: 0.7, where logits give 0.75."""
    one = AutoregressiveModel(Raster((1,)), FVSBN(), Bernoulli())
    ensemble = Ensemble((one, one))
    x = np.ones((1, 1), np.int32)
    variables = jax.jit(ensemble.init)(jax.random.key(0), x)
    variables = jax.tree.map(np.zeros_like, variables)
    variables["params"]["member_0"]["conditional"]["readout_bias"][0] = math.log(9)
    np.testing.assert_allclose(np.exp(compiled_apply(ensemble, variables, x)), [0.7], rtol=1e-6)


def test_shared_weights_are_one_set():
    x = EVENTS[:1]
    shared, own = (
        jax.eval_shape(ORDERINGS.clone(shared=s).init, jax.random.key(0), x)["params"]
        for s in (True, False)
    )
    alone = jax.eval_shape(ONE.init, jax.random.key(0), x)["params"]
    assert shared == {"member_0": alone}
    assert own == {"member_0": alone, "member_1": alone}  # though they hold the same network


def test_weights_of_a_pixel_are_its_own_in_every_ordering():
    """A regression whose last pixel copies the one above it does so in each order that lets it."""
    one = AutoregressiveModel(Raster((2, 2)), FVSBN(), Bernoulli())
    variables = jax.tree.map(np.zeros_like, jax.jit(one.init)(jax.random.key(0), EVENTS))
    # Bernoulli shows a pixel as plus or minus one.
    variables["params"]["conditional"]["readout_kernel"][3, 1] = 20
    for ordering in (Raster((2, 2)), Permutation((2, 2), (), (1, 0, 3, 2))):
        got = probability(one.clone(ordering=ordering), variables)
        expected = (EVENTS[:, 0, 1] == EVENTS[:, 1, 1]) / 8
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("ensemble", ENSEMBLES, ids=IDS)
def test_samples_follow_the_ensemble_and_come_with_its_log_probability(ensemble):
    """Chi-squared over 16 events, whose p-value falls below 1e-6 by chance once in a million."""
    count = 4096
    variables = random_variables(ensemble, EVENTS)
    drawn, log_prob = ar.sample(
        ensemble, variables, jax.random.key(1), batch_size=count, return_log_prob=True
    )
    event = np.asarray(drawn).reshape(count, 4) @ [8, 4, 2, 1]
    expected = probability(ensemble, variables).astype(np.float64)
    np.testing.assert_allclose(np.exp(log_prob), expected[event], rtol=1e-5)
    observed, expected = np.bincount(event, minlength=16), count * expected
    common = expected >= 5
    assert common.sum() > 4
    if not common.all():
        observed = np.append(observed[common], observed[~common].sum())
        expected = np.append(expected[common], expected[~common].sum())
    assert stats.chisquare(observed, expected * count / expected.sum()).pvalue > 1e-6


def test_a_prefix_makes_members_as_likely_as_they_find_it():
    """Members that are sure of all ones and of all zeros: after a one only the first is left."""
    one = AutoregressiveModel(Raster((3,)), FVSBN(), Categorical(2))
    ensemble = Ensemble((one, one))
    variables = jax.jit(ensemble.init)(jax.random.key(0), np.zeros((1, 3), np.int32))
    variables = jax.tree.map(np.zeros_like, variables)
    for name, likely in (("member_0", 1), ("member_1", 0)):
        bias = variables["params"][name]["conditional"]["readout_bias"]
        bias.reshape(3, 2)[:, likely] = 30
    free = ar.sample(ensemble, variables, jax.random.key(0), batch_size=64)
    assert {tuple(x) for x in np.asarray(free)} == {(0, 0, 0), (1, 1, 1)}  # but in 1 of 1e19 tries
    few = ar.sample(ensemble, variables, jax.random.key(0), batch_size=3)
    np.testing.assert_array_equal(few, free[:3])  # a draw does not depend on the batch
    first = np.array([[1], [0], [1], [0]])[:, :, None]
    drawn, log_prob = ar.sample(
        ensemble,
        variables,
        jax.random.key(0),
        prefix=first,
        prefix_lengths=np.array([1, 1, 1, 0]),
        return_log_prob=True,
    )
    np.testing.assert_array_equal(drawn[:3], first[:3, :, 0].repeat(3, axis=1))
    np.testing.assert_allclose(log_prob, np.log([1, 1, 1, 0.5]), atol=1e-5)


def test_training_and_evaluation_take_an_ensemble_for_a_model():
    ensemble = Ensemble(
        tuple(model.clone(context=ClassLabel(3, width=4)) for model in ORDERINGS.models),
        shared=True,
    )
    x, y = EVENTS[:8], np.arange(8) % 3
    variables = jax.jit(ensemble.init)(jax.random.key(0), x, y)
    optimizer = optax.sgd(0.5)
    state = init_state(ensemble, optimizer, 0, {"x": x, "y": y})
    step = jax.jit(
        jax.vmap(
            make_train_step(ensemble, optimizer, 0.9, objective=RandomMember()),
            axis_name="data",
            in_axes=(None, 0),
            out_axes=None,
        )
    )
    batch = {"x": x[None], "y": y[None]}
    after = state
    for _ in range(20):
        after, _ = step(after, batch)
    mask = np.ones(8, bool)

    def nats(variables):
        return evaluate(ensemble, variables, [{"x": x, "y": y, "mask": mask}], "test").nats

    exact = -np.mean(compiled_apply(ensemble, variables, x, y))
    np.testing.assert_allclose(nats(variables), exact, rtol=1e-6)
    assert nats({"params": after.params}) < nats({"params": state.params})


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        ((), "models: expected at least 1, got none"),
        ((ONE, ONE.clone(ordering=Raster((4,)))), "models: expected one event"),
        ((ONE.clone(conditional=MADE(())),), "hidden: expected at least 1 unit"),
    ],
)
def test_members_that_do_not_fit_are_refused(models, expected):
    with pytest.raises(ValueError, match=expected):
        Ensemble(models).init(jax.random.key(0), EVENTS)


def test_first_steps_have_no_meaning_among_several_orderings():
    variables = jax.jit(ORDERINGS.init)(jax.random.key(0), EVENTS)
    with pytest.raises(ValueError, match="prefix: expected None, since the models' orderings"):
        ar.sample(ORDERINGS, variables, jax.random.key(0), prefix=np.ones((1, 1, 1), np.int32))
    with pytest.raises(ValueError, match="lengths: expected None, since the models' orderings"):
        ORDERINGS.apply(variables, EVENTS, None, np.ones(16, np.int32))


def test_weights_can_be_shared_among_members_of_one_architecture_only():
    wider = ONE.clone(conditional=MADE((10,)))
    with pytest.raises(ValueError, match="models: expected one architecture"):
        Ensemble((ONE, wider), shared=True).init(jax.random.key(0), EVENTS)


def test_the_steps_that_count_are_the_same_for_members_of_one_ordering():
    ensemble = Ensemble((ONE, ONE))
    variables = jax.jit(ensemble.init)(jax.random.key(0), EVENTS)
    lengths = np.arange(16) % 5
    each = [np.exp(m.apply(v, EVENTS, lengths=lengths)) for m, v in members(ensemble, variables)]
    got = np.exp(compiled_apply(ensemble, variables, EVENTS, lengths=lengths))
    np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-5)
    assert got[0] == 1  # nothing counts
