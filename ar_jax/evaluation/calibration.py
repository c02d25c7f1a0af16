"""How right a posterior is, and how far its confidence can be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax

from ar_jax.checks import check_integers, check_number, check_positive, check_shape

TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often a classifier is right when it is so sure (arXiv 1706.04599).

    Attributes:
      confidence: mean probability of the most likely class, `[bins]`; NaN where a bin is empty.
      accuracy: how often that class is right, `[bins]`; NaN where a bin is empty.
      count: examples, `[bins]`. Bin i holds confidences in (i / bins, (i + 1) / bins].
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean of |accuracy - confidence| over the bins, weighted by their counts."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))  # an empty bin weighs 0
        return float(gaps @ self.count / self.count.sum())


def reliability(log_posterior: np.ndarray, labels: np.ndarray, bins: int = 15) -> Reliability:
    """The reliability curve of a split, in bins of equal width.

    Args:
      log_posterior: `[examples, classes]`, nats.
      labels: `[examples]`, the true classes `0 ... classes - 1`.
      bins: how many; the paper's 15.
    """
    check_positive(bins=bins)
    right = correct(log_posterior, labels)
    confidence = np.exp(np.max(np.asarray(log_posterior, float), axis=1))
    where = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(where, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins
        return Reliability(
            confidence=np.bincount(where, confidence, bins) / count,
            accuracy=np.bincount(where, right, bins) / count,
            count=count,
        )


def correct(log_posterior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the most likely class is the true one: `[examples]` booleans; their mean is accuracy.

    Args: as of `reliability`.
    """
    _check(log_posterior, labels)
    return np.argmax(log_posterior, axis=1) == labels


def nll(log_posterior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-likelihood -log p(y | x) of the true classes: `[examples]` nats.

    Args: as of `reliability`.
    """
    _check(log_posterior, labels)
    return -np.take_along_axis(np.asarray(log_posterior, float), labels[:, None], axis=1)[:, 0]


def brier(log_posterior: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared distance of the probabilities from certainty of the truth: `[examples]`, 0 ... 2.

    Brier (1950), *Verification of forecasts expressed in terms of probability*.

    Args: as of `reliability`.
    """
    _check(log_posterior, labels)
    truth = np.eye(np.shape(log_posterior)[1])[labels]
    return np.sum((np.exp(np.asarray(log_posterior, float)) - truth) ** 2, axis=1)


def apply_temperature(log_posterior: np.ndarray, temperature: float) -> np.ndarray:
    """p(y | x)^(1 / temperature), normalised again: `[examples, classes]` nats."""
    check_number("temperature", temperature, "above 0 and finite", lambda t: t >= TINY)
    _check_posterior(log_posterior)
    return log_softmax(np.asarray(log_posterior, float) / temperature, axis=1)


def fit_temperature(log_posterior: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the mean negative log-likelihood (arXiv 1706.04599).

    It is one number, above 1 for a posterior that is too sure, and leaves the most likely class as
    it is: fitted on validation examples it is no part of the model. Between 1e-3, where all
    examples are right, and 1e3.

    Args: as of `reliability`.

    Raises:
      ValueError: when a true class has probability 0, whose nll is infinite at any.
    """
    impossible = np.isneginf(-nll(log_posterior, labels))
    if impossible.any():
        raise ValueError(
            "labels: expected true classes of probability above 0, which a temperature can make "
            f"less surprising, got another in row {impossible.argmax()}"
        )
    from scipy.optimize import minimize_scalar  # slow to import, and few programs come here

    def mean_surprise(log_temperature: float) -> float:
        return float(nll(apply_temperature(log_posterior, np.exp(log_temperature)), labels).mean())

    bounds = np.log(1e-3), np.log(1e3)
    found: Any = minimize_scalar(mean_surprise, bounds=bounds, options={"xatol": 1e-9})
    return float(np.exp(found.x))


def _check_posterior(log_posterior: np.ndarray) -> None:
    check_shape("log_posterior", log_posterior, ("examples", "classes"))
    check_positive(examples=len(log_posterior))
    highest = np.asarray(log_posterior, float).max(axis=1)  # NaN if one is
    if not np.isfinite(highest).all():
        row = np.isfinite(highest).argmin()
        raise ValueError(
            f"log_posterior: expected nats, got a highest of {highest[row]} in row {row}"
        )


def _check(log_posterior: np.ndarray, labels: np.ndarray) -> None:
    _check_posterior(log_posterior)
    check_shape("labels", labels, (len(log_posterior),))
    check_integers("labels", labels, 0, np.shape(log_posterior)[1] - 1)
