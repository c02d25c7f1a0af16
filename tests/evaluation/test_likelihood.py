import math

import jax
import numpy as np
import optax
import pytest

import ar_jax as ar
from ar_jax.conditionals import MADE
from ar_jax.data import Arrays, Chunks, EvaluationBatches
from ar_jax.evaluation import Likelihood, evaluate
from ar_jax.heads import Bernoulli
from ar_jax.orderings import Raster
from ar_jax.training import init_state

MODEL = ar.AutoregressiveModel(
    ordering=ar.orderings.Raster((3, 2, 1), (1, 2, 1)),
    conditional=ar.conditionals.MADE(hidden=(8,)),
    head=ar.heads.Categorical(5),
)
EXAMPLES = Arrays(np.random.default_rng(0).integers(0, 5, (21, 3, 2, 1), dtype=np.int32))
VARIABLES = init_state(MODEL, optax.identity(), 0, {"x": EXAMPLES.x}).variables


@pytest.mark.parametrize("batch_size", [8, 16, 32])
def test_the_ragged_last_batch_is_counted_once(batch_size):
    nats = -np.asarray(MODEL.apply(VARIABLES, EXAMPLES.x), np.float64)
    got = evaluate(MODEL, VARIABLES, EvaluationBatches(EXAMPLES, batch_size), "test")
    assert got.count == 21
    np.testing.assert_allclose(got.nats, nats.mean(), rtol=1e-6)
    np.testing.assert_allclose(got.error, nats.std(ddof=1) / math.sqrt(21), rtol=1e-3)
    np.testing.assert_allclose(got.bits_per_dim, nats.mean() / 6 / math.log(2), rtol=1e-6)


def test_the_error_of_windows_is_that_of_the_sequence_or_the_pieces_that_they_are_of():
    """Windows that share a level which changes slowly, or from piece to piece."""
    rng = np.random.default_rng(0)
    slowly, of_pieces = np.repeat(rng.integers(0, 2, (2, 25)), 40, axis=1)
    noise = rng.integers(0, 2, 1000)
    model = ar.AutoregressiveModel(
        ordering=ar.orderings.Raster((5,)),
        conditional=ar.conditionals.MADE(hidden=(8,)),
        head=ar.heads.Categorical(4),
    )
    x = np.repeat(2 * slowly + (noise & of_pieces), 1).astype(np.int32)
    variables = init_state(model, optax.identity(), 0, {"x": x[:5][None]}).variables
    chunks = {
        "moving blocks of ": Chunks(x, 5, stride=5),
        "clusters: 25 pieces": Chunks(x, 5, stride=5, ends=tuple(range(40, 1001, 40))),
    }
    nats = -np.asarray(model.apply(variables, x.reshape(200, 5)), float)
    taken_as_independent = nats.std(ddof=1) / math.sqrt(200)
    for method, source in chunks.items():
        got = evaluate(model, variables, EvaluationBatches(source, 16), "test")
        assert got.error_method.startswith(method)
        assert got.nats == pytest.approx(nats.mean(), rel=1e-6)
        assert got.error > 1.5 * taken_as_independent


def test_the_error_in_bits_is_that_in_nats():
    likelihood = Likelihood(4 * math.log(2), 2 * math.log(2), 8, 100, "test", "exact")
    assert likelihood.bits_per_dim == pytest.approx(0.5)
    assert likelihood.bits_per_dim_error == pytest.approx(0.25)


def test_a_likelihood_prints_its_split_kind_and_error():
    likelihood = Likelihood(80.0, 0.5, 64, 297, "test", "lower bound", "clusters: 57 pieces")
    assert str(likelihood) == (
        "80.00 ± 0.50 nats, 1.803 ± 0.011 bits/dim "
        "(test, 297 examples, lower bound; error: clusters: 57 pieces)"
    )


