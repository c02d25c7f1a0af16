"""MNIST, dynamically binarised, without an order: a masked transformer that completes any image.

python -m experiments.mnist_order_agnostic             train, evaluate, complete test images
python -m experiments.mnist_order_agnostic evaluate    the figures again
python -m experiments.mnist_order_agnostic sample      other completions, with --seed
python -m experiments.mnist_order_agnostic --debug     the same in seconds

An autoregressive diffusion model (arXiv 2110.02037): a step is a patch of 4x4 pixels, and the
network sees any of the patches at once. One at a time, a completion is exact and takes as many
passes as patches are missing; several at a time it takes fewer, and what is drawn together does not
know of each other. The figures tell what that costs in nats: -log p of test images whose patches
come in groups of a random order. The likelihood is that of the raster's order, a pass for each
patch, on the first 1,000 test images. Reads MNIST as TFDS prepared it.
"""

import dataclasses
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

import ar_jax as ar
from ar_jax.data import Splits
from ar_jax.evaluation import Likelihood
from ar_jax.experiment.plots import draw_images
from ar_jax.objectives import MaskedDiffusion, Objective
from ar_jax.training import Muon, Training
from experiments.images import first, patch_transformer
from experiments.infilling import REGIONS, Infilling, over_batches, summed_up
from experiments.run import main

ROUNDS = (1, 2, 4, 7, 12, 24, 49)


def order_agnostic() -> ar.OrderAgnosticModel:
    """The parts of `mnist_transformer`, with a network that reads both ways."""
    parts = patch_transformer(ar.heads.Bernoulli())
    network = ar.conditionals.MaskedTransformer(layers=4, width=128, heads=4)
    return ar.OrderAgnosticModel(parts.ordering, network, parts.head)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MnistOrderAgnostic(Infilling):
    """Train a masked transformer on patches, complete images, and tell what haste costs."""

    model: ar.AutoregressiveModel = dataclasses.field(default_factory=order_agnostic)
    training: Training = Training(
        steps=3000, optimizer=Muon(learning_rate=3e-3), log_every=50, validate_every=1000
    )
    folder: Path = Path("runs/mnist_order_agnostic")

    objective: ClassVar[Objective] = MaskedDiffusion()

    @property
    def tested_on(self) -> str:
        return f"first images of {super().tested_on}"

    @cached_property
    def splits(self) -> Splits[Any]:
        """Few images are held out: each of them costs a pass for each patch."""
        splits, few = super().splits, partial(first, count=self.examples)
        return dataclasses.replace(splits, validation=few(splits.validation), test=few(splits.test))

    def figures(self, variables: Any) -> dict[str, Any]:
        found = {f"{n} round{'s' * (n > 1)}": self.in_rounds(n, variables) for n in ROUNDS}
        return super().figures(variables) | found

    def in_rounds(self, rounds: int, variables: Any) -> Likelihood:
        """-log p of test images drawn in so many rounds, exact for the groups.

        The patches of an image come in a random order, in equal groups; those of a group are
        independent given the groups before.
        """
        length, rng = self.model.ordering.length, np.random.default_rng(0)
        edges = length - length * np.arange(rounds, -1, -1) // rounds  # as `infill_in_rounds` does
        edges = np.pad(edges, (0, max(ROUNDS) - rounds))  # one size: one program for all

        def score(x: Any, y: Any) -> jax.Array:
            rank = rng.permuted(np.tile(np.arange(length), (len(x), 1)), axis=1)
            return _nats_in_groups(self.model, variables, x, y, rank, edges, rounds)

        nats = over_batches(score, self.splits.test, self.batch_size)
        return summed_up(nats, 784, f"{self.tested_on}, patches in random groups")

    def draw(self, variables: Any, options: Any, path: Path) -> Path:
        ways = {
            "one patch at a time": ar.infill,
            "4 rounds": partial(ar.infill_in_rounds, rounds=4),
            "4 rounds, most confident": partial(
                ar.infill_in_rounds, rounds=4, choice=ar.most_confident
            ),
            "all at once": partial(ar.infill_in_rounds, rounds=1),
        }
        path = path.with_suffix(".png")
        panels = {
            way: self.completed(variables, options, REGIONS["lower half"], draw)
            for way, draw in ways.items()
        }
        draw_images(path, panels, self.levels)
        return path


@partial(jax.jit, static_argnames="model")
def _nats_in_groups(
    model: Any, variables: Any, x: Any, y: Any, rank: jax.Array, edges: jax.Array, rounds: int
) -> jax.Array:
    """-log p of groups of cells, by their ranks, each from those before it: `[batch]`."""

    def add(i: jax.Array, nats: jax.Array) -> jax.Array:
        log_prob = model.apply(variables, x, rank < edges[i], y, method="masked_log_probs")
        return nats - jnp.where(rank < edges[i + 1], log_prob, 0).sum(axis=1)

    return jax.lax.fori_loop(0, rounds, add, jnp.zeros(len(x)))


if __name__ == "__main__":
    main(MnistOrderAgnostic(), __doc__ or "")
