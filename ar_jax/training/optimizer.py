"""Optimizers and their learning rates."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, cast

import jax
import optax
from optax import contrib

from ar_jax.checks import check_fractions


@dataclass(frozen=True)
class Schedule(ABC):
    """How the learning rate changes over a run."""

    @abstractmethod
    def rate(self, peak: float, steps: int) -> optax.Schedule:
        """The learning rate as a function of the step 0 ... steps - 1."""


@dataclass(frozen=True)
class OptaxSchedule(Schedule):
    """A schedule of optax as it is: the learning rate by the step, whatever its peak.

    Attributes:
      given: step -> learning rate.
    """

    given: optax.Schedule

    def rate(self, peak: float, steps: int) -> optax.Schedule:
        return self.given


@dataclass(frozen=True)
class Warmup(Schedule):
    """Linear warm-up, and what a subclass does after it.

    The line is at 0 before the first step and at the peak in the last step of the rise, which
    without warm-up is the first one: no step has a learning rate of 0 because of it.

    Attributes:
      warmup: fraction of the steps that the rise takes.
    """

    warmup: float = 0.05

    def __post_init__(self) -> None:
        check_fractions(warmup=self.warmup)

    @abstractmethod
    def after_warmup(self, peak: float, steps: int) -> optax.Schedule:
        """The learning rate from the peak, at 0, to the end, at so many steps (at least 1)."""

    def rate(self, peak: float, steps: int) -> optax.Schedule:
        top = max(0, min(round(self.warmup * steps) - 1, steps - 2))  # the step at the peak
        rise = optax.linear_schedule(peak / (top + 1), peak, top)
        fall = self.after_warmup(peak, max(1, steps - 1 - top))
        return optax.join_schedules([rise, fall], [top])


@dataclass(frozen=True)
class Decay(Warmup):
    """Linear warm-up, then a decay to the end of the run.

    Attributes:
      final: fraction of the peak that is left at the last step.
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.final <= 1:
            raise ValueError(f"final: expected a fraction from 0 to 1, got {self.final}")


@dataclass(frozen=True)
class Cosine(Decay):
    """Linear warm-up, then half a period of a cosine to the end of the run (arXiv 1608.03983)."""

    def after_warmup(self, peak: float, steps: int) -> optax.Schedule:
        return optax.cosine_decay_schedule(peak, steps, self.final)


@dataclass(frozen=True)
class Linear(Decay):
    """Linear warm-up, then a linear decay to the end of the run."""

    def after_warmup(self, peak: float, steps: int) -> optax.Schedule:
        return optax.linear_schedule(peak, self.final * peak, steps)


@dataclass(frozen=True)
class Constant(Warmup):
    """Linear warm-up, then constant."""

    def after_warmup(self, peak: float, steps: int) -> optax.Schedule:
        return optax.constant_schedule(peak)


@dataclass(frozen=True)
class Exponential(Warmup):
    """Linear warm-up, then an exponential decay.

    Attributes:
      decay: what each update multiplies the learning rate by.
    """

    decay: float = 0.999995

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay: expected more than 0 and at most 1, got {self.decay}")

    def after_warmup(self, peak: float, steps: int) -> optax.Schedule:
        return optax.exponential_decay(peak, 1, self.decay)


@dataclass(frozen=True)
class Optimizer(ABC):
    """What makes updates of gradients."""

    @abstractmethod
    def rate(self, steps: int) -> optax.Schedule | None:
        """The learning rate as a function of the step 0 ... steps - 1; None if it is not known."""

    @abstractmethod
    def transformation(self, steps: int) -> optax.GradientTransformation:
        """The gradient transformation for a run of so many steps."""


@dataclass(frozen=True)
class Optax(Optimizer):
    """An optax transformation as it is, with its own learning rate, decay and clipping.

    `Training(optimizer=optax.adafactor(1e-2))` makes one. Its learning rate is not known, and so
    not logged; when a run goes on, its numbers are not compared with those that it began with.

    Attributes:
      given: the transformation.
    """

    given: optax.GradientTransformation

    def rate(self, steps: int) -> None:
        return None

    def transformation(self, steps: int) -> optax.GradientTransformation:
        return self.given


