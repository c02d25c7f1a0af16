"""Drawings: what an experiment draws from its model, into pictures, texts, sounds and tables."""

from ar_jax.experiment.drawings.base import Drawing, Samples
from ar_jax.experiment.drawings.images import ImageGrid

__all__ = ["Drawing", "ImageGrid", "Samples"]
