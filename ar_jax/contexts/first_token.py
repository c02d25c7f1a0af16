"""The token before the first step."""

from typing import Any, ClassVar

import jax.numpy as jnp

from ar_jax.checks import check_integers, check_positive, check_shape
from ar_jax.contexts.base import Context
from ar_jax.nn.context import ContextVectors


class FirstToken(Context):
    """The token before the first step, such as a text's mark of its beginning.

    It is shown to the conditional as the head shows those after it; a transformer with
    `context_start` has it at the start. So p(x | y) is that of a language model: y is its first
    token, which is not scored.

    Attributes:
      vocabulary: the number of symbols; conditions are `[batch, 1]` integers
        `0 ... vocabulary - 1`.
    """

    vocabulary: int

    length: ClassVar[int] = 1
    of_steps: ClassVar[bool] = True

    def __call__(self, condition: Any, batch: int) -> ContextVectors:
        """The encoded token `[batch, width]`, as the only vector."""
        return condition[:, None], jnp.ones((batch, 1), bool)

    def check(self, condition: Any, batch: int) -> None:
        check_positive(vocabulary=self.vocabulary)
        if condition is None:
            raise ValueError("condition: expected the first token of every example, got None")
        check_shape("condition", condition, (batch, 1))
        check_integers("condition", condition, 0, self.vocabulary - 1)
