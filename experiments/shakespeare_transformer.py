"""Tiny Shakespeare by character: nanoGPT's recipe for a CPU, unchanged.

python -m experiments.shakespeare_transformer                      train, evaluate and draw
python -m experiments.shakespeare_transformer evaluate             the figures again
python -m experiments.shakespeare_transformer sample --prompt "ROMEO:" --length 1000
python -m experiments.shakespeare_transformer sample --prompt "ROMEO:" --pattern " [a-z ]{9,30}[!?]"
python -m experiments.shakespeare_transformer --debug              the same in seconds

4 layers of width 128 with 4 heads, windows of 64 characters, 12 windows a step, 2000 steps, AdamW
at 1e-3 with 100 steps of warm-up and a cosine to 1e-4, second moment 0.99, weight decay 0.1, no
dropout, no averaging of parameters: https://github.com/karpathy/nanoGPT, "i only have a macbook",
where 1.88 nats per character are reported. Each character of a window is predicted from those
before it and from the one before the window, which has a slot of its own; unlike nanoGPT's network
this one has biases, and its readout is not tied to the embedding. Reads the text as TFDS prepared
it; nanoGPT's held-out tenth is TFDS's validation and test split, joined; it is scored in windows
side by side, all but the last 51 characters, which do not fill one.
"""

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

import ar_jax as ar
from ar_jax.datasets import TinyShakespeare
from ar_jax.decoding import Processor
from ar_jax.durable import write
from ar_jax.inference.regular_expressions import regular_expression
from ar_jax.training import AdamW, Cosine, Training
from experiments.run import Data, Experiment, Sample, main
from experiments.sequences import continue_sequence, until

WINDOW, SYMBOLS = 64, 65


@dataclasses.dataclass(frozen=True)
class SampleText(Sample):
    """Draw text.

    Attributes:
      prompt: how it begins.
      length: characters to draw at most.
      stop: texts before which it ends.
      repetition_penalty: above 1, characters of the window come again less often.
      pattern: a regular expression that what is drawn, within one window, matches as a whole; it
        decides the length.
    """

    prompt: str = "\n"
    length: int = 1000
    stop: tuple[str, ...] = ()
    repetition_penalty: float = 1.0
    pattern: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shakespeare(Experiment):
    """Train a transformer on Shakespeare's characters, evaluate it and draw.

    Attributes:
      data: where the data is.
    """

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: ar.AutoregressiveModel(
            ordering=ar.orderings.Raster((WINDOW,)),
            conditional=ar.conditionals.Transformer(layers=4, width=128, heads=4),
            head=ar.heads.Categorical(SYMBOLS, embedding=128),
            context=ar.contexts.Tokens(vocabulary=SYMBOLS, length=1, width=128),
        )
    )
    training: Training = Training(
        steps=2000,
        optimizer=AdamW(
            learning_rate=1e-3, schedule=Cosine(warmup=0.05, final=0.1), weight_decay=0.1,
            beta2=0.99,
        ),
        ema_decay=0.0,
        validate_every=250,
    )  # fmt: skip
    batch_size: int = 12
    folder: Path = Path("runs/shakespeare_transformer")
    data: Data = Data()

    sample: ClassVar[Sample] = SampleText()
    small_sample: ClassVar[Sample] = SampleText(length=100)

    @cached_property
    def dataset(self) -> TinyShakespeare:
        return TinyShakespeare(self.model.ordering.length, "nanogpt", self.data.dir)

    def figures(self, variables: Any) -> dict[str, Any]:
        figures = super().figures(variables)
        return figures | {"nats_per_character": figures["likelihood"].nats / self.dataset.window}

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        known, key = self.dataset.tokenizer.encode(options.prompt), jax.random.key(options.seed)
        processors: list[Processor] = [ar.RepetitionPenalty(options.repetition_penalty)]
        length = options.length
        if options.pattern:
            processors.append(regular_expression(options.pattern, self.dataset.tokenizer.symbols))
            # All that one window has room for.
            window = self.dataset.window
            length = window - min(window // 2, len(known) - 1)
        for stop in options.stop:
            self.dataset.tokenizer.encode(stop)  # tells of characters that cannot occur
        drawn = continue_sequence(
            self.model, variables, key, known, length, options.sampler, processors
        )
        text = self.dataset.tokenizer.decode(drawn[len(known) :])
        shown = options.prompt + "".join(until([text], options.stop))
        return self.write(path, self.dataset.tokenizer.encode(shown))

    def write(self, path: Path, symbols: np.ndarray) -> Path:
        """Writes symbols `[n]` as a text file, whose path it returns."""
        path = path.with_suffix(".txt")
        write(path, self.dataset.tokenizer.decode(symbols) + "\n")
        return path


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnseenShakespeare(Shakespeare):
    """Tiny Shakespeare whose held-out tenth chooses nothing.

    The checkpoint is chosen by 60,000 characters before it, which do not train.
    """

    @cached_property
    def dataset(self) -> TinyShakespeare:
        return TinyShakespeare(self.model.ordering.length, "unseen", self.data.dir)


if __name__ == "__main__":
    main(Shakespeare(), __doc__ or "")
