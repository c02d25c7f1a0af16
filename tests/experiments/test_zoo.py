"""The zoo: each model takes its data, and two of them make a page."""

import json

import numpy as np
import pytest

from ar_jax import conditionals, nn
from ar_jax.conditionals import Conditional, LinearPrediction, MaskedTransformer
from ar_jax.configuration import describe
from experiments import zoo
from experiments.zoo import MODELS
from tests.experiments.test_experiments import Place


def test_every_network_is_in_the_zoo():
    """One that goes around any of them is no network of its own: `speech_samples` trains it.

    A masked one is trained without an order: `mnist_order_agnostic`.
    """
    exported = [x for x in vars(conditionals).values() if isinstance(x, type)]
    final = {x for x in exported if issubclass(x, Conditional) and not x.__abstractmethods__}
    assert {x for x in final if "conditional" in x.__annotations__} == {LinearPrediction}
    networks = {type(experiment.model.conditional) for experiment in MODELS.values()}
    assert networks == final - {LinearPrediction, MaskedTransformer}


def test_the_names_of_the_zoo_are_those_of_its_verbs():
    assert not MODELS.keys() & {"train", "page"}


@pytest.mark.parametrize("arguments", [["--models", "gnu"], ["page", "--folder", "nowhere"]])
def test_a_mistake_is_told_without_a_traceback(arguments, tmp_path, tfds_folder, capsys):
    with pytest.raises(SystemExit) as stopped:
        Place(tmp_path, tfds_folder).run("zoo", *arguments)
    assert "expected" in f"{stopped.value} {capsys.readouterr().err}"


def test_a_page_shows_what_two_models_came_to(tmp_path, tfds_folder):
    place = Place(tmp_path, tfds_folder)
    names = ["fvsbn", "lru"]
    place.run("zoo", "fvsbn", "--debug", "--folder", "zoo/fvsbn")
    result = place.start("zoo", "--debug", "--folder", "zoo", "--models", "lru")
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "zoo" / "README.md").read_text(encoding="utf-8")
    for name in names:
        found = json.loads((tmp_path / "zoo" / name / "results.json").read_bytes())
        assert found["command"].startswith(f"python -m experiments.zoo {name} --")
        config = json.loads((tmp_path / "zoo" / name / "config.json").read_bytes())
        assert config["model"]["conditional"]["class"].lower() == name
        nats = found["likelihood"]["nats"]
        assert f"{nats:,.2f} ± " in text
        assert f"{nats / found['likelihood']['variables'] / np.log(2):.3f} bits/dim" in text
    linked = [line.rpartition("(")[2].strip(")") for line in text.split("\n") if line[:2] == "!["]
    assert len(linked) == 3  # two races, and the images
    for picture in linked:
        assert (tmp_path / "zoo" / picture).exists()
    assert (tmp_path / "zoo" / "lru" / "samples.txt").read_text(encoding="utf-8")[
        :50
    ].strip() in text
    assert (tmp_path / "zoo" / "data.txt").read_text(encoding="utf-8")[:50].strip() in text
    again = place.run("zoo", "lru", "evaluate", "--folder", "zoo/lru")
    assert f"{found['likelihood']['nats']:.2f} ± " in again


def test_a_module_is_described_as_it_is_written():
    module = conditionals.Transformer(layers=2, positions=nn.Rotary(base=100.0))
    assert zoo.described(module) == "Transformer(layers=2, positions=Rotary(base=100.0))"
    assert eval(zoo.described(module), vars(conditionals) | vars(nn)) == module
    assert describe(module)["layers"] == 2
