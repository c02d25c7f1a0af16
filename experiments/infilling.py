"""What experiments on infilling share: which parts of images are missing, and what came of them."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np

import ar_jax as ar
from ar_jax.data import Arrays, EvaluationBatches
from ar_jax.evaluation import Likelihood, Scores
from experiments.images import BinarisedMnist, first
from experiments.run import Sample

PATCHES = np.indices((7, 7))
REGIONS = {  # which of the 7x7 patches are missing
    "lower half": PATCHES[0] >= 4,
    "middle": (abs(PATCHES - 3) <= 1).all(axis=0),
    "every second": PATCHES.sum(axis=0) % 2 == 1,
}
"""Parts that are missing, in patches `[7, 7]`."""


@dataclasses.dataclass(frozen=True)
class SampleCompletions(Sample):
    """Complete images of the test split.

    Attributes:
      images: how many.
      draws: completions of each.
    """

    images: int = 10
    draws: int = 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class Infilling(BinarisedMnist):
    """Binarised MNIST, whatever part of an image is missing.

    Attributes:
      examples: how many images are completed for the figures.
    """

    examples: int = 1000

    sample: ClassVar[Sample] = SampleCompletions()
    small_sample: ClassVar[Sample] = SampleCompletions(images=2, draws=1)

    def preset(self, arguments: Sequence[str]) -> Self:
        config = super().preset(arguments)
        return dataclasses.replace(config, examples=16) if config.debug else config

    def figures(self, variables: Any) -> dict[str, Any]:
        return super().figures(variables) | {
            region: self.missing(variables, region) for region in REGIONS
        }

    def missing(self, variables: Any, region: str) -> Likelihood:
        """-log p(missing | known) of test images, exact."""
        gone = REGIONS[region].ravel()
        order, known = np.argsort(gone, kind="stable"), len(gone) - gone.sum()

        def score(x: Any, y: Any) -> jax.Array:
            return _nats_after(self.model, variables, x, y, order, known)

        nats = over_batches(score, self.images, self.batch_size)
        return summed_up(nats, 16 * int(gone.sum()), f"{region}, given the rest")

    @property
    def images(self) -> Arrays:
        """Those of the figures."""
        return first(self.splits.test, self.examples)

    def completed(
        self, variables: Any, options: Any, missing: np.ndarray, draw: Any = ar.infill
    ) -> np.ndarray:
        """What is given, draws, and the image: `[images, 1 + draws + 1, 28, 28, 1]`."""
        shown = self.splits.test.batch(np.arange(options.images))
        x, y = shown["x"], shown.get("y")
        gone = np.broadcast_to(np.kron(missing, np.ones((4, 4), bool))[..., None], x.shape)
        key = jax.random.key(options.seed)
        many = partial(np.repeat, repeats=options.draws, axis=0)
        drawn = draw(
            self.model,
            variables,
            key,
            many(x),
            many(gone),
            sampler=options.sampler,
            condition=None if y is None else many(y),
        ).reshape(options.images, options.draws, *x.shape[1:])
        given = np.where(gone, 0.25, x)
        return np.concatenate([given[:, None], drawn, x[:, None]], axis=1)


@partial(jax.jit, static_argnames="model")
def _nats_after(
    model: Any, variables: Any, x: jax.Array, y: Any, order: jax.Array, known: Any
) -> Any:
    """-log p of what comes after so many known steps of an order: `[batch]`."""
    orders = jnp.broadcast_to(order, (len(x), len(order)))
    log_prob = model.apply(variables, x, y, order=orders, method="step_log_probs")
    return -jnp.where(jnp.arange(len(order)) < known, 0, log_prob).sum(axis=1)


def over_batches(
    score: Callable[[Any, Any], jax.Array], images: Arrays, batch_size: int
) -> np.ndarray:
    """`score(x, y)` `[batch]` of all images."""
    found = []
    for batch in EvaluationBatches(images, batch_size):
        found.append(np.asarray(score(batch["x"], batch.get("y")))[np.asarray(batch["mask"])])
    return np.concatenate(found)


def summed_up(nats: np.ndarray, variables: int, split: str) -> Likelihood:
    """The mean of exact figures `[examples]`, each of so many variables."""
    return Scores(nats, np.arange(len(nats)), variables).likelihood(split)
