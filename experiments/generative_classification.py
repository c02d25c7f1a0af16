"""Classification by Bayes' rule, beside a network that was trained to classify.

python -m experiments.generative_classification                          all, and the page
python -m experiments.generative_classification --generative FOLDER      of a run that there is
python -m experiments.generative_classification --test 1000              with fewer test images
python -m experiments.generative_classification --debug                  small, in 3 minutes

*Both ways*: p(binarised image | digit), the class-conditional run of mnist_transformer, gives
p(digit | image) by Bayes' rule; mnist_classifier learned p(digit | image) itself. A grey test image
is binarised several times, and each class has the mean of its log-probabilities, both ways.
Calibration is shown as it is, and after a temperature that is fitted to validation images.

*Rejection*: mnist_grey and fashion_transformer score the test images of either data set, without a
class. *Classes given as text*: digit_names classifies into the names that it is asked for.

What is not trained yet is trained first, as its own program would.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from ar_jax.checks import check_positive
from ar_jax.data import Arrays, EvaluationBatches, binarise
from ar_jax.datasets import BinarisedMNIST
from ar_jax.durable import write
from ar_jax.evaluation import (
    Reliability,
    apply_temperature,
    auroc,
    bayes,
    brier,
    complexity,
    correct,
    fit_temperature,
    log_likelihoods,
    nll,
    reliability,
)
from ar_jax.experiment.command_line import asked, dispatch, parse
from ar_jax.experiment.folder import arguments_of, check_writable
from ar_jax.experiment.plots import draw_histograms, draw_reliability
from ar_jax.training import read_metrics
from experiments.digit_names import WORDS, DigitNames
from experiments.fashion_transformer import FashionTransformer
from experiments.images import CLASSES, GreyImages, first
from experiments.mnist_classifier import MnistClassifier, questions
from experiments.mnist_grey import MnistGrey
from experiments.mnist_transformer import MnistTransformer
from experiments.run import Data, Experiment, carry_out, configured

PROGRAM = "python -m experiments.generative_classification"
Trained = TypeVar("Trained", bound=Experiment)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Classify by Bayes' rule and by a twin, reject what is unlikely, and show what came of it.

    Attributes:
      generative: run of mnist_transformer --class-conditional.
      discriminative: run of mnist_classifier.
      mnist: run of mnist_grey.
      fashion: run of fashion_transformer.
      names: run of digit_names.
      binarisations: of each image.
      validation: how many images to fit temperatures to.
      test: how many images to classify and to reject.
      data: where the data is.
      folder: gets the page.
      debug: train for a few steps what is not trained, and score few images.
    """

    generative: Path = Path("runs/mnist_transformer-by-class")
    discriminative: Path = Path("runs/mnist_classifier")
    mnist: Path = Path("runs/mnist_grey")
    fashion: Path = Path("runs/fashion_transformer")
    names: Path = Path("runs/digit_names")
    binarisations: int = 4
    validation: int = 2000
    test: int = 10_000
    data: Data = Data()
    folder: Path = Path("runs/generative_classification")
    debug: bool = False

    def __post_init__(self) -> None:
        check_positive(binarisations=self.binarisations, validation=self.validation, test=self.test)


def configure(arguments: Sequence[str]) -> Comparison:
    """What the command line asks for; `--debug` has folders of its own."""
    default = Comparison()
    if asked("debug", arguments):
        apart = {
            name: getattr(default, name).with_name(getattr(default, name).name + "-debug")
            for name in ("generative", "discriminative", "mnist", "fashion", "names", "folder")
        }
        default = Comparison(**apart, binarisations=2, validation=100, test=100)
    return parse(default, arguments, PROGRAM)


