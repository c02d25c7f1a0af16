"""What experiments on text, sound and music share."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

import ar_jax as ar
from ar_jax.checks import check_positive
from ar_jax.decoding import Processor, lengths


def continue_sequence(
    model: ar.AutoregressiveModel,
    variables: Any,
    key: jax.Array,
    known: np.ndarray,
    length: int,
    sampler: ar.Sampler,
    processors: Sequence[Processor] = (),
) -> np.ndarray:
    """Draws on beyond the length of an event, window after window.

    Each window begins with the second half of what is there, so that a value is drawn given half a
    window at least (or all that is there). Where the conditional's memory is bounded,
    `ar.with_length` and `ar.stream` draw on without windows.

    Args:
      model: of windows `(window,)` in raster order; with the context `Tokens` or `FirstToken` they
        are given the symbols before the window.
      variables: its parameters.
      key: random key.
      known: `[n]`, what is there: one step at least.
      length: how many values to draw.
      sampler: how a value is drawn.
      processors: what changes the probabilities in each window, whose beginning is what they know;
        the text ends where they end it.

    Returns:
      `[n + length]`, or fewer: what was known and what was drawn.
    """
    (window,), block = model.ordering.event, model.ordering.block_size
    reads_tokens = isinstance(model.context, ar.contexts.Tokens | ar.contexts.FirstToken)
    given = model.context.length if reads_tokens else 0
    if len(known) < max(given, block):
        raise ValueError(f"prompt: expected at least {max(given, block)} values, got {len(known)}")
    check_positive(length=length)
    sequence = known
    while len(sequence) < len(known) + length:
        kept = min(window // 2, len(sequence) - given) // block * block
        start = len(sequence) - kept
        drawn = ar.sample(
            model, variables, jax.random.fold_in(key, len(sequence)), sampler=sampler, batch_size=1,
            condition=sequence[None, start - given : start] if given else None,
            prefix=sequence[start:].reshape(1, -1, block) if kept else None, processors=processors,
        )  # fmt: skip
        end = int(lengths(processors, drawn, kept)[0]) if processors else window
        sequence = np.concatenate([sequence[:start], np.asarray(drawn)[0, :end]])
        if end < window:
            break
    return sequence[: len(known) + length]


def until(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """A text up to the first of some stops: a piece is held back while it may begin one.

    Args:
      pieces: of the text, one after the other; none is taken after a stop.
      stops: texts of a character at least.
    """
    if "" in stops:
        raise ValueError("stop: expected texts of one character at least, got ''")
    held = ""
    for piece in pieces:
        text = held + piece
        found = [text.index(stop) for stop in stops if stop in text]
        if found:
            yield text[: min(found)]
            return
        beginnings = [n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])]
        shown = len(text) - max(beginnings, default=0)
        yield text[:shown]
        held = text[shown:]
    yield held
