"""Tiny Shakespeare by character: nanoGPT's two recipes, and what two cores reach.

All are scored on nanoGPT's held-out tenth, in windows side by side. nanoGPT chooses its checkpoint
by that same tenth, and so do its two recipes here. The recipes for two cores choose by 60,000
characters before it, with which they do not train, and score the tenth once. As the tenth begins
inside The Taming of the Shrew, these are the end of Measure for Measure: of both plays the
beginning is trained, which is worth a tenth of a nat for the rest.
"""

from pathlib import Path

import ar_jax as ar
from ar_jax import conditionals
from ar_jax.training import AdamW, Cosine, Muon, Training
from experiments.recipes.base import Benchmark, Published, Recipe
from experiments.shakespeare_transformer import SYMBOLS, Shakespeare, UnseenShakespeare


def characters(window: int, conditional: conditionals.Conditional) -> ar.AutoregressiveModel:
    """Windows of characters, given the one before each."""
    return ar.AutoregressiveModel(
        ar.orderings.Raster((window,)),
        conditional,
        ar.heads.Categorical(SYMBOLS, embedding=128),
        ar.contexts.Tokens(vocabulary=SYMBOLS, length=1, width=128),
    )


NANO_GPT = Shakespeare(
    model=characters(
        256, conditionals.Transformer(layers=6, width=384, heads=6, dropout=0.2, bias=False)
    ),
    training=Training(
        steps=5000,
        optimizer=AdamW(
            learning_rate=1e-3, schedule=Cosine(warmup=0.02, final=0.1), weight_decay=0.1,
            beta2=0.99,
        ),
        ema_decay=0.0, validate_every=250,
    ),
    batch_size=64,
    folder=Path(),
)  # fmt: skip


def on_two_cores(
    window: int, conditional: conditionals.Conditional, optimizer: Muon, steps: int, seconds: int
) -> Recipe:
    """A linear recurrent network, trained for so many CPU-seconds with 2,048 characters a step."""
    experiment = UnseenShakespeare(
        model=characters(window, conditional),
        training=Training(
            steps=steps, optimizer=optimizer, log_every=50, validate_every=steps // 10
        ),
        batch_size=2048 // window,
        folder=Path(),
    )
    return Recipe(experiment, "arXiv 2303.06349", f"two CPU cores, {seconds} CPU-seconds")


ESTIMATED = "estimated on random windows of this part, which chose the checkpoint"

BENCHMARK = Benchmark(
    "Tiny Shakespeare",
    "nanoGPT's held-out tenth, in windows side by side",
    "nats/character",
    {
        "nanogpt_cpu": Recipe(
            Shakespeare(), "GPT-2 (Radford et al. 2019)", "two CPU cores, two minutes",
            Published(1.88, "nanoGPT", f"on a CPU; {ESTIMATED}"),
        ),
        "nanogpt_gpu": Recipe(
            NANO_GPT, "GPT-2 (Radford et al. 2019)", "an A100, three minutes",
            Published(1.4697, "nanoGPT", f"on an A100; {ESTIMATED}"),
        ),
        "lru_1200": on_two_cores(
            128, conditionals.LRU(layers=6, width=128, state=128, dropout=0.1),
            Muon(learning_rate=1e-2), 4300, 1200,
        ),
        "lru_7200": on_two_cores(
            256, conditionals.LRU(layers=6, width=192, state=192, dropout=0.2),
            Muon(learning_rate=4e-3, weight_decay=0.1), 8000, 7200,
        ),
    },
    variables=1,
)  # fmt: skip
