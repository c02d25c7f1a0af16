"""Maximum likelihood."""

import dataclasses
from typing import Any

import jax

from ar_jax.models.batch import scored
from ar_jax.objectives.base import Batch, Loss, Objective


@dataclasses.dataclass(frozen=True)
class MaximumLikelihood(Objective):
    """The negative log-likelihood -log p(x | y), exactly (teacher forcing).

    Of a batch with "lengths" `[batch]` it is that of so many first steps of each event; with "seen"
    `[batch, *event]` that of what is seen of each, for an `AnyOrderModel`.
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array | None) -> Loss:
        """As of `Objective`; without a key there is no dropout."""
        rngs = {} if key is None else {"dropout": key}
        told = {name: batch[name] for name in ("lengths", "seen") if name in batch}
        nats = -model.apply(variables, batch["x"], batch.get("y"), rngs=rngs, **told)
        return nats, {"nats": nats} | scored(model, batch)
