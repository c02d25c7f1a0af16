"""A trained model comes back from its folder, and nothing is written there."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.data import Arrays, training_batches
from ar_jax.training import Muon, Training, fit

RECORD = Path(__file__).parents[2] / "experiments/results/likelihood/digits/pixelcnn/seed=0.json"
MODEL = ar.AutoregressiveModel(
    ar.orderings.Raster((4,)), ar.conditionals.MADE((8,)), ar.heads.Categorical(3, embedding=2)
)
X = np.random.default_rng(0).integers(0, 3, (16, 4))


class Mine(ar.conditionals.MADE):
    """A conditional that is not in ar_jax."""


def trained(folder, model=MODEL):
    training = Training(steps=2, validate_every=2, ema_decay=0.5, optimizer=Muon())
    return fit(model, training_batches(Arrays(X), 8, 0), lambda variables: 0.0, folder, training)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, trained(folder)


def files(folder):
    return {p: p.stat().st_mtime_ns for p in folder.rglob("*")}


def test_a_run_is_loaded_without_its_optimizer_and_drawn_from_in_two_lines(run):
    folder, state = run
    before = files(folder)
    model, variables = ar.load(folder)
    drawn = ar.sample(model, variables, jax.random.key(0), batch_size=3)
    assert model == MODEL
    jax.tree.map(np.testing.assert_array_equal, variables, state.variables)
    expected = ar.sample(MODEL, state.variables, jax.random.key(0), batch_size=3)
    np.testing.assert_array_equal(drawn, expected)
    assert files(folder) == before


def test_kept_weights_give_the_likelihood_of_their_record():
    model, variables = ar.load(RECORD)
    data, record = ar.datasets.Digits(labels=True), json.loads(RECORD.read_text("utf-8"))
    batch = data.test.batch(np.arange(len(data.test)))
    nats = -ar.log_prob(model, variables, batch["x"], condition=batch["y"])
    assert nats.mean() == pytest.approx(record["likelihood"]["nats"], rel=1e-6)


def test_a_model_with_a_class_of_ones_own_needs_that_class(tmp_path):
    trained(tmp_path, MODEL.clone(conditional=Mine((8,))))
    with pytest.raises(ValueError, match="expected one of ar_jax, or one that is given as `clas"):
        ar.load(tmp_path)
    model, _ = ar.load(tmp_path, classes=[Mine])
    assert type(model.conditional) is Mine


def test_a_failed_load_says_what_is_missing_and_leaves_nothing_behind(tmp_path, run):
    with pytest.raises(FileNotFoundError, match=r"expected that of a run, got .*: train first"):
        ar.load(tmp_path / "nothing")
    assert not list(tmp_path.iterdir())
    (tmp_path / "run.json").write_bytes((run[0] / "run.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="expected a checkpoint, got those of steps"):
        ar.load(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", "{}", '{"model": 1}', '{"model": {"class": "Training"}}', "[" * 10_000,
        '{"model": {"class": "AutoregressiveModel", "ordering": 1, "conditional": 2, "head": 3}}',
    ],
)  # fmt: skip
def test_a_damaged_description_is_named(tmp_path, content):
    (tmp_path / "run.json").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=r"run.json: "):
        ar.load(tmp_path)


def test_a_flipped_bit_of_the_weights_is_named(tmp_path):
    trained(tmp_path)
    arrays = tmp_path / "checkpoints/2/arrays"
    file = next(arrays.glob("ema.*/0*"))
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"step 2 is damaged: .*SHA-256"):
        ar.load(tmp_path)


def test_scores_are_those_of_the_model(run):
    _, state = run
    variables = state.variables
    scored = ar.log_prob(MODEL, variables, X)
    np.testing.assert_allclose(scored, MODEL.apply(variables, X), rtol=1e-6)
    by_step = ar.step_log_probs(MODEL, variables, X)
    np.testing.assert_allclose(by_step.sum(axis=1), scored, rtol=1e-6)
    masses = ar.log_pmf(MODEL, variables, X)[:, :, 0]
    taken = np.take_along_axis(masses, X[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_allclose(taken, by_step, rtol=1e-5)
    lengths = np.arange(16) % 5
    kept = np.arange(4) < lengths[:, None]
    some = ar.log_prob(MODEL, variables, X, lengths=lengths)
    np.testing.assert_allclose(some, np.where(kept, by_step, 0).sum(axis=1), rtol=1e-6)
    with pytest.raises(ValueError, match=r"lengths: expected integers 0 ... 4"):
        ar.log_prob(MODEL, variables, X, lengths=lengths + 1)
    with pytest.raises(ValueError, match=r'not variables."params"'):
        ar.log_prob(MODEL, variables["params"], X)
