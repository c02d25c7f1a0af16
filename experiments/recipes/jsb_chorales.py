"""JSB chorales: Bach's chorales as piano rolls of 88 keys at quarter notes.

The 229 / 76 / 77 pieces of Boulanger-Lewandowski et al. (arXiv 1206.6392), as
`jsb-chorales-quarter.json` of https://github.com/czhuang/JSB-Chorales-dataset:
{"train": pieces, "valid": pieces, "test": pieces}, a piece being a list of chords and a chord one
of MIDI numbers. A figure is in nats per chord. The pieces of a part are scored end to end in
windows of 32 chords, which know of nothing before them; the papers score each piece as a whole.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.datasets import JSBChorales
from ar_jax.datasets.jsb_chorales import KEYS
from ar_jax.experiment.plots import draw_images
from ar_jax.training import AdamW, Training
from experiments.recipes.base import Benchmark, Published, Recipe
from experiments.run import Experiment, Sample

WINDOW = 32


@dataclasses.dataclass(frozen=True)
class PiecesFile:
    """Where the pieces are.

    Attributes:
      path: the file jsb-chorales-quarter.json, from https://github.com/czhuang/JSB-Chorales-dataset.
    """

    path: str = ""

    places: ClassVar[tuple[str, ...]] = ("path",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class JsbChorales(Experiment):
    """Chorales chord by chord.

    Attributes:
      data: where they are, as JSON.
    """

    data: PiecesFile = PiecesFile()

    sample: ClassVar[Sample] = Sample()

    @cached_property
    def dataset(self) -> JSBChorales:
        return JSBChorales(self.data.path, WINDOW)

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
