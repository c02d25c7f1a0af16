"""ar_jax: deep autoregressive generative models in JAX."""

from ar_jax import conditionals, contexts, flows, heads, orderings
from ar_jax.alternatives import alternatives
from ar_jax.beam_search import beam_search
from ar_jax.decoding import Automaton, Constraint, Guidance, RepetitionPenalty, Sampler, Stop
from ar_jax.ensemble import Ensemble
from ar_jax.lengthen import lengthen
from ar_jax.model import AutoregressiveModel
from ar_jax.sampling import sample, stream

__all__ = [
    "Automaton",
    "AutoregressiveModel",
    "Constraint",
    "Ensemble",
    "Guidance",
    "RepetitionPenalty",
    "Sampler",
    "Stop",
    "alternatives",
    "beam_search",
    "conditionals",
    "contexts",
    "flows",
    "heads",
    "lengthen",
    "orderings",
    "sample",
    "stream",
]
