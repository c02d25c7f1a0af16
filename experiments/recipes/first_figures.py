"""Data without a published likelihood that was found: figures that others can compare with.

Each is an experiment of its own, whose file tells of its data: `experiments.digits`,
`fashion_transformer`, `speech_samples`, `text`, `recipes.proteins`, and `chorales` with the zoo's
LSTM.
"""

from collections.abc import Mapping

from experiments.digits import Digits
from experiments.fashion_transformer import FashionTransformer
from experiments.recipes.base import Benchmark, Recipe
from experiments.recipes.proteins import ClusteredProteins
from experiments.speech_samples import SpeechSamples
from experiments.text import Text
from experiments.zoo import MODELS

MINUTES = "two CPU cores, {} minutes"

BENCHMARKS: Mapping[str, Benchmark] = {
    "digits": Benchmark(
        "Handwritten digits of 8x8 pixels, given the class",
        "297 test images in 17 grey levels; 100 others chose",
        "bits/dim",
        {"pixelcnn": Recipe(Digits(), "arXiv 1601.06759", MINUTES.format("one or two"))},
        variables=1,
    ),
    "fashion_mnist": Benchmark(
        "Fashion-MNIST, given the class",
        "10,000 test images in 256 levels; the last 5,000 training images chose",
        "bits/dim",
        {
            "transformer": Recipe(
                FashionTransformer(), "arXiv 1706.03762, over patches", MINUTES.format(15)
            )
        },
        variables=1,
    ),
    "speech": Benchmark(
        "Speech, one voice, 8 kHz, 16 bits",
        "a tenth of the 568 prompts of Asterisk, in windows of 2,048 samples; another tenth chose",
        "bits/sample",
        {"wavenet": Recipe(SpeechSamples(), "arXiv 1609.03499", MINUTES.format(10))},
        variables=2,
    ),
    "chorales": Benchmark(
        "Bach's chorales, four voices, sixteenth notes",
        "a tenth of music21's 368 pieces, in windows of 64 chords; another tenth chose",
        "bits/pitch",
        {"lstm": Recipe(MODELS["lstm"], "Hochreiter and Schmidhuber 1997", MINUTES.format(5))},
        variables=1,
    ),
    "king_james": Benchmark(
        "King James Bible",
        "the last 100,000 bytes, in windows of 512; the 100,000 before them chose",
        "bits/character",
        {"transformer": Recipe(Text(), "arXiv 1706.03762", MINUTES.format(20))},
        variables=1,
    ),
    "proteins": Benchmark(
        "Proteins of UniProt",
        "244 sequences of MMseqs2's examples, each scored whole, with its line end; 216 others "
        "chose; none of them is 30 % identical to one that trains",
        "bits/character",
        {"transformer": Recipe(ClusteredProteins(), "arXiv 1706.03762", MINUTES.format(15))},
        variables=1,
    ),
}
