from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch.nn import functional

from ar_jax.conditionals import TCN, WaveNet
from ar_jax.nn.causal_conv import CausalConv, DepthwiseConv, reach
from ar_jax.orderings import Raster
from ar_jax.testing import random_variables

RNG = np.random.default_rng(0)
NOTHING = np.zeros((2, 0, 1)), np.zeros((2, 0), bool)


def convolve(x, kernel, bias, dilation=1):
    """A loop over slots and taps; kernel `[taps, inputs, outputs]`, the oldest tap first."""
    taps = len(kernel)
    out = np.zeros((*x.shape[:2], kernel.shape[-1])) + bias
    for t in range(x.shape[1]):
        for tap in range(taps):
            source = t - (taps - 1 - tap) * dilation
            if source >= 0:
                out[:, t] += x[:, source] @ kernel[tap]
    return out


@pytest.mark.parametrize("pieces", [(11,), (1,) * 11, (2, 1, 5, 3), (7, 4)], ids=str)
@pytest.mark.parametrize(("kernel", "dilation"), [(2, 1), (3, 2), (2, 4)])
def test_a_causal_convolution_agrees_with_loops_in_any_pieces(kernel, dilation, pieces):
    conv = CausalConv(3, kernel, dilation)
    x = RNG.normal(size=(2, 11, 2))
    with jax.enable_x64(True):
        ring = conv.init_ring(2, 2, x.dtype)
        variables = random_variables(conv, ring, x, 0, method="extend")
        out = []
        for start, stop in pairwise(np.cumsum([0, *pieces])):
            t = jnp.asarray(start)
            ring, piece = conv.apply(variables, ring, x[:, start:stop], t, method="extend")
            out.append(piece)
    p = jax.tree.map(np.asarray, variables["params"])
    expected = convolve(x, p["kernel"].reshape(kernel, 2, 3), p["bias"], dilation)
    np.testing.assert_allclose(np.concatenate(out, axis=1), expected, rtol=1e-9, atol=1e-12)


