"""Objectives: what training minimises."""

from ar_jax.objectives.base import Batch, Loss, Objective
from ar_jax.objectives.masked_diffusion import MaskedDiffusion
from ar_jax.objectives.maximum_likelihood import MaximumLikelihood
from ar_jax.objectives.random_member import RandomMember
from ar_jax.objectives.random_order import RandomOrder

__all__ = [
    "Batch",
    "Loss",
    "MaskedDiffusion",
    "MaximumLikelihood",
    "Objective",
    "RandomMember",
    "RandomOrder",
]
