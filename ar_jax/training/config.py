"""What a training run is told."""

from dataclasses import dataclass

from ar_jax.checks import check_positive
from ar_jax.training.optimizer import AdamW


@dataclass(frozen=True)
class Training:
    """How to train.

    Attributes:
      steps: number of updates.
      optimizer: makes the updates.
      ema_decay: of the moving average of the parameters.
      seed: of the initial parameters and of dropout.
      log_every: steps between two records of the loss.
      validate_every: steps between two validations, each with a checkpoint.
    """

    steps: int = 2000
    optimizer: AdamW = AdamW()
    ema_decay: float = 0.999
    seed: int = 0
    log_every: int = 20
    validate_every: int = 200

    def __post_init__(self) -> None:
        check_positive(
            steps=self.steps, log_every=self.log_every, validate_every=self.validate_every
        )
