"""Autoregressive flows: a density by the change of variables."""

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import as_keys, check_fields, check_floats, check_positive, check_shape
from ar_jax.conditionals.base import Conditional, check_follows
from ar_jax.contexts import Condition, Context, Nothing, map_condition
from ar_jax.decoding import Sampler
from ar_jax.flows.transforms import Transform
from ar_jax.heads.base import Head
from ar_jax.heads.gaussian import GaussianMixture
from ar_jax.heads.support import Reals
from ar_jax.math.precision import at_least_float32
from ar_jax.models.autoregressive import Array
from ar_jax.nn.context import ContextVectors
from ar_jax.orderings import Ordering

Mapped = tuple[jax.Array, jax.Array]
"""Mapped events `[batch, *event]`, and the log-determinant of the Jacobian `[batch]`, in nats."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """y_t = f(x_t; features of x_<t): a map whose Jacobian is triangular in the ordering.

    Forward is one pass over all steps. Its inverse finds the steps one after the other, exactly,
    from the conditional's cache: as many steps as the ordering has, and the arithmetic of one pass.

    Attributes:
      ordering: which variable comes when; the variables of a block do not see each other.
      conditional: computes the parameters of each step's map from the steps of x before it.
      transform: the map f of one variable.
    """

    ordering: Ordering
    conditional: Conditional
    transform: Transform


class Bijection(nn.Module):
    """What a layer does, with parameters of its own.

    Attributes:
      layer: which one.
    """

    layer: Layer

    def setup(self) -> None:
        # Linen would let layers share what they happen to hold the same instance of.
        self.conditional = self.layer.conditional.clone(_deep_clone=True)

    def __call__(self, x: jax.Array, context: ContextVectors) -> Mapped:
        """y, from x `[batch, *event]` and the context's vectors and mask."""
        steps = self.layer.ordering.to_steps(x)
        seen, (vectors, mask) = self._seen(steps), context
        context = vectors.astype(seen.dtype), mask
        features = self.conditional(seen, self.layer.ordering, context, self._features)
        y, log_slope = self.layer.transform.forward(steps, self._parameters(features))
        return self.layer.ordering.to_event(y), log_slope.sum(axis=(1, 2))

    def inverse(self, y: jax.Array, context: ContextVectors) -> Mapped:
        """x, from y `[batch, *event]` and the context's vectors and mask."""
        if self.is_initializing():
            return self(y, context)  # sets the same parameters
        bijection, variables = self.unbind()
        dtype = jnp.result_type(y, jnp.float32, *jax.tree.leaves(variables))  # of x, as it comes
        steps = self.layer.ordering.to_steps(y).astype(dtype)
        zero_step = jnp.zeros_like(steps[:, 0])
        seen, (vectors, mask) = self._seen(zero_step), context
        context = vectors.astype(seen.dtype), mask
        cache = self.conditional.init_cache(seen, self.layer.ordering, context)
        rngs = {"dropout": self.make_rng("dropout")} if self.has_rng("dropout") else {}

        def body(carry: tuple[Any, jax.Array], inputs: tuple[jax.Array, jax.Array]) -> Any:
            y, t = inputs
            at_t = {name: jax.random.fold_in(key, t) for name, key in rngs.items()}
            out: Any = bijection.apply(variables, *carry, y, t, rngs=at_t, method="undo")
            cache, x, log_slope = out
            return (cache, x), (x, log_slope)

        slots = steps.swapaxes(0, 1), jnp.arange(self.layer.ordering.length)
        _, (x, log_slope) = jax.lax.scan(body, (cache, zero_step), slots)
        return self.layer.ordering.to_event(x.swapaxes(0, 1)), log_slope.sum(axis=(0, 2))

    def undo(
        self, cache: Any, previous: jax.Array, y: jax.Array, t: Any
    ) -> tuple[Any, jax.Array, jax.Array]:
        """One step of `inverse`: cache, x_t and its log-slopes, all but the cache as blocks.

        Args:
          cache: of the conditional, after the steps before t.
          previous: `[batch, block_size]`, x at t - 1; ignored at t = 0.
          y: `[batch, block_size]`, at t.
          t: which step.
        """
        cache, features = self.conditional.step(
            cache, self._seen(previous), t, self.layer.ordering, self._features
        )
        return cache, *self.layer.transform.inverse(y, self._parameters(features))

    @property
    def _features(self) -> int:
        return self.layer.ordering.block_size * self.layer.transform.parameters

    def _parameters(self, features: jax.Array) -> jax.Array:
        """`[..., features]` -> `[..., block_size, parameters]`."""
        return at_least_float32(features).reshape(
            *features.shape[:-1], -1, self.layer.transform.parameters
        )

    def _seen(self, x: jax.Array) -> jax.Array:
        # The network computes in the dtype of its parameters, so half of them make half precision.
        parameters = jax.tree.leaves(self.variables.get("params", {}))
        return x.astype(jnp.result_type(*parameters) if parameters else x.dtype)


