"""The autoregressive model: an ordering, a conditional, a head and a context, composed."""

import dataclasses
from typing import Any, Protocol

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import (
    as_keys,
    check_fields,
    check_integers,
    check_positive,
    check_shape,
    is_concrete,
)
from ar_jax.conditionals.base import Conditional, check_follows
from ar_jax.contexts import Condition, Context, Nothing, map_condition
from ar_jax.decoding import (
    AnySampler,
    GuidedSampler,
    Prefix,
    Sampler,
    begin,
    decode,
)
from ar_jax.heads.base import Head
from ar_jax.nn.context import ContextVectors
from ar_jax.nn.sequence import Cache, lookup, shift
from ar_jax.orderings import Ordering

Array = jax.Array | np.ndarray
Variables = Any
"""The pytree that `init` returns."""


class Model(Protocol):
    """What is trained, scored and drawn from: `AutoregressiveModel`, `Ensemble`, `Flow`."""

    @property
    def ordering(self) -> Ordering: ...
    @property
    def head(self) -> Head: ...
    @property
    def context(self) -> Context: ...
    def init(self, *args: Any, **kwargs: Any) -> Any: ...
    def apply(self, *args: Any, **kwargs: Any) -> Any: ...
    def check(self, x: Any, condition: Any = None) -> None: ...
    def check_parts(self) -> None: ...


