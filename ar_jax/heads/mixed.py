"""A chain of heads over a step of variables of several kinds."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from ar_jax.checks import check_floats, check_positive, is_concrete
from ar_jax.heads.base import Head, ValueSampler
from ar_jax.heads.support import Support
from ar_jax.math.precision import at_least_float32


class Mixed(Head):
    """A step of parts of different kinds, each predicted from the features and the parts before it.

        p(step) = prod_i p_i(part_i | features, part_0 ... part_i-1)

    as of an event in time: its kind, how many, and the gap until the next,

        head=Mixed((Categorical(5), Poisson(), GaussianMixture()))     # block (1, 3)

    A state begins as the features; each part is read from it by a linear layer, and then updates
    it by a residual one. If a part is of real numbers, integers are held as floating point too;
    float32 has each of them up to 2^24.

    Attributes:
      parts: the head of each.
      sizes: how many variables of the step each part has; left out, one each.
      width: the size of the state, which is the number of features.
    """

    parts: tuple[Head, ...]
    sizes: tuple[int, ...] = ()
    width: int = 64

    def setup(self) -> None:
        # Linen would let parts share what they happen to hold the same instance of.
        self.chain = [part.clone(_deep_clone=True) for part in self.parts]
        sized = zip(self.parts, self._sizes, strict=True)
        self.read = [nn.Dense(part.num_params(size)) for part, size in sized]
        self.see = [nn.Dense(self.width) for _ in self.parts[1:]]
        self.update = [nn.Dense(self.width) for _ in self.parts[1:]]

    def num_params(self, block_size: int) -> int:
        return self.width

    def encode(self, value: jax.Array) -> jax.Array:
        encoded = [part.encode(x) for part, x in zip(self.chain, self._split(value), strict=True)]
        return jnp.concatenate(encoded, axis=-1)

    def log_prob(self, features: jax.Array, value: jax.Array) -> jax.Array:
        state, log_prob, values = at_least_float32(features), jnp.zeros(()), self._split(value)
        for i, (part, x) in enumerate(zip(self.chain, values, strict=True)):
            log_prob += part.log_prob(self.read[i](state), x)
            state = self._after_part(i, state, x)
        possible = (value == jnp.concatenate(values, axis=-1)).all(axis=-1)  # integers are whole
        return jnp.where(possible, log_prob, -jnp.inf)

    def sample(
        self, features: jax.Array, keys: jax.Array, sampler: ValueSampler
    ) -> tuple[jax.Array, jax.Array]:
        state, log_prob, values = at_least_float32(features), jnp.zeros(len(features)), []
        for i, part in enumerate(self.chain):
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
            x, log_part = part.sample(self.read[i](state), own, sampler)
            values.append(x)
            log_prob += log_part
            state = self._after_part(i, state, x)
        return jnp.concatenate(values, axis=-1).astype(self.dtype), log_prob

    def _after_part(self, i: int, state: jax.Array, value: jax.Array) -> jax.Array:
        """The state once the i-th part is known; after the last it is unused."""
        if i == len(self.parts) - 1:
            return state
        seen = jnp.concatenate([state, self.chain[i].encode(value)], axis=-1)
        return state + self.update[i](nn.gelu(self.see[i](seen)))

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.sizes or (1,) * len(self.parts)

    def _split(self, value: jax.Array) -> list[jax.Array]:
        """The parts of steps `[..., block_size]`, integers as such."""
        split = jnp.split(value, np.cumsum(self._sizes)[:-1], axis=-1)
        return [
            x.astype(part.dtype) if jnp.issubdtype(part.dtype, jnp.integer) else x
            for part, x in zip(self.parts, split, strict=True)
        ]

    @property
    def dtype(self) -> DTypeLike:
        return jnp.result_type(*(part.dtype for part in self.parts))

    def support(self, block_size: int) -> tuple[Support, ...]:
        sized = zip(self.parts, self._sizes, strict=True)
        return tuple(kind for part, size in sized for kind in part.support(size))

    def check(self, name: str, value: Any) -> None:
        value = np.asarray(value) if is_concrete(value) else value
        real = jnp.issubdtype(self.dtype, jnp.floating)
        if real:
            check_floats(name, value)
        ends = np.cumsum(self._sizes)
        for part, size, end in zip(self.parts, self._sizes, ends, strict=True):
            x = value[..., end - size : end]
            if real and jnp.issubdtype(part.dtype, jnp.integer):
                if is_concrete(x) and np.any((x != np.floor(x)) | (np.abs(x) >= 2**63)):
                    kind = type(part).__name__
                    raise ValueError(f"{name}: expected whole numbers of {kind}, got others")
                x = x.astype(np.int64 if is_concrete(x) else jnp.result_type(int))
            part.check(name, x)

    def check_block(self, block_size: int) -> None:
        check_positive(width=self.width, parts=len(self.parts))
        if len(self._sizes) != len(self.parts) or sum(self._sizes) != block_size:
            raise ValueError(
                f"block: expected a variable for each of the parts, {self._sizes} of "
                f"{len(self.parts)}, got {block_size}"
            )
        for part, size in zip(self.parts, self._sizes, strict=True):
            check_positive(sizes=size)
            if part.depends_on_previous:
                raise ValueError(f"parts: expected none that looks back at a step, got {part}")
            part.check_block(size)

    def check_sampler(self, sampler: ValueSampler) -> None:
        for part in self.parts:
            part.check_sampler(sampler)
