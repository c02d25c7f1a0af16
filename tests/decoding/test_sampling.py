import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches
from ar_jax.evaluation import evaluate

PROGRAM = """
import sys
import jax
import numpy as np
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import ar_jax as ar

model = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((28, 28, 1)),
    conditional=ar.conditionals.MADE(hidden=(500,)),
    head=ar.heads.Bernoulli(),
    context=ar.contexts.ClassLabel(10, dropout=0.1),
)
x = np.random.default_rng(0).integers(0, 2, (4, 28, 28, 1))
y = np.arange(4)
variables = model.init(jax.random.key(0), x, y)
log_prob = model.apply(variables, x, y)
images, drawn = ar.sample(model, variables, jax.random.key(1), condition=y, return_log_prob=True,
                          sampler=ar.Sampler(temperature=0.9, top_p=0.95))
more = ar.sample(model, variables, jax.random.key(2), batch_size=16)
assert len(jax.devices()) == int(sys.argv[1])
from ar_jax.data import Arrays, EvaluationBatches
from ar_jax.evaluation import evaluate, log_likelihoods
from ar_jax.training.parallel import replicate

batches = EvaluationBatches(Arrays(np.tile(x, (5, 1, 1, 1)), np.tile(y, 5)), 16)
everywhere = replicate(variables)
spread = ar.sample(model, everywhere, jax.random.key(2), batch_size=16)
assert (spread == more).all()
nats = evaluate(model, variables, batches, "test").nats
scores = log_likelihoods(model, variables, batches, np.arange(10))
np.savez(sys.argv[2], log_prob=log_prob, images=images, drawn=drawn, more=more, nats=nats,
         scores=scores)
"""


def test_the_number_of_devices_does_not_matter(tmp_path):
    results = []
    for devices in ("1", "8"):
        path = str(tmp_path / f"{devices}.npz")
        environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
        subprocess.run([sys.executable, "-c", PROGRAM, devices, path], check=True, env=environment)
        results.append(np.load(path))
    for name in ("log_prob", "images", "drawn", "more"):
        np.testing.assert_array_equal(results[0][name], results[1][name])
    for name in ("nats", "scores"):
        np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-6)


@pytest.fixture(scope="module")
def model_and_variables():
    model = ar.AutoregressiveModel(
        ar.orderings.Raster((4, 4, 1)), ar.conditionals.MADE(hidden=(30,)), ar.heads.Bernoulli()
    )
    x = np.zeros((1, 4, 4, 1), np.int32)
    return model, model.init(jax.random.key(0), x)


