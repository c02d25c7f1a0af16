"""Several conditions at once."""

from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_fractions, check_positive
from ar_jax.contexts.base import Context, Encoder
from ar_jax.nn.context import ContextVectors


class Several(Context):
    """Several conditions at once, as the vectors of one after the other.

        context=Several((ClassLabel(10), Vector(1), ClassLabel(250)))

    reads a digit's class, its slant and its writer, a tuple of three. Each may be absent in its own
    way where its own dropout is above 0; None in its place is its absence for the whole batch, and
    None for the tuple that of all. A conditional that reads the mean of the vectors sees the
    longest condition most; cross attention finds the others too.

    Attributes:
      contexts: of each condition, all of one width.
      dropout: how often training takes away all conditions of an example at once, besides what
        each context's own dropout does. Guidance away from "no condition" asks for it, since all
        dropouts rarely coincide.
    """

    contexts: tuple[Encoder, ...]
    dropout: float = 0.0

    def setup(self) -> None:
        # Linen would let contexts share what they happen to hold the same instance of.
        self.parts = [context.clone(_deep_clone=True) for context in self.contexts]

    def __call__(self, condition: Any, batch: int) -> ContextVectors:
        conditions = self._split(condition)
        if self.dropout and self.has_rng("dropout"):
            gone = jax.random.bernoulli(self.make_rng("dropout"), self.dropout, (batch,))
            conditions = jax.tree.map(
                lambda y, absent: jnp.where(gone.reshape(-1, *[1] * (y.ndim - 1)), absent, y),
                conditions,
                self.missing(conditions),
            )
        parts = zip(self.parts, conditions, strict=True)
        vectors, masks = zip(*(part(y, batch) for part, y in parts), strict=True)
        return jnp.concatenate(vectors, axis=1), jnp.concatenate(masks, axis=1)

    def missing(self, condition: Any) -> Any:
        parts = zip(self.contexts, condition, strict=True)
        return tuple(None if y is None else part.missing(y) for part, y in parts)

    def check(self, condition: Any, batch: int) -> None:
        check_positive(contexts=len(self.contexts))
        check_fractions(dropout=self.dropout)
        for context in self.contexts:
            if not isinstance(context, Encoder):
                raise ValueError(
                    "contexts: expected encoders such as ClassLabel or Vector, "
                    f"got {type(context).__name__}"
                )
            if self.dropout > 0 and context.dropout == 0:
                raise ValueError(
                    "contexts: expected each of dropout above 0, since that of all is, "
                    f"got {type(context).__name__}(dropout=0)"
                )
        widths = [context.width for context in self.contexts]
        if len(set(widths)) > 1:
            raise ValueError(f"contexts: expected all of one width, got {widths}")
        for i, (context, y) in enumerate(zip(self.contexts, self._split(condition), strict=True)):
            try:
                context.check(y, batch)
            except ValueError as error:
                raise ValueError(f"contexts[{i}]: {error}") from error

    def _split(self, condition: Any) -> tuple[Any, ...]:
        """The condition of each context."""
        count = len(self.contexts)
        if condition is None:
            return (None,) * count
        if not isinstance(condition, tuple) or len(condition) != count:
            got = f"{len(condition)}" if isinstance(condition, tuple) else type(condition).__name__
            raise ValueError(f"condition: expected a tuple of {count}, got {got}")
        return condition
