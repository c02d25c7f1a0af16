"""Evaluation: likelihood benchmarks, classification both ways and its calibration, rejection."""

from ar_jax.evaluation.calibration import (
    Reliability,
    brier,
    fit_temperature,
    hits,
    reliability,
    surprise,
    temper,
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
    "auroc",
    "bayes",
    "brier",
    "complexity",
    "evaluate",
    "fit_temperature",
    "hits",
    "log_likelihoods",
    "log_pmf",
    "posterior",
    "reliability",
    "score",
    "standard_error",
    "surprise",
    "temper",
]
