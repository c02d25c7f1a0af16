"""Regular expressions over what the values of a step stand for."""

from collections.abc import Sequence

import numpy as np
from outlines_core import Index, Vocabulary

from ar_jax.decoding import Automaton


def regular_expression(
    pattern: str, symbols: Sequence[str | bytes | None], end: int | None = None
) -> Automaton:
    """What a model draws when its text after the prefix, as a whole, is to match a pattern.

        digits = regular_expression(r"[0-9]{4}-[0-9]{2}", characters.symbols)
        ar.sample(model, variables, key, batch_size=4, processors=[digits])

    Args:
      pattern: in the syntax of Rust's regex crate, without anchors, look-around, back references
        and word boundaries.
      symbols: what each value stands for: a character, a byte or several; None for what no text
        holds.
      end: the value that ends a text, wherever it matches; left out, a text ends where nothing more
        can follow.

    Raises:
      ValueError: when the pattern is not understood, or the symbols cannot match it.
    """
    tokens: dict[str | bytes, list[int]] = {}
    for value, symbol in enumerate(symbols):
        if symbol and value != end:
            tokens.setdefault(symbol, []).append(value)
    over = len(symbols)  # stands for the end of a text, in the index
    try:
        index = Index(pattern, Vocabulary(over, tokens))
    except ValueError as error:
        raise ValueError(
            f"pattern: expected one that the symbols can match, got {pattern!r}: {error}"
        ) from error
    ways, accepting = index.get_transitions(), index.get_final_states()
    first = index.get_initial_state()
    rows = {state: row for row, state in enumerate([first, *sorted(ways.keys() - {first})])}
    table = np.full((len(rows) + 1, len(symbols)), -1)  # the last row: after the end
    for state, row in rows.items():
        for value, after in ways[state].items():
            if value != over:
                table[row, value] = rows[after]
    accepts = np.array([rows[state] for state in accepting & rows.keys()], int)
    if end is not None:
        table[accepts, end] = len(rows)
    return Automaton.accepting(table, np.append(accepts, len(rows)))
