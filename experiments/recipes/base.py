"""What a benchmark is: data, a unit, and recipes that others have published figures of."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from ar_jax.evaluation import Likelihood
from experiments.run import Experiment

Unit = Literal[
    "nats", "nats/character", "nats/chord", "log-likelihood, nats",
    "bits/dim", "bits/character", "bits/sample", "bits/pitch",
]  # fmt: skip

NOT_TIMED = "a GPU; not timed"


@dataclasses.dataclass(frozen=True)
class Published:
    """A figure of others.

    Attributes:
      figure: in the benchmark's unit, on its test split.
      source: where it stands.
      protocol: what was done to get it: the network, the data, what chose the checkpoint.
    """

    figure: float
    source: str
    protocol: str = ""

    @property
    def rounded(self) -> str:
        """The figure as papers print it: with two decimals, or as many as it has."""
        return max(f"{self.figure:.2f}", f"{self.figure:g}", key=len)

    @property
    def where(self) -> str:
        """The source and the protocol."""
        return ": ".join(filter(None, [self.source, self.protocol]))

    def __str__(self) -> str:
        return f"{self.rounded}, {self.where}"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained on a benchmark, and what others have found with it.

    Attributes:
      experiment: what is trained, on which data, and how; the harness gives it a folder.
      paper: of the architecture, with its arXiv number; "after" it where the size is ours.
      expect: hardware, and the time that training takes on it.
      published: the figure of this network; None where none was found.
    """

    experiment: Experiment
    paper: str
    expect: str
    published: Published | None = None

    def __str__(self) -> str:
        published = self.published or "no figure found"
        return f"Paper: {self.paper}. Published: {published}. Expect: {self.expect}."


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Data that models are compared on.

    Attributes:
      title: of the table.
      data: what is scored, how it was prepared, and what chose.
      unit: of the figures.
      recipes: by name.
      variables: that a figure is about; 0 stands for all of an event.
      others: published figures of models that have no recipe, by their names: the best that was
        found is among them, where it is not that of a recipe.
    """

    title: str
    data: str
    unit: Unit
    recipes: Mapping[str, Recipe]
    variables: int = 0
    others: Mapping[str, Published] = dataclasses.field(default_factory=dict)

    def figure(self, found: Likelihood) -> tuple[float, float]:
        """The mean and its standard error in the benchmark's unit."""
        scale = self.variables / found.variables if self.variables else 1.0
        scale /= math.log(2) if self.unit.startswith("bits") else 1.0
        return found.nats * (-scale if self.higher_is_better else scale), found.error * scale

    @property
    def higher_is_better(self) -> bool:
        """Whether figures are log-likelihoods, rather than their negatives."""
        return self.unit.startswith("log-likelihood")
