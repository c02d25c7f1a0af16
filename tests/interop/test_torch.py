"""GRU and LSTM compute what torch computes with the same weights."""

import jax
import numpy as np
import pytest
import torch

from ar_jax.conditionals import GRU, LSTM
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables, to_float32

NETS = [(GRU(layers=3, width=7), torch.nn.GRU), (LSTM(layers=3, width=7), torch.nn.LSTM)]


def to_torch(net, variables, peer):
    """Writes our parameters into torch's network, gate by gate."""
    # Ours: reset, keep, candidate and input, forget, content, output. These are torch's orders too.
    for i in range(net.layers):
        ours = variables["params"][f"stack_{i}"]
        units = len(ours["inputs"]["bias"])
        second_bias = np.zeros(units)
        if "candidate_bias" in ours:
            second_bias[-net.width :] = ours["candidate_bias"]
        for name, value in (
            (f"weight_ih_l{i}", ours["inputs"]["kernel"].T),
            (f"weight_hh_l{i}", ours["kernel"].T),
            (f"bias_ih_l{i}", ours["inputs"]["bias"]),
            (f"bias_hh_l{i}", second_bias),
        ):
            assert getattr(peer, name).shape == value.shape
            getattr(peer, name).data = torch.tensor(np.asarray(value)).to(torch.float64)


@pytest.mark.parametrize(("net", "make"), NETS, ids=["GRU", "LSTM"])
def test_a_recurrent_network_agrees_with_torch(net, make):
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(2, 12, 3))
    nothing = (np.zeros((2, 0, 1)), np.zeros((2, 0), bool))
    arguments = (Raster((12,)), nothing, net.width)
    peer = make(3, net.width, net.layers, batch_first=True, dtype=torch.float64)
    with jax.enable_x64(True):
        variables = random_variables(net, steps, *arguments)
        # Features that are the last layer's hidden states.
        variables["params"]["readout"] = {"kernel": np.eye(net.width), "bias": np.zeros(net.width)}
        to_torch(net, variables, peer)
        got = net.apply(variables, steps, *arguments)
    start = np.broadcast_to(variables["params"]["start"], (2, 1, 3))
    shifted = np.concatenate([start, steps[:, :-1]], axis=1)
    expected = peer(torch.tensor(shifted))[0].detach().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)

    narrow_variables, narrow_steps, narrow_nothing = to_float32((variables, steps, nothing))
    narrow = net.apply(narrow_variables, narrow_steps, Raster((12,)), narrow_nothing, net.width)
    expected = peer.float()(torch.tensor(shifted.astype(np.float32)))[0].detach().numpy()
    np.testing.assert_allclose(narrow, expected, rtol=1e-5, atol=1e-5)
