"""Handwritten digits, by the names of their classes: p(image | "seven").

python -m experiments.digit_names                      train, evaluate and draw: about a minute
python -m experiments.digit_names evaluate             the table again, from the checkpoint
python -m experiments.digit_names sample --columns 5   draw what the names say
python -m experiments.digit_names --debug              the same in seconds

As experiments.digits, with the name of the digit in place of its label, letter by letter. The
posterior runs over a list of names.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, Characters, EvaluationBatches, Splits, prompts
from ar_jax.evaluation import bayes, correct, log_likelihoods
from ar_jax.experiment.plots import draw_images
from experiments.digits import LEVELS, Digits
from experiments.images import CLASSES
from experiments.run import Experiment, main

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LETTERS = Characters.of("".join(WORDS))
LONGEST = max(map(len, WORDS))


def spelled(words: Sequence[str]) -> np.ndarray:
    """Tokens of words, as a `Tokens` context reads them: int32 `[words, letters]`."""
    return prompts(LETTERS, words, LONGEST)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DigitNames(Digits):
    """Train p(image | name of the digit), classify into names, and draw what they name."""

    model: ar.AutoregressiveModel = dataclasses.field(
        default_factory=lambda: Digits().model.clone(
            context=ar.contexts.Tokens(vocabulary=LETTERS.vocabulary, length=LONGEST, dropout=0.1)
        )
    )
    folder: Path = Path("runs/digit_names")

    @cached_property
    def labelled(self) -> Splits[Arrays]:
        """The images with their labels, in place of names."""
        return super().splits

    @property
    def example(self) -> Mapping[str, np.ndarray]:
        labelled = super().example
        return {"x": labelled["x"], "y": spelled(WORDS)[labelled["y"]]}

    @cached_property
    def splits(self) -> Splits[Arrays]:
        return self.labelled.map(lambda part: Arrays(part.x, spelled(WORDS)[part.y]))

    def scores(self, variables: Any) -> np.ndarray:
        """log p(image | name) of the test images under every name: `[examples, classes]` nats."""
        batches = EvaluationBatches(self.splits.test, self.batch_size)
        return log_likelihoods(self.model, variables, batches, spelled(WORDS))

    def figures(self, variables: Any) -> dict[str, Any]:
        right = correct(np.asarray(bayes(self.scores(variables))), np.asarray(self.labelled.test.y))
        return Experiment.figures(self, variables) | {"bayes_accuracy": float(right.mean())}

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        columns, path = options.columns, path.with_suffix(".png")
        drawn = ar.sample(
            self.model, variables, jax.random.key(options.seed), sampler=options.sampler,
            condition=np.repeat(spelled(WORDS), columns, axis=0),
        )  # fmt: skip
        shown = np.reshape(np.asarray(drawn), (CLASSES, columns, 8, 8, 1))
        draw_images(path, {"samples": shown}, LEVELS, WORDS)
        return path


if __name__ == "__main__":
    main(DigitNames(), __doc__ or "")
