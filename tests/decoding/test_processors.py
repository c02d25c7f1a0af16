"""What is drawn with processors, against the chain of their steps by enumeration."""

import re
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import RepetitionPenaltyLogitsProcessor

import ar_jax as ar
from ar_jax import Constraint, RepetitionPenalty, Stop
from ar_jax.conditionals import GRU
from ar_jax.contexts import ClassLabel
from ar_jax.decoding import Automaton, lengths
from ar_jax.heads import Categorical, EndOfSequence, GaussianMixture
from ar_jax.inference.regular_expressions import regular_expression
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables
from ar_jax.testing.draws import check_frequencies

LENGTH, SYMBOLS = 4, "abc"
EVENTS = np.array(list(product(range(3), repeat=LENGTH)))
PATTERN = "(bb|c)?a(b|cc)?"  # of 1 to 5 symbols: some beginnings leave no room for the rest
PENALTY = 1.7


def no_neighbours(steps, t):
    """The value before may not come again, and 2 not first."""
    before = jnp.where(t > 0, steps[:, t - 1], 2)
    return jnp.arange(3) != before[:, None]


PROCESSORS = {
    "constraint": Constraint(no_neighbours),
    "repetition": RepetitionPenalty(PENALTY),
    "pattern": regular_expression(PATTERN, SYMBOLS),
    "stop": Stop(((1,), (2, 0))),
}


def reference(name, prefix, log_p):
    """Probabilities of the next value after a prefix `[values]`; None where the text has ended."""
    match name:
        case "constraint":
            allowed = np.arange(3) != (prefix[-1] if prefix else 2)
        case "repetition":
            scores = RepetitionPenaltyLogitsProcessor(PENALTY)(
                torch.tensor([prefix], dtype=int), torch.tensor(log_p[None])
            )
            p = np.exp(scores[0].numpy())
            return p / p.sum()
        case "pattern":
            text = "".join(SYMBOLS[value] for value in prefix)
            endings = [
                "".join(s) for n in range(LENGTH - len(text)) for s in product(*[SYMBOLS] * n)
            ]
            allowed = np.array(
                [any(re.fullmatch(PATTERN, text + s + more) for more in endings) for s in SYMBOLS]
            )
            if re.fullmatch(PATTERN, text) and not allowed.any():
                return None
        case "stop":
            allowed = np.ones(3, bool)
            if prefix[-1:] == (1,) or prefix[-2:] == (2, 0):
                return None
    p = np.where(allowed, np.exp(log_p), 0)
    return p / p.sum()


@pytest.fixture(scope="module")
def small():
    model = ar.AutoregressiveModel(
        Raster((LENGTH,)),
        GRU(layers=1, width=5),
        Categorical(3),
        ClassLabel(3, dropout=0.1, width=4),
    )
    variables = random_variables(model, EVENTS[:1], np.zeros(1, int))
    return model, jax.tree.map(lambda x: x.astype(np.float32), variables)


@pytest.mark.parametrize("name", PROCESSORS)
def test_draws_follow_the_chain_of_processed_steps(small, name):
    """Fails by chance with odds of 1e-6."""
    model, variables = small
    y, count = np.ones(len(EVENTS), int), 20_000
    log_pmf = np.asarray(model.apply(variables, EVENTS, y, method="log_pmf"))[:, :, 0]
    expected, length = np.ones(len(EVENTS)), np.full(len(EVENTS), LENGTH)
    for i, (event, steps) in enumerate(zip(EVENTS.tolist(), log_pmf.astype(float), strict=True)):
        for t, value in enumerate(event):
            if not expected[i]:
                break
            p = reference(name, tuple(event[: min(t, length[i])]), steps[t])
            if p is None:
                length[i] = min(length[i], t)
                expected[i] *= value == 0
            else:
                expected[i] *= p[value]
    np.testing.assert_allclose(expected.sum(), 1, 1e-5)
    processors = [PROCESSORS[name]]
    drawn, log_prob = ar.sample(
        model, variables, jax.random.key(0), condition=np.ones(count, int), processors=processors,
        return_log_prob=True,
    )  # fmt: skip
    drawn = np.asarray(drawn)
    check_frequencies(drawn, EVENTS, expected)
    which = drawn @ 3 ** np.arange(LENGTH)[::-1]
    np.testing.assert_array_equal(lengths(processors, drawn), length[which])
    scored = model.apply(variables, EVENTS, y, length)  # by the model itself
    np.testing.assert_allclose(log_prob, scored[which], 1e-5, 1e-5)


