"""Data sets: rows of events and of their conditions."""

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import jax
import numpy as np

from ar_jax.checks import check_positive, check_seen, largest
from ar_jax.data.transforms import EventTransform

Part = TypeVar("Part", bound=Sized)
Other = TypeVar("Other", bound=Sized)
Sliceable = TypeVar("Sliceable", str, np.ndarray)


class Source(Protocol):
    """Examples that can be read by their row."""

    def __len__(self) -> int: ...

    def batch(self, rows: np.ndarray) -> dict[str, Any]:
        """The given rows as "x" `[batch, *event]` and, with conditions, "y" `[batch, ...]`.

        Other arrays may stand beside them by their names: "lengths" or "seen", as in `Arrays`, and
        whatever an objective reads.
        """
        ...


@dataclass(frozen=True, eq=False)
class Arrays:
    """Examples held in memory.

        Arrays(images, labels)
        Arrays(sequences, others={"lengths": lengths})  # padded at their end
        Arrays(table, others={"seen": ~np.isnan(table)})  # with gaps, for an `AnyOrderModel`

    Attributes:
      x: events `[examples, *event]`, or a pandas frame whose columns are numbers.
      y: their conditions `[examples, ...]`, a tuple of several, or None; the model's context checks
        them.
      others: more arrays `[examples, ...]` by their names in a batch: whatever an objective reads,
        and what tells training and evaluation which part of an event is scored. That is "lengths"
        `[examples]`, so many first steps; or, for an `AnyOrderModel`, "seen" `[examples, *event]`,
        booleans, these variables: the others are not read, and may be NaN.

    Raises:
      ValueError: when the arrays differ in length, x holds NaN or infinity, or no numbers.
    """

    x: np.ndarray
    y: np.ndarray | tuple[np.ndarray, ...] | None = None
    others: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", as_numbers("x", self.x))
        for name in self.others:
            if name in ("x", "y", "mask"):
                raise ValueError(f"others: expected names other than x, y and mask, got {name}")
        named = [("y", y) for y in jax.tree.leaves(self.y)] + list(self.others.items())
        for name, array in named:
            if len(array) != len(self.x):
                raise ValueError(f"{name}: expected {len(self.x)} rows, as in x, got {len(array)}")
        x = self.x
        if (seen := self.others.get("seen")) is not None:
            check_seen(seen, x)
            x = np.where(seen, x, np.zeros((), x.dtype))
        _check_finite("x", x)

    def __len__(self) -> int:
        return len(self.x)

    def batch(self, rows: np.ndarray) -> dict[str, Any]:
        """The given rows as "x" `[batch, *event]`, "y" `[batch, ...]` if there are, and others."""
        arrays = {"x": self.x} | ({} if self.y is None else {"y": self.y}) | dict(self.others)
        return {name: jax.tree.map(lambda a: a[rows], array) for name, array in arrays.items()}

    def transformed(self, transform: EventTransform, seed: int) -> "Arrays":
        """These examples with a transform's randomness drawn once and for all."""
        return Arrays(transform(self.x, np.random.default_rng(seed)), self.y, self.others)


@dataclass(frozen=True, eq=False)
class Chunks:
    """Windows of one long sequence, such as a text.

    Row i starts at offset `i * stride`: rows in random order are random offsets. What precedes a
    window can be its condition, so that the first of its symbols has a context too. A window
    that would reach past the end is left out.

    Attributes:
      tokens: the sequence `[symbols, ...]`.
      length: symbols of an event.
      stride: symbols from one window to the next; `length` scores each symbol once.
      preceding: symbols before the window that are its condition y `[batch, preceding, ...]`; with
        0 there is no condition.
      ends: where its pieces end, if it is made of several that do not depend on each other, such as
        recordings: offsets that ascend.

    Raises:
      ValueError: when the sequence is shorter than one window, or holds NaN or infinity.
    """

    tokens: np.ndarray
    length: int
    stride: int = 1
    preceding: int = 0
    ends: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_positive(length=self.length, stride=self.stride)
        if self.preceding < 0:
            raise ValueError(f"preceding: expected at least 0, got {self.preceding}")
        if len(self.tokens) < self.preceding + self.length:
            raise ValueError(
                f"tokens: expected at least {self.preceding + self.length} symbols, one window, "
                f"got {len(self.tokens)}; shorten the length or give more"
            )
        _check_finite("tokens", self.tokens)

    def __len__(self) -> int:
        return (len(self.tokens) - self.preceding - self.length) // self.stride + 1

    def batch(self, rows: np.ndarray) -> dict[str, Any]:
        """The given windows as "x" `[batch, length, ...]`, and "y" if something precedes."""
        offsets = np.arange(self.preceding + self.length)
        windows = self.tokens[np.asarray(rows)[:, None] * self.stride + offsets]
        x = {"x": windows[:, self.preceding :]}
        return x | {"y": windows[:, : self.preceding]} if self.preceding else x


