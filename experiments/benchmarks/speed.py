"""How fast models draw.

python -m experiments.benchmarks.speed

Draws 16 binarised images of MNIST's size from models with initial parameters, several times after
a warm-up, and prints the median with the fastest and the slowest.
"""

import statistics
import time
from dataclasses import dataclass

import jax
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import ar_jax as ar
from ar_jax.conditionals import MADE, PixelCNN, Transformer
from experiments.run import dispatch, parse

MODELS = {
    "MADE 1 x 8000": MADE(hidden=(8000,)),
    "PixelCNN 15 x 16": PixelCNN(blocks=15, channels=16),
    "Transformer 8 x 64, 2 heads": Transformer(layers=8, width=64, heads=2),
}


@dataclass(frozen=True)
class Speed:
    """Measure how fast models draw.

    Attributes:
      batch_size: images drawn at once.
      repeats: measurements after the warm-up.
    """

    batch_size: int = 16
    repeats: int = 7


def measure(arguments: list[str]) -> None:
    """Prints a row for each model."""
    options = parse(Speed(), arguments, "python -m experiments.benchmarks.speed")
    table = Table("model", "median s", "fastest s", "slowest s")
    for name, conditional in track(MODELS.items(), description="measuring"):
        model = ar.AutoregressiveModel(
            ar.orderings.Raster((28, 28, 1)), conditional, ar.heads.Bernoulli()
        )
        blank = np.zeros((options.batch_size, 28, 28, 1), np.int32)
        variables = jax.jit(model.init)(jax.random.key(0), blank)
        seconds = []
        for repeat in range(options.repeats + 1):
            start = time.perf_counter()
            images = ar.sample(
                model, variables, jax.random.key(repeat), batch_size=options.batch_size
            )
            jax.block_until_ready(images)
            seconds.append(time.perf_counter() - start)
        seconds = seconds[1:]  # the first one compiles
        table.add_row(name, *(f"{f(seconds):.3f}" for f in (statistics.median, min, max)))
    Console().print(table)


if __name__ == "__main__":
    dispatch(
        "python -m experiments.benchmarks.speed", {"measure": measure}, "measure", __doc__ or ""
    )
