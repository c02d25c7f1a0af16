"""What a batch tells besides x and y: which part of each event is scored."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_integers, check_shape
from ar_jax.models.any_order import AnyOrderModel, filled
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.models.ensemble import Ensemble


def scored(model: Any, batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    """{"variables": how many variables of each event are scored, `[batch]`}.

    It is empty where that is all of them.
    """
    if "seen" in batch:
        return {"variables": jnp.asarray(batch["seen"]).reshape(len(batch["x"]), -1).sum(axis=1)}
    if "lengths" in batch:
        ordering = model.ordering
        counts = np.cumsum([0, *(ordering.valid.sum(axis=1) * ordering.block_size)])
        return {"variables": jnp.asarray(counts)[jnp.asarray(batch["lengths"])]}
    return {}


def check_batch(model: Any, batch: Mapping[str, Any]) -> None:
    """Raises ValueError when a batch does not fit the model.

    The model's own checks see no values inside `jit`.
    """
    x, kind = batch["x"], type(model).__name__
    if "seen" in batch:
        if not isinstance(model, AnyOrderModel):
            raise ValueError(
                "seen: expected an AnyOrderModel, which visits what is seen of an event first, got "
                f"{kind}"
            )
        if "lengths" in batch:
            raise ValueError("lengths, seen: expected one of them, got both")
        model.seen_cells(x, batch["seen"], np.tile(model.ordering.order, (len(x), 1)))
        x = filled(x, batch["seen"])
    model.check(x, batch.get("y"))
    if "lengths" in batch:
        if not isinstance(model, AutoregressiveModel | Ensemble):
            raise ValueError(
                f"lengths: expected an AutoregressiveModel, which scores by steps, got {kind}"
            )
        check_shape("lengths", batch["lengths"], (len(x),))
        check_integers("lengths", batch["lengths"], 0, model.ordering.length)
