"""MADE and flows of it compute what zuko's do with the same weights, each with its masks."""

import jax
import numpy as np
import pytest
import torch
import zuko
from zuko.nn import MaskedLinear, MaskedMLP

from ar_jax.conditionals import MADE
from ar_jax.contexts import Nothing, Vector
from ar_jax.flows import MAF, Affine, Layer, Spline
from ar_jax.orderings import Raster, Reversed
from ar_jax.testing import close, random_variables, to_float32

LENGTH, WIDTH, FEATURES, UNITS = 5, 2, 3, 20


@pytest.mark.parametrize("residual", [False, True])
def test_made_agrees_with_zuko(residual):
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(4, LENGTH, WIDTH)).astype(np.float32)
    vector = rng.normal(size=(4, 1, 2)).astype(np.float32)
    made = MADE(hidden=(UNITS, UNITS), activation="tanh", residual=residual)
    arguments = (steps, Raster((LENGTH,)), (vector, np.ones((4, 1), bool)), FEATURES)
    variables = to_float32(random_variables(made, *arguments))
    p = {name: np.array(value) for name, value in variables["params"].items()}
    p["readout_kernel"][:, UNITS:] = 0  # zuko has no direct connections

    seen = np.concatenate([np.ones((LENGTH, 2)), np.tri(LENGTH, k=-1).repeat(WIDTH, 1)], axis=1)
    peer = MaskedMLP(
        torch.tensor(seen.repeat(FEATURES, 0) > 0),
        [UNITS, UNITS],
        activation=torch.nn.Tanh,
        residual=residual,
    )
    # Its units go through the degrees in turn, ours stand in their order.
    unit = np.argsort(np.argsort(np.arange(UNITS) % LENGTH, kind="stable"))
    layers = [layer for layer in peer.modules() if isinstance(layer, MaskedLinear)]
    names = [*(f"hidden_{i}" for i in range(len(layers) - 1)), "readout"]
    for name, layer in zip(names, layers, strict=True):
        kernel, bias = p[f"{name}_kernel"], p[f"{name}_bias"]
        if name != "hidden_0":
            kernel = kernel[:, unit]
        if name != "readout":
            kernel, bias = kernel[unit], bias[unit]
        assert layer.weight.shape == kernel.shape
        layer.weight.data, layer.bias.data = torch.tensor(kernel), torch.tensor(bias)

    got = made.apply({"params": p}, *arguments)
    inputs = np.concatenate([vector[:, 0], steps.reshape(4, -1)], axis=1)
    with torch.no_grad():
        expected = peer(torch.tensor(inputs)).numpy().reshape(4, LENGTH, FEATURES)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("context_width", [0, 3], ids=["unconditional", "conditional"])
@pytest.mark.parametrize(
    ("transform", "family"), [(Affine(), zuko.flows.MAF), (Spline(bins=6), zuko.flows.NSF)]
)
def test_a_flow_agrees_with_zuko(transform, family, context_width):
    net = MADE(hidden=(UNITS, UNITS), activation="tanh")
    orderings = Raster((LENGTH,)), Reversed((LENGTH,)), Raster((LENGTH,))
    context = Vector(2, width=context_width) if context_width else Nothing()
    flow = MAF(tuple(Layer(ordering, net, transform) for ordering in orderings), context=context)
    rng = np.random.default_rng(0)
    x, condition = rng.normal(size=(50, LENGTH), scale=2), rng.normal(size=(50, 2))
    given = (condition,) if context_width else ()

    first = 0 if context_width else 1  # without a context, zuko has no units that see nothing
    kept = np.flatnonzero(np.arange(UNITS) // (UNITS // LENGTH) >= first)
    degrees = np.arange(len(kept)) % (LENGTH - first)  # zuko's go through the degrees in turn
    unit = kept[np.argsort(np.argsort(degrees, kind="stable"))]
    peer = family(
        LENGTH,
        context_width,
        transforms=len(orderings),
        hidden_features=[len(kept)] * 2,
        activation=torch.nn.Tanh,
        **({"bins": transform.bins} if isinstance(transform, Spline) else {}),
    ).double()

    with jax.enable_x64(True):
        variables = random_variables(flow, x, *given)
        params = jax.tree.map(np.array, variables["params"])
        for i, theirs in enumerate(peer.transform.transforms):
            p = params[f"stack_{i}"]["conditional"]
            p["readout_kernel"][:, UNITS:] = 0  # zuko has no direct connections
            for name in ("hidden_1_kernel", "readout_kernel"):
                p[name][:, np.setdiff1d(np.arange(UNITS), kept)] = 0
            inputs = np.roll(
                p["hidden_0_kernel"][unit], -context_width, axis=1
            )  # its context comes last
            kernels = inputs, p["hidden_1_kernel"][np.ix_(unit, unit)], p["readout_kernel"][:, unit]
            biases = p["hidden_0_bias"][unit], p["hidden_1_bias"][unit], p["readout_bias"]
            layers = [layer for layer in theirs.hyper.modules() if isinstance(layer, MaskedLinear)]
            for layer, kernel, bias in zip(layers, kernels, biases, strict=True):
                assert layer.weight.shape == kernel.shape
                layer.weight.data, layer.bias.data = torch.tensor(kernel), torch.tensor(bias)
        got = jax.jit(flow.apply)({"params": params}, x, *given)
    if context_width:
        encoder = params["context"]["Dense_0"]
        given = (torch.tensor(condition @ encoder["kernel"] + encoder["bias"]),)
    with torch.no_grad():
        close(got, peer(*given).log_prob(torch.tensor(x)).numpy(), "log-density")
