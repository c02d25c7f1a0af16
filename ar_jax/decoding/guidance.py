"""Guidance: draws that a condition marks more than the model itself would have it."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ar_jax.checks import check_number
from ar_jax.decoding.processors import ProcessedSampler, Processor, State, processors_of
from ar_jax.decoding.samplers import Sampler, Wrapper


@dataclass(frozen=True)
class Guidance:
    """Classifier-free guidance (arXiv 2207.12598), in each step of the chain.

        p(x_t | x_<t, y)^(1 + scale) / p(x_t | x_<t, n)^scale,  renormalised,

    where n is the negative condition. Variables of finitely many values are drawn so, one after the
    other. Others are drawn from extrapolated features, f(y) + scale (f(y) - f(n)).

    Attributes:
      scale: 0 draws from the model; above 0 away from n; -1 from p(x | n).
      negative: n, one for each example; left out, the "no condition" that the context was trained
        with.
    """

    scale: Any
    negative: Any = None

    def check(self) -> None:
        """Raises ValueError unless the scale is a finite number."""
        check_number("guidance scale", self.scale, "a finite number", lambda scale: True)


@partial(jax.tree_util.register_dataclass, data_fields=("sampler", "scale"), meta_fields=())
@dataclass(frozen=True)
class GuidedSampler(Wrapper):
    """Draws the same for both halves of a batch, of which the second has the negative conditions.

    Attributes:
      sampler: draws from what the guidance makes of the probabilities.
      scale: of the guidance.
    """

    sampler: Sampler | ProcessedSampler
    scale: Any

    @property
    def processors(self) -> tuple[Processor, ...]:
        """The sampler's: they change what the guidance makes of the probabilities."""
        return processors_of(self.sampler)

    def at(self, states: tuple[State, ...], t: Any) -> "GuidedSampler":
        """How step t is drawn, with the processors in these states."""
        assert isinstance(self.sampler, ProcessedSampler)
        return replace(self, sampler=self.sampler.at(states, t))

    def __call__(self, keys: jax.Array, log_pmf: jax.Array) -> jax.Array:
        """`[batch]` keys, the same in both halves, and `[batch, ..., values]` -> `[batch, ...]`."""
        return self.sampler(keys, jax.nn.log_softmax(self.extrapolate(log_pmf), axis=-1))

    def extrapolate(self, x: jax.Array) -> jax.Array:
        """`[batch, ...]`, away from the second half: the same in both."""
        towards, away = jnp.split(x, 2)
        # What y excludes stays so; what n alone excludes is not made certain.
        step = jnp.where(jnp.isinf(towards) | jnp.isinf(away), 0, towards - away)
        # The largest scale by which no step, and no difference of two, overflows.
        longest = jnp.maximum(jnp.abs(step).max(axis=-1, keepdims=True), 1)
        limit = jnp.finfo(x.dtype).max / 4 / longest
        guided = towards + jnp.clip(self.scale, -limit, limit) * step
        return jnp.concatenate([guided, guided])
