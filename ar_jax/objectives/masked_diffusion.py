"""Autoregressive diffusion."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.models.order_agnostic import OrderAgnosticModel
from ar_jax.objectives.base import Batch, Loss, Objective
from ar_jax.objectives.random_order import random_orders


@dataclasses.dataclass(frozen=True)
class MaskedDiffusion(Objective):
    """An estimate of the mean of -log p(x | y) over all orders, in one pass (arXiv 2110.02037).

    For an `OrderAgnosticModel`. Of each example it draws how many cells are known, t, and which,
    and weighs -log p of the others by length / (length - t). The mean over t and the cells is that
    over all orders, which by Jensen's inequality is at least -log of their mean probability.
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        count_key, order_key, dropout_key = jax.random.split(key, 3)
        examples, length = len(batch["x"]), model.ordering.length
        count = jax.random.randint(count_key, (examples, 1), 0, length)
        known = jnp.argsort(random_orders(order_key, examples, length), axis=1) < count
        log_probs = model.apply(
            variables, batch["x"], known, batch.get("y"), method="masked_log_probs",
            rngs={"dropout": dropout_key},
        )  # fmt: skip
        nats = -log_probs.sum(axis=1) * length / (length - count[:, 0])
        return nats, {"nats": nats}

    def check(self, model: Any) -> None:
        if not isinstance(model, OrderAgnosticModel):
            raise ValueError(
                "objective: MaskedDiffusion expects an OrderAgnosticModel, got "
                f"{type(model).__name__}"
            )
