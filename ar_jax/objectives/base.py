"""What training minimises."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import jax

Batch = Mapping[str, Any]
"""Arrays whose first axis is the batch: "x", "y" where there are conditions, and any others.

"lengths" and "seen" tell what is scored of each event, as in `ar_jax.data.Arrays`.
"""

Loss = tuple[jax.Array, dict[str, jax.Array]]
"""The loss of each example `[batch]`, and scalars to log, each `[batch]` or `[]`."""


@dataclasses.dataclass(frozen=True)
class Objective(ABC):
    """What training minimises: the mean loss of the examples of a batch.

    One of your own is a subclass, or any function of the same arguments:

    ```python
    def label_smoothing(model, variables, batch, key, smoothing=0.1):
        log_pmf = model.apply(
            variables, batch["x"], batch.get("y"), method="log_pmf", rngs={"dropout": key}
        )  # [batch, length, block_size, values]
        right = jnp.take_along_axis(log_pmf, model.ordering.to_steps(batch["x"])[..., None], -1)
        nats = -right.sum(axis=(1, 2, 3))
        uniform = -log_pmf.mean(axis=-1).sum(axis=(1, 2))
        return (1 - smoothing) * nats + smoothing * uniform, {"nats": nats}

    ar.training.fit(model, batches, validate, folder, training, objective=label_smoothing)
    ```

    The batch arrives whole, with whatever arrays its source gives: weights, masks, targets of a
    teacher. It is split over devices and micro-batches along the first axis.
    """

    @abstractmethod
    def __call__(self, model: Any, variables: Any, batch: Batch, key: jax.Array) -> Loss:
        """The loss of each example `[batch]` in nats, and scalars to log by their names.

        Each scalar is `[batch]` or `[]`, and its mean is logged. Two names have a meaning: "nats",
        -log p(x | y) of each example, of which the log gives the bits/dim, and "variables", how
        many of its variables that is about where it is not all of them (see
        `ar_jax.models.batch.scored`).

        Args:
          model: the model.
          variables: its variables.
          batch: one device's share of it.
          key: the random key of the step, of the device and of the micro-batch.
        """

    def check(self, model: Any) -> None:  # noqa: B027, most suit any model
        """Raises ValueError when the objective does not suit the model."""
