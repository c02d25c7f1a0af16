"""Heads: the distribution of one step given its features."""

from ar_jax.heads.base import Family, Head
from ar_jax.heads.discrete import Bernoulli, Categorical, Discrete
from ar_jax.heads.gaussian import GaussianMixture
from ar_jax.heads.logistic import DiscretizedLogisticMixture
from ar_jax.heads.nested import Nested

__all__ = [
    "Bernoulli",
    "Categorical",
    "Discrete",
    "DiscretizedLogisticMixture",
    "Family",
    "GaussianMixture",
    "Head",
    "Nested",
]
