"""Heads: the distribution of one step given its features."""

from ar_jax.heads.base import Family, Head
from ar_jax.heads.coarse_fine import CoarseFineLogistic
from ar_jax.heads.counts import Counts, NegativeBinomial, Poisson
from ar_jax.heads.discrete import Bernoulli, Categorical, Discrete, MuLaw
from ar_jax.heads.end import EndOfSequence
from ar_jax.heads.gaussian import GaussianMixture, MultivariateGaussianMixture
from ar_jax.heads.logistic import DiscretizedLogisticMixture, LogisticMixture
from ar_jax.heads.mixed import Mixed
from ar_jax.heads.mixture import LocationScaleMixture, Mixture
from ar_jax.heads.nested import Nested
from ar_jax.heads.spline import NeuralSpline
from ar_jax.heads.student_t import StudentTMixture
from ar_jax.heads.support import Integers, Reals, Support
from ar_jax.heads.von_mises import VonMisesMixture

__all__ = [
    "Bernoulli",
    "Categorical",
    "CoarseFineLogistic",
    "Counts",
    "Discrete",
    "DiscretizedLogisticMixture",
    "EndOfSequence",
    "Family",
    "GaussianMixture",
    "Head",
    "Integers",
    "LocationScaleMixture",
    "LogisticMixture",
    "Mixed",
    "Mixture",
    "MuLaw",
    "MultivariateGaussianMixture",
    "NegativeBinomial",
    "Nested",
    "NeuralSpline",
    "Poisson",
    "Reals",
    "StudentTMixture",
    "Support",
    "VonMisesMixture",
]
