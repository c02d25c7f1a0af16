"""Evaluation: likelihood benchmarks and classification by Bayes' rule."""

from ar_jax.evaluation.classification import accuracy, posterior
from ar_jax.evaluation.likelihood import Likelihood, evaluate

__all__ = ["Likelihood", "accuracy", "evaluate", "posterior"]
