"""Which chorales are known already."""

import numpy as np

from ar_jax.data import Splits
from ar_jax.datasets.chorales import without_doublets

RNG = np.random.default_rng(0)


def piece(steps=100):
    return RNG.integers(50, 80, (steps, 4)).astype(np.int32)


def test_transposed_doublets_are_left_out_of_the_later_part():
    train, validation, test = [piece() for _ in range(3)], [piece()], [piece() for _ in range(2)]
    rests = train[1].copy()
    rests[40:44] = 0
    higher = np.where(rests > 0, rests + 5, 0)
    parts = Splits(
        [*train[:1], rests, train[2]],
        [*validation, higher],
        [train[2][10:] - 3, validation[0] + 2, *test, test[0] + 1, test[1][::-1]],
    )
    kept = without_doublets("a.npz", parts)
    assert kept.train is parts.train
    assert [len(part) for part in (kept.validation, kept.test)] == [1, 3]
    for got, expected in zip(kept.test, [*test, test[1][::-1]], strict=True):
        np.testing.assert_array_equal(got, expected)


def test_pieces_that_share_less_than_half_stay():
    train, other = piece(200), piece(200)
    partly = np.concatenate([train[:100], other[:100]])  # 69 of 169 stretches
    kept = without_doublets("a.npz", Splits([train], [partly], [piece()]))
    assert len(kept.validation) == 1
    mostly = np.concatenate([train[:150], other[:50]])  # 119 of 169
    kept = without_doublets("a.npz", Splits([train], [mostly, piece()], [piece()]))
    assert len(kept.validation) == 1