def test_validating_again_does_not_compile_again(monkeypatch):
    traces = []
    original = ar.AutoregressiveModel.step_log_probs
    model = MODEL.clone(head=ar.heads.Categorical(6))
    variables = init_state(model, optax.identity(), 0, {"x": EXAMPLES.x}).variables

    def counted(self, *args):
        traces.append(self)
        return original(self, *args)

    monkeypatch.setattr(ar.AutoregressiveModel, "step_log_probs", counted)
    for _ in range(3):
        evaluate(model, variables, EvaluationBatches(EXAMPLES, 8), "validation")
    assert len(traces) == 1


def test_events_that_do_not_fit_the_model_are_refused():
    with pytest.raises(ValueError, match="x: expected"):
        evaluate(MODEL, VARIABLES, EvaluationBatches(Arrays(EXAMPLES.x + 3), 8), "test")


@pytest.fixture
def real():
    """A model of one real number, whose log-density is that of the standard normal."""
    model = ar.AutoregressiveModel(
        ar.orderings.Raster((1,)), ar.conditionals.FVSBN(), ar.heads.GaussianMixture(1)
    )
    variables = model.init(jax.random.key(0), np.zeros((1, 1), np.float32))
    return model, jax.tree.map(np.zeros_like, variables)


def test_a_row_of_probability_zero_makes_the_mean_infinite_and_is_named(real):
    model, variables = real
    x = np.zeros((13, 1), np.float32)
    x[11] = 1.8e19  # the square of which is just in the range of float32
    batches, mean = EvaluationBatches(Arrays(x), 8), 1.8e19**2 / 2 / 13
    np.testing.assert_allclose(evaluate(model, variables, batches, "test").nats, mean, rtol=1e-6)
    variables["params"]["conditional"]["readout_bias"][-1] = -10.0  # the log of the scale
    with pytest.warns(UserWarning, match=r"^x: row 11 has probability 0 \(1 of 13 rows\)"):
        got = evaluate(model, variables, batches, "test")
    assert got.nats == got.error == math.inf


def test_a_row_without_a_log_probability_is_named(real):
    """Weights and values are finite; their products are infinite, of both signs."""
    model = real[0].clone(ordering=ar.orderings.Raster((3,)))
    x = np.zeros((13, 3), np.float32)
    variables = jax.tree.map(np.zeros_like, model.init(jax.random.key(0), x))
    variables["params"]["conditional"]["readout_kernel"][:] = 1e30
    x[11] = [1e10, -1e10, 0]
    with pytest.raises(ValueError, match=r"^x: expected a log-.*, got nan in row 11 \(1 of 13"):
        evaluate(model, variables, EvaluationBatches(Arrays(x), 8), "test")


@pytest.mark.parametrize("batch_size", [8, 16])
def test_of_events_that_differ_in_length_the_mean_is_over_variables(batch_size):
    x = np.random.default_rng(1).integers(0, 2, (8, 4))
    lengths = np.array([4, 0, 1, 2, 3, 4, 4, 1])
    model = ar.AutoregressiveModel(Raster((4,)), MADE((6,)), Bernoulli())
    variables = init_state(model, optax.identity(), 0, {"x": x}).variables
    batches = EvaluationBatches(Arrays(x, others={"lengths": lengths}), batch_size)
    found = evaluate(model, variables, batches, "test")
    by_step = np.asarray(model.apply(variables, x, method="step_log_probs"))
    scored = np.where(np.arange(4) < lengths[:, None], by_step, 0)
    expected = -scored.sum() / lengths.sum()
    assert found.nats == pytest.approx(expected, rel=1e-6)
    assert found.bits_per_dim == pytest.approx(expected / np.log(2), rel=1e-6)
    wrong = EvaluationBatches(Arrays(x, others={"lengths": lengths + 1}), 8)
    with pytest.raises(ValueError, match=r"lengths: expected integers 0 \.\.\. 4"):
        evaluate(model, variables, wrong, "test")
