"""One step of training or evaluation, as a pure function of one device's share of a batch.

A step runs under any transformation that names an axis "data": `jax.pmap` over devices, `jax.vmap`
in tests. A batch is a dictionary of arrays: "x" `[batch, *event]`, "y" `[batch, ...]` where there
are conditions, "mask" `[batch]` where some rows only fill the batch up.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from jax import lax

from ar_jax.models.autoregressive import Model
from ar_jax.training.config import OnNonfinite, Precision
from ar_jax.training.state import TrainState

Batch = Mapping[str, Any]
Scalars = dict[str, jax.Array]


def log_prob(
    model: Model,
    variables: Any,
    batch: Batch,
    rngs: dict[str, jax.Array] | None = None,
) -> jax.Array:
    """log p(x | y) of the rows of a batch: `[batch]`, nats."""
    return cast(jax.Array, model.apply(variables, batch["x"], batch.get("y"), rngs=rngs))


def make_train_step(
    model: Model,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    micro_batches: int = 1,
    precision: Precision = "float32",
    on_nonfinite: OnNonfinite = "raise",
) -> Callable[[TrainState, Batch], tuple[TrainState, Scalars]]:
    """The step (state, batch) -> (state, {"loss", "gradient_norm"}).

    The loss is the mean negative log-likelihood in nats per variable. Dropout is a function of
    (seed, step, device, micro-batch).

    Args:
      model: the model to train.
      optimizer: the gradient transformation.
      ema_decay: of the moving average of the parameters; smaller in the first steps, when an
        average that slow would remember little but the initial parameters.
      micro_batches: parts of the share that are computed one after the other.
      precision: that the network computes in.
      on_nonfinite: with "skip" a step whose loss or gradient is not finite on any device changes
        nothing but the count of steps, and its scalars are {"loss": 0, "gradient_norm": 0,
        "skipped": 1}; those of all other steps hold "skipped": 0.
    """
    variables_per_event = math.prod(model.ordering.event)

    def loss(params: Any, batch: Batch, key: jax.Array) -> jax.Array:
        params = jax.tree.map(lambda p: p.astype(precision), params) if narrow else params
        nats = -log_prob(model, {"params": params}, batch, rngs={"dropout": key})
        return nats.mean() / variables_per_event

    narrow = precision != "float32"  # parameters may be wider than float32, and then stay so
    loss_and_gradient = jax.value_and_grad(loss)

    def of_share(params: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Any]:
        """The loss and its gradient, on one device's share of the batch."""
        if micro_batches == 1:
            return loss_and_gradient(params, batch, key)

        def add(total: Any, part: tuple[Batch, jax.Array]) -> tuple[Any, jax.Array]:
            value, gradient = loss_and_gradient(params, *part)
            return jax.tree.map(jnp.add, total, gradient), value

        zeros = jax.tree.map(jnp.zeros_like, params)
        parts = _split(batch, micro_batches), jax.random.split(key, micro_batches)
        total, values = lax.scan(add, zeros, parts)
        return values.mean(), jax.tree.map(lambda g: g / micro_batches, total)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Scalars]:
        key = jax.random.fold_in(state.key, state.step)
        key = jax.random.fold_in(key, lax.axis_index("data"))
        # Mean over devices after the gradient, so that the loss stays one of this device alone.
        value, gradient = lax.pmean(of_share(state.params, batch, key), "data")
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        new = TrainState(
            step=state.step + 1,
            params=params,
            ema=optax.incremental_update(params, state.ema, 1 - decay),
            opt_state=opt_state,
            key=state.key,
        )
        scalars = {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        if on_nonfinite == "raise":
            return new, scalars

        finite = jnp.isfinite(scalars["loss"]) & jnp.isfinite(scalars["gradient_norm"])

        def taken(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

        scalars = taken(scalars, jax.tree.map(jnp.zeros_like, scalars)) | {"skipped": 1 - finite}
        return taken(new, state.replace(step=new.step)), scalars

    return train_step


def _split(batch: Batch, parts: int) -> dict[str, jax.Array]:
    """`[rows, ...]` -> `[parts, rows / parts, ...]`."""
    rows = len(batch["x"])
    if rows % parts:
        raise ValueError(
            f"micro_batches: expected a divisor of the {rows} rows of a device, got {parts}"
        )
    return jax.tree.map(lambda a: jnp.reshape(a, (parts, -1, *a.shape[1:])), dict(batch))


def make_eval_step(model: Model) -> Callable[[Any, Batch], jax.Array]:
    """The step (variables, batch) -> -log p(x | y) of the rows of all devices: `[batch]`, nats."""

    def eval_step(variables: Any, batch: Batch) -> jax.Array:
        return lax.all_gather(-log_prob(model, variables, batch), "data", tiled=True)

    return eval_step
