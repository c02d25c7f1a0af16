"""Positions: how a transformer knows where a step is."""

from abc import ABC, abstractmethod
from typing import TypeAlias

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_at_least, check_number
from ar_jax.orderings import Ordering

Rotation: TypeAlias = tuple[jax.Array, jax.Array] | None
"""Cosine and sine `[slots, pairs]`; None leaves queries and keys as they are."""


class Positions(nn.Module, ABC):
    """Marks the slots of a sequence by the coordinates of the step that each predicts.

    `Learned` and `FromTo` follow a `PerExample` ordering too.
    """

    @abstractmethod
    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        """Marks the embedded slots t `[slots]`: `[batch, slots, width]` -> the same."""

    def rotation(self, features: int, t: jax.Array, ordering: Ordering) -> Rotation:
        """By what `rotate` turns the queries and keys of slots t `[slots]`."""
        return None

    def check(self) -> None:
        """Raises ValueError for a field outside its range."""


class Learned(Positions):
    """A learned vector for each place of the event (GPT-2).

    Attributes:
      scale: standard deviation of the initial vectors.
      places: how many vectors there are; 0 stands for as many as the event has places. With more,
        one set of parameters serves events of several lengths.
    """

    scale: float = 0.02
    places: int = 0

    def check(self) -> None:
        _check_scale(self.scale)
        check_at_least(0, places=self.places)

    @nn.compact
    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        places = self.places or ordering.length
        if places < ordering.length:
            raise ValueError(
                f"places: expected at least the event's {ordering.length}, got {places}"
            )
        shape = (places, x.shape[-1])
        table = self.param("table", nn.initializers.normal(self.scale), shape, jnp.float32)
        return x + table[jnp.asarray(ordering.order)[..., t]]


class FromTo(Positions):
    """Two learned vectors: of the place that a slot holds, and of the place that it predicts.

    With them a causal transformer follows any order (arXiv 2404.09562): what it holds next to where
    it looks next.

    Attributes:
      scale: standard deviation of the initial vectors.
    """

    scale: float = 0.02

    def check(self) -> None:
        _check_scale(self.scale)

    @nn.compact
    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        order = jnp.asarray(ordering.order)
        shape = (ordering.length, x.shape[-1])
        initial = nn.initializers.normal(self.scale)
        held, predicted = (self.param(f, initial, shape, jnp.float32) for f in ("from", "to"))
        before = held[order[..., jnp.maximum(t - 1, 0)]]
        return x + jnp.where((t == 0)[:, None], 0, before) + predicted[order[..., t]]


class Axial(Positions):
    """A learned vector for each coordinate of each axis of the event, summed (arXiv 1904.10509).

    An image of 32 x 32 pixels has 64 of them rather than 1024: rows and columns.

    Attributes:
      scale: standard deviation of the initial vectors.
    """

    scale: float = 0.02

    def check(self) -> None:
        _check_scale(self.scale)

    @nn.compact
    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        coordinates = jnp.asarray(ordering.coordinates, jnp.int32)[t]  # [slots, axes]
        for axis in long_axes(ordering):
            shape = (ordering.cells[axis], x.shape[-1])
            initial = nn.initializers.normal(self.scale)
            x = x + self.param(f"table_{axis}", initial, shape, jnp.float32)[coordinates[:, axis]]
        return x


class Sinusoidal(Positions):
    """Sines and cosines of angles that grow with the coordinates (arXiv 1706.03762).

    The pairs are shared out among the event's axes that have more than one cell.

    Attributes:
      base: of the geometric series of wavelengths.
    """

    base: float = 10_000.0

    def check(self) -> None:
        _check_base(self.base)

    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        angle = angles(x.shape[-1] // 2, self.base, t, ordering, "width")
        return x + jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1).astype(x.dtype)


class Rotary(Positions):
    """Turns pairs of features by angles that grow with the coordinates (arXiv 2104.09864).

    The pairs are shared out among the event's axes that have more than one cell, so that attention
    depends on distances along each axis.

    Attributes:
      base: of the geometric series of wavelengths.
    """

    base: float = 10_000.0

    def check(self) -> None:
        _check_base(self.base)

    def add(self, x: jax.Array, t: jax.Array, ordering: Ordering) -> jax.Array:
        return x

    def rotation(self, features: int, t: jax.Array, ordering: Ordering) -> Rotation:
        angle = angles(features // 2, self.base, t, ordering, "heads")
        return jnp.cos(angle), jnp.sin(angle)


def _check_scale(scale: float) -> None:
    check_number("scale", scale, "at least 0 and finite", lambda scale: scale >= 0)


def _check_base(base: float) -> None:
    check_number("base", base, "above 0 and finite", lambda base: base > 0)


def rotate(x: jax.Array, rotation: Rotation) -> jax.Array:
    """Turns queries or keys `[batch, heads, slots, features]`."""
    if rotation is None:
        return x
    cos, sin = rotation
    first, second = jnp.split(x, 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


def angles(pairs: int, base: float, t: jax.Array, ordering: Ordering, field: str) -> jax.Array:
    """`[slots, pairs]`: coordinates times frequencies, the pairs shared out among the axes.

    Raises:
      ValueError: when there are fewer pairs than axes, which the named field decides.
    """
    axes = long_axes(ordering)
    if pairs < len(axes):
        raise ValueError(
            f"{field}: expected at least {2 * len(axes)} features, two for each axis of "
            f"the event {ordering.event}, got {2 * pairs}"
        )
    axis_of_pair = np.array(axes)[np.arange(pairs) * len(axes) // pairs]
    place = np.concatenate([np.arange(n) for n in np.bincount(axis_of_pair) if n])
    count = np.bincount(axis_of_pair)[axis_of_pair]
    coordinates = jnp.asarray(ordering.coordinates, jnp.int32)[t]  # [slots, axes]
    return coordinates[:, axis_of_pair] * base ** -(place / count)


def long_axes(ordering: Ordering) -> list[int]:
    """The event's axes that have more than one cell; the first if none has."""
    return [axis for axis, cells in enumerate(ordering.cells) if cells > 1] or [0]
