"""Texts from files: one's own, and Wikipedia's text8 and enwik8."""

import dataclasses
from functools import cached_property
from typing import Literal

import numpy as np

from ar_jax.data import (
    Bytes,
    Characters,
    Chunks,
    Splits,
    Tokenizer,
    contiguous_split,
    read_content,
    read_text,
)
from ar_jax.datasets.base import Dataset, File, Origin, place
from ar_jax.datasets.windows import random_windows, windows

CHARACTERS, HELD_OUT = 100_000_000, 5_000_000
"""Of text8 and of enwik8."""


@dataclasses.dataclass(frozen=True)
class Text(Dataset):
    """Any one text, by bytes or by characters, in windows int32 `[window]`.

    Its end tests, and as much before it validates. Windows that train begin anywhere, the others
    lie side by side.

    Attributes:
      path: of a text in UTF-8, compressed if it ends in `.gz`.
      window: symbols of an event.
      symbols: what an integer stands for; characters are numbered as they sort.
      held_out: symbols that test, and that validate: at most a tenth of the text.
    """

    path: str = place()
    window: int = 512
    symbols: Literal["bytes", "characters"] = "bytes"
    held_out: int = 100_000

    @property
    def origin(self) -> Origin:
        return Origin("", "--data.path FILE, in UTF-8")

    @cached_property
    def _text(self) -> str:
        if not self.path:
            raise self.missing("path", "a text")
        return read_text(self.path)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The text as integers, and back."""
        return Bytes() if self.symbols == "bytes" else Characters.of(self._text)

    def load(self) -> Splits[Chunks]:
        symbols = self.tokenizer.encode(self._text)
        if len(symbols) < 10 * self.window:
            raise ValueError(
                f"{self.path}: expected at least {10 * self.window:,} {self.symbols}, of which a "
                f"tenth validates and a tenth tests in windows of {self.window}, got "
                f"{len(symbols):,}; give a longer text"
            )
        held_out = min(self.held_out, len(symbols) // 10)
        return windows(contiguous_split(symbols, held_out, held_out), self.window)

    def fake(self) -> Splits[Chunks]:
        return random_windows(123, self.window, low=97)  # letters


@dataclasses.dataclass(frozen=True)
class Text8(Dataset):
    """text8: 100 million letters and spaces of Wikipedia, in windows int32 `[window]` of bytes.

    90 million train, 5 million validate, the last 5 million test, side by side: a character sees
    half a window before it in the mean, where papers let it see all that their network takes.

    Attributes:
      path: the file text8, unpacked from http://mattmahoney.net/dc/text8.zip.
      window: characters of an event.
    """

    path: str = place()
    window: int = 512

    @property
    def file(self) -> str:
        """Its name."""
        return "text8"

    @property
    def origin(self) -> Origin:
        address = f"http://mattmahoney.net/dc/{self.file}.zip"
        get = f"--data.path FILE, which is {address}, unpacked"
        return Origin(address, get, files=(File(self.file, CHARACTERS),))

    @property
    def tokenizer(self) -> Bytes:
        """The text as integers, and back."""
        return Bytes()

    def load(self) -> Splits[Chunks]:
        if not self.path:
            raise self.missing("path", self.file)
        text = np.frombuffer(read_content(self.path), np.uint8).astype(np.int32)
        if len(text) != CHARACTERS:
            raise ValueError(
                f"{self.path}: expected the {CHARACTERS:,} characters of {self.file}, got "
                f"{len(text):,}"
            )
        return windows(contiguous_split(text, HELD_OUT, HELD_OUT), self.window)

    def fake(self) -> Splits[Chunks]:
        return random_windows(123, self.window, low=97)


@dataclasses.dataclass(frozen=True)
class Enwik8(Text8):
    """enwik8: the first 100 million bytes of Wikipedia of 2006, prepared and split as `Text8`.

    Attributes:
      path: the file enwik8, unpacked from http://mattmahoney.net/dc/enwik8.zip.
      window: bytes of an event.
    """

    @property
    def file(self) -> str:
        return "enwik8"
