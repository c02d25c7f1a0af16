"""Text as integers, and back."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ar_jax.checks import check_integers, check_positive
from ar_jax.data.files import one_line, read_text

CONTENT_LIMIT = 2**27
"""Bytes of a `tokenizer.json`."""


class Tokenizer(Protocol):
    """Text as integers, and back: `Bytes`, `Characters`, `BPE`."""

    @property
    def vocabulary(self) -> int: ...
    def encode(self, text: str) -> np.ndarray: ...
    def decode(self, tokens: np.ndarray) -> str: ...


def prompts(tokenizer: Tokenizer, texts: Sequence[str], length: int) -> np.ndarray:
    """Texts as the conditions of the context `Tokens(tokenizer.vocabulary, length)`.

    Args:
      tokenizer: any.
      texts: one for each example; an empty one is an absent condition.
      length: the most tokens of a text.

    Returns:
      int32 `[texts, length]`, with -1 after the end of each.

    Raises:
      ValueError: when a text has more tokens, or characters that the tokenizer does not know.
    """
    check_positive(length=length)
    if isinstance(texts, str):
        raise ValueError(f"texts: expected several, got one; write [{texts!r}]")
    padded = np.full((len(texts), length), -1, np.int32)
    for i, (row, text) in enumerate(zip(padded, texts, strict=True)):
        tokens = tokenizer.encode(text)
        if len(tokens) > length:
            raise ValueError(
                f"texts: expected at most {length} tokens, got {len(tokens)} in number {i}; "
                "shorten it, or give the context a greater length"
            )
        row[: len(tokens)] = tokens
    return padded


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


@dataclass(frozen=True)
class BPE:
    """Byte-pair encoding (arXiv 1508.07909) of the bytes of UTF-8: every text can be encoded.

    By the library `tokenizers`, which the extra "text" installs.

    Attributes:
      content: of a `tokenizer.json`, as the library writes it: at most 128 MiB, with ids below
        2^20. The library gives a pattern that splits texts up after 10^7 steps without a match.

    Raises:
      ValueError: when it is none of bytes, or one that does not give every text back.
    """

    content: str = field(repr=False)

    def __post_init__(self) -> None:
        _check_content(self.content)
        model = json.loads(self._tokenizer.to_str())["model"]
        alphabet = _library().pre_tokenizers.ByteLevel.alphabet()
        if model["type"] != "BPE" or model["dropout"] or not set(alphabet) <= set(model["vocab"]):
            raise ValueError(
                "content: expected a BPE that knows all 256 bytes and has no dropout, "
                f"got {model['type']} of {len(model['vocab'])} symbols"
            )
        for text in ("A \u00e9e\u0301\ufb01\r\n\t ", " A"):  # nothing is folded, added or stripped
            self.encode(text)

    @classmethod
    def train(cls, texts: Iterable[str], vocabulary: int) -> "BPE":
        """Merges the pairs that are most frequent, within words: the same texts, the same merges.

        Args:
          texts: to count pairs in.
          vocabulary: how many symbols, of which 256 are the bytes; it becomes smaller where no more
            pair occurs twice.
        """
        if isinstance(texts, str):
            raise ValueError("texts: expected several, got one; write [text]")
        if vocabulary < 256:
            raise ValueError(f"vocabulary: expected at least the 256 bytes, got {vocabulary}")
        library = _library()
        bytes_of = library.pre_tokenizers.ByteLevel
        tokenizer = library.Tokenizer(library.models.BPE())
        tokenizer.pre_tokenizer = bytes_of(add_prefix_space=False)
        tokenizer.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocabulary,
            min_frequency=2,
            initial_alphabet=bytes_of.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    @classmethod
    def load(cls, path: Path | str) -> "BPE":
        """Reads a `tokenizer.json`, of `save` or of a checkpoint such as GPT-2's.

        Raises:
          FileNotFoundError: when there is no such file.
          ValueError: when it is no such tokenizer.
        """
        try:
            return cls(read_text(path, CONTENT_LIMIT))
        except ValueError as error:
            named = str(error).startswith(str(path))
            raise error if named else ValueError(f"{path}, {error}") from error

    def save(self, path: Path | str) -> None:
        """Writes a `tokenizer.json`."""
        Path(path).write_text(self.content, encoding="utf-8")

    @cached_property
    def vocabulary(self) -> int:
        """The number of symbols."""
        return max(self._tokenizer.get_vocab().values()) + 1

    def encode(self, text: str) -> np.ndarray:
        """int32 `[symbols]`, 0 ... vocabulary - 1, without marks of a beginning or an end."""
        text.encode()  # refuses half of a surrogate pair, as `Bytes` does
        with _told():
            tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        if (back := self._decode(tokens)) != text:
            pairs = enumerate(zip(text, back, strict=False))
            place = next((i for i, (a, b) in pairs if a != b), min(len(text), len(back)))
            raise ValueError(
                "content: expected a tokenizer that gives every text back, got "
                f"{back[place : place + 9]!r} of {text[place : place + 9]!r}"
            )
        return np.array(tokens, np.int32)

    def decode(self, tokens: np.ndarray) -> str:
        """The text of `[symbols]`; a replacement character stands for what is not UTF-8."""
        check_integers("tokens", tokens, 0, self.vocabulary - 1)
        return self._decode(np.asarray(tokens).tolist())

    def _decode(self, tokens: list[int]) -> str:
        with _told():
            return self._tokenizer.decode(tokens, skip_special_tokens=False)

    @cached_property
    def _tokenizer(self) -> Any:
        library = _library()
        with _told():
            tokenizer = library.Tokenizer.from_str(self.content)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer


def _check_content(content: str) -> None:
    """Raises where the library would take long, or much memory: it counts up to the largest id."""
    if len(content) > CONTENT_LIMIT:
        raise ValueError(f"content: expected at most {CONTENT_LIMIT:,} characters, got more")
    with _told():
        stated = json.loads(content)
        vocabulary = stated["model"]["vocab"]
        ids = [*vocabulary.values(), *(token["id"] for token in stated.get("added_tokens") or ())]
        if not all(type(number) is int and 0 <= number < 2**20 for number in ids):
            raise ValueError("ids that are no integers from 0 to 2^20 - 1")
        if len(set(vocabulary.values())) < len(vocabulary):
            raise ValueError("two symbols of one id")


@contextmanager
def _told() -> Iterator[None]:
    """Raises ValueError for what the content makes Python or the library raise.

    The library is written in Rust, whose panics are no `Exception`.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ValueError(
            f"content: expected that of a tokenizer.json, got {one_line(error)}"
        ) from error


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            f"tokenizers: expected it to be installed, got {error}: pip install 'ar_jax[text]'"
        ) from error
    return tokenizers
