"""Data: sources of examples, and their batches."""

from ar_jax.data.batches import EvaluationBatches, TrainingBatches
from ar_jax.data.sources import Arrays, Splits, digits

__all__ = ["Arrays", "EvaluationBatches", "Splits", "TrainingBatches", "digits"]