class AutoregressiveModel(nn.Module):
    """p(x | y) = prod_t p(x_t | x_<t, y), exactly.

    Attributes:
      ordering: which variable comes when.
      conditional: computes the features of each step from the steps before it.
      head: the distribution of one step given its features.
      context: turns the condition y into what the conditional reads.
    """

    ordering: Ordering
    conditional: Conditional
    head: Head
    context: Context = dataclasses.field(default_factory=Nothing)

    def __call__(
        self,
        x: Array,
        condition: Condition = None,
        lengths: Array | None = None,
    ) -> jax.Array:
        """Log-probability of a batch of events.

        Args:
          x: `[batch, *event]`, integers for discrete heads, floating point for continuous ones.
          condition: y, as the context takes it; None if there is none.
          lengths: `[batch]` integers, how many steps of each event count; None for all.

        Returns:
          `[batch]`, nats; for continuous heads of the density.

        Raises:
          ValueError: when x, the condition or the lengths do not fit the model. Where values
            cannot be looked at (inside `jit`), those outside the support have minus infinity.
        """
        log_prob = self.step_log_probs(x, condition)
        if lengths is not None:
            check_shape("lengths", lengths, (len(x),))
            check_integers("lengths", lengths, 0, self.ordering.length)
            counts = jnp.arange(self.ordering.length) < jnp.asarray(lengths)[:, None]
            log_prob = jnp.where(counts, log_prob, 0)
        return log_prob.sum(axis=1)

    def step_log_probs(self, x: Array, condition: Condition = None) -> jax.Array:
        """log p(x_t | x_<t, y) of each step, in the ordering's order: `[batch, length]`, nats."""
        steps, features = self._step_features(x, condition)
        log_prob = self.head.log_prob(features, steps)
        return jnp.where(self.ordering.valid, log_prob, 0).sum(axis=-1)

    def log_pmf(self, x: Array, condition: Condition = None) -> jax.Array:
        """Log-probability of every value of each variable, given those before it in the chain.

        For a `Discrete` head or a `DiscretizedLogisticMixture`, and an ordering of one cell a step.

        Returns:
          `[batch, length, block_size, values]`, nats.
        """
        steps, features = self._step_features(x, condition)
        head: Any = self.head
        return head.log_pmf(features, steps)[:, :, 0]

    def _step_features(self, x: Array, condition: Condition) -> tuple[jax.Array, jax.Array]:
        """The steps and the features that predict them, both `[batch, length, width, ...]`."""
        self.check(x, condition)
        steps = self._steps(x)
        condition = map_condition(jnp.asarray, condition)
        encoded = self._encode(steps)
        context = self._context(condition, encoded)
        features = self.conditional(encoded, self.ordering, context, self._features)
        chex.assert_shape(features, (*steps.shape[:2], self._features))
        steps, before, features = map(self.ordering.by_cell, (steps, shift(steps), features))
        return steps, self.head.after(features, before)

    def init_cache(self, batch: int, condition: Condition = None) -> Cache:
        """The conditional's cache before the first step."""
        template = self._encode(self.zero_step(batch))
        return self.conditional.init_cache(
            template, self.ordering, self._context(condition, template)
        )

    def step(self, cache: Cache, previous: jax.Array, t: Any) -> tuple[Cache, jax.Array]:
        """The features of step t `[batch, features]`, from the value at t - 1 (at 0 zeros)."""
        cache, features = self.conditional.step(
            cache, self._encode(previous), t, self.ordering, self._features
        )
        after = self.head.after(*map(self.ordering.by_cell, (features, previous)))
        return cache, after.reshape(features.shape)

    def extend(self, cache: Cache, previous: jax.Array, t: Any) -> tuple[Cache, jax.Array]:
        """The features of k steps `[batch, k, features]`, from values `[batch, k, step_size]`."""
        cache, features = self.conditional.extend(
            cache, self._encode(previous), t, self.ordering, self._features
        )
        after = self.head.after(*map(self.ordering.by_cell, (features, previous)))
        return cache, after.reshape(features.shape)

    def begin(
        self, batch: int, condition: Condition = None, first: jax.Array | None = None
    ) -> tuple[Cache, jax.Array]:
        """The cache after known first steps `[batch, n, step_size]`, and the last of these."""
        cache = self.init_cache(batch, condition)
        if first is None or first.shape[1] == 0:
            return cache, self.zero_step(batch)
        return self.extend(cache, shift(first), 0)[0], first[:, -1]

    def draw(
        self, cache: Cache, previous: jax.Array, t: Any, keys: jax.Array, sampler: AnySampler
    ) -> tuple[Cache, jax.Array, jax.Array]:
        """Draws step t: cache, values `[batch, step_size]`, their log-probability `[batch]`."""
        cache, features = self.step(cache, previous, t)
        batch, width = len(features), self.ordering.cells_per_step
        if width > 1:  # cells of a step have keys of their own
            keys = jax.vmap(lambda key: jax.random.split(key, width))(keys).ravel()
        # Where the values of a variable can be listed, the sampler guides their log-probabilities.
        # Other heads draw without a list: they are guided through their features.
        features = guided = features.reshape(batch * width, -1)
        support = self.head.support(self.ordering.block_size)
        if isinstance(sampler, GuidedSampler) and not all(kind.listed for kind in support):
            guided = sampler.extrapolate(features)
        value, log_prob = self.head.sample(guided, keys, sampler)
        if guided is not features:  # the log-probability is the model's own, as of any sampler
            log_prob = self.head.log_prob(features, value)
        counts = lookup(self.ordering.valid, t)
        log_prob = jnp.where(counts, log_prob.reshape(batch, width), 0).sum(axis=-1)
        return cache, value.reshape(batch, -1), log_prob

    def decode(
        self,
        keys: jax.Array,
        condition: Condition = None,
        sampler: AnySampler = Sampler(),
        prefix: Prefix | None = None,
        prefill_length: int = 0,
    ) -> tuple[jax.Array, jax.Array]:
        """Draws events; `sample` is the interface to this.

        Args:
          keys: `[batch]` random keys.
          condition: y.
          sampler: how a value is drawn.
          prefix: known first steps `[batch, n, step_size]`, and how many of them count `[batch]`.
          prefill_length: how many count for every example; these are read in one pass.

        Returns:
          Events `[batch, *event]`, and the log-probability of what was drawn `[batch]` nats.
        """
        model, variables = self.unbind()
        keys = as_keys("keys", keys, ("batch",))
        first = None if prefix is None else prefix[0][:, :prefill_length]
        cache, previous = self.begin(len(keys), condition, first)

        def step(*state: Any) -> Any:
            return model.apply(variables, *state, method="draw")

        length = self.ordering.length
        carry = begin(cache, previous, length, sampler, prefix)
        steps, log_prob = decode(step, carry, keys, prefill_length, length, sampler, prefix)
        if first is not None:
            steps = jnp.concatenate([first, steps], axis=1)
        return self.ordering.to_event(steps), log_prob

    def zero_step(self, batch: int) -> jax.Array:
        """A placeholder step `[batch, step_size]`, whose values are never read."""
        return jnp.zeros((batch, self.ordering.step_size), self.head.dtype)

    def _steps(self, x: Array) -> jax.Array:
        """The steps of x; integers of 8 bits become wider, since 256 cannot stand beside them."""
        x = jnp.asarray(x)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            x = x.astype(jnp.promote_types(x.dtype, jnp.int32))
        return self.ordering.to_steps(x)

    def _encode(self, steps: jax.Array) -> jax.Array:
        return self._encode_cells(self.ordering.by_cell(steps)).reshape(*steps.shape[:-1], -1)

    def _encode_cells(self, value: jax.Array) -> jax.Array:
        encoded = self.head.encode(value)
        if not jnp.issubdtype(encoded.dtype, jnp.floating):
            raise ValueError(f"head.encode: expected floating point, got {encoded.dtype}")
        # The network computes in the dtype of its parameters, so half of them make half precision.
        parameters = jax.tree.leaves(self.variables.get("params", {}))
        return encoded.astype(jnp.result_type(*parameters) if parameters else encoded.dtype)

    def _context(self, condition: Condition, encoded: jax.Array) -> ContextVectors:
        """The context's vectors, of the dtype of the encoded steps, and their mask."""
        if self.context.of_steps and condition is not None:
            condition = self._encode_cells(jnp.asarray(condition))
        vectors, mask = self.context(condition, len(encoded))
        chex.assert_equal_shape_prefix([vectors, mask], 2)
        return vectors.astype(encoded.dtype), mask

    @property
    def _features(self) -> int:
        return self.ordering.cells_per_step * self.head.num_params(self.ordering.block_size)

    def check(self, x: Any, condition: Any = None) -> None:
        """Raises ValueError when the parts do not fit together, or x or y does not fit them."""
        check_shape("x", x, ("batch", *self.ordering.event))
        check_positive(examples=len(x))
        self.check_parts()
        steps = self.ordering.to_steps(np.asarray(x) if is_concrete(x) else x)
        self.head.check("x", self.ordering.by_cell(steps))
        self.context.check(condition, len(x))

    def check_parts(self) -> None:
        """Raises ValueError when the conditional or the head cannot follow the ordering."""
        for part in (self.conditional, self.head, self.context):
            check_fields(part)
        check_follows(self.conditional, self.ordering)
        self.head.check_block(self.ordering.block_size)
        if self.context.of_steps and self.ordering.block_size > 1:
            raise ValueError(
                f"context: expected steps of one variable for {type(self.context).__name__}, "
                f"got {self.ordering.block_size}"
            )
        if self.head.depends_on_previous and not self.ordering.is_sequential:
            raise ValueError(
                f"head: {type(self.head).__name__} looks back at the step before, where a Graph "
                "asks for one that depends on the features only"
            )
