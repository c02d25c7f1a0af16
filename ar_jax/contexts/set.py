"""A set as a condition."""

from ar_jax.contexts.elements import Rows


class Set(Rows):
    """A set: rows whose order does not matter (Deep Sets, arXiv 1703.06114)."""

    def places(self, count: int) -> float:
        return 0.0
