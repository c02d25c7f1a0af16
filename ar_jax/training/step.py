"""One step of training or evaluation, as a pure function of one device's share of a batch.

A step runs under any transformation that names an axis "data": `jax.pmap` over devices, `jax.vmap`
in tests. A batch is a dictionary of arrays: "x" `[batch, *event]`, "y" `[batch, ...]` where there
are conditions, "lengths" `[batch]` or "seen" `[batch, *event]` where not all of an event is scored
(see `ar_jax.data.Arrays`), and others that an objective reads; in evaluation "mask" `[batch]`,
where some rows only fill the batch up.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from ar_jax.models.autoregressive import Model
from ar_jax.objectives import Batch, Loss, MaximumLikelihood
from ar_jax.training.config import OnNonfinite, Precision
from ar_jax.training.state import TrainState

Scalars = dict[str, jax.Array]

RESERVED = ("loss", "gradient_norm", "skipped", "learning_rate", "step")
"""Names in the log that are not the objective's."""


def make_train_step(
    model: Model,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    micro_batches: int = 1,
    precision: Precision = "float32",
    on_nonfinite: OnNonfinite = "raise",
    objective: Callable[..., Loss] = MaximumLikelihood(),
) -> Callable[[TrainState, Batch], tuple[TrainState, Scalars]]:
    """The step (state, batch) -> (state, {"loss", "gradient_norm", ...}).

    The loss is the mean of the objective, divided by the number of variables of an event: nats per
    variable. The means of the objective's scalars stand beside it. Its random key is a function of
    (seed, step, device, micro-batch).

    Args:
      model: the model to train.
      optimizer: the gradient transformation.
      ema_decay: of the moving average of the parameters; smaller in the first steps, when an
        average that slow would remember little but the initial parameters.
      micro_batches: parts of the share that are computed one after the other.
      precision: that the network computes in.
      on_nonfinite: with "skip" a step whose loss or gradient is not finite on any device changes
        nothing but the count of steps, and its scalars are 0, but {"skipped": 1}; those of all
        other steps hold "skipped": 0.
      objective: what is minimised, e.g. `ar_jax.objectives.MaximumLikelihood()`.
    """
    variables_per_event = math.prod(model.ordering.event)

    def loss(params: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Scalars]:
        params = jax.tree.map(lambda p: p.astype(precision), params) if narrow else params
        losses, scalars = _checked(objective(model, {"params": params}, batch, key), batch)
        means = {name: jnp.mean(value) for name, value in scalars.items()}
        return losses.mean() / variables_per_event, means

    narrow = precision != "float32"  # parameters may be wider than float32, and then stay so
    loss_and_gradient = jax.value_and_grad(loss, has_aux=True)

    def of_share(params: Any, batch: Batch, key: jax.Array) -> tuple[jax.Array, Scalars, Any]:
        """The loss, its scalars and its gradient, on one device's share of the batch."""
        if micro_batches == 1:
            (value, scalars), gradient = loss_and_gradient(params, batch, key)
            return value, scalars, gradient

        def add(total: Any, part: tuple[Batch, jax.Array]) -> tuple[Any, Any]:
            values, gradient = loss_and_gradient(params, *part)
            return jax.tree.map(jnp.add, total, gradient), values

        zeros = jax.tree.map(jnp.zeros_like, params)
        parts = _split(batch, micro_batches), jax.random.split(key, micro_batches)
        total, values = lax.scan(add, zeros, parts)
        value, scalars = jax.tree.map(jnp.mean, values)
        return value, scalars, jax.tree.map(lambda g: g / micro_batches, total)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Scalars]:
        key = jax.random.fold_in(state.key, state.step)
        key = jax.random.fold_in(key, lax.axis_index("data"))
        # Mean over devices after the gradient, so that the loss stays one of this device alone.
        value, means, gradient = lax.pmean(of_share(state.params, batch, key), "data")
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
        scalars = means | {"loss": value, "gradient_norm": optax.tree.norm(gradient)}
        if on_nonfinite == "raise":
            return new, scalars

        finite = jnp.isfinite(scalars["loss"]) & jnp.isfinite(scalars["gradient_norm"])

        def taken(new: Any, old: Any) -> Any:
            return jax.tree.map(lambda n, o: jnp.where(finite, n, o), new, old)

        scalars = taken(scalars, jax.tree.map(jnp.zeros_like, scalars)) | {"skipped": 1 - finite}
        return taken(new, state.replace(step=new.step)), scalars

    return train_step


def _checked(returned: Any, batch: Batch) -> Loss:
    """What an objective returned, if it is what it should be."""
    expected = f"objective: expected losses [{len(batch['x'])}] and a dictionary of scalars"
    if not (isinstance(returned, tuple) and len(returned) == 2):
        raise ValueError(f"{expected}, got {type(returned).__name__}")
    losses, scalars = returned
    if jnp.shape(losses) != (len(batch["x"]),):
        raise ValueError(f"{expected}, got losses {list(jnp.shape(losses))}")
    if not isinstance(scalars, Mapping):
        raise ValueError(f"{expected}, got {type(scalars).__name__} beside the losses")
    for name, value in scalars.items():
        if name in RESERVED or jnp.shape(value) not in ((), jnp.shape(losses)):
            raise ValueError(
                f"{expected}, each [batch] or [] and named otherwise than {', '.join(RESERVED)}, "
                f"got {name} {list(jnp.shape(value))}"
            )
    return losses, dict(scalars)


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
        nats, _ = MaximumLikelihood()(model, variables, batch, key=None)
        return lax.all_gather(nats, "data", tiled=True)

    return eval_step
