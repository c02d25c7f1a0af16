"""ImageGPT."""

import dataclasses

import flax.linen as nn

from ar_jax.conditionals.transformer import DecoderOnly, Initial, Norm
from ar_jax.nn.attention_patterns import Causal, Pattern
from ar_jax.nn.feed_forward import Activation
from ar_jax.nn.positions import Learned, Positions
from ar_jax.orderings import Ordering


class ImageGPT(DecoderOnly):
    """ImageGPT (Chen et al., "Generative Pretraining from Pixels", ICML 2020), as released.

    A transformer over the pixels of an image, row by row, as if they were words. It differs from
    GPT-2 in what its authors published with it: the normalisation does not subtract the mean, the
    activation is x sigmoid(1.702 x), the linear maps have no bias, and each pixel's distribution
    starts uniform. Every pixel attends to all previous pixels:

        x x x x
        x x x x
        x x t .
        . . . .

    The paper's sizes, for images of 32 x 32 to 64 x 64 pixels of 512 colours:

               layers  width  heads
        iGPT-S     24    512      8
        iGPT-M     36   1024      8
        iGPT-L     48   1536     16

    Attributes: those of `DecoderOnly`.
    """

    layers: int = 24
    width: int = 512
    heads: int = 8
    positions: Positions = dataclasses.field(default_factory=lambda: Learned(scale=0.01))
    activation: Activation = "quick_gelu"
    norm: Norm = "rms"
    bias: bool = False

    def patterns(self, ordering: Ordering) -> tuple[Pattern, ...]:
        return (Causal(),)

    @property
    def initial(self) -> Initial:
        normal, scaled = nn.initializers.normal, nn.initializers.variance_scaling
        return Initial(
            attention=scaled(1.0, "fan_in", "normal"),
            attention_out=scaled(1.0 / max(self.layers, 1), "fan_in", "normal"),
            up=normal(0.02),
            down=normal(0.02),
            readout=nn.initializers.zeros,
        )
