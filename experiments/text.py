"""Text byte by byte, by a transformer that looks back 256 bytes.

python -m experiments.text --data.path kjv.txt.gz              train, evaluate and draw
python -m experiments.text evaluate                            the figures again
python -m experiments.text sample --prompt "In the beginning"  writes samples.txt
python -m experiments.text compress FILES --to X.arj           by the trained model, without loss
python -m experiments.text decompress X.arj --to FOLDER        and back
python -m experiments.text --data.path kjv.txt.gz --debug      the same in seconds

The data is any one text; its last 100,000 bytes test (of a short one a tenth), and as many before
them validate. Nothing in the model knows of a length, so that what was trained on windows codes
streams of any length.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax import datasets
from ar_jax.data import Bytes
from ar_jax.durable import write
from ar_jax.experiment.folder import read_bytes
from ar_jax.training import AdamW, Cosine, Training
from experiments.run import Experiment, Sample, main
from experiments.sequences import continue_sequence
from experiments.shakespeare_transformer import SampleText

WINDOW = 512


def byte_transformer(layers: int, width: int, window: int) -> ar.AutoregressiveModel:
    """Bytes one after the other, by a transformer with relative places.

    Args:
      layers: how many.
      width: of the residual stream.
      window: how far a layer looks back.
    """
    return ar.AutoregressiveModel(
        ordering=ar.orderings.Raster((WINDOW,)),
        conditional=ar.conditionals.Transformer(
            layers=layers, width=width, heads=4, positions=ar.nn.Rotary(),
            window=window,
        ),
        head=ar.heads.Categorical(Bytes.vocabulary, embedding=width),
    )  # fmt: skip


def byte_training(steps: int) -> Training:
    """How a model of bytes is trained."""
    return Training(
        steps=steps,
        optimizer=AdamW(
            learning_rate=2e-3, schedule=Cosine(warmup=0.05, final=0.05), weight_decay=0.1,
            beta2=0.99,
        ),
        ema_decay=0.0,
        validate_every=250,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TextFile:
    """Where the text is.

    Attributes:
      path: of a text in UTF-8, compressed if it ends in `.gz`.
    """

    path: str = ""

    places: ClassVar[tuple[str, ...]] = ("path",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ByteExperiment(Experiment):
    """Bytes, one after the other."""

    batch_size: int = 8

    streams: ClassVar[bool] = True
    sample: ClassVar[Sample] = SampleText()

    def read(self, path: Path) -> np.ndarray:
        return np.frombuffer(read_bytes(path), np.uint8).astype(np.int32)

    def written(self, values: np.ndarray, name: str) -> bytes:
        return values.astype(np.uint8).tobytes()

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        known, key = Bytes().encode(options.prompt), jax.random.key(options.seed)
        drawn = continue_sequence(
            self.model, variables, key, known, options.length, options.sampler
        )
        path = path.with_suffix(".txt")
        write(path, Bytes().decode(drawn) + "\n")
        return path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(ByteExperiment):
    """Train a transformer on the bytes of a text, evaluate it and draw.

    Attributes:
      data: where the text is.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: byte_transformer(layers=4, width=128, window=256)
    )
    training: Training = byte_training(steps=1500)
    folder: Path = Path("runs/text")
    data: TextFile = TextFile()

    @cached_property
    def dataset(self) -> datasets.Text:
        return datasets.Text(self.data.path, WINDOW)


if __name__ == "__main__":
    main(Text(), __doc__ or "")
