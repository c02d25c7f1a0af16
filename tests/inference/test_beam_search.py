"""Beam search against exhaustive search, and against a loop over lists."""

from itertools import product

import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import GRU, LRU, MADE, TCN, Transformer
from ar_jax.contexts import ClassLabel, Nothing
from ar_jax.decoding import Automaton, Stop
from ar_jax.heads import Bernoulli, Categorical, DiscretizedLogisticMixture, EndOfSequence
from ar_jax.inference.beam_search import beam_search
from ar_jax.nn import Rotary
from ar_jax.orderings import Raster, Snake
from ar_jax.testing import compiled_apply, random_variables, scaled

MODELS = {  # of each kind of cache: layers first, states, complex states, rings, windows, inputs
    "scanned layers": (
        Raster((4,)), Transformer(layers=2, width=16, heads=2, scan_layers=True), Categorical(3),
    ),
    "recurrent": (Raster((4,)), GRU(layers=2, width=5), Categorical(3)),
    "state space": (Raster((4,)), LRU(layers=1, width=6, state=4), Categorical(3)),
    "rings": (Raster((4,)), TCN(layers=1, channels=6, kernel=2), Categorical(3)),
    "window": (
        Raster((4,)), Transformer(layers=2, width=16, heads=2, window=2, positions=Rotary()),
        Categorical(3),
    ),
    "walk": (Snake((2, 2, 1)), MADE((9,)), DiscretizedLogisticMixture(3, 2)),
}  # fmt: skip


def built(name):
    model = ar.AutoregressiveModel(*MODELS[name], ClassLabel(2, width=4))
    x = np.zeros((1, *model.ordering.event), np.int32)
    variables = random_variables(model, x, np.zeros(1, int))
    return model, scaled(variables, 2.0)


@pytest.mark.parametrize("name", MODELS)
def test_with_room_for_all_prefixes_it_finds_the_most_likely_events_in_order(name):
    model, variables = built(name)
    y = np.array([1, 0, 1])
    found, log_prob = beam_search(model, variables, beams=27, condition=y)
    events = np.array(list(product(range(3), repeat=4))).reshape(-1, *model.ordering.event)
    for label, got, got_log_prob in zip(y, found, log_prob, strict=True):
        scores = np.asarray(compiled_apply(model, variables, events, np.full(81, label)))
        best = np.argsort(-scores)[:27]
        np.testing.assert_allclose(got_log_prob, scores[best], 1e-5, 1e-5)
        np.testing.assert_array_equal(got[:5], events[best[:5]])  # no two are as likely


def naive(score, beams, end, penalty, length, values):
    """Beam search over lists; `score(prefixes)` gives log p of each."""
    kept = [((), 0.0)]
    for _ in range(length):
        grown = []
        for prefix, log_prob in kept:
            if end in prefix:
                grown.append(((*prefix, 0), log_prob))
                continue
            more = [(*prefix, value) for value in range(values)]
            grown += list(zip(more, score(more), strict=True))

        def rank(item):
            prefix, log_prob = item
            count = prefix.index(end) + 1 if end in prefix else len(prefix)
            return -log_prob / count**penalty

        kept = sorted(grown, key=rank)[:beams]
    return kept


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_narrow_beams_with_an_end_do_what_a_loop_over_lists_does(penalty):
    model, variables = built("recurrent")

    def score(prefixes):
        """log p of the first steps: later ones do not count."""
        padded = np.array([[*prefix, *[0] * (4 - len(prefix))] for prefix in prefixes])
        lengths = np.full(len(prefixes), len(prefixes[0]))
        return compiled_apply(model, variables, padded, np.ones(len(padded), int), lengths).tolist()

    found, log_prob = beam_search(
        model, variables, beams=4, condition=np.array([1]), processors=[Stop(((2,),))],
        length_penalty=penalty,
    )  # fmt: skip
    expected = naive(score, 4, 2, penalty, 4, 3)
    np.testing.assert_array_equal(found[0], [prefix for prefix, _ in expected])
    np.testing.assert_allclose(log_prob[0], [x for _, x in expected], 1e-5)


def test_constraints_leave_the_most_likely_events_that_keep_them():
    """0 and 1 in turns, or 2s: of length 4 there are three."""
    model, variables = built("rings")
    table = np.array([[1, 2, 3], [-1, 2, -1], [1, -1, -1], [-1, -1, 3]])
    automaton = Automaton.accepting(table, np.array([1, 2, 3]))
    found, log_prob = beam_search(
        model, variables, beams=4, condition=np.array([1]), processors=[automaton]
    )
    events = np.array([[0, 1, 0, 1], [1, 0, 1, 0], [2, 2, 2, 2]])
    scores = np.asarray(compiled_apply(model, variables, events, np.ones(3, int)))
    best = np.argsort(-scores)
    np.testing.assert_array_equal(found[0, :3], events[best])
    np.testing.assert_allclose(log_prob[0], [*scores[best], -np.inf], 1e-5)


def test_a_prefix_is_kept_and_not_scored():
    model, variables = built("scanned layers")
    y, prefix = np.array([0, 1]), np.array([[[2], [0]], [[1], [1]]])
    found, log_prob = beam_search(model, variables, beams=9, condition=y, prefix=prefix)
    np.testing.assert_array_equal(found[:, :, :2], np.tile(prefix[:, None, :, 0], (1, 9, 1)))
    for label, events, got in zip(y, found, log_prob, strict=True):
        every = np.array([[*events[0, :2], a, b] for a in range(3) for b in range(3)])
        labels = np.full(9, label)
        known = compiled_apply(model, variables, every, labels, np.full(9, 2))
        rest = np.sort(compiled_apply(model, variables, every, labels) - known)[::-1]
        np.testing.assert_allclose(got, rest, 1e-4, 1e-5)


def test_steps_of_several_variables_are_refused():
    model = ar.AutoregressiveModel(
        Raster((3, 2), (1, 2)), GRU(width=4), EndOfSequence(Categorical(3)), Nothing()
    )
    with pytest.raises(
        ValueError, match=r"^model: expected an AutoregressiveModel of variables of finitely"
    ):
        beam_search(model, {}, beams=2, batch_size=1)
    model = ar.AutoregressiveModel(Raster((3,)), GRU(width=4), Bernoulli())
    with pytest.raises(ValueError, match=r"^beams: expected at least 1, got 0"):
        beam_search(model, {}, beams=0, batch_size=1)


@pytest.mark.parametrize("penalty", [np.nan, np.inf, -np.inf, 1e39, 44.0, "1"], ids=str)
def test_a_length_penalty_by_which_nothing_can_be_ranked_is_refused(penalty):
    """Of 4 steps, 4^43.3 is 1e26."""
    model, variables = built("recurrent")
    with pytest.raises(ValueError, match=r"^length_penalty: expected -43.3 to 43.3, got"):
        beam_search(model, variables, beams=1, condition=[0], length_penalty=penalty)


@pytest.mark.parametrize("beams", [0, 2.5, np.nan])
def test_the_number_of_beams_is_a_positive_integer(beams):
    with pytest.raises(ValueError, match=r"^beams: expected"):
        beam_search(*built("recurrent"), beams=beams, condition=[0])
