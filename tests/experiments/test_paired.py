import math

import numpy as np
import pytest

from ar_jax.evaluation import Scores
from experiments.paired import difference


def independent(nats):
    return Scores(np.asarray(nats, float), np.arange(len(nats)), 4)


def test_a_paired_difference_is_known_better_than_either_mean():
    """Hard and easy examples of deviation 10, models 0.3 apart, noise 1: errors 0.3 and 0.03."""
    rng = np.random.default_rng(0)
    b = 80 + 10 * rng.standard_normal(1000)
    a = b + 0.3 + rng.standard_normal(1000)
    found = difference([independent(a)], [independent(b)])
    assert found.nats == pytest.approx(np.mean(a - b), rel=1e-12)
    assert found.error == pytest.approx(np.std(a - b, ddof=1) / math.sqrt(1000), rel=1e-12)
    assert found.error < independent(a).likelihood("").error / 5
    assert (found.count, found.seeds, found.deviation, found.seeds_needed) == (
        1000, (1, 1), None, None,
    )  # fmt: skip


def test_seeds_tell_what_another_training_would_change():
    """Means 10 and 12 of A, 9 and 9.5 of B: A - B is 1.75, of deviation sqrt(2 + 0.125)."""
    a, b = ([independent(np.full(50, mean)) for mean in means] for means in ((10, 12), (9, 9.5)))
    found = difference(a, b)
    assert found.nats == pytest.approx(1.75)
    assert found.deviation == pytest.approx(math.sqrt(2.125))
    assert found.seeds_needed == 3  # (2 * 1.458 / 1.75)^2 = 2.78


def test_the_error_of_a_difference_respects_the_dependence_of_windows():
    slow = np.repeat(np.random.default_rng(0).standard_normal(20), 20)
    windows = [Scores(slow, np.zeros(400, int), 4), Scores(np.zeros(400), np.zeros(400, int), 4)]
    found = difference(windows[:1], windows[1:])
    assert found.error_method.startswith("moving blocks of ")
    assert found.error > 2.5 * slow.std() / 20


def test_shorter_windows_of_the_same_text_are_joined():
    rng = np.random.default_rng(0)
    short, long = rng.standard_normal(403), rng.standard_normal(100)
    scores = Scores(short, np.zeros(403, int), 2), Scores(long, np.zeros(100, int), 8)
    found = difference(scores[:1], scores[1:])
    assert (found.count, found.variables) == (100, 8)
    assert found.nats == pytest.approx(short[:400].sum() / 100 - long.mean())


@pytest.mark.parametrize(
    "other",
    [
        independent(np.zeros(9)),
        Scores(np.zeros(10), np.zeros(10, int), 4),
        Scores(np.zeros(10), np.arange(10), 4, sizes=np.full(10, 2)),
        Scores(np.zeros(20), np.arange(20), 2),
    ],
)
def test_other_examples_are_refused(other):
    with pytest.raises(ValueError, match="expected the same examples"):
        difference([independent(np.zeros(10))], [other])
