import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ar_jax.conditionals import PixelSNAIL
from ar_jax.orderings import Permutation, Raster
from ar_jax.testing import close, random_variables


def directly(image, params, context, stages, blocks, key_size):
    """The published code (neocxi/pixelsnail-public, h12_noup_smallkey), coordinates once."""
    batch, height, width, _ = image.shape

    def conv(x, p, kernel, sides):
        return jax.lax.conv_general_dilated(
            jnp.pad(x, ((0, 0), (kernel[0] - 1, 0), sides, (0, 0))),
            p["dense"]["kernel"].reshape(*kernel, x.shape[-1], -1),
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ) + p["dense"]["bias"]  # fmt: skip

    def nin(x, p):
        return x @ p["kernel"] + p["bias"]

    def gated_resnet(x, p, kernel=(1, 1), aux=None):
        sides = (kernel[1] - 1, 0)
        c1 = conv(jax.nn.elu(x), p["first"], kernel, sides)
        if aux is not None:
            c1 += nin(jax.nn.elu(aux), p["aux"])
        c2 = conv(jax.nn.elu(c1), p["second"], kernel, sides)
        c2 += (context @ p["context_bias"]["Dense_0"]["kernel"])[:, None, None]
        a, b = jnp.split(c2, 2, axis=-1)
        return x + a * jax.nn.sigmoid(b)

    def causal_attention(key, mixin, query):
        """Loops over the pixels; one sees those before it, the first none."""
        key, mixin, query = (x.reshape(batch, -1, x.shape[-1]) for x in (key, mixin, query))
        mixed = [jnp.zeros_like(mixin[:, 0])]
        for t in range(1, height * width):
            scores = jnp.einsum("bsk,bk->bs", key[:, :t], query[:, t]) / np.sqrt(key_size)
            mixed.append(jnp.einsum("bs,bsv->bv", jax.nn.softmax(scores), mixin[:, :t]))
        return jnp.stack(mixed, axis=1).reshape(batch, height, width, -1)

    rows = (np.arange(height) - height / 2) / height
    columns = (np.arange(width) - width / 2) / width
    background = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    background = np.tile(background, (batch, 1, 1, 1))
    x = jnp.concatenate([image, jnp.ones_like(image[..., :1])], axis=-1)
    above = conv(x, params["first"]["above"], (1, 3), (1, 1))
    left = conv(x, params["first"]["left"], (2, 1), (0, 0))
    ul = jnp.pad(above[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0)))
    ul += jnp.pad(left[:, :, :-1], ((0, 0), (0, 0), (1, 0), (0, 0)))
    for stage in range(stages):
        p = params[f"stage_{stage}"]
        for i in range(blocks):
            ul = gated_resnet(ul, p[f"residuals_{i}"], (2, 2))
        raw_content = jnp.concatenate([image, ul, background], axis=-1)
        raw = nin(gated_resnet(raw_content, p["content_block"]), p["key_value"])
        raw_query = jnp.concatenate([ul, background], axis=-1)
        query = nin(gated_resnet(raw_query, p["query_block"]), p["query"])
        mixed = causal_attention(raw[..., :key_size], raw[..., key_size:], query)
        ul = gated_resnet(ul, p["last_block"], aux=mixed)
    return nin(jax.nn.elu(ul), params["readout"])


def test_it_agrees_with_the_published_code_and_steps_through_it():
    rng, ordering = np.random.default_rng(0), Raster((3, 4, 1))
    net = PixelSNAIL(stages=2, blocks=2, channels=3, key=2, value=4)
    with jax.enable_x64(True):
        image, vectors = rng.normal(size=(2, 3, 4, 2)), rng.normal(size=(2, 1, 4))
        steps, context = image.reshape(2, 12, 2), (vectors, np.ones((2, 1), bool))
        variables = random_variables(net, steps, ordering, context, 5)

        @jax.jit
        def ways(variables):
            params = variables["params"]
            expected = directly(image, params, vectors[:, 0], stages=2, blocks=2, key_size=2)
            parallel = net.apply(variables, steps, ordering, context, 5)
            cache = net.apply(variables, steps[:, 0], ordering, context, method="init_cache")
            previous = jnp.roll(steps, 1, axis=1)
            stepped = net.apply(variables, cache, previous, 0, ordering, 5, method="extend")[1]
            return expected.reshape(2, 12, 5), parallel, stepped

        expected, parallel, stepped = ways(variables)
        close(parallel, expected, "the parallel form is the published one")
        close(stepped, expected, "step gives the same")


def test_it_refuses_what_it_cannot_follow():
    with pytest.raises(ValueError, match="ordering: PixelSNAIL follows"):
        PixelSNAIL().check(Permutation((2, 2, 1), permutation=(3, 1, 0, 2)))
    with pytest.raises(ValueError, match="key: expected at least 1, got 0"):
        PixelSNAIL(key=0).check(Raster((4, 4, 1)))
