"""Random members of an ensemble."""

import dataclasses
from typing import Any

import jax

from ar_jax.models.batch import scored
from ar_jax.models.ensemble import Ensemble
from ar_jax.objectives.base import Batch, Loss, Objective


@dataclasses.dataclass(frozen=True)
class RandomMember(Objective):
    """-log p_i(x | y) of one member i of an `Ensemble`, drawn for the whole batch.

    The papers' order-agnostic and connectivity-agnostic training (arXiv 1310.1757, 1502.03509): one
    pass, and not one for each member. By Jensen's inequality its mean is at least that of the
    ensemble.
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        member_key, dropout_key = jax.random.split(key)
        member = jax.random.randint(member_key, (), 0, len(model.models))
        nats = -model.apply(
            variables, member, batch["x"], batch.get("y"), batch.get("lengths"),
            method="member_log_prob", rngs={"dropout": dropout_key},
        )  # fmt: skip
        return nats, {"nats": nats} | scored(model, batch)

    def check(self, model: Any) -> None:
        if not isinstance(model, Ensemble):
            raise ValueError(
                f"objective: RandomMember expects an Ensemble, got {type(model).__name__}"
            )
