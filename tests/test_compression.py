"""Compression: what goes in comes out, at the size that the likelihood promises, or not at all."""

import jax
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.compression import compress, decompress, read
from ar_jax.conditionals import GRU, MADE, PixelCNN, Transformer
from ar_jax.contexts import ClassLabel, Nothing, Vector
from ar_jax.heads import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    EndOfSequence,
    Mixed,
    MuLaw,
    Nested,
)
from ar_jax.orderings import Graph, Hilbert, Raster, Reversed, Snake
from ar_jax.testing import random_variables

patch = ar.AutoregressiveModel(Snake((2, 2, 1)), MADE((9,)), Categorical(5, embedding=3), Vector(7))
graph = Graph.from_edges((8,), [(0, 2), (1, 2), (2, 3), (1, 5), (5, 6), (0, 7)])

MODELS = {
    "graph": (graph, MADE((20,)), Bernoulli(), Nothing()),
    "text": (Raster((9,)), GRU(layers=1, width=8), Categorical(50), Nothing()),
    "classes": (Hilbert((4, 4, 1)), Transformer(layers=1, width=8), MuLaw(7), ClassLabel(3)),
    "colours": (
        Reversed((3, 3, 3), (1, 1, 3)),
        PixelCNN(blocks=0, channels=6, first_kernel=3),
        DiscretizedLogisticMixture(256, 3, 3),
        Nothing(),
    ),
    "patches": (Raster((4, 4, 1), (2, 2, 1)), GRU(layers=1, width=8), Nested(patch), Nothing()),
    "ends": (Raster((5, 2), (1, 2)), GRU(width=8), EndOfSequence(Categorical(4)), Nothing()),
    "mixed": (
        Raster((4, 3), (1, 3)),
        GRU(layers=1, width=8),
        Mixed((MuLaw(5), Bernoulli(), Categorical(3)), width=6),
        Nothing(),
    ),
}  # fmt: skip


def drawn(name, count):
    """A model of that name, with events of its own and their conditions."""
    model = ar.AutoregressiveModel(*MODELS[name])
    y = np.arange(count) % 3 if name == "classes" else None
    blank = np.zeros((1, *model.ordering.event), np.int32)
    variables = random_variables(model, blank, None if y is None else y[:1])
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), variables)
    size = {"batch_size": count} if y is None else {"condition": y}
    x = ar.sample(model, variables, jax.random.key(0), **size)
    return model, variables, np.asarray(x), y


@pytest.mark.parametrize("name", MODELS)
def test_events_come_back_at_the_size_of_their_likelihood(name):
    model, variables, x, y = drawn(name, 300)
    data = compress(model, variables, x, y, batch_size=128)  # whose last batch is not full
    np.testing.assert_array_equal(decompress(model, variables, data, y), x)
    header, payload = read(data)
    bits = -float(np.sum(model.apply(variables, x, y))) / np.log(2)
    assert len(data) - len(payload) < 500
    assert 8 * len(payload) < 1.005 * bits + 64  # the coder ends with a word or two
    assert header["count"] == 300