@dataclass(frozen=True)
class DirectionalOptimizer(Optimizer):
    """Clipped gradients, a direction made of them, decoupled weight decay, a learning rate.

    Attributes:
      learning_rate: at its peak.
      schedule: how it changes over the run; an optax schedule is taken as it is, and
        `learning_rate` is then not read.
      weight_decay: pull of matrices and larger kernels towards 0, per unit of learning rate;
        biases and scales are left alone (arXiv 1711.05101).
      clip_norm: the largest global norm of a gradient; `inf` leaves all as they are.
    """

    learning_rate: float = 1e-3
    schedule: Schedule = Cosine()
    weight_decay: float = 0.0
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", as_schedule(self.schedule))
        if callable(self.learning_rate):
            raise ValueError(
                "learning_rate: expected a number, got a function; give a schedule of optax as "
                "schedule"
            )
        above_zero = {"learning_rate": self.learning_rate, "clip_norm": self.clip_norm}
        for name, value in above_zero.items():
            if not value > 0:
                raise ValueError(f"{name}: expected more than 0, got {value}")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(
                f"weight_decay: expected a finite number of at least 0, got {self.weight_decay}"
            )

    @abstractmethod
    def direction(self) -> optax.GradientTransformation:
        """From gradients to the direction of the update, before decay and learning rate."""

    def rate(self, steps: int) -> optax.Schedule:
        return self.schedule.rate(self.learning_rate, steps)

    def transformation(self, steps: int) -> optax.GradientTransformation:
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            self.direction(),
            optax.add_decayed_weights(self.weight_decay, mask=_matrices),
            optax.scale_by_learning_rate(self.rate(steps)),
        )


@dataclass(frozen=True)
class Adam(DirectionalOptimizer):
    """Adam (arXiv 1412.6980).

    Attributes:
      beta1: decay of the mean of the gradients.
      beta2: decay of the mean of their squares.
      penalty: half of it times the sum of all squared parameters is added to the loss (L2). Unlike
        `weight_decay`, it passes through both means.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    penalty: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(beta1=self.beta1, beta2=self.beta2)
        if not 0 <= self.penalty < math.inf:
            raise ValueError(f"penalty: expected a finite number of at least 0, got {self.penalty}")

    def direction(self) -> optax.GradientTransformation:
        adam = optax.scale_by_adam(self.beta1, self.beta2)
        if not self.penalty:
            return adam
        return optax.chain(optax.add_decayed_weights(self.penalty), adam)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with weight decay (arXiv 1711.05101)."""

    weight_decay: float = 0.01


@dataclass(frozen=True)
class SGD(DirectionalOptimizer):
    """Gradient descent with heavy-ball momentum.

    Attributes:
      momentum: decay of the sum of the gradients; 0 for none.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(momentum=self.momentum)

    def direction(self) -> optax.GradientTransformation:
        return optax.trace(self.momentum)


@dataclass(frozen=True)
class Lion(DirectionalOptimizer):
    """The sign of a mean of gradients (arXiv 2302.06675).

    Attributes:
      beta1: weight of the mean in the direction.
      beta2: decay of the mean of the gradients.
    """

    learning_rate: float = 1e-4
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(beta1=self.beta1, beta2=self.beta2)

    def direction(self) -> optax.GradientTransformation:
        return optax.scale_by_lion(self.beta1, self.beta2)


@dataclass(frozen=True)
class Muon(DirectionalOptimizer):
    """Orthogonalised momentum for the kernels of hidden layers, Adam for all else.

    Updates of kernels are scaled to the size that Adam's have (arXiv 2502.16982), so that both
    share a learning rate. Embeddings, readouts, biases and scales are Adam's, with Nesterov's
    momentum too.

    Attributes:
      momentum: decay of the mean of the gradients of kernels.
      beta1: Adam's decay of the mean of the gradients.
      beta2: Adam's decay of the mean of their squares.
    """

    weight_decay: float = 0.01
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(momentum=self.momentum, beta1=self.beta1, beta2=self.beta2)

    def direction(self) -> optax.GradientTransformation:
        return optax.chain(
            contrib.muon(
                1.0,
                beta=self.momentum,
                adam_b1=self.beta1,
                adam_b2=self.beta2,
                muon_weight_dimension_numbers=_hidden_kernels,
                consistent_rms=0.2,
            ),
            optax.scale(-1.0),  # `muon` descends already
        )


def _matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: p.ndim > 1, params)


def _hidden_kernels(params: Any) -> Any:
    """How Muon sees each parameter: a matrix, or None."""

    def matrix(path: Any, param: jax.Array) -> contrib.MuonDimensionNumbers | None:
        name = jax.tree_util.keystr(path, simple=True)
        hidden = param.ndim == 2 and "kernel" in name and "readout" not in name
        return contrib.MuonDimensionNumbers() if hidden else None

    return jax.tree_util.tree_map_with_path(matrix, params)


def as_optimizer(given: Any) -> Optimizer:
    """An optimizer, from one of ours or of optax.

    Raises:
      ValueError: when it is neither.
    """
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, optax.GradientTransformation):
        return Optax(given)
    raise ValueError(
        "optimizer: expected one of ar_jax.training, such as AdamW(), or an optax transformation, "
        f"such as optax.adamw(1e-3), got {given!r:.200}"
    )


def as_schedule(given: Any) -> Schedule:
    """A schedule, from one of ours or of optax.

    Raises:
      ValueError: when it is neither.
    """
    if isinstance(given, Schedule):
        return given
    if callable(given) and not isinstance(given, type):
        return OptaxSchedule(cast(optax.Schedule, given))
    raise ValueError(
        "schedule: expected one of ar_jax.training, such as Cosine(), or one of optax, such as "
        f"optax.constant_schedule(1e-3), got {given!r:.200}"
    )
