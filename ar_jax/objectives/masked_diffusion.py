"""Autoregressive diffusion."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.models.any_order import filled
from ar_jax.models.batch import scored
from ar_jax.models.order_agnostic import OrderAgnosticModel
from ar_jax.objectives.base import Batch, Loss, Objective
from ar_jax.objectives.random_order import random_orders, refuse_lengths


@dataclasses.dataclass(frozen=True)
class MaskedDiffusion(Objective):
    """An estimate of the mean of -log p(x | y) over all orders, in one pass (arXiv 2110.02037).

    For an `OrderAgnosticModel`. Of each example it draws how many cells are known, t, and which,
    and weighs -log p of the others by length / (length - t). The mean over t and the cells is that
    over all orders, which by Jensen's inequality is at least -log of their mean probability. Of a
    batch with "seen" `[batch, *event]` all of this is about the cells that are seen of each
    example; the others are never known and not scored.
    """

    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        count_key, order_key, dropout_key = jax.random.split(key, 3)
        examples, length = len(batch["x"]), model.ordering.length
        refuse_lengths(batch)
        x, size = batch["x"], length
        place = jnp.argsort(random_orders(order_key, examples, length), axis=1)
        if "seen" in batch:  # first
            order = np.tile(model.ordering.order, (examples, 1))
            seen = model.seen_cells(x, batch["seen"], order)
            x, size = filled(x, batch["seen"]), seen.sum(axis=1, keepdims=True)
            place = jnp.argsort(jnp.argsort(jnp.where(seen, place, length + place), axis=1), axis=1)
        count = jax.random.randint(count_key, (examples, 1), 0, size)
        log_probs = model.apply(
            variables, x, place < count, batch.get("y"), method="masked_log_probs",
            rngs={"dropout": dropout_key},
        )  # fmt: skip
        log_prob = jnp.where(place < size, log_probs, 0).sum(axis=1, keepdims=True)
        nats = -(log_prob * size / jnp.maximum(size - count, 1))[:, 0]  # of none seen, 0
        return nats, {"nats": nats} | scored(model, batch)

    def check(self, model: Any) -> None:
        if not isinstance(model, OrderAgnosticModel):
            raise ValueError(
                "objective: MaskedDiffusion expects an OrderAgnosticModel, got "
                f"{type(model).__name__}"
            )
