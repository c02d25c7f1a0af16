"""Evaluation: likelihood benchmarks, classification both ways and its calibration, rejection."""

from ar_jax.evaluation.calibration import (
    Reliability,
    apply_temperature,
    brier,
    correct,
    fit_temperature,
    nll,
    reliability,
)
from ar_jax.evaluation.classification import bayes, log_likelihoods, log_pmf, posterior
from ar_jax.evaluation.likelihood import Likelihood, Scores, evaluate, score
from ar_jax.evaluation.rejection import auroc, complexity
from ar_jax.evaluation.standard_error import StandardError, standard_error

__all__ = [
    "Likelihood",
    "Reliability",
    "Scores",
    "StandardError",
    "apply_temperature",
    "auroc",
    "bayes",
    "brier",
    "complexity",
    "correct",
    "evaluate",
    "fit_temperature",
    "log_likelihoods",
    "log_pmf",
    "nll",
    "posterior",
    "reliability",
    "score",
    "standard_error",
]
