"""JSB chorales: Bach's chorales as piano rolls of 88 keys at quarter notes.

The 229 / 76 / 77 pieces of Boulanger-Lewandowski et al. (arXiv 1206.6392), as
`jsb-chorales-quarter.json` of https://github.com/czhuang/JSB-Chorales-dataset:
{"train": pieces, "valid": pieces, "test": pieces}, a piece being a list of chords and a chord one
of MIDI numbers. A figure is in nats per chord. The pieces of a part are scored end to end in
windows of 32 chords, which know of nothing before them; the papers score each piece as a whole.
"""

import dataclasses
import json
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.data import Chunks, Splits, read_text
from ar_jax.experiment.plots import draw_images
from ar_jax.training import AdamW, Training
from experiments.recipes.base import Benchmark, MadeUp, Published, Recipe
from experiments.run import Sample
from experiments.sequences import windows_of_pieces

WINDOW, KEYS, LOWEST = 32, 88, 21


@dataclasses.dataclass(frozen=True)
class PiecesFile:
    """Where the pieces are.

    Attributes:
      path: the file jsb-chorales-quarter.json, from https://github.com/czhuang/JSB-Chorales-dataset.
    """

    path: str = ""

    places: ClassVar[tuple[str, ...]] = ("path",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JsbChorales(MadeUp):
    """Chorales chord by chord; --debug makes some up.

    Attributes:
      data: where they are, as JSON.
    """

    data: PiecesFile = PiecesFile()

    sample: ClassVar[Sample] = Sample()

    @cached_property
    def splits(self) -> Splits[Chunks]:
        if self.debug:
            keys = np.random.default_rng(0).integers(0, 2, (3, 20, WINDOW, KEYS), np.int32)
            return windows_of_pieces("", Splits(*map(list, keys)), WINDOW)
        return windows_of_pieces(self.data.path, self.pieces(), WINDOW)

    def pieces(self) -> Splits[list[np.ndarray]]:
        """The pieces of each part: `[chords, 88]` each."""
        if not self.data.path:
            raise ValueError(
                "data.path: expected jsb-chorales-quarter.json, got none: --data.path FILE, from "
                "https://github.com/czhuang/JSB-Chorales-dataset"
            )
        path = self.data.path
        text = read_text(path, limit=2**26)
        try:
            parts = json.loads(text)
            names = ("train", "valid", "test")
            return Splits(*([piano_roll(piece) for piece in parts[name]] for name in names))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{path}: expected train, valid and test, each a list of pieces, which are lists "
                f"of chords, which are lists of MIDI numbers, got {error!r}"
            ) from error

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), batch_size=4,
            sampler=options.sampler,
        )  # fmt: skip
        panels = {"samples": drawn, "data": self.splits.test.batch(np.arange(4))["x"]}
        path = path.with_suffix(".png")
        shown = {
            title: np.swapaxes(rolls, 1, 2)[:, None, ::-1, :, None]
            for title, rolls in panels.items()
        }
        draw_images(path, shown, levels=2)
        return path


def piano_roll(chords: list[list[int]]) -> np.ndarray:
    """A piece, 1 where a key is down: `[chords, 88]`, int32."""
    roll = np.zeros((len(chords), KEYS), np.int32)
    for row, chord in zip(roll, chords, strict=True):
        for note in chord:
            if not (LOWEST <= note < LOWEST + KEYS and note == int(note)):
                raise ValueError(f"note {note}, none of {LOWEST} ... {LOWEST + KEYS - 1}")
            row[int(note) - LOWEST] = 1
    return roll


def chorales(conditional: conditionals.Conditional, head: ar.heads.Head) -> JsbChorales:
    """Windows of 32 chords."""
    ordering = ar.orderings.Raster((WINDOW, KEYS), block=(1, KEYS))
    training = Training(
        steps=5000, optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01), log_every=50,
        validate_every=100,
    )  # fmt: skip
    model = ar.AutoregressiveModel(ordering, conditional, head)
    return JsbChorales(model=model, training=training, batch_size=16, folder=Path())


def nade_of_keys() -> ar.heads.Nested:
    """The keys of a chord one after the other, from the lowest up."""
    return ar.heads.Nested(
        ar.AutoregressiveModel(
            ar.orderings.Raster((KEYS,)), conditionals.NADE(hidden=150), ar.heads.Bernoulli(),
            ar.contexts.Vector(size=128, width=128),
        )
    )  # fmt: skip


SOON = "two CPU cores; not timed"

BENCHMARK = Benchmark(
    "JSB chorales",
    "77 pieces, quarter notes, 88 keys, in windows of 32 chords, where the papers score "
    "whole pieces; 76 others chose",
    "nats/chord",
    {
        "gru_nade": Recipe(
            chorales(conditionals.GRU(layers=1, width=200, dropout=0.5), nade_of_keys()),
            "after arXiv 1206.6392, with a GRU in place of its recurrent network", SOON,
        ),
        "tcn": Recipe(
            chorales(
                conditionals.TCN(layers=2, channels=150, kernel=3, dropout=0.5),
                ar.heads.Bernoulli(),
            ),
            "arXiv 1803.01271", SOON,
            Published(8.10, "arXiv 1803.01271", "whole pieces"),
        ),
        "gru": Recipe(
            chorales(conditionals.GRU(layers=1, width=200, dropout=0.5), ar.heads.Bernoulli()),
            "arXiv 1406.1078", SOON,
            Published(8.43, "arXiv 1803.01271", "whole pieces; the size of its GRU unverified"),
        ),
    },
    variables=KEYS,
)  # fmt: skip
