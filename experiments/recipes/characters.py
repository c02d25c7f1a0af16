"""Wikipedia by character: text8 and enwik8.

Both are the first 100 million characters of a dump of 2006, from http://mattmahoney.net/dc/:
enwik8 as bytes, text8 as letters and spaces. 90 million train, 5 million validate, the last 5
million test. They are scored in windows of 512 side by side, so that a character sees 255 before it
in the mean; the papers score each character with all the context that their network takes, which is
worth a few hundredths of a bit.

`our_transformer` is no network of a paper. Nearest is the T12 of arXiv 1808.04444 (1.18 on text8,
1.11 on enwik8): 12 layers of 512 with 2,048 hidden units, too, but 44 million parameters with
learned positions in every layer, dropout of 0.55, auxiliary losses and 4 million steps, where ours
has rotary positions, dropout of 0.1, one loss and 400,000 steps.
"""

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

import ar_jax as ar
from ar_jax import conditionals, nn
from ar_jax.datasets import Enwik8, Text8
from ar_jax.training import AdamW, Cosine, Training
from experiments.recipes.base import NOT_TIMED, Benchmark, Recipe
from experiments.shakespeare_transformer import SampleText
from experiments.text import ByteExperiment

WINDOW = 512


@dataclasses.dataclass(frozen=True)
class Unpacked:
    """Where the text is.

    Attributes:
      path: the file text8 or enwik8, unpacked from http://mattmahoney.net/dc/text8.zip or
        http://mattmahoney.net/dc/enwik8.zip.
    """

    path: str = ""

    places: ClassVar[tuple[str, ...]] = ("path",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wikipedia(ByteExperiment):
    """Characters of Wikipedia.

    Attributes:
      name: of the text.
      data: where it is, unpacked.
    """

    name: Literal["text8", "enwik8"]
    data: Unpacked = Unpacked()

    sample: ClassVar[SampleText] = SampleText(prompt=" ")
    small_sample: ClassVar[SampleText] = SampleText(prompt=" ", length=20)

    @cached_property
    def dataset(self) -> Text8:
        return {"text8": Text8, "enwik8": Enwik8}[self.name](self.data.path, WINDOW)


def characters(
    name: Literal["text8", "enwik8"], conditional: conditionals.Conditional, width: int
) -> Wikipedia:
    """Windows of 512 characters, each of which may be any byte."""
    model = ar.AutoregressiveModel(
        ar.orderings.Raster((WINDOW,)), conditional, ar.heads.Categorical(256, embedding=width)
    )
    training = Training(
        steps=400_000,
        optimizer=AdamW(learning_rate=5e-4, schedule=Cosine(warmup=0.01), weight_decay=0.1),
        precision="bfloat16", log_every=100, validate_every=10_000,
    )  # fmt: skip
    return Wikipedia(name=name, model=model, training=training, batch_size=64, folder=Path())


def benchmark(name: Literal["text8", "enwik8"]) -> Benchmark:
    """A text, with networks of our own sizes."""
    attention = conditionals.Transformer(
        layers=12, width=512, heads=8, hidden=2048, dropout=0.1,
        positions=nn.Rotary(),
    )  # fmt: skip
    state_space = conditionals.Mamba(layers=24, width=512, dropout=0.1)
    return Benchmark(
        name,
        "the last 5 million characters, in windows of 512, where the papers see more before; the "
        "5 million before them chose; our_transformer is not the T12 of arXiv 1808.04444: rotary "
        "positions, dropout of 0.1, no auxiliary losses, a tenth of its steps",
        "bits/character",
        {
            "our_transformer": Recipe(
                characters(name, attention, 512), "after arXiv 1706.03762, 2104.09864", NOT_TIMED
            ),
            "mamba": Recipe(
                characters(name, state_space, 512), "after arXiv 2312.00752", NOT_TIMED
            ),
        },
        variables=1,
    )  # fmt: skip


BENCHMARKS: Mapping[str, Benchmark] = {
    "text8": benchmark("text8"),
    "enwik8": benchmark("enwik8"),
}
