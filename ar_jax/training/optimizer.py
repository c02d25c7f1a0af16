"""The optimizer."""

from dataclasses import dataclass

import jax
import optax


@dataclass(frozen=True)
class AdamW:
    """AdamW (arXiv 1711.05101) with linear warm-up, cosine decay and clipped gradients.

    Weight decay applies to matrices and larger kernels, not to biases and scales.

    Attributes:
      learning_rate: at its peak.
      warmup: fraction of the steps over which the learning rate rises from 0.
      final: fraction of the peak that is left at the last step.
      weight_decay: pull of the weights towards 0, per unit of learning rate.
      beta1: decay of the mean of the gradients.
      beta2: decay of the mean of their squares.
      clip_norm: the largest global norm of a gradient.
    """

    learning_rate: float = 1e-3
    warmup: float = 0.05
    final: float = 0.0
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 1.0

    def schedule(self, steps: int) -> optax.Schedule:
        """The learning rate as a function of the step, over so many steps."""
        warmup = max(1, round(self.warmup * steps))
        return optax.warmup_cosine_decay_schedule(
            init_value=0.0,
            peak_value=self.learning_rate,
            warmup_steps=warmup,
            decay_steps=max(steps, warmup + 1),
            end_value=self.final * self.learning_rate,
        )

    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The gradient transformation for a run of so many steps."""
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            optax.adamw(
                self.schedule(steps),
                b1=self.beta1,
                b2=self.beta2,
                weight_decay=self.weight_decay,
                mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params),
            ),
        )
