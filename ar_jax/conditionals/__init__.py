"""Conditionals: networks whose features at each step depend on the steps before it."""

from ar_jax.conditionals.base import Conditional, ContextBias, shift
from ar_jax.conditionals.made import MADE
from ar_jax.conditionals.pixelcnn import PixelCNN
from ar_jax.conditionals.positions import Learned, Rotary
from ar_jax.conditionals.transformer import Transformer

__all__ = [
    "MADE",
    "Conditional",
    "ContextBias",
    "Learned",
    "PixelCNN",
    "Rotary",
    "Transformer",
    "shift",
]
