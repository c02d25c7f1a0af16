"""Speech at 8 kHz, by a transformer over blocks of samples.

python -m experiments.speech --data.path sounds/         train, evaluate and draw
python -m experiments.speech evaluate                    the figures again
python -m experiments.speech sample --seconds 4          writes samples.wav
python -m experiments.speech sample --prompt hello.wav   goes on from a recording
python -m experiments.speech --data.path sounds/ --debug the same in seconds

The samples are mu-law codes (256 levels, as in arXiv 1609.03499). A step is a block of 16 of them,
2 ms; the features of a block are the condition of a small MADE over its codes, each a mixture of
logistics. The data is any folder of recordings, e.g. the prompts of Asterisk, an hour of one voice:
https://downloads.asterisk.org/pub/telephony/sounds/asterisk-core-sounds-en-wav-current.tar.gz
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from scipy.io import wavfile

import ar_jax as ar
from ar_jax import datasets
from ar_jax.data import mu_law, mu_law_inverse, read_wav
from ar_jax.datasets.speech import RATE
from ar_jax.training import AdamW, Training
from experiments.blocks import by_blocks
from experiments.run import Experiment, Sample, main
from experiments.sequences import continue_sequence

WINDOW, BLOCK = 2048, 16


def block_transformer() -> ar.AutoregressiveModel:
    """Windows of codes, block by block, and code by code inside a block."""
    return by_blocks(
        ar.orderings.Raster((WINDOW,), block=(BLOCK,)),
        ar.conditionals.Transformer(layers=4, width=128, heads=4),
        ar.heads.DiscretizedLogisticMixture(levels=256, components=10),
    )


@dataclasses.dataclass(frozen=True)
class Recordings:
    """Where the recordings are.

    Attributes:
      path: a folder of WAV files of one channel, 16 bits and 8 kHz, or an `.npz` of `samples`
        (int16, all recordings one after the other), `lengths` and `name`.
    """

    path: str = ""

    places: ClassVar[tuple[str, ...]] = ("path",)


@dataclasses.dataclass(frozen=True)
class SampleSpeech(Sample):
    """Draw speech.

    Attributes:
      seconds: how much to draw.
      prompt: a WAV file to go on from; left out, silence.
    """

    seconds: float = 4.0
    prompt: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speech(Experiment):
    """Train a transformer on recordings, evaluate it and draw.

    Attributes:
      data: where the recordings are.
    """

    model: ar.AutoregressiveModel = dataclasses.field(default_factory=block_transformer)
    training: Training = Training(
        steps=4000, optimizer=AdamW(learning_rate=1e-3), log_every=50, validate_every=1000
    )
    batch_size: int = 16
    folder: Path = Path("runs/speech")
    data: Recordings = Recordings()

    sample: ClassVar[Sample] = SampleSpeech()
    small_sample: ClassVar[Sample] = SampleSpeech(seconds=0.1)

    @cached_property
    def dataset(self) -> datasets.Speech:
        return datasets.Speech(self.data.path, WINDOW)

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        silence = np.zeros(BLOCK, np.int16)
        start = read_wav(options.prompt, RATE) if options.prompt else silence
        codes = continue_sequence(
            self.model, variables, jax.random.key(options.seed), mu_law(start).astype(np.int32),
            round(options.seconds * RATE), options.sampler,
        )  # fmt: skip
        return self.write(path, codes)

    def write(self, path: Path, codes: np.ndarray) -> Path:
        """Writes codes `[n]` as a WAV file, whose path it returns."""
        path = path.with_suffix(".wav")
        wavfile.write(path, RATE, mu_law_inverse(codes))
        return path


if __name__ == "__main__":
    main(Speech(), __doc__ or "")