def as_numbers(name: str, given: Any) -> np.ndarray:
    """An array or a pandas frame as an array of numbers.

    Raises:
      ValueError: when it holds something else; the first such column of a frame is named.
    """
    for column, dtype in getattr(given, "dtypes", {}).items() if hasattr(given, "columns") else ():
        if getattr(dtype, "kind", "O") not in "biuf":
            raise ValueError(
                f"{name}: expected columns of numbers, got {column} of {dtype}; give categories as "
                "their codes"
            )
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name}: expected numbers, got {array.dtype}")
    return array


def groups(source: Source) -> np.ndarray:
    """Which examples depend on each other: `[examples]` integers, the same for those that may.

    Windows of one sequence do, or of a piece of it, to which a window belongs by its middle. Other
    examples are taken as independent.
    """
    rows = np.arange(len(source))
    if not isinstance(source, Chunks):
        return rows
    middle = rows * source.stride + source.preceding + source.length // 2
    return np.searchsorted(source.ends, middle, side="right")


@dataclass(frozen=True, eq=False)
class Splits(Generic[Part]):
    """A data set in its three parts: of one kind, such as sources, texts or rows.

    Raises:
      ValueError: when a part is empty.
    """

    train: Part
    validation: Part
    test: Part

    def __post_init__(self) -> None:
        for name, part in vars(self).items():
            if not len(part):
                raise ValueError(f"{name}: expected at least 1 example, got an empty split")

    def map(self, function: Callable[[Part], Other]) -> "Splits[Other]":
        """The function of each part."""
        return Splits(function(self.train), function(self.validation), function(self.test))


def shuffled_split(examples: int, validation: int, test: int, seed: int = 0) -> Splits[np.ndarray]:
    """Rows of a data set that comes without a split: of images, recordings, sequences.

    The same arguments give the same split for ever.

    Args:
      examples: how many there are.
      validation: how many of them validate.
      test: how many of them test.
      seed: of the permutation that deals them out.

    Returns:
      Rows `[examples of the part]`, int64.
    """
    return contiguous_split(np.random.default_rng(seed).permutation(examples), validation, test)


def contiguous_split(sequence: Sliceable, validation: int, test: int) -> Splits[Sliceable]:
    """The parts of one long sequence: the beginning to train, then validation, the end to test.

    Args:
      sequence: a text or an array `[symbols, ...]`.
      validation: symbols to validate.
      test: symbols to test.
    """
    check_positive(validation=validation, test=test)
    train = len(sequence) - validation - test
    if train < 1:
        raise ValueError(
            f"validation, test: expected fewer than the {len(sequence)} examples in sum, "
            f"got {validation} + {test}"
        )
    return Splits(sequence[:train], sequence[train : train + validation], sequence[-test:])


def split_pieces(name: str, values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """One array as the pieces that it holds, one after the other.

    Args:
      name: of the lengths, for the error.
      values: `[steps, ...]`.
      lengths: `[pieces]`, the steps of each: integers from 1 on that add up to all.

    Returns:
      `[steps of the piece, ...]` each.

    Raises:
      ValueError: when the lengths are none of these values.
    """
    if not np.issubdtype(lengths.dtype, np.integer) or lengths.ndim != 1 or not lengths.size:
        raise ValueError(
            f"{name}: expected integers [pieces], got {lengths.dtype} {list(lengths.shape)}"
        )
    steps = lengths.tolist()  # of Python, whose sum has no bound
    if min(steps) < 1 or sum(steps) != len(values):
        raise ValueError(
            f"{name}: expected integers from 1 on that add up to {len(values)}, got ones from "
            f"{min(steps)} on that add up to {sum(steps)}"
        )
    return np.split(values, np.cumsum(steps)[:-1])


def stacked(events: list[np.ndarray], names: list[str]) -> np.ndarray:
    """Events of one shape as `[examples, *event]`; the names are for the error."""
    for event, name in zip(events, names, strict=True):
        if event.shape != events[0].shape:
            raise ValueError(
                f"{name}: expected shape {list(events[0].shape)}, as {names[0]}, "
                f"got {list(event.shape)}; crop or resize it"
            )
    return np.stack(events)


def _check_finite(name: str, values: np.ndarray) -> None:
    """Raises where a row holds NaN, infinity, or what is too large: it would spoil all parameters.

    NaN and infinity spoil every parameter in one step. So do real numbers that are too large to
    compute with; JAX would take integers beyond 32 bits for others.
    """
    if not np.issubdtype(values.dtype, np.number):
        return
    axes, high = tuple(range(1, values.ndim)), largest(values.dtype)
    ends = values.min(axis=axes, initial=0), values.max(axis=axes, initial=0)
    fits = np.abs(np.asarray(ends, float)).max(axis=0) <= high  # false of NaN
    if not fits.all():
        row, count = fits.argmin(), (~fits).sum()
        if np.isfinite(values[row]).all():
            got, what = f"up to {high:.2g} in size", f"{np.abs(values[row]).max():.3g}"
            advice = "rescale the numbers"
        else:
            got, what = "finite numbers", "NaN or infinity"
            gaps = ', or tell an AnyOrderModel what is "seen" (see Arrays)' if name == "x" else ""
            advice = f"leave it out or fill it in{gaps}"
        raise ValueError(
            f"{name}: expected {got}, got {what} in row {row} ({count} of {len(fits)} rows); "
            f"{advice}"
        )
