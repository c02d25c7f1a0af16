"""Random orders."""

import dataclasses
from typing import Any

import jax

from ar_jax.models.any_order import AnyOrderModel
from ar_jax.objectives.base import Batch, Loss, Objective


@dataclasses.dataclass(frozen=True)
class RandomOrder(Objective):
    """-log p(x | y) of each example in an order drawn for it, all orders being as likely.

    For an `AnyOrderModel`. By Jensen's inequality its mean is at least -log of the mean probability
    over all orders (arXiv 1310.1757, 1906.08237).
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        order_key, dropout_key = jax.random.split(key)
        order = random_orders(order_key, len(batch["x"]), model.ordering.length)
        nats = -model.apply(
            variables, batch["x"], batch.get("y"), order=order, rngs={"dropout": dropout_key}
        )
        return nats, {"nats": nats}

    def check(self, model: Any) -> None:
        if not isinstance(model, AnyOrderModel):
            raise ValueError(
                f"objective: RandomOrder expects an AnyOrderModel, got {type(model).__name__}"
            )


def random_orders(key: jax.Array, batch: int, length: int) -> jax.Array:
    """`[batch, length]`: a permutation for each example."""
    return jax.vmap(jax.random.permutation, (0, None))(jax.random.split(key, batch), length)
