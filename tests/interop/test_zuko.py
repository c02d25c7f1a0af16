"""MADE computes what zuko's masked network computes with the same weights, each with its masks."""

import numpy as np
import pytest
import torch
from zuko.nn import MaskedLinear, MaskedMLP

from ar_jax.conditionals import MADE
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables, to_float32

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
