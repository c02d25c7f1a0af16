"""Chorales in four voices, chord by chord, by a GRU.

python -m experiments.chorales --data.path chorales.npz         train, evaluate and draw
python -m experiments.chorales evaluate                         the figures again
python -m experiments.chorales sample                           a piano roll in samples.png
python -m experiments.chorales --data.path chorales.npz --debug the same in seconds

A step is a chord, a sixteenth note long; the features of a chord are the condition of a small MADE
over its four pitches, from the soprano down. Windows are of 64 chords, four bars. Figures are in
bits per pitch; they cannot be compared with those of JSB chorales as piano rolls of quarter notes.
The data is an `.npz`, which `music21.corpus.chorales.Iterator` (of the package music21) fills in a
few lines.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax.checks import check_integers, check_positive, check_shape
from ar_jax.data import Splits, read_npz, split_pieces
from ar_jax.experiment.plots import draw_rolls
from ar_jax.training import AdamW, Training
from experiments.blocks import by_blocks
from experiments.run import Experiment, Sample, main
from experiments.sequences import deal_pieces, windows_of_pieces

WINDOW, VOICES, PITCHES = 64, 4, 128
BARS = 32
"""Steps of two bars."""


def chord_gru() -> ar.AutoregressiveModel:
    """Windows of chords, chord by chord, and voice by voice inside a chord."""
    return by_blocks(
        ar.orderings.Raster((WINDOW, VOICES), block=(1, VOICES)),
        ar.conditionals.GRU(layers=2, width=256),
        ar.heads.Categorical(PITCHES, embedding=16),
    )


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Where the chorales are.

    Attributes:
      path: an `.npz` of `pitch` (`[steps, 4]`, MIDI numbers at sixteenth notes, 0 for silence, all
        pieces one after the other) and `lengths` (steps of each piece).
    """

    path: str = ""

    places: ClassVar[tuple[str, ...]] = ("path",)


@dataclasses.dataclass(frozen=True)
class SampleChorales(Sample):
    """Draw chorales.

    Attributes:
      pieces: how many, of four bars each.
    """

    pieces: int = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chorales(Experiment):
    """Train a GRU on chorales, evaluate it and draw.

    Attributes:
      data: where the chorales are.
    """

    model: ar.AutoregressiveModel = dataclasses.field(default_factory=chord_gru)
    training: Training = Training(
        steps=2000, optimizer=AdamW(learning_rate=2e-3), log_every=50, validate_every=250
    )
    batch_size: int = 32
    folder: Path = Path("runs/chorales")
    data: Pieces = Pieces()

    sample: ClassVar[Sample] = SampleChorales()

    @cached_property
    def splits(self) -> Splits:
        path = self.data.path
        if not path:
            raise ValueError(
                "data.path: expected an .npz of chorales, got none: --data.path FILE, filled from "
                "music21.corpus.chorales.Iterator as --help tells"
            )
        arrays = read_npz(path)
        if missing := {"pitch", "lengths"} - arrays.keys():
            raise ValueError(f"{path}: expected an array {min(missing)}, got {', '.join(arrays)}")
        pitch = arrays["pitch"]
        check_shape(f"{path}, pitch", pitch, ("steps", VOICES))
        check_integers(f"{path}, pitch", pitch, 0, PITCHES - 1)
        pieces = split_pieces(f"{path}, lengths", pitch.astype(np.int32), arrays["lengths"])
        parts = without_doublets(path, deal_pieces(path, pieces))
        return windows_of_pieces(path, parts, WINDOW, self.debug)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        check_positive(pieces=options.pieces)
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), batch_size=options.pieces,
            sampler=options.sampler,
        )  # fmt: skip
        data = self.splits.test.batch(np.arange(min(options.pieces, len(self.splits.test))))["x"]
        path = path.with_suffix(".png")
        draw_rolls(path, {"samples": np.asarray(drawn), "data": data})
        return path


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


if __name__ == "__main__":
    main(Chorales(), __doc__ or "")