def test_processors_act_together_in_streams_under_guidance_and_after_prefixes(small):
    """What is given does not count for a pattern or a stop, and ends at a length of its own."""
    model, variables = small
    prefix, known = np.array([[2, 0], [1, 1], [0, 0]]), np.array([0, 1, 2])
    processors = [PROCESSORS["stop"], regular_expression("c?a+|bc?", SYMBOLS)]
    options = {
        "condition": np.array([0, 1, 2]), "processors": processors, "prefix": prefix[..., None],
        "prefix_lengths": known,
    }  # fmt: skip
    texts, found, key = set(), [], jax.random.key(3)
    for guidance in (None, ar.Guidance(0.0)):
        drawn = np.asarray(ar.sample(model, variables, key, guidance=guidance, **options))
        found.append(drawn)
        for row, start, end in zip(drawn, known, lengths(processors, drawn, known), strict=True):
            texts.add("".join(SYMBOLS[value] for value in row[start:end]))
            assert not row[end:].any()
        np.testing.assert_array_equal(drawn[1, :1], [1])
        np.testing.assert_array_equal(drawn[2, :2], [0, 0])
    np.testing.assert_array_equal(*found)
    assert all(re.fullmatch("ca|a+|b", text) for text in texts)
    streamed = np.concatenate(list(ar.stream(model, variables, key, **options)), axis=1)
    padded = np.pad(streamed, ((0, 0), (0, LENGTH - streamed.shape[1])))
    np.testing.assert_array_equal(padded, found[0])


def test_nothing_more_is_drawn_where_all_have_ended(small):
    model, variables = small
    steps = list(
        ar.stream(model, variables, jax.random.key(0), condition=np.zeros(2, int),
                  processors=[regular_expression("ab", SYMBOLS)])
    )  # fmt: skip
    np.testing.assert_array_equal(np.concatenate(steps, axis=1), [[0, 1], [0, 1]])


def test_a_text_that_is_over_at_once_keeps_its_prefix(small):
    drawn = ar.sample(
        *small, jax.random.key(0), condition=np.zeros(2, int), prefix=np.ones((2, 3, 1), int),
        prefix_lengths=np.array([1, 3]), processors=[regular_expression("", SYMBOLS)],
    )  # fmt: skip
    np.testing.assert_array_equal(drawn, [[1, 0, 0, 0], [1, 1, 1, 0]])


def test_a_constraint_that_allows_nothing_is_told(small):
    model, variables = small

    def dead_end(steps, t):
        return (t < 2) | (steps[:, :1] != 1) & jnp.ones(3, bool)

    options = {"condition": np.zeros(50, int), "processors": [Constraint(dead_end)]}
    with pytest.raises(ValueError, match=r"^processors: .* got none for examples \[\d"):
        ar.sample(model, variables, jax.random.key(0), **options)
    with pytest.raises(ValueError, match=r"^processors: .* got none for examples \[\d"):
        list(ar.stream(model, variables, jax.random.key(0), **options))
    drawn, log_prob = jax.jit(
        lambda key: ar.sample(model, variables, key, return_log_prob=True, **options)
    )(jax.random.key(0))
    np.testing.assert_array_equal(log_prob == -np.inf, drawn[:, 0] == 1)
    np.testing.assert_array_equal(drawn[:, 2] == -1, drawn[:, 0] == 1)