def test_a_depthwise_convolution_agrees_with_torch():
    conv, x = DepthwiseConv(4), RNG.normal(size=(2, 9, 3))
    with jax.enable_x64(True):
        ring = jnp.zeros((2, 3, 3))
        variables = random_variables(conv, ring, x, 0, method="extend")
        _, got = conv.apply(variables, ring, x, 0, method="extend")
    kernel, bias = (torch.tensor(np.array(variables["params"][k])) for k in ("kernel", "bias"))
    padded = functional.pad(torch.tensor(x).mT, (3, 0))
    expected = functional.conv1d(padded, kernel.T[:, None], bias, groups=3).mT
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("local", [False, True])
def test_wavenet_agrees_with_the_equations_of_the_paper(local):
    net = WaveNet(layers=2, stacks=1, channels=3, skip_channels=4, kernel=2, local=local)
    ordering, steps = Raster((7,)), RNG.normal(size=(2, 7, 2))
    vectors, mask = RNG.normal(size=(2, 3, 5)), np.array([[1, 1, 1], [1, 0, 1]], bool)
    with jax.enable_x64(True):
        variables = random_variables(net, steps, ordering, (vectors, mask), 2)
        got = net.apply(variables, steps, ordering, (vectors, mask), 2)
    p = jax.tree.map(np.asarray, variables["params"])

    def dense(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    # 7 steps are spans of 3, 3 and 1
    heard = np.where(mask[..., None], vectors, 0)
    pooled = (heard.sum(axis=1) / mask.sum(axis=1, keepdims=True))[:, None].repeat(7, axis=1)
    heard = heard[:, [0, 0, 0, 1, 1, 1, 2]] if local else pooled
    shifted = np.concatenate([np.zeros((2, 1, 2)), steps[:, :-1]], axis=1)
    first = p["first"]
    x, skips = convolve(shifted, first["kernel"].reshape(2, 2, 3), first["bias"]), 0
    for i, dilation in enumerate([1, 2]):
        layer = p[f"gated_{i}"]
        conv = layer["conv"]
        both = convolve(x, conv["kernel"].reshape(2, 3, 6), conv["bias"], dilation)
        both += heard @ layer["context_bias"]["Dense_0"]["kernel"]
        z = np.tanh(both[..., :3]) / (1 + np.exp(-both[..., 3:]))
        out = dense(z, layer["out"])
        skips = skips + out[..., :4]
        x = x + out[..., 4:] if i == 0 else x
    expected = dense(np.maximum(dense(np.maximum(skips, 0), p["head"]), 0), p["readout"])
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_tcn_agrees_with_torch():
    net = TCN(layers=2, channels=4, kernel=3)
    ordering, steps = Raster((12,)), RNG.normal(size=(2, 12, 3))
    with jax.enable_x64(True):
        variables = random_variables(net, steps, ordering, NOTHING, 2)
        got = net.apply(variables, steps, ordering, NOTHING, 2)
    p = jax.tree.map(lambda x: torch.tensor(np.array(x)), variables["params"])
    x = functional.pad(torch.tensor(steps[:, :-1]).mT, (1, 0))  # [batch, channels, length]
    for i in range(2):
        block, inside = p[f"blocks_{i}"], x
        for j in range(2):
            conv = block[f"convs_{j}"]
            v = conv["kernel"].reshape(3, -1, 4).permute(2, 1, 0)
            scale = conv["length"]
            weight = scale[:, None, None] * v / v.norm(dim=(1, 2), keepdim=True)
            inside = functional.pad(inside, (2 * 2**i, 0))
            inside = functional.conv1d(inside, weight, conv["bias"], dilation=2**i).relu()
        if i == 0:
            x = (x.mT @ block["skip"]["kernel"] + block["skip"]["bias"]).mT
        x = (x + inside).relu()
    expected = x.mT @ p["readout"]["kernel"] + p["readout"]["bias"]
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_tcn_drops_whole_channels():
    """All 32 slots of a channel or none: by chance one of 8 channels splits never."""
    net = TCN(layers=1, channels=8, kernel=2, dropout=0.5)
    ordering, steps = Raster((32,)), np.zeros((1, 32, 8), np.float32)
    context = np.ones((1, 1, 2), np.float32), np.ones((1, 1), bool)
    variables = random_variables(net, steps, ordering, context, 3)
    rngs = {"dropout": jax.random.key(0)}
    dropped = net.apply(variables, steps, ordering, context, 3, rngs=rngs)[0]
    kept = net.apply(variables, steps, ordering, context, 3)[0]
    # Inputs are zero: after the first slots every slot is the same, unless drops differ.
    np.testing.assert_allclose(dropped[2:], np.broadcast_to(dropped[2], (30, 3)), rtol=1e-5)
    assert not np.allclose(dropped, kept)


def test_the_receptive_fields_are_those_of_the_papers():
    """1 + 2 (kernel - 1) (2^layers - 1) for a TCN; a stack of WaveNet adds 1023 to two taps."""
    for net, field in (
        (TCN(), 1 + 2 * 6 * 255),
        (TCN(layers=3, kernel=2), 1 + 2 * 7),
        (WaveNet(stacks=1), 1025),
        (WaveNet(layers=3, stacks=2), 2 + 2 * 7),
    ):
        sees = net.dependency_mask(Raster((4000,)))[-1]
        np.testing.assert_array_equal(np.flatnonzero(sees), 3998 - np.arange(field)[::-1])


def test_a_field_has_gaps_where_dilations_jump():
    np.testing.assert_array_equal(reach(2, (1, 4)), [1, 1, 0, 0, 1, 1])


def test_local_vectors_are_read_at_their_spans():
    """Spans of ceil(7 / 3) steps; the gates after the first layer look 2 slots back, not 1."""
    reads = (
        WaveNet(layers=1, stacks=1, local=True).context_dependency_mask(Raster((7,)), 3).astype(int)
    )
    np.testing.assert_array_equal(reads.argmax(axis=1), [0, 0, 0, 1, 1, 1, 2])
    np.testing.assert_array_equal(reads.sum(axis=1), np.ones(7))
    reads = (
        WaveNet(layers=2, stacks=1, local=True).context_dependency_mask(Raster((7,)), 3).astype(int)
    )
    expected = ["100", "100", "100", "110", "110", "010", "011"]
    assert ["".join(map(str, row)) for row in reads] == expected
    assert WaveNet().context_dependency_mask(Raster((7,)), 3).all()


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (WaveNet(kernel=1), "kernel: expected at least 2, got 1"),
        (WaveNet(stacks=0), "stacks: expected at least 1, got 0"),
        (TCN(layers=0), "layers: expected at least 1, got 0"),
        (TCN(kernel=1), "kernel: expected at least 2, got 1"),
    ],
)
def test_a_bad_size_is_refused(net, message):
    with pytest.raises(ValueError, match=message):
        net.check(Raster((4,)))
