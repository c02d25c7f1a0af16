"""What training carries from step to step."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from ar_jax.models.autoregressive import Model
from ar_jax.models.batch import check_batch


class TrainState(flax.struct.PyTreeNode):
    """What training carries from step to step, and all that a checkpoint holds.

    Attributes:
      step: number of updates made, int32 `[]`.
      params: the parameters.
      ema: their exponential moving average, which evaluation and sampling use.
      opt_state: of the optimizer.
      key: the random key of the run; it never changes.
    """

    step: jax.Array
    params: Any
    ema: Any
    opt_state: optax.OptState
    key: jax.Array

    @property
    def variables(self) -> dict[str, Any]:
        """The averaged parameters, as `model.apply` takes them."""
        return {"params": self.ema}


def init_state(
    model: Model,
    optimizer: optax.GradientTransformation,
    seed: int,
    batch: Mapping[str, Any],
) -> TrainState:
    """The state before the first step.

    Args:
      model: the model to train.
      optimizer: the gradient transformation to train it with.
      seed: of the initial parameters and of dropout.
      batch: an example: "x" `[batch, *event]` and, with conditions, "y" `[batch, ...]`.

    Raises:
      ValueError: when the batch does not fit the model.
    """
    check_batch(model, batch)
    params_key, key = jax.random.split(jax.random.key(seed))
    params = jax.jit(model.init)(params_key, batch["x"], batch.get("y"))["params"]
    return TrainState(
        step=jnp.int32(0),
        params=params,
        ema=jax.tree.map(jnp.copy, params),  # an alias could not be donated
        opt_state=optimizer.init(params),
        key=key,
    )