def compare(arguments: Sequence[str]) -> None:
    """Trains what is not trained yet, scores, and writes the page."""
    given = configure(arguments)
    check_writable(given.folder)
    debug = ["--debug"] if given.debug else []
    arguments = debug + (["--data.dir", given.data.dir] if given.data.dir else [])
    by_class = ["--class-conditional", *arguments]
    generative = trained(MnistTransformer(), given.generative, by_class)
    discriminative = trained(MnistClassifier(), given.discriminative, arguments)
    grey = {
        "MNIST": trained(MnistGrey(), given.mnist, arguments),
        "Fashion-MNIST": trained(FashionTransformer(), given.fashion, arguments),
    }
    names = trained(DigitNames(), given.names, debug)
    results = {
        "classification": classification(given, generative, discriminative),
        "rejection": rejection(given, grey),
        "names": named(names),
    }
    write(given.folder / "figures.json", json.dumps(results, indent=2) + "\n")
    write(given.folder / "README.md", page(results, given, arguments))


def trained(experiment: Trained, folder: Path, arguments: Sequence[str]) -> Trained:
    """The experiment of a run folder, which is trained first if it did not end yet."""
    program, arguments = f"python -m {type(experiment).__module__}", [*arguments, "--folder"]
    if not (folder / "results.json").exists() and not carry_out(
        experiment, [*arguments, str(folder)], program
    ):
        sys.exit(f"{PROGRAM}: {folder} did not finish; the same command goes on")
    config: Any = configured(experiment, arguments_of(folder), program)
    return dataclasses.replace(config, folder=folder)


def classification(
    given: Comparison, generative: MnistTransformer, discriminative: MnistClassifier
) -> dict[str, Any]:
    """Figures of either classifier, with one binarisation and with several."""
    data = BinarisedMNIST(labels=True, dir=given.data.dir)
    grey = data.fake_grey() if given.debug else data.grey
    validation, test = first(grey.validation, given.validation), first(grey.test, given.test)
    labels = {"validation": np.asarray(validation.y), "test": np.asarray(test.y)}

    def by_bayes(variables: Any, images: Arrays) -> np.ndarray:
        batches = EvaluationBatches(images, generative.batch_size)
        return log_likelihoods(generative.model, variables, batches, np.arange(CLASSES))

    def by_itself(variables: Any, images: Arrays) -> np.ndarray:
        return discriminative.log_posterior(variables, questions(images))

    results: dict[str, Any] = {}
    curves: dict[str, dict[str, Reliability]] = {}
    for name, experiment, score in (
        ("generative", generative, by_bayes),
        ("discriminative", discriminative, by_itself),
    ):
        variables = experiment.restore()
        # The first seeds are those of the splits that the models were trained and tested with.
        seeds = range(0, 2 * given.binarisations, 2)
        fitted = [score(variables, validation.transformed(binarise, seed)) for seed in seeds]
        tested = [score(variables, test.transformed(binarise, 1 + seed)) for seed in seeds]
        counts = sorted({1, given.binarisations})
        figures: dict[str, dict[str, float]] = {}
        for count in counts:
            log_posterior = posterior_of(tested[:count])
            temperature = fit_temperature(posterior_of(fitted[:count]), labels["validation"])
            figures[str(count)] = judged(log_posterior, labels["test"], temperature)
            curves[name] = {
                "as it is": reliability(log_posterior, labels["test"]),
                "tempered": reliability(
                    apply_temperature(log_posterior, temperature), labels["test"]
                ),
            }
        results[name] = cost(experiment, variables) | {"binarisations": figures}
    draw_reliability(given.folder / "reliability.png", curves)
    return results


def posterior_of(scores: Sequence[np.ndarray]) -> np.ndarray:
    """log p(y | x) with a uniform prior, of scores `[examples, classes]` for each binarisation.

    Their mean estimates that of log p(x | y) over the binary images x of a grey one; a sum would
    count one image several times.
    """
    return np.asarray(bayes(np.mean(scores, axis=0)))


