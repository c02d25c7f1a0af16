"""Tiny Shakespeare by character."""

import dataclasses
from typing import Literal

import numpy as np

from ar_jax.data import Characters, Chunks, Splits, tfds_text
from ar_jax.datasets.base import Dataset, Origin, place
from ar_jax.datasets.images import TFDS_FOLDER
from ar_jax.datasets.windows import random_windows, windows

SYMBOLS = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

HELD_OUT = slice(905_500, 965_500)
"""Characters of the end of Measure for Measure."""


@dataclasses.dataclass(frozen=True)
class TinyShakespeare(Dataset):
    """Tiny Shakespeare by character, 65 symbols, tested on nanoGPT's held-out tenth.

    Events are windows int32 `[window]`, each given the character before it, y `[1]`. Those that
    train begin anywhere; the others lie side by side, so that each character is scored once, all
    but the last few, which do not fill a window. nanoGPT's tenth is TFDS's validation and test
    split, joined.

    Attributes:
      window: characters of an event.
      split: what chooses the checkpoint. "unseen": the last 60,000 characters of Measure for
        Measure, which then do not train. As the tenth begins inside The Taming of the Shrew, of
        both plays the beginning is trained. "nanogpt": the tested tenth itself.
      dir: folder of data sets that TFDS prepared; left out, that of TFDS_DATA_DIR, or TFDS's own.
    """

    window: int = 64
    split: Literal["unseen", "nanogpt"] = "unseen"
    dir: str = place()

    @property
    def origin(self) -> Origin:
        address = "https://www.tensorflow.org/datasets/catalog/tiny_shakespeare"
        return Origin(address, TFDS_FOLDER)

    @property
    def tokenizer(self) -> Characters:
        """Its characters as integers, and back."""
        return Characters(SYMBOLS)

    @property
    def test_label(self) -> str:
        if self.split == "nanogpt":
            return "validation and test, as nanoGPT validates; chose the checkpoint"
        return "nanoGPT's validation part, which chose no checkpoint"

    def load(self) -> Splits[Chunks]:
        text = tfds_text("tiny_shakespeare", self.dir)
        train, test = map(self.tokenizer.encode, (text.train, text.validation + text.test))
        if self.split == "nanogpt":
            parts = Splits(train, test, test)
        else:
            others = np.concatenate([train[: HELD_OUT.start], train[HELD_OUT.stop :]])
            parts = Splits(others, train[HELD_OUT], test)
        return windows(parts, self.window, preceding=1)

    def fake(self) -> Splits[Chunks]:
        return random_windows(len(SYMBOLS), self.window, preceding=1)
