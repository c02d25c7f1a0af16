"""The end of a sequence, which is generated."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ar_jax.checks import check_integers, check_shape, is_concrete
from ar_jax.heads.base import Head, ValueSampler
from ar_jax.heads.support import Integers, Support
from ar_jax.math.precision import at_least_float32


@dataclass(frozen=True)
class UntilOver:
    """Draws as the sampler does, and zeros, which are then certain, where a sequence is over.

    Attributes:
      sampler: of what goes on.
      over: `[batch]`, booleans.
    """

    sampler: ValueSampler
    over: jax.Array

    @property
    def temperature(self) -> Any:
        """The sampler's."""
        return self.sampler.temperature

    @property
    def truncates(self) -> Any:
        """Whether the sampler does."""
        return self.sampler.truncates

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """`[batch]` keys and `[batch, ..., values]` nats -> `[batch, ...]`."""
        zero = jnp.where(jnp.arange(log_pmf.shape[-1]) == 0, 0, -jnp.inf)
        over = self.over.reshape(-1, *[1] * (log_pmf.ndim - 1))
        return self.sampler(keys, jnp.where(over, zero, log_pmf))


class EndOfSequence(Head):
    """A sequence that may end: each step says first whether it is over, and if not, its value.

    The first variable of a step is 1 where the sequence is over and 0 where it goes on. A sequence
    of n values in an ordering of more steps has its end at step n, which is scored, and what comes
    after the end has probability one and one value:

        0 a b       goes on, with the value (a, b)
        0 c d
        1 0 0       over
        1 0 0       still over, at 0 nats

    So an event is its own padding: it needs no `lengths` to be scored, is drawn as it is scored,
    and p sums to one over all sequences of at most `ordering.length` values (of the longest, which
    have no room for an end, it is the probability of going on so far). Its nats are those of the
    sequence; bits/dim, which are by all variables of the event, say little. `pad` makes such steps,
    and `lengths` reads how many values they have; the ordering's `to_event` and `to_steps` lead
    from there to events and back. If x is given `lengths` nonetheless, n + 1 let the end count.

    Attributes:
      head: of the value.
    """

    head: Head

    depends_on_previous: ClassVar[bool] = True

    def num_params(self, block_size: int) -> int:
        return 1 + self.head.num_params(block_size - 1)

    def encode(self, value: jax.Array) -> jax.Array:
        over = value[..., :1]
        encoded = self.head.encode(value[..., 1:])
        return jnp.concatenate([over.astype(encoded.dtype), encoded], axis=-1)

    def after(self, features: jax.Array, previous: jax.Array) -> jax.Array:
        return features.at[..., 0].set(jnp.where(previous[..., 0] > 0, jnp.inf, features[..., 0]))

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        over, value = value[..., 0], value[..., 1:]
        log_going_on, log_over = self._log_pmf(features)
        log_value = self.head.log_prob(features[..., 1:], value)
        # What was drawn after the end is zero, and nothing else is possible there.
        ended = jnp.where((value == 0).all(axis=-1), log_over, -jnp.inf)
        log_prob = jnp.where(over == 0, log_going_on + log_value, ended)
        return jnp.where((over == 0) | (over == 1), log_prob, -jnp.inf)

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        keys = jax.vmap(jax.random.split)(keys)  # [batch, 2]
        log_going_on, log_over = self._log_pmf(features)
        over = sampler(keys[:, 0], jnp.stack([log_going_on, log_over], axis=-1))
        until = UntilOver(sampler, over > 0)
        value, log_value = self.head.sample(features[..., 1:], keys[:, 1], until)
        value = jnp.where(over[:, None] > 0, 0, value)  # of real numbers as well
        step = jnp.concatenate([over[:, None].astype(value.dtype), value], axis=-1)
        return step, jnp.where(over > 0, log_over, log_going_on + log_value)

    def _log_pmf(self, features: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Of going on and of being over, each `[...]` nats."""
        logit = at_least_float32(features[..., 0])
        return jax.nn.log_sigmoid(-logit), jax.nn.log_sigmoid(logit)

    @staticmethod
    def pad(values: jax.Array, lengths: jax.Array) -> jax.Array:
        """Steps of sequences of values.

        Args:
          values: `[batch, length, block_size - 1]`; what lies after the end may be anything.
          lengths: `[batch]` integers, how many values each sequence has.

        Returns:
          `[batch, length, block_size]`.

        Raises:
          ValueError: when the lengths are not those of such sequences.
        """
        check_shape("values", values, ("batch", "length", "variables"))
        check_shape("lengths", lengths, (len(values),))
        check_integers("lengths", lengths, 0, values.shape[1])
        over = (jnp.arange(values.shape[1]) >= jnp.asarray(lengths)[:, None])[..., None]
        return jnp.concatenate([over.astype(values.dtype), jnp.where(over, 0, values)], axis=-1)

    @staticmethod
    def lengths(steps: jax.Array) -> jax.Array:
        """How many values sequences have: `[batch, length, block_size]` -> `[batch]`."""
        return (steps[..., 0] == 0).sum(axis=1)

    @property
    def dtype(self) -> DTypeLike:
        return self.head.dtype

    def support(self, block_size: int) -> tuple[Support, ...]:
        return (Integers(1), *self.head.support(block_size - 1))

    def check(self, name: str, value: Any) -> None:
        value = np.asarray(value) if is_concrete(value) else value
        over = value[..., 0]
        if is_concrete(value) and not np.isin(over, (0, 1)).all():
            raise ValueError(
                f"{name}: expected 0 or 1 as the first variable of a step, which tells whether the "
                f"sequence is over, got {over.min()} ... {over.max()}"
            )
        if is_concrete(value) and np.any(value[..., 1:][over == 1]):
            raise ValueError(f"{name}: expected zeros as the values of steps that are over")
        self.head.check(name, value[..., 1:])

    def check_prefix(self, prefix: np.ndarray, lengths: np.ndarray) -> None:
        over, counts = prefix[..., 0] == 1, np.arange(1, prefix.shape[1]) < lengths[:, None]
        if np.any(over[:, :-1] & ~over[:, 1:] & counts):
            raise ValueError("prefix: expected nothing after the end, got a step that goes on")

    def check_block(self, block_size: int) -> None:
        if block_size < 2:
            raise ValueError(
                f"block: expected at least 2 variables, the first telling the end, got {block_size}"
            )
        if self.head.depends_on_previous:
            raise ValueError(f"head: expected one that does not look back, got {self.head}")
        self.head.check_block(block_size - 1)

    def check_sampler(self, sampler: ValueSampler) -> None:
        self.head.check_sampler(sampler)