def test_a_pattern_without_room_is_impossible_rather_than_over(small):
    """Inside `jit` a prefix's length is not known before, so that nobody can be told."""

    @jax.jit
    def draw(known):
        return ar.sample(
            *small, jax.random.key(0), condition=np.zeros(2, int), prefix=np.ones((2, 2, 1), int),
            prefix_lengths=known, processors=[regular_expression("abc", SYMBOLS)],
            return_log_prob=True,
        )  # fmt: skip

    drawn, log_prob = draw(jnp.array([1, 2]))
    np.testing.assert_array_equal(drawn[0], [1, 0, 1, 2])
    assert drawn[1, 2] == -1
    np.testing.assert_array_equal(np.isneginf(log_prob), [False, True])


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (regular_expression("a{5}", SYMBOLS), "pattern: .* within the 4 steps .* 5 steps at least"),
        (regular_expression("x", SYMBOLS), "pattern: .* got one that matches nothing"),
        (regular_expression("a", "ab"), "table: expected a column for each of 3 values, got 2"),
        (Stop(((0, 1), (0,) * 5)), r"stop: expected sequences of 1 \.\.\. 4 .* which cannot occur"),
        (Stop(((),)), r"stop: expected sequences of 1 \.\.\. 4 values, .* got \[\], which cannot"),
        (Stop(((3,),)), r"stop: expected values 0 \.\.\. 2, got \[3\], which cannot occur"),
        (Stop(((0.5,),)), r"stop: expected values 0 \.\.\. 2, got \[0.5\], which cannot"),  # pyright: ignore
        (RepetitionPenalty(0.0), "repetition penalty: expected above 0 and finite, got 0.0"),
        (RepetitionPenalty(np.nan), "repetition penalty: expected above 0 and finite, got nan"),
        (RepetitionPenalty(1e39), "repetition penalty: expected above 0 and finite, got 1e"),
        (RepetitionPenalty(1e-60), "repetition penalty: expected above 0 and finite, got 1e"),
        (
            RepetitionPenalty(2.0, (0, 3)),
            r"also: expected integers 0 \.\.\. 2, got values 0 \.\.\. 3",
        ),
        (RepetitionPenalty(2.0, (-1,)), r"also: expected integers 0 \.\.\. 2, got values -1"),
        (RepetitionPenalty(2.0, (1.0,)), "also: .* got dtype float64"),
        (RepetitionPenalty(2.0, np.zeros((1, 1), int)), r"also: expected shape \[n\], got"),
        (Automaton(np.full((2, 3), 2), np.zeros(2, int)), r"table: expected integers -1 \.\.\. 1"),
        (Automaton(np.zeros((2, 3)), np.zeros(2, int)), "table: .* got dtype float64"),
        (Automaton(np.zeros((2, 3), int), np.zeros(3, int)), r"distance: expected shape \[2\]"),
        (Automaton(np.zeros((2, 3), int), np.full(2, -1)), "distance: expected integers 0"),
        (
            Constraint(lambda steps, t: steps > 0),
            r"allowed: expected booleans \[2, 3\] .* \[2, 4\]",
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_drawn(small, processor, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        ar.sample(*small, jax.random.key(0), condition=np.zeros(2, int), processors=[processor])


@pytest.mark.parametrize(
    "model",
    [
        ar.AutoregressiveModel(Raster((3,)), GRU(width=4), GaussianMixture(1)),
        ar.AutoregressiveModel(Raster((3, 2), (1, 2)), GRU(width=4), EndOfSequence(Categorical(3))),
        ar.AutoregressiveModel(Raster((4,), (2,)), GRU(width=4), Categorical(3)),
        ar.Ensemble((ar.AutoregressiveModel(Raster((4,)), GRU(width=4), Categorical(3)),)),
    ],
    ids=["real", "end", "blocks", "ensemble"],
)
def test_steps_that_are_no_single_listed_variable_are_refused(model):
    with pytest.raises(ValueError, match=r"^model: expected"):
        ar.sample(model, {}, jax.random.key(0), batch_size=1, processors=[RepetitionPenalty(2.0)])


def texts(automaton, symbols, steps, end):
    """All that it can draw in so many steps, by trying every sequence of values."""
    rows = np.array(list(product(range(len(symbols)), repeat=steps)))
    state = automaton.init(jnp.full(rows.shape, -1))
    over, possible, length = np.zeros(len(rows), bool), np.ones(len(rows), bool), 0
    for t, values in enumerate(rows.T):
        over = over | np.asarray(automaton.done(state, t))
        log_pmf = automaton(jnp.zeros((len(rows), len(symbols))), state, t)
        possible &= over | np.isfinite(log_pmf[np.arange(len(rows)), values])
        length += ~over
        state = automaton.advance(state, values, t)
    spelled = [*symbols]
    if end is not None:
        spelled[end] = "$"
    return {
        "".join(spelled[value] for value in row[:n])
        for row, n in zip(rows[possible], length[possible], strict=True)
    }


@pytest.mark.parametrize(
    "pattern",
    [
        "a*b",
        "(ab)*",
        "a|bb|",
        "[ab]{2,3}c?",
        "(a|ab)(c|bcb)?",
        "[^a]+",
        r"\w\s?|\.",
        "",
        "(?i:aB)+",
    ],
)
@pytest.mark.parametrize("end", [None, 5])
def test_a_pattern_draws_what_python_s_regular_expressions_match(pattern, end):
    symbols = ["a", "b", "c", "ab", ".", "$" if end else " "]  # one of two characters
    every = {
        "".join(symbols[value] for value in values)
        for steps in range(4)
        for values in product(range(5 if end else 6), repeat=steps)
    }
    matching = {text for text in every if re.fullmatch(pattern, text, re.ASCII)}
    drawn = texts(regular_expression(pattern, symbols, end), symbols, 3, end)
    assert {text.removesuffix("$") for text in drawn} <= matching
    # What goes on is drawn on; with an end of its own every match that leaves room for it is drawn.
    if end:
        assert drawn >= {t + "$" for t in matching if len(t) < 3}
    assert all(any(d.startswith(text) for d in drawn) for text in matching)


def test_a_huge_penalty_leaves_what_is_possible_possible():
    """Else all would be minus infinity where all came before, and -0 * infinity NaN."""
    log_pmf = jnp.log(jnp.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]))
    state = jnp.array([[0, 1, 2, -1]] * 2)
    got = np.asarray(RepetitionPenalty(3e38)(log_pmf, state, 3))
    np.testing.assert_array_equal(np.isneginf(got), np.isneginf(log_pmf))
    assert not np.isnan(got).any()


@pytest.mark.parametrize(
    ("steps", "known", "message"),
    [
        (np.zeros((2, 3), int), -1, r"known: expected integers 0 \.\.\. 3, got values -1"),
        (np.zeros((2, 3), int), 4, r"known: expected integers 0 \.\.\. 3, got values 4"),
        (np.zeros((2, 3), int), 1.5, "known: .* got dtype float64"),
        (np.zeros(3, int), 0, r"steps: expected shape \[batch, length\], got \[3\]"),
    ],
)
def test_lengths_are_of_texts_of_which_no_more_is_known_than_they_have(steps, known, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        lengths([Stop(((1,),))], steps, known)
