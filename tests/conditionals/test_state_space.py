from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import block_diag, expm
from scipy.special import expit

from ar_jax.conditionals import LRU, S5, Mamba
from ar_jax.conditionals.lru import LRUMixer
from ar_jax.conditionals.mamba import MambaMixer
from ar_jax.conditionals.s5 import S5Mixer, hippo
from ar_jax.conditionals.state_space import checkpointed_scan, linear_recurrence, scan_chunks
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables

RNG = np.random.default_rng(0)


def draw(*shape, complex_=False):
    return RNG.normal(size=shape) + (1j * RNG.normal(size=shape) if complex_ else 0)


def by_recurrence(state, inputs):
    states = linear_recurrence(*inputs, state)
    return states[:, -1], states


RUNS = {
    "associative scan": by_recurrence,
    "chunks of 5": partial(scan_chunks, by_recurrence, chunk=5),
    "chunks of 21": partial(scan_chunks, by_recurrence, chunk=21),
    "slot by slot": partial(scan_chunks, partial(scan_chunks, by_recurrence, chunk=1), chunk=8),
    "as models do": partial(checkpointed_scan, by_recurrence),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("complex_", [False, True], ids=["real", "complex"])
def test_the_recurrence_agrees_with_a_loop_and_so_does_its_gradient(run, complex_):
    decay, drive = draw(2, 21, 3, complex_=complex_) / 2, draw(2, 21, 3, complex_=complex_)
    initial, weight = draw(2, 3, complex_=complex_), draw(2, 21, 3)
    state, expected = initial, []
    for t in range(21):
        state = decay[:, t] * state + drive[:, t]
        expected.append(state)

    def loss(initial, decay, drive):
        states = run(initial, (decay, drive))[1]
        return (weight * jnp.abs(states) ** 2).sum()

    with jax.enable_x64(True):
        last, states = jax.jit(run)(initial, (decay, drive))
        gradient = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(initial, decay, drive)
    np.testing.assert_allclose(states, np.stack(expected, axis=1), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(last, state, rtol=1e-12, atol=1e-12)
    # Backwards: what each drive adds to the loss, conjugate as jax has it.
    before = np.stack([initial, *expected[:-1]], axis=1)
    direct = 2 * weight * np.conj(np.stack(expected, axis=1))
    later, on_drive = 0, np.zeros_like(direct)
    for t in reversed(range(21)):
        on_drive[:, t] = direct[:, t] + later
        later = decay[:, t] * on_drive[:, t]
    for got, wanted in zip(gradient, (later, on_drive * before, on_drive), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-10)


def from_empty(mixer, x):
    return mixer.extend(mixer.init_state(len(x), x.dtype), x, 0)[1]


def begin(mixer):
    """The parameters at first."""
    x = jnp.zeros((1, 1, mixer.width))
    return jax.jit(lambda: mixer.init(jax.random.key(0), x, method=from_empty))()["params"]


def apply_mixer(mixer, x):
    """Random parameters, and what it makes of x from an empty state, in float64."""
    with jax.enable_x64(True):
        variables = random_variables(mixer, x, method=from_empty)
        got = jax.jit(lambda: mixer.apply(variables, x, method=from_empty))()
    return jax.tree.map(np.asarray, variables["params"]), np.asarray(got)


def gelu(x):
    """In the form with tanh."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def diagonal(p, x, decay, scale):
    """y_t = Re(C h_t) + D u_t, slot by slot."""
    state, out = np.zeros((len(x), len(decay)), complex), []
    inputs, outputs = (p[name]["kernel"] for name in ("inputs", "outputs"))
    size = len(decay)
    write = inputs[:, :size] + 1j * inputs[:, size:]
    read = outputs[:size] - 1j * outputs[size:]
    for t in range(x.shape[1]):
        state = decay * state + scale * (x[:, t] @ write)
        out.append((state @ read).real + p["skip"] * x[:, t])
    return np.stack(out, axis=1)


def test_an_lru_layer_agrees_with_the_equations_of_the_paper():
    x = draw(2, 50, 3)
    p, got = apply_mixer(LRUMixer(3, 4, 0.9, 0.999, 6.28), x)
    decay = np.exp(-np.exp(p["nu_log"]) + 1j * np.exp(p["theta_log"]))
    y = gelu(diagonal(p, x, decay, np.exp(p["gamma_log"])))
    y = y @ p["gates"]["kernel"] + p["gates"]["bias"]
    np.testing.assert_allclose(got, y[..., :3] * expit(y[..., 3:]), rtol=1e-9, atol=1e-12)


def test_an_s5_layer_agrees_with_the_equations_of_the_paper():
    x = draw(2, 50, 3)
    p, got = apply_mixer(S5Mixer(3, 4, 2), x)
    eigenvalues = -np.exp(p["decay_log"]) + 1j * p["frequency"]
    decay = np.exp(eigenvalues * np.exp(p["step_log"]))
    y = gelu(diagonal(p, x, decay, (decay - 1) / eigenvalues))
    y = y * expit(y @ p["gates"]["kernel"] + p["gates"]["bias"])
    np.testing.assert_allclose(got, y, rtol=1e-9, atol=1e-12)


def test_a_mamba_layer_agrees_with_the_equations_of_the_paper():
    x = draw(2, 50, 3)
    p, got = apply_mixer(MambaMixer(3, state=2, expand=2, kernel=4, rank=1), x)
    branch, z = np.split(x @ p["split"]["kernel"], 2, axis=-1)
    state, rate = np.zeros((2, 6, 2)), np.exp(p["decay_log"]).T  # [batch, channels, state]
    for t in range(50):
        u = p["conv"]["bias"] + sum(
            p["conv"]["kernel"][3 - back] * branch[:, t - back] for back in range(min(t + 1, 4))
        )
        u = u * expit(u)
        size, write, read = np.split(u @ p["select"]["kernel"], [1, 3], axis=-1)
        size = np.log1p(np.exp(size @ p["step_sizes"]["kernel"] + p["step_sizes"]["bias"]))
        decay = np.exp(-size[:, :, None] * rate)
        state = decay * state + (size * u)[:, :, None] * write[:, None]
        y = (state * read[:, None]).sum(axis=-1) + p["skip"] * u
        y = y * z[:, t] * expit(z[:, t])
        np.testing.assert_allclose(got[:, t], y @ p["out"]["kernel"], rtol=1e-9, atol=1e-12)


def test_hippo_is_diagonalised_by_half_of_its_eigenvectors():
    """exp(time A) of the real matrix, entry by entry from its definition."""
    size = 6
    matrix = np.zeros((size, size))
    for n in range(size):
        for k in range(size):
            root = np.sqrt((n + 0.5) * (k + 0.5))
            matrix[n, k] = -0.5 if n == k else -root if n > k else root
    imaginary, vectors = hippo(size)
    assert (imaginary > 0).all()
    got = 2 * (vectors * np.exp(0.3 * (-0.5 + 1j * imaginary)) @ vectors.conj().T).real
    np.testing.assert_allclose(got, expm(0.3 * matrix), rtol=1e-10, atol=1e-12)


def test_s5_starts_as_a_real_system():
    """B and C at first are real matrices in the basis of the eigenvectors."""
    vectors = block_diag(hippo(4)[1], hippo(4)[1])
    params = begin(S5Mixer(50, 4, 2))
    inputs, outputs = (np.array(params[k]["kernel"]) for k in ("inputs", "outputs"))
    write = (inputs[:, :4] + 1j * inputs[:, 4:]).T  # V* B
    read = (outputs[:4] - 1j * outputs[4:]).T  # 2 C V
    matrix_b, matrix_c = 2 * (vectors @ write).real, (read @ vectors.conj().T).real
    np.testing.assert_allclose(write, vectors.conj().T @ matrix_b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(read, 2 * matrix_c @ vectors, rtol=1e-4, atol=1e-5)
    # Normal with variance 1 / inputs: the mean of 400 squares, +- 5 deviations (by chance 6e-7).
    for matrix in (matrix_b, matrix_c):
        assert abs((matrix**2).mean() * matrix.shape[1] - 1) < 5 * np.sqrt(2 / 400)


def test_lru_starts_on_its_ring_with_states_of_unit_variance():
    mixer = LRUMixer(2, 500, 0.8, 0.95, 0.3)
    decay, scale = mixer.apply({"params": begin(mixer)}, method="dynamics")
    radius, angle = np.abs(decay), np.angle(decay)
    assert ((radius > 0.8) & (radius < 0.95)).all()
    assert ((angle > 0) & (angle < 0.3)).all()
    np.testing.assert_allclose(scale**2 / (1 - radius**2), 1, rtol=1e-4)  # a geometric series
    # Uniform on the ring: the squares of the radii average to the middle, +- 5 deviations
    middle, deviation = (0.8**2 + 0.95**2) / 2, (0.95**2 - 0.8**2) / np.sqrt(12 * 500)
    assert abs((radius**2).mean() - middle) < 5 * deviation  # by chance 6e-7


def test_mamba_starts_with_the_step_sizes_and_rates_of_the_paper():
    p = begin(MambaMixer(8, state=4, expand=2, kernel=4, rank=1))
    sizes = np.log1p(np.exp(p["step_sizes"]["bias"]))
    assert ((sizes > 0.00099) & (sizes < 0.101)).all()
    np.testing.assert_allclose(np.exp(p["decay_log"]), np.tile([[1], [2], [3], [4]], 16), rtol=1e-6)


def test_mamba_does_not_keep_the_states_of_all_slots_for_its_gradient():
    length, width, state = 512, 32, 64
    mixer = MambaMixer(width, state=state, expand=2, kernel=4, rank=1)
    variables = {"params": begin(mixer)}

    def loss(variables, x):
        return mixer.apply(variables, x, method=from_empty).sum()

    x = jnp.zeros((1, length, width))
    compiled = jax.jit(jax.grad(loss)).lower(variables, x).compile()
    used = compiled.memory_analysis().temp_size_in_bytes
    assert used < length * 2 * width * state * 4, used


SMALL = [
    LRU(layers=1, width=4, state=3),
    S5(layers=1, width=4, state=4),
    Mamba(layers=1, width=4, state=2),
]


@pytest.mark.parametrize("net", SMALL, ids=lambda net: type(net).__name__)
def test_states_stay_wide_in_half_precision(net):
    ordering, steps = Raster((6,)), jnp.ones((1, 6, 2), jnp.bfloat16)
    context = jnp.ones((1, 1, 3), jnp.bfloat16), jnp.ones((1, 1), bool)
    variables = random_variables(net, steps, ordering, context, 2)
    variables = jax.tree.map(lambda x: x.astype(jnp.bfloat16), variables)

    def run():
        cache = net.apply(variables, steps[:, 0], ordering, context, method="init_cache")
        return cache, *net.apply(variables, cache, steps, 0, ordering, 2, method="extend")

    cache, after, out = jax.eval_shape(run)
    assert out.dtype == jnp.bfloat16
    dtypes = [leaf.dtype for leaf in jax.tree.leaves(after)]
    assert dtypes == [leaf.dtype for leaf in jax.tree.leaves(cache)]
    state, rest = ("float32" if isinstance(net, Mamba) else "complex64"), "bfloat16"
    assert {dtype.name for dtype in dtypes} == {state, rest}


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (LRU(layers=0), "layers: expected at least 1, got 0"),
        (LRU(r_max=1.0), "r_min, r_max: expected 0 <= r_min < r_max < 1, got 0.9, 1.0"),
        (S5(state=6, blocks=2), "state: expected a multiple of twice the 2 blocks, got 6"),
        (Mamba(kernel=1), "kernel: expected at least 2, got 1"),
    ],
)
def test_a_bad_size_is_refused(net, message):
    with pytest.raises(ValueError, match=message):
        net.check(Raster((4,)))
