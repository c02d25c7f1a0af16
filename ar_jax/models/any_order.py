"""Models that follow any order."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import check_seen, check_shape, is_concrete
from ar_jax.conditionals import MaskedTransformer, Transformer
from ar_jax.contexts import Condition
from ar_jax.decoding import Sampler
from ar_jax.decoding.scan import Prefix
from ar_jax.models.autoregressive import AnySampler, Array, AutoregressiveModel
from ar_jax.nn import FromTo
from ar_jax.orderings import PerExample, Raster


class AnyOrderModel(AutoregressiveModel):
    """p(x | y) = prod_i p(x_o(i) | x_o(<i), y) for each order o, one network for all of them.

        model = AnyOrderModel(Raster((28, 28, 1)), Transformer(positions=FromTo()), Bernoulli())

    A causal transformer that is told of each value where it stands and which place is next scores
    an event in any order in one pass, and decodes from its cache (XLNet, arXiv 1906.08237;
    sigma-GPT, arXiv 2404.09562). Each order is a model with an exact likelihood. They agree only as
    far as training went.

    It is the model of its `ordering`; `order` asks for another. The objective
    `ar_jax.objectives.RandomOrder` trains all of them, and `ar_jax.infill` completes.

    Events may have gaps: what is `seen` of each is visited first, and only that is scored, so that
    nothing has to be filled in or summed over.

    Attributes: those of `AutoregressiveModel`; the conditional is a `Transformer` with `FromTo`
      positions, or a `MaskedTransformer`.
    """

    def __call__(
        self,
        x: Array,
        condition: Condition = None,
        lengths: Array | None = None,
        order: Array | None = None,
        seen: Array | None = None,
    ) -> jax.Array:
        """Log-probability of a batch of events, or of what is seen of them.

        Args:
          x: `[batch, *event]`.
          condition: y, as the context takes it; None if there is none.
          lengths: `[batch]` integers, how many steps of each event count; None for all.
          order: `[batch, length]` integers, the raster number of the cell that each step visits;
            None for that of `ordering`.
          seen: `[batch, *event]` booleans, whole cells: the order goes through these, and then
            through the others, which are neither read nor scored; None for all.

        Returns:
          `[batch]`, nats; exact for the order.

        Raises:
          ValueError: when x, the condition, the lengths, the order or what is seen do not fit the
            model.
        """
        if seen is not None:
            if lengths is not None:
                raise ValueError("lengths, seen: expected one of them, got both")
            x, order, lengths = self._seen_first(x, seen, order)
        if order is None or self.is_initializing():
            return super().__call__(x, condition, lengths)
        return self._in_order(order, "__call__", len(x))(x, condition, lengths)

    def step_log_probs(
        self, x: Array, condition: Condition = None, order: Array | None = None
    ) -> jax.Array:
        """log p of each step given those before it: `[batch, length]`, nats, as the order goes.

        Args: as of the call.
        """
        if order is None or self.is_initializing():
            return super().step_log_probs(x, condition)
        return self._in_order(order, "step_log_probs", len(x))(x, condition)

    def decode(
        self,
        keys: jax.Array,
        condition: Condition = None,
        sampler: AnySampler = Sampler(),
        prefix: Prefix | None = None,
        prefill_length: int = 0,
        order: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Draws events; `sample` and `infill` are the interface to this.

        Args: as of `AutoregressiveModel.decode`, with
          order: `[batch, length]`, the raster number of the cell that each step visits.
        """
        if order is None:
            return super().decode(keys, condition, sampler, prefix, prefill_length)
        draw = self._in_order(order, "decode", len(keys))
        return draw(keys, condition, sampler, prefix, prefill_length)

    def seen_cells(self, x: Array, seen: Array, order: Array) -> jax.Array:
        """Which steps of an order visit a cell that is seen: booleans `[batch, length]`."""
        check_seen(seen, x)
        raster = Raster(self.ordering.event, self.ordering.block)
        cells: Any = raster.to_steps(cast(Any, seen))
        if is_concrete(seen) and (cells.any(axis=2) != cells.all(axis=2)).any():
            raise ValueError(
                f"seen: expected whole cells of {list(self.ordering.block)}, got parts of some"
            )
        return jnp.take_along_axis(jnp.asarray(cells).all(axis=2), jnp.asarray(order), axis=1)

    def _seen_first(
        self, x: Array, seen: Array, order: Array | None
    ) -> tuple[Array, jax.Array, jax.Array]:
        """x with zeros for what is not seen, an order that comes to that last, and how many do."""
        if order is None:
            order = np.tile(self.ordering.order, (len(x), 1))
        else:
            check_shape("order", order, (len(x), self.ordering.length))
        seen_steps = self.seen_cells(x, seen, order)
        ranks = jnp.argsort(~seen_steps, axis=1, stable=True)
        order = jnp.take_along_axis(jnp.asarray(order), ranks, axis=1)
        return filled(x, seen), order, seen_steps.sum(axis=1)

    def check_parts(self) -> None:
        super().check_parts()
        follows = isinstance(self.conditional, MaskedTransformer) or (
            isinstance(self.conditional, Transformer)
            and isinstance(self.conditional.positions, FromTo)
        )
        if not follows:
            raise ValueError(
                "conditional: expected a Transformer with FromTo positions, or a "
                f"MaskedTransformer, to follow any order, got {type(self.conditional).__name__}"
            )
        if self.head.depends_on_previous:
            raise ValueError(
                f"head: {type(self.head).__name__} looks back at the step before, which in any "
                "order is another one each time"
            )

    def _in_order(self, order: Array, method: str, batch: int) -> Callable[..., Any]:
        """A method of the model whose orders are these."""
        self.check_parts()
        check_shape("order", order, (batch, self.ordering.length))
        ordering = PerExample(self.ordering.event, self.ordering.block, order)
        model, variables = self.unbind()
        ordered = AutoregressiveModel(
            ordering, model.conditional, model.head, model.context, parent=None
        )
        rngs = {"dropout": self.make_rng("dropout")} if self.has_rng("dropout") else {}

        def run(*args: Any) -> Any:
            return ordered.apply(variables, *args, method=method, rngs=rngs)

        return run


def filled(x: Array, seen: Array) -> Array:
    """x with zeros for what is not seen: a NaN there would spoil gradients of what is."""
    xp = np if is_concrete(x) and is_concrete(seen) else jnp
    x = xp.asarray(x)
    return xp.where(seen, x, xp.zeros((), x.dtype))
