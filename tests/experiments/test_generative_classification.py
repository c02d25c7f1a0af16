"""Classification both ways: a page of small models, whose figures are computed again from them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

import ar_jax as ar
from ar_jax.data import Arrays, binarise, tfds_images
from ar_jax.datasets import Digits
from ar_jax.experiment.debug import shrunk
from ar_jax.heads import Bernoulli, DiscretizedLogisticMixture
from ar_jax.testing.base import random_variables
from experiments import generative_classification as bayes
from experiments.digit_names import LETTERS, WORDS, DigitNames, spelled
from experiments.fashion_transformer import FashionTransformer
from experiments.mnist_classifier import MnistClassifier
from experiments.mnist_transformer import MnistTransformer
from experiments.run import Experiment


def of_one_step(model, head):
    """All pixels at once, independent given the class: naive Bayes."""
    event = model.ordering.event
    return model.clone(
        ordering=ar.orderings.Raster(event, block=event),
        conditional=ar.conditionals.MADE(hidden=(4,)),
        head=head,
    )


def small(experiment):
    """The experiment with the smallest model of its kind."""
    match experiment:
        case MnistClassifier():
            model = experiment.model.clone(conditional=shrunk(experiment.model.conditional))
        case MnistTransformer():
            context = ar.contexts.ClassLabel(10, dropout=0.1)
            model = of_one_step(experiment.model.clone(context=context), Bernoulli())
        case _:
            head = DiscretizedLogisticMixture(levels=experiment.levels, components=1)
            model = of_one_step(experiment.model, head)
    return dataclasses.replace(experiment, model=model)


def restore(experiment):
    example = experiment.splits.validation.batch(np.arange(1))
    return random_variables(experiment.model, example["x"], example.get("y"))


@pytest.fixture(scope="module")
def made(tmp_path_factory, tfds_folder):
    """A page of models that were never trained: its folder and these, by their class."""
    folder, models = tmp_path_factory.mktemp("bayes"), {}

    def untrained(experiment, run, arguments):
        experiment = small(dataclasses.replace(experiment, folder=folder / run.name))
        models[type(experiment).__name__] = experiment
        if isinstance(experiment, FashionTransformer):  # the small data sets hold the same images
            splits = experiment.splits.map(lambda part: Arrays(255 - part.x, part.y))
            vars(experiment)["splits"] = splits
        experiment.folder.mkdir()
        line = json.dumps({"step": 20, "cpu_seconds": 1234.5})
        (experiment.folder / "metrics.jsonl").write_text(line + "\n", encoding="utf-8")
        return experiment

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tfds_folder))
        with patch.context() as models_of_their_own:
            models_of_their_own.setattr(Experiment, "restore", restore)
            models_of_their_own.setattr(bayes, "trained", untrained)
            few = ["--binarisations", "2", "--validation", "100", "--test", "60"]
            bayes.compare([*few, "--folder", str(folder / "page")])
        yield folder / "page", models


def score(experiment, x, condition):
    """log p(x | y) by the model itself."""
    variables = restore(experiment)
    return np.asarray(jax.jit(experiment.model.apply)(variables, x, condition), float)


def under(experiment, x, conditions):
    columns = [score(experiment, x, np.repeat(c[None], len(x), axis=0)) for c in conditions]
    return np.stack(columns, axis=1)


def test_bayes_rule_has_the_mean_over_binarisations(made):
    folder, models = made
    grey = tfds_images("mnist").test
    x, labels = grey.x[:60], grey.y[:60]
    scores = [
        under(models["MnistTransformer"], binarise(x, np.random.default_rng(seed)), np.arange(10))
        for seed in (1, 3)
    ]
    found = json.loads((folder / "figures.json").read_bytes())["classification"]["generative"]
    for count, figures in found["binarisations"].items():
        log_posterior = log_softmax(np.mean(scores[: int(count)], axis=0), axis=1)
        assert figures["accuracy"] == np.mean(log_posterior.argmax(axis=1) == labels)
        nats = -log_posterior[np.arange(60), labels].mean()
        assert figures["nats"] == pytest.approx(nats, rel=1e-4)
        assert figures["tempered_nats"] != figures["nats"]
    assert set(found["binarisations"]) == {"1", "2"}


def test_the_area_is_that_of_likelihoods_without_a_class(made):
    folder, models = made
    figures = json.loads((folder / "figures.json").read_bytes())["rejection"]
    images = {
        "MNIST": tfds_images("mnist").test.x[:60].astype(np.int32),
        "Fashion-MNIST": 255 - tfds_images("fashion_mnist").test.x[:60].astype(np.int32),
    }
    for own, kind in (("MNIST", "MnistGrey"), ("Fashion-MNIST", "FashionTransformer")):
        bits = {
            name: -score(models[kind], x, np.full(60, -1)) / np.log(2) for name, x in images.items()
        }
        (foreign,) = set(images) - {own}
        area, _ = figures[own]["auroc"]["likelihood"]
        truth = np.repeat([1, 0], 60)
        expected = roc_auc_score(truth, np.append(bits[foreign], bits[own]))
        assert area == pytest.approx(expected, abs=1e-3)  # a float32 tie may go either way
        assert figures[own]["bits"][own] == pytest.approx(bits[own].mean(), rel=1e-5)


def test_names_are_told_apart_by_their_letters(made):
    folder, models = made
    figures = json.loads((folder / "figures.json").read_bytes())["names"]
    test = Digits(labels=True).test
    scores = under(models["DigitNames"], test.x, spelled(WORDS))
    assert figures["accuracy"] == np.mean(scores.argmax(axis=1) == test.y)
    for word, tokens in zip(WORDS, spelled(WORDS), strict=True):
        assert LETTERS.decode(tokens[tokens >= 0]) == word
    assert len(np.unique(scores[0])) == len(WORDS)


def test_the_page_shows_the_figures_and_the_pictures(made):
    folder, _ = made
    text = (folder / "README.md").read_text(encoding="utf-8")
    results = json.loads((folder / "figures.json").read_bytes())
    for name, found in results["classification"].items():
        assert f"| {name} | {found['parameters']:,} |" in text
        for count, figures in found["binarisations"].items():
            accuracy = f"{100 * figures['accuracy']:.2f} ± {100 * figures['accuracy_error']:.2f} %"
            assert f"| {name} | {count} | {accuracy} |" in text
    for found in results["rejection"].values():
        for area, error in found["auroc"].values():
            assert f"{area:.4f} ± {error:.4f}" in text
    for picture in ("reliability.png", "likelihoods.png"):
        assert f"({picture})" in text
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


def test_both_learn_from_the_same_batches(tfds_folder, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    generative = MnistTransformer().preset(["--debug", "--class-conditional"])
    classifier = MnistClassifier().preset(["--debug"])
    for step in (0, 30):  # of the first epoch and of a later one
        figures, asked = generative.batches()[step], classifier.batches()[step]
        np.testing.assert_array_equal(asked["x"][:, 0], figures["y"])
        np.testing.assert_array_equal(asked["y"], figures["x"])
    for part in ("validation", "test"):
        figures, asked = (vars(x.splits)[part] for x in (generative, classifier))
        np.testing.assert_array_equal(asked.x[:, 0], figures.y)
        np.testing.assert_array_equal(asked.y, figures.x)
    assert generative.training == classifier.training


def test_a_run_is_trained_once(tfds_folder, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_folder))
    trained = [bayes.trained(MnistClassifier(), tmp_path / "run", ["--debug"]) for _ in range(2)]
    results = json.loads((tmp_path / "run" / "results.json").read_bytes())
    assert results["command"].startswith("python -m experiments.mnist_classifier --debug")
    test = trained[1].splits.test
    log_posterior = trained[1].log_posterior(trained[1].restore(), test)
    assert results["accuracy"] == np.mean(log_posterior.argmax(axis=1) == test.x[:, 0])
    assert (tmp_path / "run" / "samples.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_classify_is_refused():
    with pytest.raises(ValueError, match="test: expected at least 1, got 0"):
        bayes.Comparison(test=0)


def test_names_can_be_drawn(tmp_path):
    experiment = small(DigitNames())
    options = dataclasses.replace(experiment.sample, columns=2)
    drawn = experiment.draw(restore(experiment), options, tmp_path / "samples")
    assert drawn.read_bytes().startswith(b"\x89PNG")
