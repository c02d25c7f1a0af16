"""Contexts: the condition y as vectors that a conditional reads."""

from ar_jax.contexts.base import Condition, Context, Encoder, count_of, map_condition
from ar_jax.contexts.class_label import ClassLabel
from ar_jax.contexts.first_token import FirstToken
from ar_jax.contexts.image import Image
from ar_jax.contexts.nothing import Nothing
from ar_jax.contexts.series import Series
from ar_jax.contexts.set import Set
from ar_jax.contexts.several import Several
from ar_jax.contexts.tokens import Tokens
from ar_jax.contexts.vector import Vector

__all__ = [
    "ClassLabel",
    "Condition",
    "Context",
    "Encoder",
    "FirstToken",
    "Image",
    "Nothing",
    "Series",
    "Set",
    "Several",
    "Tokens",
    "Vector",
    "count_of",
    "map_condition",
]
