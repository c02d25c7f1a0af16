import dataclasses
import json
import math

import numpy as np
import pytest

from ar_jax.conditionals import MADE
from ar_jax.heads import Bernoulli
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.orderings import Raster
from experiments.benchmarks import speed
from experiments.mnist_made import MnistMade
from experiments.shakespeare_transformer import Shakespeare


def test_every_figure_of_a_model_is_measured(tmp_path, monkeypatch, capsys):
    model = AutoregressiveModel(Raster((4, 4, 1)), MADE(hidden=(8,)), Bernoulli())
    monkeypatch.setitem(speed.CASES, "made", MnistMade(model=model, batch_size=8))
    path = tmp_path / "new" / "speed.json"
    speed.main(["--models", "made", "--repeats", "2", "--batch-size", "8", "--json", str(path)])
    measured = json.loads(path.read_bytes())
    figures = measured["models"]["made"]
    macs = 16 * 8 + 8 * 16 + 16 * 16  # its three masked matrices
    assert figures.pop("million_macs_scored") == macs / 1e6
    assert figures.pop("million_macs_drawn") <= 1.25 * macs / 1e6
    assert len(figures) == 5
    for name, value in figures.items():
        assert 0 < value < math.inf, name
    assert figures["waiting_percent"] < 100
    assert measured["device"] == "8 x cpu"
    printed = capsys.readouterr().out
    assert "0.000512" in printed
    assert f"{figures['step_ms']:,.4g}" in printed


def test_a_text_is_measured_after_the_character_before_it():
    given = Shakespeare()
    model = given.model.clone(ordering=Raster((3,)), conditional=MADE(hidden=(8,)))
    experiment = dataclasses.replace(given, model=model, batch_size=8)
    source = speed.random_data(experiment)
    assert len(source) == 1_003_854 - 3
    batch = source.batch(np.arange(5))
    assert batch["x"].shape == (5, 3)
    np.testing.assert_array_equal(batch["y"][1:, 0], batch["x"][:-1, 0])
    figures = speed.measure(experiment, speed.Speed(repeats=1, batch_size=8))
    for name, value in dataclasses.asdict(figures).items():
        assert 0 < value < math.inf, name


@pytest.mark.parametrize("name", speed.CASES)
def test_the_models_take_the_random_data(name):
    experiment = speed.CASES[name]
    batch = speed.random_data(experiment).batch(np.arange(2))
    x = experiment.transform(batch["x"], np.random.default_rng(0))
    experiment.model.check(x, batch.get("y"))


def test_the_call_that_compiles_is_not_timed(monkeypatch):
    clock = iter([0, 100, 200, 203, 300, 301, 400, 402])  # calls of 100, 3, 1 and 2 seconds
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(clock))
    assert speed.median(lambda: None, 3) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "repeats: expected at least 1, got 0"),
        (["--batch-size", "0"], "batch_size: expected at least 1, got 0"),
        (["--models", "mdae"], "made"),
    ],
)
def test_a_mistake_is_told_at_once(arguments, message, capsys):
    with pytest.raises(SystemExit):
        speed.main(arguments)
    assert message in capsys.readouterr().err