def test_the_key_decides_the_draw(model_and_variables):
    first, again, other = (
        ar.sample(*model_and_variables, jax.random.key(k), batch_size=8) for k in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_examples_are_drawn_independently(model_and_variables):
    images = ar.sample(*model_and_variables, jax.random.key(0), batch_size=64)
    assert len(np.unique(images, axis=0)) > 60


def test_a_whole_prefix_comes_back_with_nothing_drawn(model_and_variables):
    model, variables = model_and_variables
    x = np.random.default_rng(0).integers(0, 2, (3, 4, 4, 1))
    prefix = model.ordering.to_steps(x)
    images, log_prob = ar.sample(
        model, variables, jax.random.key(0), prefix=prefix, return_log_prob=True
    )
    np.testing.assert_array_equal(images, x)
    np.testing.assert_array_equal(log_prob, 0)


def test_lengths_leave_later_steps_out(model_and_variables):
    model, variables = model_and_variables
    x = np.random.default_rng(0).integers(0, 2, (3, 4, 4, 1))
    each = model.apply(variables, x, method="step_log_probs")
    got = model.apply(variables, x, lengths=np.array([0, 5, 16]))
    expected = [0, each[1, :5].sum(), each[2].sum()]
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_prefixes_of_different_lengths_are_kept_and_not_counted(model_and_variables):
    model, variables = model_and_variables
    x, lengths = np.random.default_rng(0).integers(0, 2, (3, 4, 4, 1)), np.array([1, 5, 16])
    steps, known = model.ordering.to_steps(x), np.arange(16) < lengths[:, None]
    images, log_prob = ar.sample(
        model, variables, jax.random.key(0), prefix=steps, prefix_lengths=lengths,
        return_log_prob=True,
    )  # fmt: skip
    np.testing.assert_array_equal(model.ordering.to_steps(images)[known], steps[known])
    each = model.apply(variables, images, method="step_log_probs")
    np.testing.assert_allclose(log_prob, np.where(known, 0, each).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize("sampler", [ar.Sampler(temperature=0.3), ar.Sampler(top_k=1)], ids=str)
def test_a_sampler_changes_the_draw_not_what_is_scored(model_and_variables, sampler):
    model, variables = model_and_variables
    images, log_prob = ar.sample(
        model, variables, jax.random.key(0), batch_size=4, sampler=sampler, return_log_prob=True
    )
    np.testing.assert_allclose(log_prob, model.apply(variables, images), rtol=1e-5)


GRAPH = ar.orderings.Graph.from_edges((3,), [(0, 2), (1, 2)])
ONE = ar.AutoregressiveModel(GRAPH, ar.conditionals.FVSBN(), ar.heads.Bernoulli())
MAF = ar.flows.MAF(
    (ar.flows.Layer(ar.orderings.Raster((2,)), ar.conditionals.FVSBN(), ar.flows.Affine()),)
)
AGNOSTIC = ar.OrderAgnosticModel(
    ar.orderings.Raster((2,)), ar.conditionals.MaskedTransformer(1, 4, 1), ar.heads.Bernoulli()
)


@pytest.mark.parametrize(
    ("model", "draw"),
    [
        (ONE, lambda m, v, key: ar.sample(m, v, key, batch_size=3)),
        (ONE, lambda m, v, key: np.stack(list(ar.stream(m, v, key, batch_size=3)))),
        (MAF, lambda m, v, key: ar.sample(m, v, key, batch_size=3)),
        (ar.Ensemble((ONE,)), lambda m, v, key: ar.sample(m, v, key, batch_size=3)),
        (AGNOSTIC, lambda m, v, key: ar.infill(m, v, key, np.zeros((3, 2), int), MISSING)),
        (
            AGNOSTIC,
            lambda m, v, key: ar.infill_in_rounds(m, v, key, np.zeros((3, 2), int), MISSING, 2),
        ),
        (
            ONE,
            lambda m, v, key: m.apply(
                v,
                jax.random.split(key, 3),
                method="decode",  # keys of the batch, raw ones too
            )[0],
        ),
    ],
    ids=["graph", "stream", "flow", "ensemble", "infill", "rounds", "decode"],
)
def test_a_raw_key_draws_as_the_key_of_its_seed(model, draw):
    """A raw key is two numbers, which some code would take for two keys."""
    x = np.zeros((1, *model.ordering.event), model.head.dtype)
    variables = model.init(jax.random.PRNGKey(0), x)
    expected = draw(model, variables, jax.random.key(5))
    np.testing.assert_array_equal(draw(model, variables, jax.random.PRNGKey(5)), expected)


MISSING = np.ones((3, 2), bool)


@pytest.mark.parametrize("values", [np.nan, np.inf])
def test_a_model_whose_parameters_are_not_finite_draws_and_scores_nothing(
    model_and_variables, values
):
    model, variables = model_and_variables
    broken = jax.tree.map(np.array, variables)
    jax.tree.leaves(broken)[0].flat[0] = values
    x, key = np.zeros((1, 4, 4, 1), int), jax.random.key(0)
    message = r"^params\.conditional\..*: expected finite numbers, got"
    for use in (
        lambda: ar.sample(model, broken, key, batch_size=1),
        lambda: ar.stream(model, broken, key, batch_size=1),
        lambda: ar.beam_search(model, broken, beams=1, batch_size=1),
        lambda: ar.top_k_alternatives(model, broken, x, 1),
        lambda: evaluate(model, broken, EvaluationBatches(Arrays(x), 1), "test"),
    ):
        with pytest.raises(ValueError, match=message):
            use()


def test_draws_from_numbers_that_overflow_are_refused(model_and_variables):
    """The parameters are finite, but not what the network makes of them."""
    model, variables = model_and_variables
    huge = jax.tree.map(lambda leaf: np.sign(leaf) * np.float32(3e38), variables)
    with pytest.raises(ValueError, match=r"^variables: .* NaN or infinity for examples \[0"):
        ar.sample(model, huge, jax.random.key(0), batch_size=2)
    with pytest.raises(ValueError, match=r"^variables: .* NaN or infinity for examples \[0"):
        list(ar.stream(model, huge, jax.random.key(0), batch_size=2))
