import jax.numpy as jnp
import numpy as np
import pytest

import ar_jax as ar
from ar_jax.conditionals import MADE, PixelCNN, Transformer
from ar_jax.conditionals.base import pool
from ar_jax.contexts import Tokens
from ar_jax.heads import Bernoulli
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables


@pytest.mark.parametrize(
    "conditional",
    [
        MADE(hidden=(9,)),
        PixelCNN(blocks=1, channels=4),
        Transformer(layers=1, width=16, heads=2),
        Transformer(layers=1, width=16, heads=2, cross_attention=True),
    ],
    ids=lambda part: type(part).__name__,
)
def test_neither_padding_nor_a_neighbour_in_the_batch_changes_a_prompt(conditional):
    model = ar.AutoregressiveModel(Raster((2, 2, 1)), conditional, Bernoulli(), Tokens(5, 4))
    x, y = np.ones((2, 2, 2, 1), np.int32), np.array([[3, -1, -1, -1], [2, 1, 0, 4]])
    variables = random_variables(model, x, y)
    both = model.apply(variables, x, y)
    np.testing.assert_allclose(both[:1], model.apply(variables, x[:1], y[:1, :1]), rtol=1e-5)
    np.testing.assert_allclose(both[1:], model.apply(variables, x[1:], y[1:]), rtol=1e-5)


def test_a_context_is_pooled_to_the_mean_of_the_vectors_that_count():
    vectors = jnp.array([[[1.0], [5.0], [9.0]]] * 2)
    mask = jnp.array([[1, 1, 0], [0, 0, 0]], bool)
    np.testing.assert_array_equal(pool((vectors, mask)), [[3.0], [0.0]])


def test_the_same_symbol_differs_by_its_place():
    context, y = Tokens(5, 2), np.array([[1, 1]])
    vectors, _ = context.apply(random_variables(context, y, 1), y, 1)
    assert not np.allclose(vectors[0, 0], vectors[0, 1])
