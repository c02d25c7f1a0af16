"""What the test split is asked of a trained model."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from ar_jax.data import EvaluationBatches
from ar_jax.evaluation import Likelihood, Scores, bayes, correct, log_likelihoods, score


@dataclasses.dataclass(frozen=True)
class Evaluation(ABC):
    """A question to a trained model about the test split."""

    @abstractmethod
    def __call__(self, model: Any, variables: Any, data: Any, batch_size: int) -> dict[str, Any]:
        """The figures by their names: numbers, and `Likelihood`s with their error.

        Args:
          model: the model.
          variables: its variables.
          data: the data set; its test split is read.
          batch_size: examples that are scored at once.
        """


@dataclasses.dataclass(frozen=True)
class TestLikelihood(Evaluation):
    """The mean negative log-likelihood of the test split."""

    __test__ = False  # no class of tests, whatever its name

    def __call__(self, model: Any, variables: Any, data: Any, batch_size: int) -> dict[str, Any]:
        return figures(self.scores(model, variables, data, batch_size).likelihood(data.test_label))

    def scores(self, model: Any, variables: Any, data: Any, batch_size: int) -> Scores:
        """-log p of each example, kept for paired comparisons."""
        return score(model, variables, EvaluationBatches(data.test, batch_size))


@dataclasses.dataclass(frozen=True)
class BayesAccuracy(Evaluation):
    """The share of test examples whose class has the highest p(class | x), by Bayes' rule.

    For a model of p(x | class), whose context is `ClassLabel`; all classes are as likely before.
    """

    def __call__(self, model: Any, variables: Any, data: Any, batch_size: int) -> dict[str, Any]:
        batches = EvaluationBatches(data.test, batch_size)
        classes = np.arange(model.context.classes)
        posterior = bayes(log_likelihoods(model, variables, batches, classes))
        labels = data.test.batch(np.arange(len(data.test)))["y"]
        return {"bayes_accuracy": float(correct(np.asarray(posterior), labels).mean())}


def figures(likelihood: Likelihood) -> dict[str, Any]:
    """What is reported of a likelihood."""
    return {
        "nats": likelihood.nats,
        "bits_per_dim": likelihood.bits_per_dim,
        "likelihood": likelihood,
    }
