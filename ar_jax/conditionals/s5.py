"""Simplified structured state spaces."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from ar_jax.conditionals.state_space import DiagonalMixer, StateSpace
from ar_jax.math.precision import at_least_float32
from ar_jax.nn.sequence import dense_2d
from ar_jax.orderings import Ordering


class S5Mixer(DiagonalMixer):
    """A discretised continuous system that starts as HiPPO-N, then GELU and a gate.

    Attributes:
      width: size of the inputs and outputs.
      state: number of complex eigenvalues, one of each conjugate pair.
      blocks: number of HiPPO matrices along the diagonal at initialisation.
    """

    blocks: int

    def setup(self) -> None:
        super().setup()
        imaginary, _ = hippo(2 * self.state // self.blocks)

        def init_decay(key: jax.Array) -> jax.Array:
            return jnp.full((self.state,), np.log(0.5), jnp.float32)

        def init_frequency(key: jax.Array) -> jax.Array:
            return jnp.tile(jnp.asarray(imaginary, jnp.float32), self.blocks)

        def init_step(key: jax.Array) -> jax.Array:
            return jax.random.uniform(key, (self.state,), jnp.float32, *np.log([0.001, 0.1]))

        self.decay_log = self.param("decay_log", init_decay)
        self.frequency = self.param("frequency", init_frequency)
        self.step_log = self.param("step_log", init_step)
        self.gates = nn.Dense(self.width)

    def dynamics(self) -> tuple[jax.Array, jax.Array]:
        eigenvalues = jax.lax.complex(
            -jnp.exp(at_least_float32(self.decay_log)), at_least_float32(self.frequency)
        )
        exponent = eigenvalues * jnp.exp(at_least_float32(self.step_log))
        return jnp.exp(exponent), jnp.expm1(exponent) / eigenvalues

    def gate(self, y: jax.Array) -> jax.Array:
        y = nn.gelu(y)
        return y * nn.sigmoid(dense_2d(self.gates, y))

    def init_inputs(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        vectors = self._eigenvectors()
        matrix = jax.random.normal(key, (self.width, len(vectors)), dtype) / self.width**0.5
        return matrix @ jnp.asarray(np.hstack([np.real(vectors), -np.imag(vectors)]), dtype)

    def init_outputs(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        vectors = self._eigenvectors()
        matrix = jax.random.normal(key, (len(vectors), self.width), dtype) / len(vectors) ** 0.5
        parts = 2 * np.hstack([np.real(vectors), -np.imag(vectors)])  # twice, for the conjugates
        return jnp.asarray(parts.T, dtype) @ matrix

    def _eigenvectors(self) -> np.ndarray:
        """`[2 * state, state]`, of all blocks."""
        return np.kron(np.eye(self.blocks), hippo(2 * self.state // self.blocks)[1])


class S5(StateSpace):
    """Simplified structured state spaces (Smith et al., arXiv 2208.04933).

    Layers of norm, one system with as many inputs and outputs as the stream is wide, GELU and a
    gate around a skip. The system is continuous, diagonal and complex, one eigenvalue of each
    conjugate pair, and discretised by a zero-order hold with a step size for each eigenvalue:

        h_t = exp(step * a) * h_{t-1} + (exp(step * a) - 1) / a * B u_t
        y_t = Re(C h_t) + D u_t

    C starts twice as large, for the conjugates that are left out. The system starts as the normal
    part of HiPPO's matrix, which keeps the past in Legendre polynomials. The real part of a is
    minus an exponential, so that the recurrence stays stable. The features at t see all before it:

        t=0  . . . .
        t=1  x . . .
        t=2  x x . .
        t=3  x x x .

    The defaults are the paper's for images as sequences of 784 pixels, but for the norm, which is
    LayerNorm rather than of the batch.

    Attributes:
      layers: how many.
      width: of the residual stream (H in the paper).
      state: real numbers in the state of each layer (P in the paper), even.
      blocks: HiPPO matrices that the system starts with (J in the paper); twice as many divide the
        state.
      dropout: on what each layer adds.
    """

    layers: int = 4
    width: int = 96
    dropout: float = 0.1
    state: int = 128
    blocks: int = 1

    def mixer(self) -> S5Mixer:
        return S5Mixer(self.width, self.state // 2, self.blocks)

    def check(self, ordering: Ordering) -> None:
        super().check(ordering)
        if self.blocks < 1 or self.state < 1 or self.state % (2 * self.blocks):
            raise ValueError(
                f"state: expected a multiple of twice the {self.blocks} blocks, got {self.state}"
            )


def hippo(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Half of the eigenvalues and eigenvectors of HiPPO-N, whose other half are conjugate.

        -1/2 on the diagonal,  -/+ sqrt((n + 1/2) (k + 1/2)) below and above it

    Args:
      size: of the matrix, even.

    Returns:
      The imaginary parts `[size / 2]`, positive (the real parts are -1/2), and the eigenvectors
      `[size, size / 2]`.
    """
    root = np.sqrt(np.arange(size) + 0.5)
    lower = np.tril(np.outer(root, root), -1)
    imaginary, vectors = np.linalg.eigh(1j * (lower - lower.T))  # -i times the antisymmetric part
    return imaginary[size // 2 :], vectors[:, size // 2 :]
