"""Linear recurrent units."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from ar_jax.checks import check_number, check_positive
from ar_jax.conditionals.state_space import DiagonalMixer, StateSpace
from ar_jax.math.precision import at_least_float32
from ar_jax.nn.sequence import dense_2d


class LRUMixer(DiagonalMixer):
    """A linear recurrence whose eigenvalues lie in a ring, then GELU and a gated linear unit.

    Attributes:
      width: size of the inputs and outputs.
      state: number of complex eigenvalues.
      r_min: smallest modulus of the eigenvalues at initialisation.
      r_max: largest modulus of the eigenvalues at initialisation.
      max_phase: largest angle of the eigenvalues at initialisation, in radians.
    """

    r_min: float
    r_max: float
    max_phase: float

    def setup(self) -> None:
        super().setup()

        def init_nu(key: jax.Array) -> jax.Array:  # uniform on the ring
            u = jax.random.uniform(key, (self.state,), jnp.float32, 1e-6)
            return jnp.log(-0.5 * jnp.log(u * (self.r_max**2 - self.r_min**2) + self.r_min**2))

        def init_theta(key: jax.Array) -> jax.Array:
            return jnp.log(
                self.max_phase * jax.random.uniform(key, (self.state,), jnp.float32, 1e-6)
            )

        def init_gamma(key: jax.Array) -> jax.Array:  # sqrt(1 - |decay|^2)
            return 0.5 * jnp.log(-jnp.expm1(-2 * jnp.exp(self.nu_log)))

        self.nu_log = self.param("nu_log", init_nu)
        self.theta_log = self.param("theta_log", init_theta)
        self.gamma_log = self.param("gamma_log", init_gamma)
        self.gates = nn.Dense(2 * self.width)

    def dynamics(self) -> tuple[jax.Array, jax.Array]:
        decay, angle = (
            -jnp.exp(at_least_float32(self.nu_log)),
            jnp.exp(at_least_float32(self.theta_log)),
        )
        return jnp.exp(jax.lax.complex(decay, angle)), jnp.exp(at_least_float32(self.gamma_log))

    def gate(self, y: jax.Array) -> jax.Array:
        return nn.glu(dense_2d(self.gates, nn.gelu(y)))

    def init_inputs(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.normal(key, shape, dtype) / (2 * self.width) ** 0.5

    def init_outputs(self, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.normal(key, shape, dtype) / self.state**0.5


class LRU(StateSpace):
    """Linear recurrent units (Orvieto et al., arXiv 2303.06349).

    Layers of norm, complex diagonal linear recurrence, GELU and GLU around a skip:

        h_t = exp(-exp(nu) + i exp(theta)) * h_{t-1} + gamma * B u_t
        y_t = Re(C h_t) + D u_t

    What is learned is such that the recurrence stays stable, and gamma is such at first that states
    have the variance of their inputs. The features at t see all the steps before it:

        t=0  . . . .
        t=1  x . . .
        t=2  x x . .
        t=3  x x x .

    The defaults are the paper's for images as sequences of 1024 pixels, but for the norm, which is
    LayerNorm rather than of the batch.

    Attributes:
      layers: how many.
      width: of the residual stream (H in the paper).
      state: complex eigenvalues of each layer (N in the paper).
      r_min: smallest modulus of the eigenvalues at initialisation.
      r_max: largest absolute value of the eigenvalues at first, less than 1.
      max_phase: largest angle of the eigenvalues at initialisation, in radians.
      dropout: on what each layer adds.
    """

    layers: int = 6
    width: int = 512
    dropout: float = 0.1
    state: int = 384
    r_min: float = 0.9
    r_max: float = 0.999
    max_phase: float = 6.28

    def mixer(self) -> LRUMixer:
        return LRUMixer(self.width, self.state, self.r_min, self.r_max, self.max_phase)

    def check(self, ordering: Any) -> None:
        super().check(ordering)
        if not 0 <= self.r_min < self.r_max < 1:
            raise ValueError(
                f"r_min, r_max: expected 0 <= r_min < r_max < 1, got {self.r_min}, {self.r_max}"
            )
        check_positive(state=self.state)
        check_number("max_phase", self.max_phase, "above 0 and finite", lambda phase: phase > 0)
