"""A time series as a condition."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.contexts.elements import Rows


class Series(Rows):
    """A time series: a row for each time, marked by its place.

    A row that is all NaN is a time of which nothing is known, also before others: a gap.
    Times at other than even distances can be one of a row's numbers.
    """

    def places(self, count: int) -> jax.Array:
        return nn.Embed(self.length, self.width, name="places")(jnp.arange(count))
