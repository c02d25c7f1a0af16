"""Patterns from anyone: bounded in time and memory, and matching what Python's own match."""

import re
import time
import warnings
from itertools import product

import numpy as np
import pytest

from ar_jax.inference import regular_expressions
from ar_jax.inference.regular_expressions import regular_expression

SYMBOLS = "abc"


@pytest.mark.parametrize(
    "pattern",
    ["(", "^a", "a$", r"(a)\1", r"a\b", "a(?!b)", "(?<=a)b", "[", "(?>a)", "a++", "(a)(?(1)b|c)"],
)
def test_a_pattern_that_is_not_understood_is_refused(pattern):
    with pytest.raises(ValueError, match=r"^pattern: expected a regular expression without"):
        regular_expression(pattern, SYMBOLS)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(a{1000}){1000}", "at most 1000 characters once counts are written out"),
        ("((a{0,999}){0,999}){0,999}", "at most 1000 characters once counts are written out"),
        ("a{4294967294}", "at most 1000 characters once counts are written out"),
        ("a{99999999999}", "a regular expression without"),
        ("(a|b)*a(a|b){20}", "at most 4096 states"),
        ("(" * 4000, "a regular expression without"),
        ("(" * 1500 + "a" + ")" * 1500, "a regular expression without"),
        ("a" * 4097, "at most 4096 characters, got 4097"),
    ],
    ids=lambda text: text[:20],
)
def test_a_pattern_that_would_take_for_ever_is_refused_at_once(pattern, message):
    start = time.process_time()
    with pytest.raises(ValueError, match=f"^pattern: expected {message}"):
        regular_expression(pattern, SYMBOLS)
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    "pattern",
    [
        "((){1000000}){1000000}",
        "((a{0}){1000000}){1000000}",
        "((((a*)*)*)+)*",
        "[\0-\U0010ffff]{1000}",
        "".join(f"(?i:[{chr(200 + i)}-\U0010fff0])" for i in range(400)),
        "(a?){1000}",
        ".{0,1000}",
    ],
    ids=lambda text: ascii(text[:20]),
)
def test_a_pattern_within_the_bounds_takes_seconds(pattern):
    start = time.process_time()
    regular_expression(pattern, [chr(i) for i in range(2000)])
    assert time.process_time() - start < 10


def test_states_times_a_vocabulary_are_bounded(monkeypatch):
    monkeypatch.setattr(regular_expressions, "CELLS", 12)
    regular_expression("aa", SYMBOLS)  # 3 states of 4 characters
    with pytest.raises(ValueError, match=r"^pattern: expected at most 12 states times .* 4 times"):
        regular_expression("aaa", [*SYMBOLS[:2], "ab"])


def test_random_patterns_match_what_python_matches_or_are_refused():
    """A seed and a count: always the same patterns."""
    rng = np.random.default_rng(0)
    pieces = ["a", "b", "c", "|", "(", ")", "(?:", "*", "+", "?", "{2}", "{0,2}", "{1,}", "[ab]"]
    pieces += ["[^a]", ".", r"\w", "(?i:", "A", "*?", "^", "(?=", "[", "]", "{", "-", "\\"]
    steps, known = 3, 0
    every = ["".join(t) for n in range(steps + 1) for t in product(SYMBOLS, repeat=n)]
    for _ in range(800):
        pattern = "".join(rng.choice(pieces, rng.integers(1, 7)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's on sets and flags
            try:
                automaton = regular_expression(pattern, SYMBOLS)
            except ValueError as error:
                if not str(error).startswith("pattern: expected"):
                    raise
                continue
            matcher = re.compile(pattern, re.ASCII)
        known += 1
        accepting = np.asarray(automaton.distance) == 0
        table = np.asarray(automaton.table)
        for text in every:
            state = 0
            for letter in text:
                state = table[state, SYMBOLS.index(letter)] if state >= 0 else -1
            accepted = bool(state >= 0 and accepting[state])
            assert accepted == bool(matcher.fullmatch(text)), (pattern, text)
    assert known > 150
