"""Regular expressions over what the values of a step stand for."""

import re
from collections.abc import Sequence

import numpy as np
from interegular import InvalidSyntax, Unsupported, parse_pattern

from ar_jax.decoding import Automaton

UNKNOWN = "anchors, look-around, back references and word boundaries"


def regular_expression(
    pattern: str, symbols: Sequence[str | None], end: int | None = None
) -> Automaton:
    """What a model draws when its text after the prefix, as a whole, is to match a pattern.

        date = regular_expression(r"[0-9]{4}-[0-9]{2}", characters.symbols)
        ar.sample(model, variables, key, batch_size=4, processors=[date])

    Args:
      pattern: in Python's syntax, with classes of ASCII characters, and without `UNKNOWN`.
      symbols: what each value stands for: a character or several; None or "" for what no text
        holds.
      end: the value that ends a text, wherever it matches; left out, a text ends where nothing
        more can follow.

    Raises:
      ValueError: when the pattern is not understood. One that the symbols cannot match is found
        when something is to be drawn.
    """
    unlike = f"pattern: expected a regular expression without {UNKNOWN}, got {pattern!r}"
    if re.search(r"(?<!\\)\(\?<?[=!]", pattern):
        raise ValueError(unlike)
    try:
        machine = parse_pattern(pattern).to_fsm().reduce()
    except (InvalidSyntax, Unsupported) as error:
        raise ValueError(unlike) from error
    ordered = sorted(machine.states, key=lambda state: state != machine.initial)
    states = {state: row for row, state in enumerate(ordered)}  # the start is the first
    over, nowhere = len(states), len(states) + 1  # after the end, and where no way leads
    texts = [symbol or "" for symbol in symbols]
    letters = {letter: column for column, letter in enumerate(sorted(set("".join(texts))))}
    step = np.full((len(states) + 2, len(letters) + 1), nowhere)
    step[:, len(letters)] = np.arange(len(step))  # no letter, which fills up the shorter symbols
    for state, ways in machine.map.items():
        for letter, column in letters.items():
            after = ways.get(machine.alphabet[letter])  # pyright: ignore[reportArgumentType]
            step[states[state], column] = nowhere if after is None else states[after]
    spelling = np.full((len(texts), max(map(len, texts), default=0)), len(letters))
    for row, text in zip(spelling, texts, strict=True):
        row[: len(text)] = [letters[letter] for letter in text]
    table = np.tile(np.arange(len(step))[:, None], len(texts))  # [states, values]
    for column in spelling.T:
        table = step[table, column]
    table[:, [not text for text in texts]] = nowhere
    accepting = np.array([states[state] for state in machine.finals], int)
    if end is not None:
        table[:, end] = nowhere
        table[accepting, end] = over
    table = np.where(table == nowhere, -1, table)[:nowhere]
    return Automaton.accepting(table, np.append(accepting, over))
