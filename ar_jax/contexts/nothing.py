"""No condition."""

from typing import Any

import jax.numpy as jnp

from ar_jax.contexts.base import Context
from ar_jax.nn.context import ContextVectors


class Nothing(Context):
    """No condition: the model is p(x)."""

    def __call__(self, condition: Any, batch: int) -> ContextVectors:
        return jnp.zeros((batch, 0, 1)), jnp.zeros((batch, 0), bool)

    def check(self, condition: Any, batch: int) -> None:
        if condition is not None:
            raise ValueError(
                "condition: expected None, since the model's context is Nothing(), "
                f"got {type(condition).__name__}"
            )
