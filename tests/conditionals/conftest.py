"""What tests of several conditionals compare with."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest


@pytest.fixture
def masked_convolution() -> Callable[..., jax.Array]:
    """A second implementation of masked convolutions: XLA's, with zeros in a full kernel."""

    def convolve(
        x: jax.Array, p: Any, side: int, colours: int, kind: str = "B", first_row: int = 0
    ) -> jax.Array:
        """`[batch, height, width, channels]`, with parameters of the taps from the first row on."""
        channels, features = x.shape[-1], len(p["bias"])
        taps = np.asarray(p["kernel"]).reshape(-1, channels, features)
        kernel = np.zeros((side * side, channels, features))
        kernel[first_row * side :][: len(taps)] = taps
        for i in range(channels):
            for o in range(features):
                later = i // (channels // colours) - o // (features // colours)
                if later > 0 or (later == 0 and kind == "A"):
                    kernel[side * side // 2, i, o] = 0
        convolved = jax.lax.conv_general_dilated(
            x,
            kernel.reshape(side, side, channels, features),
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return convolved + p["bias"]

    return convolve


@pytest.fixture
def masked_colours() -> Callable[[Any, int], np.ndarray]:
    """Weights of a pixel's own inputs `[inputs, outputs]`: 0 from a later colour (type B)."""

    def mask(kernel: Any, colours: int) -> np.ndarray:
        masked = np.array(kernel)
        for i in range(len(masked)):
            for o in range(masked.shape[1]):
                if i * colours // len(masked) > o * colours // masked.shape[1]:
                    masked[i, o] = 0
        return masked

    return mask