def judged(log_posterior: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, float]:
    """Figures of a classifier, as it is and at a temperature."""
    tempered, right = apply_temperature(log_posterior, temperature), correct(log_posterior, labels)
    return {
        "accuracy": float(right.mean()),
        "accuracy_error": float(right.std() / np.sqrt(len(right))),
        "nats": float(nll(log_posterior, labels).mean()),
        "brier": float(brier(log_posterior, labels).mean()),
        "calibration_error": reliability(log_posterior, labels).expected_calibration_error,
        "temperature": temperature,
        "tempered_nats": float(nll(tempered, labels).mean()),
        "tempered_brier": float(brier(tempered, labels).mean()),
        "tempered_calibration_error": reliability(tempered, labels).expected_calibration_error,
    }


def cost(experiment: Experiment, variables: Any) -> dict[str, Any]:
    """Of training a model."""
    records = read_metrics(experiment.folder / "metrics.jsonl")
    return {
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(variables)),
        "steps": experiment.training.steps,
        "training_cpu_seconds": max(record["cpu_seconds"] for record in records),
    }


def rejection(given: Comparison, models: Mapping[str, GreyImages]) -> dict[str, Any]:
    """How well each model tells the test images of the other data set from those of its own."""
    images = {name: first(model.splits.test, given.test) for name, model in models.items()}
    squeezed = {name: complexity(part.x.astype(np.uint8)) for name, part in images.items()}
    results, panels = {}, {}
    for own, model in models.items():
        variables = model.restore()
        (foreign,) = (name for name in models if name != own)
        bits = {name: bits_of(model, variables, part) for name, part in images.items()}
        usual = bits_of(model, variables, first(model.splits.validation, given.validation)).mean()
        scores = {
            "likelihood": bits,
            "typicality": {name: abs(found - usual) for name, found in bits.items()},
            "complexity": {name: found - squeezed[name] for name, found in bits.items()},
        }
        results[own] = {
            "foreign": foreign,
            "bits": {name: float(found.mean()) for name, found in bits.items()},
            "auroc": {name: auroc(found[foreign], found[own]) for name, found in scores.items()},
        }
        panels[f"a model of {own}: -log₂ p(x)"] = bits
        panels[f"a model of {own}: -log₂ p(x) - bits of the PNG"] = scores["complexity"]
    draw_histograms(given.folder / "likelihoods.png", panels, ("bits", "bits"))
    return results


def bits_of(model: GreyImages, variables: Any, images: Arrays) -> np.ndarray:
    """-log2 p(x), without a class: `[examples]`."""
    nobody = np.array([-1])  # the absence of a class
    batches = EvaluationBatches(images, model.batch_size)
    return -log_likelihoods(model.model, variables, batches, nobody)[:, 0] / np.log(2)


def named(experiment: DigitNames) -> dict[str, Any]:
    """Accuracy among all names, and among two of them on images of these two."""
    variables, labels = experiment.restore(), np.asarray(experiment.labelled.test.y)
    scores = experiment.scores(variables)
    right = correct(np.asarray(bayes(scores)), labels)
    pairs = {}
    for pair in itertools.combinations(range(CLASSES), 2):
        members = np.isin(labels, pair)
        found = np.asarray(bayes(scores[members][:, pair]))
        pairs[" or ".join(WORDS[c] for c in pair)] = float(
            correct(found, (labels[members] == pair[1]).astype(int)).mean()
        )
    worst = min(pairs, key=lambda pair: pairs[pair])
    return cost(experiment, variables) | {
        "accuracy": float(right.mean()),
        "accuracy_error": float(right.std() / np.sqrt(len(right))),
        "examples": len(right),
        "pairs": float(np.mean(list(pairs.values()))),
        "worst_pair": [worst, pairs[worst]],
    }


