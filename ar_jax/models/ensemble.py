"""A mixture of autoregressive models."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.checks import as_keys
from ar_jax.contexts import Condition, Context
from ar_jax.decoding import Sampler
from ar_jax.heads.base import Head
from ar_jax.models.autoregressive import Array, AutoregressiveModel
from ar_jax.orderings import Ordering


class Ensemble(nn.Module):
    """p(x | y) = 1/n sum_i p_i(x | y), exactly: the mean of probabilities, never of logits.

        one = AutoregressiveModel(Raster((28, 28, 1)), MADE((500,)), Bernoulli())
        model = Ensemble((one, one.clone(ordering=Reversed((28, 28, 1)))), shared=True)

    Members that share their weights and differ in their ordering, or in the connectivity of their
    MADE, are the papers' order-agnostic and connectivity-agnostic training (MADE, arXiv 1502.03509;
    EoNADE, arXiv 1310.1757): FVSBN, NADE and MADE keep their weights by the cells of the event.

    The log-probability is exact, at the cost of all members. The objective
    `ar_jax.objectives.RandomMember` trains by one member at a time, the papers' way.

    `init`, `apply`, `sample`, training and evaluation take it as they take a model.

    Attributes:
      models: the members, over the same event.
      shared: whether all use one set of parameters, those of the first, or each has its own.
    """

    models: tuple[AutoregressiveModel, ...]
    shared: bool = False

    def __call__(
        self, x: Array, condition: Condition = None, lengths: Array | None = None
    ) -> jax.Array:
        """Log-probability of a batch of events.

        Args:
          x: `[batch, *event]`, integers for discrete heads, floating point for continuous ones.
          condition: y, as the members' context takes it; None if there is none.
          lengths: `[batch]` integers, how many steps of each event count; None for all.

        Returns:
          `[batch]`, nats.

        Raises:
          ValueError: when x, the condition or the lengths do not fit every member.
        """
        self.check(x, condition)
        if lengths is not None:
            self._check_one_ordering("lengths")
        if self.is_initializing():
            self._initialise(x, condition)
        scores = [partial(score, x, condition, lengths) for score in self._members("__call__")]
        return _mean(jnp.stack([score() for score in scores]))

    def member_log_prob(
        self,
        member: int | jax.Array,
        x: Array,
        condition: Condition = None,
        lengths: Array | None = None,
    ) -> jax.Array:
        """Log-probability of a batch of events under one member: `[batch]`, nats.

        Args:
          member: which one; it may be traced.
          x: `[batch, *event]`.
          condition: y.
          lengths: `[batch]`, as of the call.
        """
        self.check(x, condition)
        if lengths is not None:
            self._check_one_ordering("lengths")
        scores = [partial(score, x, condition, lengths) for score in self._members("__call__")]
        return jax.lax.switch(member, scores)

    def decode(
        self,
        keys: jax.Array,
        condition: Condition = None,
        sampler: Sampler = Sampler(),
        prefix: tuple[jax.Array, jax.Array] | None = None,
        prefill_length: int = 0,
    ) -> tuple[jax.Array, jax.Array]:
        """Draws a member for each example, then an event from it; `sample` is the interface.

        The member is drawn at random whatever the sampler; after a prefix the members are as likely
        as it makes them, p(i | prefix, y). Every member draws, so that it costs as much as scoring
        by each of them, and scores what was drawn.

        Args:
          keys: `[batch]` random keys.
          condition: y.
          sampler: how a member draws a value.
          prefix: known first steps `[batch, n, step_size]`, and how many of them count `[batch]`;
            for members of one ordering.
          prefill_length: how many count for every example.

        Returns:
          Events `[batch, *event]`, and the log-probability `[batch]` nats of what was drawn under
          the ensemble, not the member: log p(x | y), less that of the prefix.
        """
        keys = as_keys("keys", keys, ("batch",))
        drawn = [
            draw(keys, condition, sampler, prefix, prefill_length)[0]
            for draw in self._members("decode")
        ]
        members, batch = len(self.models), len(keys)
        scores = self._members("step_log_probs")
        log_prefix = jnp.zeros((members, batch))
        if prefix is not None:
            self._check_one_ordering("prefix")
            known = jnp.arange(self.ordering.length) < prefix[1][:, None]
            log_prefix = jnp.stack(
                [
                    jnp.where(known, score(event, condition), 0).sum(axis=1)
                    for score, event in zip(scores, drawn, strict=True)
                ]
            )
        # The members fold the numbers of their steps into the keys: a number after those.
        last = max(model.ordering.length for model in self.models)
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, last)
        which = jax.vmap(jax.random.categorical)(keys, log_prefix.T)
        event = jnp.stack(drawn)[which, jnp.arange(batch)]
        log_prob = jnp.stack([score(event, condition).sum(axis=1) for score in scores])
        return event, _mean(log_prob) - _mean(log_prefix)

    @property
    def ordering(self) -> Ordering:
        """Of the first member."""
        return self.models[0].ordering

    @property
    def head(self) -> Head:
        """Of the first member."""
        return self.models[0].head

    @property
    def context(self) -> Context:
        """Of the first member."""
        return self.models[0].context

    def check(self, x: Any, condition: Any = None) -> None:
        """Raises ValueError when the members do not fit together, or x or y does not fit one."""
        self.check_parts()
        for model in self.models:
            model.check(x, condition)

    def check_parts(self) -> None:
        """Raises ValueError when the members do not fit together."""
        if not self.models:
            raise ValueError("models: expected at least 1, got none")
        kinds = {(model.ordering.event, np.dtype(model.head.dtype)) for model in self.models}
        if len(kinds) > 1:
            got = ", ".join(f"{event} of {dtype}" for event, dtype in kinds)
            raise ValueError(f"models: expected one event with values of one kind, got {got}")
        for model in self.models:
            model.check_parts()

    def _check_one_ordering(self, name: str) -> None:
        """Raises ValueError when the first steps are not the same for all members."""
        if len({model.ordering for model in self.models}) > 1:
            raise ValueError(f"{name}: expected None, since the models' orderings differ")

    # Linen would share what members happen to hold the same instance of, and nothing else: here
    # `shared` alone decides, so that ensembles that are equal have the same parameters.

    def _initialise(self, x: Array, condition: Condition) -> None:
        """Sets the parameters of each member, or of the first for all."""
        if self.shared:
            init = [
                partial(model.unbind()[0].init, x=x, condition=condition) for model in self.models
            ]
            sizes = [jax.tree.map(jnp.shape, jax.eval_shape(i, jax.random.key(0))) for i in init]
            if any(size != sizes[0] for size in sizes):
                raise ValueError(
                    "models: expected one architecture, since shared=True, got several"
                )
        for i, model in enumerate(self.models[:1] if self.shared else self.models):
            variables = model.unbind()[0].init(self.make_rng("params"), x, condition)
            self.put_variable("params", f"member_{i}", variables["params"])

    def _members(self, method: str) -> list[Callable[..., Any]]:
        """A method of each member, with its parameters."""
        rngs = {"dropout": self.make_rng("dropout")} if self.has_rng("dropout") else {}
        params = [
            self.get_variable("params", f"member_{0 if self.shared else i}")
            for i in range(len(self.models))
        ]
        return [
            partial(model.unbind()[0].apply, {"params": own}, method=method, rngs=rngs)
            for model, own in zip(self.models, params, strict=True)
        ]


def _mean(log_prob: jax.Array) -> jax.Array:
    """Of probabilities given by their logarithms: `[members, batch]` -> `[batch]`."""
    return jax.nn.logsumexp(log_prob, axis=0) - np.log(len(log_prob))
