"""Text as integers, and back."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ar_jax.checks import check_integers


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8: every text can be encoded."""

    vocabulary = 256

    def encode(self, text: str) -> np.ndarray:
        """int32 `[bytes]`, 0 ... 255."""
        return np.frombuffer(text.encode(), np.uint8).astype(np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """The text of `[bytes]`; a replacement character stands for what is not UTF-8."""
        check_integers("tokens", tokens, 0, 255)
        return np.asarray(tokens, np.uint8).tobytes().decode(errors="replace")


@dataclass(frozen=True)
class Characters:
    """One integer for each character of a fixed vocabulary.

    Attributes:
      symbols: the vocabulary in the order of its integers.

    Raises:
      ValueError: when it is empty or a character stands twice.
    """

    symbols: str

    def __post_init__(self) -> None:
        if not self.symbols or len(set(self.symbols)) < len(self.symbols):
            raise ValueError(f"symbols: expected distinct characters, got {self.symbols!r}")

    @classmethod
    def of(cls, text: str) -> "Characters":
        """The characters of a text, sorted."""
        return cls("".join(sorted(set(text))))

    @property
    def vocabulary(self) -> int:
        """The number of characters known."""
        return len(self.symbols)

    def encode(self, text: str) -> np.ndarray:
        """int32 `[characters]`, 0 ... vocabulary - 1.

        Raises:
          ValueError: when a character is not in the vocabulary.
        """
        try:
            return np.array([self._integers[character] for character in text], np.int32)
        except KeyError as error:
            stranger = error.args[0]
            raise ValueError(
                f"text: expected characters of the vocabulary {self.symbols!r}, "
                f"got {stranger!r} at position {text.index(stranger)}; "
                f"replace it, or build the vocabulary from all the text"
            ) from error

    def decode(self, tokens: np.ndarray) -> str:
        """The text of integers `[characters]`."""
        check_integers("tokens", tokens, 0, self.vocabulary - 1)
        return "".join(self.symbols[token] for token in np.asarray(tokens))

    @cached_property
    def _integers(self) -> dict[str, int]:
        return {symbol: integer for integer, symbol in enumerate(self.symbols)}
