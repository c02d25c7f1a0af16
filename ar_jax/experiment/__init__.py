"""Experiments: a run as a value, its folder, and the way back from the folder to the model."""

from ar_jax.experiment.load import load

__all__ = ["load"]
