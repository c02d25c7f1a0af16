"""A configuration comes back from JSON as it was, and nothing else comes from it."""

import dataclasses
import json

import pytest

import ar_jax as ar
from ar_jax.configuration import build, describe
from ar_jax.training import Training
from experiments.recipes import RECIPES
from experiments.zoo import MODELS

EXPERIMENTS = {name: recipe.experiment for name, recipe in RECIPES.items()} | MODELS


def again(value, classes=()):
    return build(json.loads(json.dumps(describe(value))), classes)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_model_and_training_of_every_experiment_survive_writing_and_reading(name):
    experiment = EXPERIMENTS[name]
    for value in (experiment.model, experiment.training):
        assert again(value) == value
        assert type(again(value)) is type(value)


def test_a_class_of_ones_own_comes_back_only_if_it_is_given():
    @dataclasses.dataclass(frozen=True)
    class Mine:
        number: float = 1.0
        parts: tuple = ()

    mine = Mine(2.5, (ar.orderings.Raster((3, 2)), "a", None, True))
    assert again(mine, [Mine]) == mine
    with pytest.raises(ValueError, match="class: expected one of ar_jax, or one that is given"):
        again(mine)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"class": "eval"}, "expected one of ar_jax"),
        ({"class": "Path"}, "expected one of ar_jax"),
        ({"class": ["Raster"]}, "expected one of ar_jax"),
        (
            {"class": "Raster", "event": [2], "parent": 1},
            "fields among block, event, got parent",
        ),
        ({"class": "MADE", "parent": None}, "MADE: expected fields among"),
        ({"class": "Raster"}, "Raster: expected the fields of one"),
        ({"class": "Training", "steps": "many"}, "steps: expected an integer"),
    ],
)
def test_json_that_is_no_configuration_is_refused(described, message):
    with pytest.raises(ValueError, match=message):
        build(described)


def test_json_nested_without_end_is_refused():
    described: object = 1
    for _ in range(200):
        described = [described]
    with pytest.raises(ValueError, match="at most 100 parts in each other"):
        build(described)


def test_a_field_that_came_later_has_its_default():
    described = describe(Training(steps=7))
    del described["max_skipped"]
    assert build(described) == Training(steps=7)