def page(results: Mapping[str, Any], given: Comparison, arguments: Sequence[str]) -> str:
    """The page."""
    command, names = " ".join([PROGRAM, *arguments]), results["names"]
    rows = [
        "| classifier | binarisations | accuracy | nats | Brier | calibration error | temperature "
        "| nats, tempered | calibration error, tempered |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    costs = ["| classifier | parameters | steps | CPU-seconds |", "|---|---|---|---|"]
    for name, found in results["classification"].items():
        costs.append(
            f"| {name} | {found['parameters']:,} | {found['steps']:,} "
            f"| {found['training_cpu_seconds']:,.0f} |"
        )
        for count, judged in found["binarisations"].items():
            rows.append(
                f"| {name} | {count} | {percent(judged['accuracy'], judged['accuracy_error'])} "
                f"| {judged['nats']:.4f} | {judged['brier']:.4f} "
                f"| {percent(judged['calibration_error'])} | {judged['temperature']:.2f} "
                f"| {judged['tempered_nats']:.4f} "
                f"| {percent(judged['tempered_calibration_error'])} |"
            )
    rejected = [
        "| model of | to reject | own, bits | foreign, bits | AUROC of -log p(x) "
        "| typicality | complexity |",
        "|---|---|---|---|---|---|---|",
    ]
    for own, found in results["rejection"].items():
        areas = " | ".join(f"{area:.4f} ± {error:.4f}" for area, error in found["auroc"].values())
        rejected.append(
            f"| {own} | {found['foreign']} | {found['bits'][own]:,.0f} "
            f"| {found['bits'][found['foreign']]:,.0f} | {areas} |"
        )
    worst, accuracy = names["worst_pair"]
    parts = [
        "# Classification by Bayes' rule",
        f"`{command}` made this page. {given.test:,} test images, a uniform prior; "
        "± one standard error (images taken as independent; of AUROC by DeLong's method). "
        "One seed: what differs by little may be chance.",
        "## Both ways",
        "p(y | x) of binarised MNIST. *generative*: p(x | y) by a transformer over patches, and "
        "Bayes' rule: an image is scored under ten classes. *discriminative*: the same transformer "
        "reads the patches as a context and was trained on p(y | x), on the same images in the "
        "same order for as many steps. With several binarisations of a grey image each class has "
        "the mean of its log-probabilities. The calibration error is the expected one in 15 bins "
        "of equal width (arXiv 1706.04599), nats are -log p(y | x) of the true class, Brier's "
        "score runs from 0 to 2; the temperature is fitted to "
        f"{given.validation:,} validation images and leaves the accuracy as it is.",
        "\n".join(rows),
        "\n".join(costs),
        "![accuracy over confidence](reliability.png)",
        "## Rejection of what a model finds unlikely",
        "Models of the 256 grey levels, asked without a class. AUROC is the probability that a "
        "foreign test image is stranger than an own one: 0.5 knows nothing, and below it foreign "
        "images are the *more* likely ones. That is the known caveat (Nalisnick et al., arXiv "
        "1810.09136): a likelihood tells of how intricate an image is first, and simple images are "
        "likely under models of intricate ones. Two remedies: *typicality*, the distance of "
        "-log p(x) from its mean over validation images (arXiv 1906.02994), and *complexity*, "
        "-log₂ p(x) less the bits of the image as a PNG (Serrà et al., arXiv 1909.11480).",
        "\n".join(rejected),
        "![likelihoods of own and foreign images](likelihoods.png)",
        "## Classes given as text",
        f"8x8 digits: p(x | name), the name letter by letter ({names['parameters']:,} parameters, "
        f"{names['training_cpu_seconds']:,.0f} CPU-seconds). The posterior runs over the names "
        f"that are asked for. Among all ten: {percent(names['accuracy'], names['accuracy_error'])} "
        f"of {names['examples']} test images. Among two, on images of these: "
        f"{percent(names['pairs'])} on average, {percent(accuracy)} for *{worst}*, the hardest.",
    ]
    return "\n\n".join(parts) + "\n"


def percent(value: float, error: float | None = None) -> str:
    """As a table shows it."""
    return f"{100 * value:.2f} %" if error is None else f"{100 * value:.2f} ± {100 * error:.2f} %"


if __name__ == "__main__":
    dispatch(PROGRAM, {"compare": compare}, "compare", __doc__ or "", sys.argv[1:])
