"""Calibration, against hand-computed figures and second implementations."""

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import brier_score_loss, log_loss

from ar_jax.evaluation import apply_temperature, brier, correct, fit_temperature, nll, reliability

RNG = np.random.default_rng(0)
LOGITS = 2 * RNG.normal(size=(4000, 5))
TRUTH = log_softmax(LOGITS, axis=1)
LABELS = np.argmax(LOGITS + RNG.gumbel(size=LOGITS.shape), axis=1)  # drawn from the truth

BY_HAND = np.log([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.25, 0.75]])
HAND_LABELS = np.array([0, 1, 1, 1, 0])
# Confidences 0.9, 0.8, 0.7, 0.6, 0.75; right, wrong, right, right, wrong. In four bins, the upper
# half of which are (0.5, 0.75] and (0.75, 1]: 0.7, 0.6, 0.75 with 2 of 3 right; 0.9, 0.8 with 1.


def test_the_calibration_error_is_that_computed_by_hand():
    found = reliability(BY_HAND, HAND_LABELS, bins=4)
    np.testing.assert_array_equal(found.count, [0, 0, 3, 2])
    np.testing.assert_allclose(found.confidence, [np.nan, np.nan, 2.05 / 3, 0.85], atol=1e-12)
    np.testing.assert_allclose(found.accuracy, [np.nan, np.nan, 2 / 3, 1 / 2], atol=1e-12)
    expected = (3 * abs(2 / 3 - 2.05 / 3) + 2 * abs(1 / 2 - 0.85)) / 5
    assert found.expected_calibration_error == pytest.approx(expected, abs=1e-12)


def test_the_calibration_error_is_that_of_a_loop_over_the_bins():
    """As the paper writes it: sum over bins of |B| / n * |acc(B) - conf(B)|."""
    log_posterior = apply_temperature(TRUTH, 0.5)
    confidence, predicted = np.exp(log_posterior).max(axis=1), log_posterior.argmax(axis=1)
    expected, edges = 0.0, np.linspace(0, 1, 16)
    for low, high in itertools.pairwise(edges):
        members = (confidence > low) & (confidence <= high)
        if members.any():
            right = (predicted == LABELS)[members].mean()
            expected += members.mean() * abs(right - confidence[members].mean())
    got = reliability(log_posterior, LABELS).expected_calibration_error
    assert got == pytest.approx(expected, abs=1e-12)
    assert got > 0.05


def test_a_classifier_that_is_always_sure_errs_by_its_errors():
    with np.errstate(divide="ignore"):
        certain = np.log(np.eye(4))
    found = reliability(certain, np.array([0, 1, 2, 0]), bins=10)
    assert found.count[-1] == 4
    assert found.expected_calibration_error == pytest.approx(0.25, abs=1e-12)


def test_accuracy_surprise_and_brier_are_those_of_scikit_learn():
    probability = np.exp(TRUTH)
    assert correct(TRUTH, LABELS).mean() == np.mean(probability.argmax(axis=1) == LABELS)
    assert nll(TRUTH, LABELS).mean() == pytest.approx(log_loss(LABELS, probability), rel=1e-9)
    each = sum(brier_score_loss(c == LABELS, probability[:, c]) for c in range(5))
    assert brier(TRUTH, LABELS).mean() == pytest.approx(each, rel=1e-9)


@pytest.mark.parametrize("sharpened", [0.25, 1.0, 3.0])
def test_the_temperature_undoes_a_sharpening(sharpened):
    """Its maximum-likelihood estimate; the interval is five standard errors, by the Fisher
    information of log T: fails by chance once in 1,700,000 seeds."""
    temperature = fit_temperature(apply_temperature(TRUTH, sharpened), LABELS)
    p = np.exp(TRUTH)
    fisher = np.sum((p * TRUTH**2).sum(axis=1) - (p * TRUTH).sum(axis=1) ** 2)
    assert abs(np.log(temperature * sharpened)) < 5 / np.sqrt(fisher)


def test_the_temperature_is_where_the_surprise_is_smallest():
    log_posterior = apply_temperature(TRUTH, 0.5)
    temperature = fit_temperature(log_posterior, LABELS)
    here, *around = (
        nll(apply_temperature(log_posterior, temperature * factor), LABELS).mean()
        for factor in (1, 0.999, 1.001, 0.5, 2)
    )
    assert all(here < there for there in around)
    np.testing.assert_array_equal(
        correct(apply_temperature(log_posterior, temperature), LABELS),
        correct(log_posterior, LABELS),
    )


def test_labels_and_posterior_must_fit():
    with pytest.raises(ValueError, match=r"labels: expected shape \[5\], got \[4\]"):
        reliability(BY_HAND, HAND_LABELS[:4])
    with pytest.raises(ValueError, match=r"labels: expected integers .* got values 0 .* 2"):
        correct(BY_HAND, 2 * HAND_LABELS)
    with pytest.raises(ValueError, match="bins: expected at least 1, got 0"):
        reliability(BY_HAND, HAND_LABELS, bins=0)
    with pytest.raises(ValueError, match="examples: expected at least 1, got 0"):
        correct(np.zeros((0, 2)), np.zeros(0, int))


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf, 1e-60, 1e39])
def test_a_temperature_that_cannot_be_is_refused(temperature):
    with pytest.raises(ValueError, match=r"^temperature: expected above 0 and finite, got"):
        apply_temperature(np.log([[0.5, 0.5]]), temperature)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_posterior_that_is_none_is_refused_by_its_row(value):
    log_posterior = np.log([[0.5, 0.5], [0.1, 0.9]])
    log_posterior[1, 0] = value
    for measure in (correct, nll, brier, reliability, fit_temperature):
        with pytest.raises(ValueError, match=rf"^log_posterior: .* highest of {value} in row 1"):
            measure(log_posterior, np.array([0, 1]))


def test_no_temperature_makes_the_impossible_less_surprising():
    with np.errstate(divide="ignore"):
        log_posterior = np.log([[0.5, 0.5], [0.0, 1.0]])
    assert nll(log_posterior, np.array([0, 0]))[1] == np.inf
    with pytest.raises(ValueError, match=r"^labels: .* probability above 0, .* in row 1"):
        fit_temperature(log_posterior, np.array([0, 0]))
