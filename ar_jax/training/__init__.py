"""Training: pure steps, data parallelism, checkpoints and the loop."""

from ar_jax.training.checkpoint import Checkpoints
from ar_jax.training.config import Training
from ar_jax.training.fitted import Fitted
from ar_jax.training.loop import fit
from ar_jax.training.metrics import read_metrics
from ar_jax.training.optimizer import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    Linear,
    Lion,
    Muon,
    Optax,
    OptaxSchedule,
    Optimizer,
    Schedule,
)
from ar_jax.training.parallel import data_parallel
from ar_jax.training.run_lock import run_lock
from ar_jax.training.state import TrainState, init_state
from ar_jax.training.step import make_eval_step, make_train_step

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Checkpoints",
    "Constant",
    "Cosine",
    "Exponential",
    "Fitted",
    "Linear",
    "Lion",
    "Muon",
    "Optax",
    "OptaxSchedule",
    "Optimizer",
    "Schedule",
    "TrainState",
    "Training",
    "data_parallel",
    "fit",
    "init_state",
    "make_eval_step",
    "make_train_step",
    "read_metrics",
    "run_lock",
]
