"""JSB chorales: Bach's chorales as piano rolls."""

import dataclasses
import json

import numpy as np

from ar_jax.data import Chunks, Splits, read_text
from ar_jax.datasets.base import Dataset, Origin, place
from ar_jax.datasets.windows import windows_of_pieces

KEYS, LOWEST = 88, 21


@dataclasses.dataclass(frozen=True)
class JSBChorales(Dataset):
    """Piano rolls of 88 keys at quarter notes: windows int32 `[window, 88]`, 1 for a key down.

    The 229 / 76 / 77 pieces of Boulanger-Lewandowski et al. (arXiv 1206.6392). The pieces of a part
    lie end to end in windows, which know of nothing before them; papers score whole pieces.

    Attributes:
      path: the file jsb-chorales-quarter.json, from
        https://github.com/czhuang/JSB-Chorales-dataset: {"train": pieces, "valid": pieces, "test":
        pieces}, a piece being a list of chords and a chord one of MIDI numbers.
      window: chords of an event.
    """

    path: str = place()
    window: int = 32

    @property
    def origin(self) -> Origin:
        address = "https://github.com/czhuang/JSB-Chorales-dataset"
        return Origin(address, f"--data.path FILE, from {address}")

    def load(self) -> Splits[Chunks]:
        path = self.path
        if not path:
            raise self.missing("path", "jsb-chorales-quarter.json")
        text = read_text(path, limit=2**26)
        try:
            parts = json.loads(text)
            names = ("train", "valid", "test")
            pieces = Splits(*([piano_roll(piece) for piece in parts[name]] for name in names))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}: expected train, valid and test, each a list of pieces, which are lists "
                f"of chords, which are lists of MIDI numbers, got {error!r}"
            ) from error
        return windows_of_pieces(path, pieces, self.window)

    def fake(self) -> Splits[Chunks]:
        keys = np.random.default_rng(0).integers(0, 2, (3, 20, self.window, KEYS), np.int32)
        return windows_of_pieces("", Splits(*map(list, keys)), self.window)


def piano_roll(chords: list[list[int]]) -> np.ndarray:
    """A piece, 1 where a key is down: `[chords, 88]`, int32."""
    roll = np.zeros((len(chords), KEYS), np.int32)
    for row, chord in zip(roll, chords, strict=True):
        for note in chord:
            if not (LOWEST <= note < LOWEST + KEYS and note == int(note)):
                raise ValueError(f"note {note}, none of {LOWEST} ... {LOWEST + KEYS - 1}")
            row[int(note) - LOWEST] = 1
    return roll
