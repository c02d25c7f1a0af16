import jax
import numpy as np
from scipy import stats

from ar_jax.heads import CoarseFineLogistic
from ar_jax.testing import close, compiled_apply

BASE = 5
HEAD = CoarseFineLogistic(base=BASE, components=2)
LOGITS, MEANS, SCALES = np.array([0.3, -0.4]), np.array([-1.2, 0.7]), np.array([0.3, 1.1])
FEATURES = np.stack([LOGITS, MEANS, np.log(SCALES)], axis=-1).reshape(1, -1)
PAIRS = np.stack(np.divmod(np.arange(BASE**2), BASE), axis=-1)


def test_a_level_has_the_mass_of_its_bin():
    edges = (np.arange(BASE**2 + 1) - BASE**2 / 2) / BASE
    edges[[0, -1]] = -np.inf, np.inf
    weights = np.exp(LOGITS) / np.exp(LOGITS).sum()
    cdf = stats.logistic.cdf(edges[:, None], MEANS, SCALES)
    with jax.enable_x64(True):
        got = compiled_apply(HEAD, {}, FEATURES.repeat(25, axis=0), PAIRS, method="log_prob")
    close(got, np.log(np.diff(cdf, axis=0) @ weights), "log-mass")


def test_the_digits_probabilities_multiply_to_that_of_the_level():
    features = FEATURES.repeat(25, axis=0)
    with jax.enable_x64(True):
        each = compiled_apply(HEAD, {}, features, PAIRS, method="log_pmf")
        both = compiled_apply(HEAD, {}, features, PAIRS, method="log_prob")
    assert each.shape == (25, 2, BASE)
    close(np.take_along_axis(np.asarray(each), PAIRS[..., None], -1).sum(axis=(1, 2)), both, "sum")
