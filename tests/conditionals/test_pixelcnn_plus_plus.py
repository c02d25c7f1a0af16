import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import PixelCNNPlusPlus
from ar_jax.nn.shifted_conv import GatedBlock
from ar_jax.orderings import Permutation, Raster
from ar_jax.testing import close, random_variables


def directly(image, params, context, blocks, scales):
    """The published code (openai/pixel-cnn), with lists of nodes that the way up takes from."""
    stacks = {"vertical": params["vertical"], "horizontal": params["horizontal"]}

    def conv(x, p, right, kernel=None, stride=1):
        kernel = kernel or ((2, 2) if right else (2, 3))
        sides = (kernel[1] - 1, 0) if right else (kernel[1] // 2,) * 2
        return jax.lax.conv_general_dilated(
            jnp.pad(x, ((0, 0), (kernel[0] - 1, 0), sides, (0, 0))),
            p["dense"]["kernel"].reshape(*kernel, x.shape[-1], -1),
            (stride, stride),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ) + p["dense"]["bias"]  # fmt: skip

    def transposed(x, p, right, height, width):
        h, w = x.shape[1:3]
        kernel = p["dense"]["kernel"].reshape(x.shape[-1], 2, 2 if right else 3, -1)
        full = jnp.zeros((len(x), 2 * h, 2 * w + 2, kernel.shape[-1]))
        for a, b in np.ndindex(*kernel.shape[1:3]):
            full = full.at[:, a : a + 2 * h : 2, b : b + 2 * w : 2].add(x @ kernel[:, a, b])
        first = 0 if right else 1
        return full[:, :height, first : first + width] + p["bias"]

    def concat_elu(x):
        return jax.nn.elu(jnp.concatenate([x, -x], axis=-1))

    def gated_resnet(x, p, right, aux=None):
        c1 = conv(concat_elu(x), p["first"], right)
        if aux is not None:
            c1 += concat_elu(aux) @ p["aux"]["kernel"] + p["aux"]["bias"]
        c2 = conv(concat_elu(c1), p["second"], right)
        c2 += (context @ p["context_bias"]["Dense_0"]["kernel"])[:, None, None]
        a, b = jnp.split(c2, 2, axis=-1)
        return x + a * jax.nn.sigmoid(b)

    def down_shift(x):
        return jnp.concatenate([jnp.zeros_like(x[:, :1]), x[:, :-1]], axis=1)

    def right_shift(x):
        return jnp.concatenate([jnp.zeros_like(x[:, :, :1]), x[:, :, :-1]], axis=2)

    x = jnp.concatenate([image, jnp.ones_like(image[..., :1])], axis=-1)
    first = params["above_and_left"]
    us = [down_shift(conv(x, params["above"], right=False))]
    uls = [
        down_shift(conv(x, first["above"], right=False, kernel=(1, 3)))
        + right_shift(conv(x, first["left"], right=True, kernel=(2, 1)))
    ]
    levels = []
    for scale in range(scales):
        levels.append((stacks["vertical"], stacks["horizontal"]))
        p, q = levels[-1]
        for i in range(blocks):
            us.append(gated_resnet(us[-1], p[f"layers_{i}"], right=False))
            uls.append(gated_resnet(uls[-1], q[f"layers_{i}"], right=True, aux=us[-1]))
        if scale < scales - 1:
            us.append(conv(us[-1], p["halve"], right=False, stride=2))
            uls.append(conv(uls[-1], q["halve"], right=True, stride=2))
            stacks = {"vertical": p["below"], "horizontal": q["below"]}
    u, ul = us.pop(), uls.pop()
    for scale in reversed(range(scales)):
        p, q = levels[scale]
        if scale < scales - 1:
            size = us[-1].shape[1:3]
            u = transposed(u, p["double"], False, *size)
            ul = transposed(ul, q["double"], True, *size)
        for i in range(blocks + (scale < scales - 1)):
            u = gated_resnet(u, p[f"layers_{blocks + i}"], False, us.pop())
            aux = jnp.concatenate([u, uls.pop()], axis=-1)
            ul = gated_resnet(ul, q[f"layers_{blocks + i}"], True, aux)
    assert not us, "all nodes are taken"
    return jax.nn.elu(ul) @ params["readout"]["kernel"] + params["readout"]["bias"]


def test_it_agrees_with_the_published_code_and_steps_through_it():
    """Odd sizes, which that code does not take, are cropped when they are doubled."""
    rng, ordering = np.random.default_rng(0), Raster((5, 6, 1))
    net = PixelCNNPlusPlus(blocks=1, channels=3, scales=3)
    with jax.enable_x64(True):
        image, vectors = rng.normal(size=(2, 5, 6, 2)), rng.normal(size=(2, 1, 4))
        steps, context = image.reshape(2, 30, 2), (vectors, np.ones((2, 1), bool))
        variables = random_variables(net, steps, ordering, context, 5)

        @jax.jit
        def ways(variables):
            expected = directly(image, variables["params"], vectors[:, 0], blocks=1, scales=3)
            parallel = net.apply(variables, steps, ordering, context, 5)
            cache = net.apply(variables, steps[:, 0], ordering, context, method="init_cache")
            previous = jnp.roll(steps, 1, axis=1)
            stepped = net.apply(variables, cache, previous, 0, ordering, 5, method="extend")[1]
            return expected.reshape(2, 30, 5), parallel, stepped

        expected, parallel, stepped = ways(variables)
        close(parallel, expected, "the parallel form is the published one")
        close(stepped, expected, "step gives the same")


def test_it_sees_no_less_to_the_right_than_to_the_left():
    """One scale of one block: a layer, four convolutions of the vertical stream, and the last.

    A pixel of the vertical stream sees 2 + 4 rows above and 1 + 4 columns on both sides; it tells
    the last block of the horizontal one, where another convolution adds a row and a column on the
    left. In its own row a pixel sees 1 + 4 pixels.
    """
    net = PixelCNNPlusPlus(blocks=1, scales=1)
    of_middle = net.dependency_mask(Raster((10, 15, 1))).reshape(10, 15, 10, 15)[8, 7]
    expected = np.zeros((10, 15), bool)
    expected[1:8, 1:13] = True
    expected[8, 2:7] = True
    np.testing.assert_array_equal(of_middle, expected)


def test_its_scales_halve_the_image_upwards():
    def sizes(height, width):
        net, steps = PixelCNNPlusPlus(blocks=1, channels=2), jnp.zeros((1, height * width, 1))
        context = (jnp.zeros((1, 0, 1)), jnp.zeros((1, 0), bool))
        shapes = jax.eval_shape(
            lambda: net.init_with_output(
                jax.random.key(0), steps, Raster((height, width, 1)), context, 1,
                capture_intermediates=lambda module, _: isinstance(module, GatedBlock),
            )[1]["intermediates"]["horizontal"]
        )  # fmt: skip
        found = []
        while shapes:
            found.append(shapes["layers_0"]["__call__"][0].shape[1:3])
            shapes = shapes.get("below")
        return found

    assert sizes(28, 28) == [(28, 28), (14, 14), (7, 7)]
    assert sizes(5, 1) == [(5, 1), (3, 1), (2, 1)]


def test_dropout_acts_between_the_convolutions_when_there_is_an_rng_for_it():
    """All of it dropped, what is left of a block is the bias of its second convolution."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    bias = np.zeros((2, 10), np.float32)
    block = GatedBlock(5, (2, 2), True, dropout=1.0, activation="concat_elu")
    variables = random_variables(block, x, x, bias)
    dropped = block.apply(variables, x, x, bias, rngs={"dropout": jax.random.key(0)})
    value, gate = np.split(variables["params"]["second"]["dense"]["bias"], 2)
    left = x + value * jax.nn.sigmoid(gate)
    np.testing.assert_allclose(np.asarray(dropped), left, rtol=1e-5, atol=1e-6)
    without = GatedBlock(5, (2, 2), True, dropout=0.0, activation="concat_elu")
    np.testing.assert_array_equal(
        block.apply(variables, x, x, bias), without.apply(variables, x, x, bias)
    )


def test_it_refuses_what_it_cannot_follow():
    with pytest.raises(ValueError, match="ordering: PixelCNNPlusPlus follows"):
        PixelCNNPlusPlus().check(Permutation((2, 2, 1), permutation=(3, 1, 0, 2)))
    for net in (PixelCNNPlusPlus(blocks=0), PixelCNNPlusPlus(scales=0)):
        with pytest.raises(ValueError, match=": expected at least 1, got 0"):
            net.check(Raster((4, 4, 1)))


@pytest.mark.parametrize("grid", [(1, 30), (30, 1)])  # longer than two scales reach
def test_what_lies_beyond_its_scales_is_not_seen(grid):
    ordering, net = Raster((*grid, 1)), PixelCNNPlusPlus(blocks=1, channels=4, scales=2)
    visible, steps = net.dependency_mask(ordering), np.random.default_rng(0).normal(size=(30, 1))
    assert not visible[-1].all()
    nothing = np.zeros((1, 0, 1)), np.zeros((1, 0), bool)
    with jax.enable_x64(True):
        variables = random_variables(net, steps[None], ordering, nothing, 1)

        def last(steps):
            return net.apply(variables, steps[None], ordering, nothing, 1)[0, -1, 0]

        sees = np.asarray(jax.jit(jax.grad(last))(steps))[:, 0] != 0
    np.testing.assert_array_equal(sees, visible[-1])
