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
from ar_jax import datasets
from ar_jax.checks import check_positive
from ar_jax.datasets.chorales import PITCHES, VOICES
from ar_jax.experiment.plots import draw_rolls
from ar_jax.training import AdamW, Training
from experiments.blocks import by_blocks
from experiments.run import Experiment, Sample, main

WINDOW = 64


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
    def dataset(self) -> datasets.Chorales:
        return datasets.Chorales(self.data.path, WINDOW)

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


if __name__ == "__main__":
    main(Chorales(), __doc__ or "")
