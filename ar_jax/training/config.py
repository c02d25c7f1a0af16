"""What a training run is told."""

from dataclasses import dataclass
from typing import Literal

from ar_jax.checks import check_fractions, check_positive
from ar_jax.training.optimizer import AdamW, Optimizer, as_optimizer

Precision = Literal["float32", "bfloat16"]
OnNonfinite = Literal["raise", "skip"]


@dataclass(frozen=True)
class Training:
    """How to train.

    Attributes:
      steps: number of updates.
      optimizer: makes the updates: one of `ar_jax.training`, or any optax transformation as it is.
      micro_batches: parts of a device's share of the batch that are computed one after the other,
        to save memory; the update is that of the whole batch.
      precision: that the network computes in; parameters, losses, gradients and averages are
        float32.
      ema_decay: of the moving average of the parameters; 0 for none.
      seed: of the initial parameters and of dropout; experiments draw the order of the data and
        their transforms from it, too.
      log_every: steps between two records of the loss.
      validate_every: steps between two validations, each with a checkpoint.
      patience: steps without a better validation after which training stops; 0 for never.
      keep: how many of the latest checkpoints to keep, besides the best.
      on_nonfinite: what a step does whose loss or gradient is not finite: "raise" ends the run;
        "skip" leaves parameters, optimizer and average as they were.
      max_skipped: steps that a run may skip before it ends all the same.
    """

    steps: int = 2000
    optimizer: Optimizer = AdamW()
    micro_batches: int = 1
    precision: Precision = "float32"
    ema_decay: float = 0.999
    seed: int = 0
    log_every: int = 20
    validate_every: int = 200
    patience: int = 0
    keep: int = 2
    on_nonfinite: OnNonfinite = "raise"
    max_skipped: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimizer", as_optimizer(self.optimizer))
        check_positive(
            steps=self.steps,
            micro_batches=self.micro_batches,
            log_every=self.log_every,
            validate_every=self.validate_every,
            keep=self.keep,
        )
        check_fractions(ema_decay=self.ema_decay)
        if self.seed < 0:
            raise ValueError(f"seed: expected at least 0, got {self.seed}")
        if self.patience < 0:
            raise ValueError(f"patience: expected at least 0 steps, got {self.patience}")
        if self.max_skipped < 0:
            raise ValueError(f"max_skipped: expected at least 0 steps, got {self.max_skipped}")

    def validates(self, step: int) -> bool:
        """Whether there is a validation after so many updates."""
        return step > 0 and (step % self.validate_every == 0 or step == self.steps)

    def finished(self, step: int, best: int) -> bool:
        """Whether training ends at a step: at the last one, or where patience is over.

        Only a validation can end patience: a run that is interrupted between two goes on.

        Args:
          step: updates made so far.
          best: the step of the best validation so far, 0 before there is one.
        """
        validated = step % self.validate_every == 0
        return step >= self.steps or (validated and 0 < self.patience <= step - best)
