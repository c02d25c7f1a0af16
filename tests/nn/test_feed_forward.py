from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from ar_jax.nn.feed_forward import FeedForward, MixtureOfExperts, blocks
from ar_jax.testing import random_variables

EXPERTS, WIDTH, HIDDEN = 3, 4, 5


def every_expert(variables, x, per_token):
    """All experts compute all tokens, and most of it is thrown away."""
    weights = variables["params"]
    scores = x @ weights["router"]["kernel"]
    kept = jnp.argsort(-scores, axis=-1)[..., :per_token]
    chosen = (kept[..., None] == jnp.arange(EXPERTS)).any(axis=-2)
    share = jnp.exp(scores) * chosen
    share = share / share.sum(axis=-1, keepdims=True)
    out = 0
    for expert in range(EXPERTS):
        gate, up = jnp.split(x @ weights["up"][expert], 2, axis=-1)
        hidden = gate / (1 + jnp.exp(-gate)) * up
        out += share[..., expert, None] * (hidden @ weights["down"][expert])
    return out


@pytest.mark.parametrize(("per_token", "slots"), [(1, 20), (2, 20), (3, 1)])
def test_chosen_experts_agree_with_a_loop_over_all(per_token, slots):
    net = MixtureOfExperts(EXPERTS, per_token, HIDDEN, "swiglu")
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(1).normal(size=(2, slots, WIDTH)))
        variables = random_variables(net, x)

        def loss(variables, x, function):
            out = function(variables, x)
            return jnp.sin(out).sum(), out

        def all_of_them(variables, x):
            return every_expert(variables, x, per_token)

        got, wanted = (
            jax.jit(jax.grad(partial(loss, function=function), (0, 1), has_aux=True))(variables, x)
            for function in (net.apply, all_of_them)
        )
        for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


def test_experts_compute_in_half_precision():
    net = MixtureOfExperts(EXPERTS, 2, HIDDEN)
    x = jax.random.normal(jax.random.key(0), (2, 20, WIDTH))
    variables = net.init(jax.random.key(1), x)
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), variables)
    got = net.apply(half, x.astype(jnp.bfloat16))
    assert got.dtype == jnp.bfloat16
    # The router may turn where two scores are close: compare what most tokens get.
    error = np.abs(got.astype(np.float32) - net.apply(variables, x)).max(axis=-1)
    assert np.median(error) < 0.05


@pytest.mark.parametrize("load", ["even", "all to one", "random"])
@pytest.mark.parametrize(("tokens", "experts"), [(1, 4), (3, 2), (40, 3), (200, 7)])
def test_no_token_is_dropped_whatever_the_load(load, tokens, experts):
    expert = {
        "even": np.arange(tokens) % experts,
        "all to one": np.full(tokens, experts - 1),
        "random": np.random.default_rng(0).integers(0, experts, tokens),
    }[load]
    place, owner, size = map(np.asarray, blocks(jnp.asarray(expert), experts))
    assert len(np.unique(place)) == tokens
    np.testing.assert_array_equal(owner[place // size], expert)
    assert len(owner) * size <= 1.25 * tokens + experts


@pytest.mark.parametrize(
    ("activation", "function"),
    [
        ("relu", lambda x: x * (x > 0)),
        ("quick_gelu", lambda x: x / (1 + np.exp(-1.702 * x))),
        ("swiglu", lambda x: x[..., :HIDDEN] * special.expit(x[..., :HIDDEN]) * x[..., HIDDEN:]),
    ],
)
def test_a_feed_forward_layer_is_two_products_around_an_activation(activation, function):
    net = FeedForward(HIDDEN, activation)
    x = np.random.default_rng(0).normal(size=(2, 3, WIDTH))
    with jax.enable_x64(True):
        variables = random_variables(net, x)
        got = net.apply(variables, x)
    weights = jax.tree.map(np.asarray, variables["params"])
    hidden = function(x @ weights["up"]["kernel"] + weights["up"]["bias"])
    expected = hidden @ weights["down"]["kernel"] + weights["down"]["bias"]
    np.testing.assert_allclose(got, expected, rtol=1e-9)
