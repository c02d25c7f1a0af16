"""Layers: what the networks of `ar_jax.conditionals` are built of."""

from ar_jax.nn.context import ContextBias, ContextVectors
from ar_jax.nn.positions import Axial, FromTo, Learned, Positions, Rotary, Sinusoidal
from ar_jax.nn.sequence import Cache, dense_2d, shift

__all__ = [
    "Axial",
    "Cache",
    "ContextBias",
    "ContextVectors",
    "FromTo",
    "Learned",
    "Positions",
    "Rotary",
    "Sinusoidal",
    "dense_2d",
    "shift",
]
