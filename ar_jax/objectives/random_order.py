"""Random orders."""

import dataclasses
from typing import Any

import jax

from ar_jax.models.any_order import AnyOrderModel
from ar_jax.models.batch import scored
from ar_jax.objectives.base import Batch, Loss, Objective


@dataclasses.dataclass(frozen=True)
class RandomOrder(Objective):
    """-log p(x | y) of each example in an order drawn for it, all orders being as likely.

    For an `AnyOrderModel`. By Jensen's inequality its mean is at least -log of the mean probability
    over all orders (arXiv 1310.1757, 1906.08237). Of a batch with "seen" `[batch, *event]` it is
    -log p of what is seen of each example, in an order of these cells.
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        order_key, dropout_key = jax.random.split(key)
        refuse_lengths(batch)
        order = random_orders(order_key, len(batch["x"]), model.ordering.length)
        nats = -model.apply(
            variables, batch["x"], batch.get("y"), order=order, seen=batch.get("seen"),
            rngs={"dropout": dropout_key},
        )  # fmt: skip
        return nats, {"nats": nats} | scored(model, batch)

    def check(self, model: Any) -> None:
        if not isinstance(model, AnyOrderModel):
            raise ValueError(
                f"objective: RandomOrder expects an AnyOrderModel, got {type(model).__name__}"
            )


def random_orders(key: jax.Array, batch: int, length: int) -> jax.Array:
    """`[batch, length]`: a permutation for each example."""
    return jax.vmap(jax.random.permutation, (0, None))(jax.random.split(key, batch), length)


def refuse_lengths(batch: Batch) -> None:
    """Raises where the first steps are to be scored: in a random order that is any cells."""
    if "lengths" in batch:
        raise ValueError("lengths: expected the cells to score as seen, since orders are random")
