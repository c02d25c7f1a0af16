"""Speech at 8 kHz in its 65,536 levels, sample by sample, by a WaveNet on a linear prediction.

python -m experiments.speech_samples --data.path sounds/         train, evaluate and draw
python -m experiments.speech_samples evaluate                    the figures again
python -m experiments.speech_samples sample --seconds 4          writes samples.wav
python -m experiments.speech_samples sample --prompt hello.wav   goes on from a recording
python -m experiments.speech_samples compress FILES --to X.arj        without loss
python -m experiments.speech_samples decompress X.arj --to FOLDER     and back
python -m experiments.speech_samples --data.path sounds/ --debug the same in seconds

Where `experiments.speech` learns mu-law codes, these are the samples as they are stored, such as
FLAC codes. A step is a sample in two digits. The linear prediction adapts to each sample, and the
network learns what it leaves: how sure it is, and what else there is to know. Nothing in the model
knows of a length, so that what was trained on windows codes recordings of any length.
"""

import dataclasses
import io
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from scipy.io import wavfile

import ar_jax as ar
from ar_jax import datasets
from ar_jax.data import read_wav
from ar_jax.datasets.speech import BASE, RATE, to_digits, to_samples
from ar_jax.training import AdamW, Cosine, Training
from experiments.run import Experiment, Sample, main
from experiments.speech import Recordings, SampleSpeech

WINDOW = 2048


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpeechSamples(Experiment):
    """Train a WaveNet on recordings, evaluate it and draw.

    Attributes:
      data: where the recordings are.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((WINDOW, 2), block=(1, 2)),
            conditional=ar.conditionals.LinearPrediction(
                ar.conditionals.WaveNet(layers=8, stacks=1, channels=32, skip_channels=64)
            ),
            head=ar.heads.CoarseFineLogistic(base=BASE, components=5),
        )
    )
    training: Training = Training(
        steps=1000,
        optimizer=AdamW(learning_rate=3e-3, schedule=Cosine(warmup=0.05, final=0.05)),
        ema_decay=0.0,
        validate_every=250,
    )
    batch_size: int = 8
    folder: Path = Path("runs/speech_samples")
    data: Recordings = Recordings()

    streams: ClassVar[bool] = True
    sample: ClassVar[Sample] = SampleSpeech(seconds=2)
    small_sample: ClassVar[Sample] = SampleSpeech(seconds=0.02)

    @cached_property
    def dataset(self) -> datasets.Speech:
        return datasets.Speech(self.data.path, WINDOW, "digits")

    def read(self, path: Path) -> np.ndarray:
        return to_digits(read_wav(path, RATE))

    def written(self, values: np.ndarray, name: str) -> bytes:
        file = io.BytesIO()
        wavfile.write(file, RATE, to_samples(values))
        return file.getvalue()

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        start = read_wav(options.prompt, RATE) if options.prompt else np.zeros(1, np.int16)
        model = ar.with_length(self.model, variables, len(start) + round(options.seconds * RATE))
        drawn = ar.sample(
            model, variables, jax.random.key(options.seed), batch_size=1,
            sampler=options.sampler, prefix=to_digits(start)[None],
        )  # fmt: skip
        path = path.with_suffix(".wav")
        wavfile.write(path, RATE, to_samples(np.asarray(drawn)[0]))
        return path


if __name__ == "__main__":
    main(SpeechSamples(), __doc__ or "")
