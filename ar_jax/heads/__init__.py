"""Heads: the distribution of one step given its features."""

from ar_jax.heads.base import Family, Head
from ar_jax.heads.discrete import Bernoulli, Categorical, Discrete
from ar_jax.heads.gaussian import GaussianMixture, MultivariateGaussianMixture
from ar_jax.heads.logistic import DiscretizedLogisticMixture, LogisticMixture
from ar_jax.heads.mixture import LocationScaleMixture, Mixture
from ar_jax.heads.nested import Nested
from ar_jax.heads.student_t import StudentTMixture
from ar_jax.heads.support import Integers, Reals, Support
from ar_jax.heads.von_mises import VonMisesMixture

__all__ = [
    "Bernoulli",
    "Categorical",
    "Discrete",
    "DiscretizedLogisticMixture",
    "Family",
    "GaussianMixture",
    "Head",
    "Integers",
    "LocationScaleMixture",
    "LogisticMixture",
    "Mixture",
    "MultivariateGaussianMixture",
    "Nested",
    "Reals",
    "StudentTMixture",
    "Support",
    "VonMisesMixture",
]
