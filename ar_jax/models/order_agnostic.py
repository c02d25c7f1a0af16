"""Order-agnostic models: one bidirectional network, which knows any part of an event."""

from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_shape
from ar_jax.conditionals import MaskedTransformer
from ar_jax.contexts import Condition, map_condition
from ar_jax.models.any_order import AnyOrderModel
from ar_jax.models.autoregressive import Array


class OrderAgnosticModel(AnyOrderModel):
    """An autoregressive diffusion model: any cells from any others (Hoogeboom et al., 2110.02037).

        model = OrderAgnosticModel(Raster((28, 28, 1)), MaskedTransformer(), Bernoulli())

    Also that of DeepNADE (arXiv 1310.1757), and of MaskGIT (arXiv 2202.04200), which draws several
    cells at once: `ar_jax.infill_in_rounds`.

    The objective `ar_jax.objectives.MaskedDiffusion` trains it, in one pass a step. The
    log-probability is exact for the order, at the cost of a pass for each step.

    Attributes: those of `AutoregressiveModel`; the conditional is a `MaskedTransformer`.
    """

    def masked_log_probs(self, x: Array, known: Array, condition: Condition = None) -> jax.Array:
        """log p(x_k | known cells, y) of each other cell k, in one pass.

        Args:
          x: `[batch, *event]`.
          known: `[batch, length]` booleans, in the ordering's order.
          condition: y.

        Returns:
          `[batch, length]`, nats; 0 for the known cells.
        """
        self.check(x, condition)
        check_shape("known", known, (len(x), self.ordering.length))
        if known.dtype != bool:
            raise ValueError(f"known: expected booleans, got {known.dtype}")
        steps, known = self._steps(x), jnp.asarray(known)
        log_prob = self.head.log_prob(self.masked_features(steps, known, condition), steps)
        return jnp.where(known, 0, log_prob)

    def masked_features(
        self, steps: jax.Array, known: jax.Array, condition: Condition = None
    ) -> jax.Array:
        """The features of all cells from the known ones: `[batch, length, features]`.

        Args:
          steps: `[batch, length, step_size]`; those that are not known are not read.
          known: `[batch, length]` booleans.
          condition: y.
        """
        encoded = self._encode(steps)
        context = self._context(map_condition(jnp.asarray, condition), encoded)
        features = self.head.num_params(self.ordering.block_size)
        network: Any = self.conditional
        return network.masked(encoded, known, self.ordering, context, features)

    def check_parts(self) -> None:
        super().check_parts()
        if not isinstance(self.conditional, MaskedTransformer):
            raise ValueError(
                "conditional: expected a MaskedTransformer, which reads both ways, got "
                f"{type(self.conditional).__name__}"
            )
