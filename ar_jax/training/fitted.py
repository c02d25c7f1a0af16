"""What training returns."""

import dataclasses
from typing import Any

from ar_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A model's training, as far as it went.

    Attributes:
      state: the last state.
      variables: the averaged parameters with the best validation, as `model.apply` takes them.
      finished: whether training went to its end; not so after an interruption.
      history: the records of `metrics.jsonl`, each with its "step".
    """

    state: TrainState
    variables: dict[str, Any]
    finished: bool
    history: list[dict[str, float]]
