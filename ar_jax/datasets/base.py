"""What a data set is."""

import dataclasses
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

import numpy as np

from ar_jax.data import Splits


def place() -> Any:
    """A field that says where the data lies, "" by default: no part of what is learned.

    It is an option of the command line as any other field, `--data.NAME`, but stands in no
    configuration: the same data in another folder is the same data.
    """
    return dataclasses.field(default="", metadata={"place": True})


@dataclasses.dataclass(frozen=True)
class File:
    """A file that must be fetched by hand.

    Attributes:
      name: of the file.
      size: bytes.
      sha256: digest in hexadecimal; "" where none was published.
    """

    name: str
    size: int
    sha256: str = ""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a data set comes from.

    Attributes:
      address: its page on the web; "" for a file of one's own.
      get: how to get it, and the option that says where it lies; "" where nothing is to be done.
      licence: as its authors state it; "" where they state none.
      files: what must be fetched by hand, where it is known.
    """

    address: str
    get: str = ""
    licence: str = ""
    files: tuple[File, ...] = ()

    def __str__(self) -> str:
        return ": ".join(filter(None, [self.address, self.get]))


@dataclasses.dataclass(frozen=True)
class Dataset(ABC):
    """A data set: examples `{"x": event, "y": condition}` to train, to validate and to test.

    It is a value: its fields say which data set it is, and those made by `place` where it lies.
    Nothing is read before it is asked for:

        data = ar.datasets.BinarisedMNIST()
        batch = data.train.batch(np.arange(16))

    A data set of your own has `origin`, `load` and `fake`.
    """

    @property
    @abstractmethod
    def origin(self) -> Origin:
        """Where it comes from, and how to get it."""

    @abstractmethod
    def load(self) -> Splits[Any]:
        """Reads the data; `splits` keeps what it gives.

        Raises:
          ValueError: when it was not said where the data lies, or something else lies there.
          FileNotFoundError: when it is not there.
        """

    @abstractmethod
    def fake(self) -> Splits[Any]:
        """Made-up examples of the true shapes and dtypes, few of them; reads nothing."""

    def transform(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments the events `[batch, *event]` of a training batch, anew in every epoch.

        Args:
          x: events of `train`.
          rng: what to draw from.

        Returns:
          `[batch, *event]`, of the dtype of the events of `validation`.
        """
        return x

    @property
    def test_label(self) -> str:
        """What a figure of the test split must say beside it: which examples, prepared how."""
        return "test"

    @cached_property
    def splits(self) -> Splits[Any]:
        """The data in its three parts, read once.

        Raises:
          ValueError: as `load`.
          FileNotFoundError: as `load`, with the address and what to do.
        """
        try:
            return self.load()
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}. {self.origin}") from error

    @property
    def train(self) -> Any:
        """The examples to train with, as `ar_jax.data.Source`; `transform` is not applied."""
        return self.splits.train

    @property
    def validation(self) -> Any:
        """The examples that choose a checkpoint."""
        return self.splits.validation

    @property
    def test(self) -> Any:
        """The examples of the final figure."""
        return self.splits.test

    @property
    def example(self) -> dict[str, Any]:
        """A batch of one event, of the shapes and dtypes that a model takes; nothing is read."""
        return self.fake().validation.batch(np.arange(1))

    def missing(self, option: str, expected: str) -> ValueError:
        """The error of a data set of which it was not said where it lies.

        Args:
          option: the field that says so.
          expected: what is expected there.
        """
        return ValueError(f"data.{option}: expected {expected}, got none: {self.origin.get}")
