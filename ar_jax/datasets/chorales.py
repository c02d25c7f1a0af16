"""Bach's chorales in four voices, from music21."""

import dataclasses

import numpy as np

from ar_jax.checks import check_integers, check_shape
from ar_jax.data import Chunks, Splits, read_npz, split_pieces
from ar_jax.datasets.base import Dataset, Origin, place
from ar_jax.datasets.windows import deal_pieces, random_windows, windows_of_pieces

VOICES, PITCHES = 4, 128
BARS = 32
"""Steps of two bars."""


@dataclasses.dataclass(frozen=True)
class Chorales(Dataset):
    """Chorales chord by chord, a sixteenth note long: windows int32 `[window, 4]` of MIDI numbers.

    A tenth of the pieces validates, a tenth tests, without those that are known in another key.
    Figures cannot be compared with those of `JSBChorales`.

    Attributes:
      path: an `.npz` of `pitch` (`[steps, 4]`, MIDI numbers at sixteenth notes, 0 for silence, all
        pieces one after the other) and `lengths` (steps of each piece).
      window: chords of an event.
    """

    path: str = place()
    window: int = 64

    @property
    def origin(self) -> Origin:
        address = "https://github.com/cuthbertLab/music21"
        get = "--data.path FILE, filled from music21.corpus.chorales.Iterator as --help tells"
        return Origin(address, f"{get} ({address})")

    def load(self) -> Splits[Chunks]:
        path = self.path
        if not path:
            raise self.missing("path", "an .npz of chorales")
        arrays = read_npz(path)
        if missing := {"pitch", "lengths"} - arrays.keys():
            raise ValueError(f"{path}: expected an array {min(missing)}, got {', '.join(arrays)}")
        pitch = arrays["pitch"]
        check_shape(f"{path}, pitch", pitch, ("steps", VOICES))
        check_integers(f"{path}, pitch", pitch, 0, PITCHES - 1)
        pieces = split_pieces(f"{path}, lengths", pitch.astype(np.int32), arrays["lengths"])
        parts = without_doublets(path, deal_pieces(path, pieces))
        return windows_of_pieces(path, parts, self.window)

    def fake(self) -> Splits[Chunks]:
        return random_windows(PITCHES, self.window, (VOICES,))


def without_doublets(path: str, parts: Splits[list[np.ndarray]]) -> Splits[list[np.ndarray]]:
    """Leaves out pieces that validate or test, and are known from a part or a piece before.

    A piece is known if half of its stretches of two bars, or half of the other's, are the same up
    to transposition: the collection holds several chorales in two keys, or from two sources.

    Raises:
      ValueError: when no piece is left to validate or to test.
    """
    known, kept = [stretches(piece) for piece in parts.train], []
    for part in (parts.validation, parts.test):
        kept.append([])
        for piece in part:
            own = stretches(piece)
            if not any(2 * len(own & other) >= min(len(own), len(other)) > 0 for other in known):
                kept[-1].append(piece)
            known.append(own)
    for name, part in zip(("validation", "test"), kept, strict=True):
        if not part:
            raise ValueError(
                f"{path}: expected pieces in the {name} part that are not those of another part in "
                "some key, got none; give more pieces"
            )
    return Splits(parts.train, *kept)


def stretches(piece: np.ndarray) -> set[bytes]:
    """All stretches of two bars of a piece `[steps, voices]`, whatever their key."""
    found = set()
    for bars in np.lib.stride_tricks.sliding_window_view(piece, BARS, axis=0):
        sounding = bars > 0
        if sounding.any():
            lowest = bars[sounding].min()
            found.add(np.where(sounding, bars - lowest, -1).astype(np.int16).tobytes())
    return found
