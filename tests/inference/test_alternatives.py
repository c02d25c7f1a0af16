"""Alternatives against the probabilities of all events."""

import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import GRU
from ar_jax.contexts import ClassLabel
from ar_jax.heads import Categorical, DiscretizedLogisticMixture, GaussianMixture
from ar_jax.orderings import Raster, Reversed
from ar_jax.testing import random_variables


def built(ordering, head):
    model = ar.AutoregressiveModel(ordering, GRU(layers=1, width=5), head, ClassLabel(2, width=4))
    x = np.random.default_rng(0).integers(0, 4, (2, *ordering.event))
    return model, random_variables(model, x[:1], np.zeros(1, int)), x


def test_alternatives_are_ratios_of_the_probabilities_of_prefixes():
    model, variables, x = built(Reversed((3,)), Categorical(4))
    y = np.array([1, 0])
    value, log_prob = ar.top_k_alternatives(model, variables, x, 4, y)
    assert (np.diff(log_prob, axis=-1) <= 0).all()
    for place in range(3):  # the last comes first
        scores = []
        for other in range(4):
            changed = x.copy()
            changed[:, place] = other
            upto, before = (
                model.apply(variables, changed, y, np.full(2, n)) for n in (3 - place, 2 - place)
            )
            scores.append(upto - before)
        expected = np.take_along_axis(np.stack(scores, axis=-1), value[:, place], axis=-1)
        np.testing.assert_allclose(log_prob[:, place], expected, 1e-4, 1e-5)


def test_those_of_a_chain_of_colours_are_given_the_colours_before():
    model, variables, x = built(Raster((2, 3), (1, 3)), DiscretizedLogisticMixture(4, 2, 3))
    y = np.array([1, 0])
    value, log_prob = ar.top_k_alternatives(model, variables, x, 4, y)
    assert value.shape == (2, 2, 3, 4)
    own = np.where(np.asarray(value) == x[..., None], log_prob, 0).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(own, model.apply(variables, x, y), 1e-5)


@pytest.mark.parametrize(
    ("head", "k", "message"),
    [(Categorical(4), 5, r"k: expected 1 \.\.\. 4, got 5"),
     (GaussianMixture(1), 1, "model: expected .* finitely many values")],
)  # fmt: skip
def test_alternatives_that_there_are_not_are_refused(head, k, message):
    model = ar.AutoregressiveModel(Raster((3,)), GRU(width=4), head)
    with pytest.raises(ValueError, match=f"^{message}"):
        ar.top_k_alternatives(model, {}, np.zeros((1, 3), int), k)
