"""Maximum likelihood."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_integers, check_shape
from ar_jax.objectives.base import Batch, Loss, Objective


@dataclasses.dataclass(frozen=True)
class MaximumLikelihood(Objective):
    """The negative log-likelihood -log p(x | y), exactly (teacher forcing).

    Of a batch with "lengths" `[batch]` it is that of so many first steps of each event.
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        lengths = batch.get("lengths")
        given = {} if lengths is None else {"lengths": lengths}
        nats = -model.apply(variables, batch["x"], batch.get("y"), rngs={"dropout": key}, **given)
        if lengths is None:
            return nats, {"nats": nats}
        return nats, {"nats": nats, "variables": variables_of(model, lengths)}


def check_lengths(model: Any, lengths: Any, batch: int) -> None:
    """Raises ValueError when these are not how many steps of each event of a batch count."""
    check_shape("lengths", lengths, (batch,))
    check_integers("lengths", lengths, 0, model.ordering.length)


def variables_of(model: Any, lengths: Any) -> jax.Array:
    """How many variables the first steps of an event have: `[batch]`, from lengths `[batch]`."""
    ordering = model.ordering
    counts = np.cumsum([0, *(ordering.valid.sum(axis=1) * ordering.block_size)])
    return jnp.asarray(counts)[lengths]
