"""The Image Transformer."""

import dataclasses

from ar_jax.conditionals.base import image_grid
from ar_jax.conditionals.transformer import DecoderOnly
from ar_jax.nn.attention_patterns import Local, LocalImage, Pattern
from ar_jax.nn.feed_forward import Activation
from ar_jax.nn.positions import Positions, Sinusoidal
from ar_jax.orderings import Ordering


class ImageTransformer(DecoderOnly):
    """The Image Transformer (Parmar et al., arXiv 1802.05751): attention within a neighbourhood.

    Blocks of the sequence, or rectangles of the image, share a memory: their own slots and those
    around, of which each slot sees the ones up to its own. What the slot q attends to in one layer,
    with `query=(4,), memory=(4,)` and with `query=(2, 2), memory=(1, 1)`, in an image 6 wide:

        . . . . . .         . . . . . .
        . . x x x x         . x x x x .
        x q . . . .         . x x x x .
        . . . . . .         . x q . . .

    Layers widen the field. Here rectangles fill in the order of the image's rows; the paper draws
    one rectangle after the other. Sublayers are normalised after they are added, as in the paper.

    Attributes: those of `DecoderOnly`, and
      query: slots in a block; or height and width of a rectangle, in steps.
      memory: slots before the block; or rows above the rectangle, and columns at each side.
    """

    layers: int = 12
    width: int = 512
    heads: int = 4
    positions: Positions = dataclasses.field(default_factory=Sinusoidal)
    dropout: float = 0.3
    activation: Activation = "relu"
    post_norm: bool = True
    query: tuple[int, ...] = (256,)
    memory: tuple[int, ...] = (256,)

    def patterns(self, ordering: Ordering) -> tuple[Pattern, ...]:
        if len(self.query) == 1:
            return (Local(*self.query, *self.memory),)
        (height, width), (above, beside) = self.query, self.memory
        return (LocalImage(image_grid(self, ordering)[1], (height, width), (above, beside)),)

    def check(self, ordering: Ordering) -> None:
        super().check(ordering)
        if len(self.query) not in (1, 2) or min(self.query) < 1:
            raise ValueError(f"query: expected one or two positive numbers, got {self.query}")
        if len(self.memory) != len(self.query) or min(self.memory) < 0:
            raise ValueError(
                f"memory: expected as many numbers as query, {len(self.query)}, at least 0, "
                f"got {self.memory}"
            )
        self.patterns(ordering)
