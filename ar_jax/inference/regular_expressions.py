"""Regular expressions over what the values of a step stand for."""

import re
from collections.abc import Iterator, Sequence
from re import _compiler, _constants, _parser  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any, NamedTuple

import numpy as np

from ar_jax.decoding import Automaton

UNKNOWN = "anchors, look-around, back references, word boundaries and atomic groups"

LENGTH, PLACES, STATES, CELLS = 4096, 1000, 4096, 2**28
"""The most characters of a pattern, characters that it matches when its counts are written out,
states of its automaton, and states times characters of all symbols."""


def regular_expression(
    pattern: str, symbols: Sequence[str | None], end: int | None = None
) -> Automaton:
    """What a model draws when its text after the prefix, as a whole, is to match a pattern.

        date = regular_expression(r"[0-9]{4}-[0-9]{2}", characters.symbols)
        ar.sample(model, variables, key, batch_size=4, processors=[date])

    The work is bounded, whoever wrote the pattern: by `LENGTH` characters of it, `PLACES` single
    characters once counts such as `{3}` are written out, `STATES` states and `CELLS` cells.

    Args:
      pattern: in Python's syntax, with classes of ASCII characters, and without `UNKNOWN`.
      symbols: what each value stands for: a character or several; None or "" for what no text
        holds.
      end: the value that ends a text, wherever it matches; left out, a text ends where nothing
        more can follow.

    Raises:
      ValueError: when the pattern is not understood, or larger than that. One that the symbols
        cannot match is found when something is to be drawn.
    """
    texts = [symbol or "" for symbol in symbols]
    letters = sorted(set("".join(texts)))
    places = Places.of(pattern)
    classes, masks = places.classes(letters)
    ways, accepting = places.states(masks)
    sizes = np.array([len(text) for text in texts], int)
    if len(ways) * sizes.sum() > CELLS:
        raise ValueError(
            f"pattern: expected at most {CELLS} states times characters of symbols, got "
            f"{len(ways)} times {sizes.sum()}"
        )
    over, nowhere = len(ways), len(ways) + 1  # after the end, and where no way leads
    step = np.full((len(ways) + 2, len(letters)), nowhere, np.int32)
    for state, after in enumerate(ways):
        step[state] = np.array([after.get(mask, nowhere) for mask in masks], int)[classes]
    table = np.tile(np.arange(len(step), dtype=np.int32)[:, None], len(texts))  # [states, values]
    column = {letter: index for index, letter in enumerate(letters)}
    for place in range(sizes.max(initial=0)):
        longer = np.flatnonzero(sizes > place)
        read = [column[texts[value][place]] for value in longer]
        table[:, longer] = step[table[:, longer], read]
    table[:, sizes == 0] = nowhere
    if end is not None:
        table[:, end] = nowhere
        table[accepting, end] = over
    table = np.where(table == nowhere, -1, table)[:nowhere]
    return Automaton.accepting(table, np.append(accepting, over))


class Part(NamedTuple):
    """A part of a pattern, by its places: sets of them are the bits of an integer."""

    empty: bool
    """Whether it matches the empty text."""
    first: int
    """Where what it matches begins."""
    last: int
    """Where it ends."""


EMPTY = Part(True, 0, 0)


