"""Windows of long sequences, such as texts, recordings and music."""

from collections.abc import Sequence

import numpy as np

from ar_jax.data import Chunks, Splits, shuffled_split


def windows(parts: Splits[np.ndarray], window: int, preceding: int = 0) -> Splits[Chunks]:
    """Windows that begin anywhere, to train; side by side, to score each symbol once.

    Args:
      parts: symbols `[symbols, ...]`.
      window: symbols of an event.
      preceding: symbols before a window that are its condition.
    """
    return Splits(
        Chunks(parts.train, window, preceding=preceding),
        Chunks(parts.validation, window, stride=window, preceding=preceding),
        Chunks(parts.test, window, stride=window, preceding=preceding),
    )


def deal_pieces(path: str, pieces: Sequence[np.ndarray]) -> Splits[list[np.ndarray]]:
    """A tenth of the pieces validates, a tenth tests, chosen once; the others train.

    Args:
      path: where the pieces come from, for the error.
      pieces: `[steps, ...]` each.

    Raises:
      ValueError: when there are fewer than 10 pieces.
    """
    tenth = len(pieces) // 10
    if not tenth:
        raise ValueError(
            f"{path}: expected at least 10 pieces, of which one validates and one tests, got "
            f"{len(pieces)}"
        )
    rows = shuffled_split(len(pieces), validation=tenth, test=tenth)
    return rows.map(lambda part: [pieces[row] for row in part])


def windows_of_pieces(path: str, parts: Splits[list[np.ndarray]], window: int) -> Splits[Chunks]:
    """Windows that run on from one piece into the next, and in training begin anywhere.

    Args:
      path: where the pieces come from, for the error.
      parts: pieces `[steps, ...]`.
      window: steps of an event.

    Raises:
      ValueError: when a part has less than a window.
    """
    chained = parts.map(np.concatenate)
    for name, part in vars(chained).items():
        if len(part) < window:
            raise ValueError(
                f"{path}: expected at least {window} steps, one window, in the {name} part, got "
                f"{len(part)}; give more or longer pieces"
            )
    ends = parts.map(lambda pieces: tuple(np.cumsum([len(piece) for piece in pieces]).tolist()))
    return Splits(
        Chunks(chained.train, window),
        Chunks(chained.validation, window, stride=window, ends=ends.validation),
        Chunks(chained.test, window, stride=window, ends=ends.test),
    )


def random_windows(
    high: int, window: int, shape: tuple[int, ...] = (), preceding: int = 0, low: int = 0
) -> Splits[Chunks]:
    """Made-up sequences of twenty windows each: integers low ... high - 1 `[symbols, *shape]`."""
    size = (3, 20 * window + preceding, *shape)
    values = np.random.default_rng(0).integers(low, high, size, np.int32)
    return windows(Splits(*values), window, preceding)