class Flow(nn.Module, ABC):
    """Events as noise mapped by invertible layers: log p(x | y) = log p(z) + log |det dz/dx|.

        orderings = Raster((6,)), Reversed((6,)), Raster((6,)), Reversed((6,))
        model = MAF(tuple(Layer(o, MADE((64, 64)), Spline()) for o in orderings))

    The density is exact. Each layer has parameters of its own. `init`, `apply`, `sample` (without a
    prefix), training and evaluation take it as they take an `AutoregressiveModel`.

    Attributes:
      layers: over the same event; successive ones should differ in their ordering.
      head: of the noise, at features of 0: `GaussianMixture(1)` is the standard normal there. A
        sampler's temperature is that of the noise.
      context: turns the condition y into what the conditionals read.
    """

    layers: tuple[Layer, ...]
    head: Head = dataclasses.field(default_factory=lambda: GaussianMixture(1))
    context: Context = dataclasses.field(default_factory=Nothing)

    def setup(self) -> None:
        self.stack = [Bijection(layer) for layer in self.layers]

    @abstractmethod
    def to_noise(self, x: Array, condition: Condition = None) -> Mapped:
        """The noise that gives events x `[batch, *event]`, and log |det dz/dx|."""

    @abstractmethod
    def to_event(self, z: Array, condition: Condition = None) -> Mapped:
        """The events that noise z `[batch, *event]` gives, and log |det dx/dz|."""

    def __call__(self, x: Array, condition: Condition = None) -> jax.Array:
        """Log-density of a batch of events.

        Args:
          x: `[batch, *event]`, floating point.
          condition: y, as the context takes it; None if there is none.

        Returns:
          `[batch]`, nats.

        Raises:
          ValueError: when x or the condition does not fit the flow.
        """
        self.check(x, condition)
        z, log_slope = self.to_noise(x, condition)
        steps = self.ordering.to_steps(z)
        features = jnp.zeros((*steps.shape[:2], self._head_features), z.dtype)
        return self.head.log_prob(features, steps).sum(axis=1) + log_slope

    def decode(
        self,
        keys: jax.Array,
        condition: Condition = None,
        sampler: Sampler = Sampler(),
        prefix: Any = None,
        prefill_length: int = 0,
    ) -> tuple[jax.Array, jax.Array]:
        """Draws events; `sample` is the interface to this.

        Args:
          keys: `[batch]` random keys.
          condition: y.
          sampler: how the noise is drawn.
          prefix: None, since what comes first under one layer does not under another.
          prefill_length: 0.

        Returns:
          Events `[batch, *event]`, and their log-density `[batch]` nats, whatever the sampler.
        """
        if prefix is not None:
            raise ValueError("prefix: expected None, since a flow draws all steps at once, got one")
        slots, keys = jnp.arange(self.ordering.length), as_keys("keys", keys, ("batch",))
        keys = jax.vmap(lambda key: jax.vmap(jax.random.fold_in, (None, 0))(key, slots))(keys)
        features = jnp.zeros((keys.size, self._head_features))
        steps, log_prob = self.head.sample(features, keys.ravel(), sampler)
        z = self.ordering.to_event(steps.reshape(*keys.shape, -1))
        x, log_slope = self.to_event(z, condition)
        return x, log_prob.reshape(keys.shape).sum(axis=1) - log_slope

    def _forward(self, x: Array, condition: Condition) -> Mapped:
        """Through the layers from the first to the last, each in one pass."""
        y, context, total = jnp.asarray(x), self._context(condition, len(x)), jnp.zeros(len(x))
        for bijection in self.stack:
            y, log_slope = bijection(y, context)
            total += log_slope
        return y, total

    def _inverse(self, y: Array, condition: Condition) -> Mapped:
        """Back through the layers from the last to the first, each step by step."""
        x, context, total = jnp.asarray(y), self._context(condition, len(y)), jnp.zeros(len(y))
        for bijection in reversed(self.stack):
            x, log_slope = bijection.inverse(x, context)
            total += log_slope
        return x, total

    def _context(self, condition: Condition, batch: int) -> ContextVectors:
        return self.context(map_condition(jnp.asarray, condition), batch)

    @property
    def ordering(self) -> Ordering:
        """Of the first layer."""
        return self.layers[0].ordering

    @property
    def _head_features(self) -> int:
        return self.head.num_params(self.ordering.block_size)

    def check(self, x: Any, condition: Any = None) -> None:
        """Raises ValueError when the parts do not fit together, or x or y does not fit them."""
        self.check_parts()
        check_shape("x", x, ("batch", *self.ordering.event))
        check_positive(examples=len(x))
        check_floats("x", x)
        self.context.check(condition, len(x))

    def check_parts(self) -> None:
        """Raises ValueError when the layers or the head do not fit together."""
        if not self.layers:
            raise ValueError("layers: expected at least 1, got none")
        events = {layer.ordering.event for layer in self.layers}
        if len(events) > 1:
            raise ValueError(f"layers: expected one event, got {sorted(events)}")
        for part in (self.head, self.context, *(layer.conditional for layer in self.layers)):
            check_fields(part)
        for layer in self.layers:
            check_follows(layer.conditional, layer.ordering)
            if layer.ordering.cells_per_step > 1:
                raise ValueError(f"ordering: expected one cell to a step, got {layer.ordering}")
            layer.transform.check()
        if self.context.of_steps:
            raise ValueError(f"context: expected one that reads no step, got {self.context}")
        self.head.check_block(self.ordering.block_size)
        if set(self.head.support(self.ordering.block_size)) != {Reals()}:
            raise ValueError(f"head: expected one over all real numbers, got {self.head}")


class MAF(Flow):
    """A masked autoregressive flow (arXiv 1705.07057): the layers lead from x to the noise.

    Fast: the density, one pass for each layer. Slow: drawing, `length` steps for each layer.
    With one affine layer it is an autoregressive model of Gaussian conditionals; with splines it is
    the autoregressive neural spline flow (arXiv 1906.04032).
    """

    def to_noise(self, x: Array, condition: Condition = None) -> Mapped:
        return self._forward(x, condition)

    def to_event(self, z: Array, condition: Condition = None) -> Mapped:
        return self._inverse(z, condition)


class IAF(Flow):
    """An inverse autoregressive flow (arXiv 1606.04934): the layers lead from the noise to x.

    Fast: drawing, with the density of what is drawn, one pass for each layer. Slow: the density of
    given events, `length` steps for each layer; training by likelihood goes through those steps.
    """

    def to_noise(self, x: Array, condition: Condition = None) -> Mapped:
        return self._inverse(x, condition)

    def to_event(self, z: Array, condition: Condition = None) -> Mapped:
        return self._forward(z, condition)