class Places:
    """The places of a pattern, one for each character that it matches, and what follows each.

    Glushkov's automaton ("The abstract theory of automata", 1961). Place 0 is before the text.
    """

    def __init__(self, unlike: str) -> None:
        self._unlike = unlike
        self._leaves: dict[str, Any] = {}  # what matches one character, compiled
        self._at: dict[str, int] = {}  # the places of each
        self._follow = [0]
        self._ends = 0

    @classmethod
    def of(cls, pattern: str) -> "Places":
        """Those of a pattern."""
        unlike = f"pattern: expected a regular expression without {UNKNOWN}, got {pattern[:80]!r}"
        if len(pattern) > LENGTH:
            raise ValueError(f"pattern: expected at most {LENGTH} characters, got {len(pattern)}")
        places = cls(unlike)
        try:
            parsed = _parser.parse(pattern, re.ASCII)
            whole = places._part(parsed, parsed.state.flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(unlike) from error
        places._follow[0] = whole.first
        places._ends = whole.last | whole.empty
        return places

    def _part(self, parsed: Any, flags: int) -> Part:
        """What Python's parser made of a part."""
        whole = EMPTY
        for kind, given in parsed:
            match kind:
                case _constants.BRANCH:
                    ways = [self._part(way, flags) for way in given[1]]
                    part = Part(
                        any(way.empty for way in ways),
                        _union(way.first for way in ways),
                        _union(way.last for way in ways),
                    )
                case _constants.SUBPATTERN:
                    _, added, removed, inner = given
                    part = self._part(inner, (flags | added) & ~removed)
                case _constants.MAX_REPEAT | _constants.MIN_REPEAT:
                    least, most, inner = given
                    part = self._repeated(least, most, inner, flags)
                case _constants.LITERAL | _constants.NOT_LITERAL | _constants.ANY | _constants.IN:
                    part = self._leaf((kind, given), flags)
                case _:
                    raise ValueError(self._unlike)
            whole = self._joined(whole, part)
        return whole

    def _repeated(self, least: int, most: int, parsed: Any, flags: int) -> Part:
        """A part so many times, each of which has places of its own."""
        whole, tail = EMPTY, EMPTY
        for _ in range(least):
            part = self._part(parsed, flags)
            if part == EMPTY:
                return EMPTY
            whole = self._joined(whole, part)
        if most is _constants.MAXREPEAT:
            again = self._part(parsed, flags)
            self._joined(again, again)
            return self._joined(whole, again._replace(empty=True))
        for _ in range(most - least):
            part = self._part(parsed, flags)
            if part == EMPTY:
                break
            tail = self._joined(part, tail)._replace(empty=True)
        return self._joined(whole, tail)

    def _leaf(self, leaf: Any, flags: int) -> Part:
        """What matches one character."""
        key, place = f"{flags} {leaf}", len(self._follow)
        if place > PLACES:
            raise ValueError(
                f"pattern: expected at most {PLACES} characters once counts are written out, got "
                "more; repeat less"
            )
        if key not in self._leaves:
            state = _parser.State()
            state.flags = flags
            self._leaves[key] = _compiler.compile(_parser.SubPattern(state, [leaf]), flags)
        self._at[key] = self._at.get(key, 0) | 1 << place
        self._follow.append(0)
        return Part(False, 1 << place, 1 << place)

    def _joined(self, one: Part, other: Part) -> Part:
        """One part after the other."""
        for place in _members(one.last):
            self._follow[place] |= other.first
        return Part(
            one.empty and other.empty,
            one.first | (other.first if one.empty else 0),
            other.last | (one.last if other.empty else 0),
        )

    def classes(self, letters: Sequence[str]) -> tuple[np.ndarray, list[int]]:
        """Letters that the pattern does not tell apart: the class of each, and their places."""
        at = [0] * len(letters)
        for key, leaf in self._leaves.items():
            for found in leaf.finditer("".join(letters)):
                at[found.start()] |= self._at[key]
        masks = sorted(set(at))
        index = {mask: number for number, mask in enumerate(masks)}
        return np.array([index[mask] for mask in at], int), masks

    def states(self, masks: Sequence[int]) -> tuple[list[dict[int, int]], np.ndarray]:
        """Sets of places as states: where the letters of each class lead, and which accept."""
        states, rows, ways = [1], {1: 0}, []
        for state in states:  # which grow meanwhile
            follow, after = _union(self._follow[place] for place in _members(state)), {}
            for mask in masks:
                if reached := follow & mask:
                    if reached not in rows:
                        rows[reached] = len(states)
                        states.append(reached)
                    after[mask] = rows[reached]
            ways.append(after)
            if len(states) > STATES:
                raise ValueError(f"pattern: expected at most {STATES} states, got more; say less")
        return ways, np.array([rows[state] for state in states if state & self._ends], int)


def _members(places: int) -> Iterator[int]:
    """The places of a set."""
    while places:
        yield (places & -places).bit_length() - 1
        places &= places - 1


def _union(sets: Any) -> int:
    whole = 0
    for each in sets:
        whole |= each
    return whole
