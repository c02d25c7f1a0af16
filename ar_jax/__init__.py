"""ar_jax: deep autoregressive generative models in JAX."""

from ar_jax import conditionals, contexts, flows, heads, orderings
from ar_jax.alternatives import alternatives
from ar_jax.any_order import AnyOrderModel
from ar_jax.beam_search import beam_search
from ar_jax.decoding import Automaton, Constraint, Guidance, RepetitionPenalty, Sampler, Stop
from ar_jax.ensemble import Ensemble
from ar_jax.infilling import at_random, infill, infill_in_rounds, most_confident
from ar_jax.lengthen import lengthen
from ar_jax.model import AutoregressiveModel
from ar_jax.order_agnostic import OrderAgnosticModel
from ar_jax.sampling import sample, stream

__all__ = [
    "AnyOrderModel",
    "Automaton",
    "AutoregressiveModel",
    "Constraint",
    "Ensemble",
    "Guidance",
    "OrderAgnosticModel",
    "RepetitionPenalty",
    "Sampler",
    "Stop",
    "alternatives",
    "at_random",
    "beam_search",
    "conditionals",
    "contexts",
    "flows",
    "heads",
    "infill",
    "infill_in_rounds",
    "lengthen",
    "most_confident",
    "orderings",
    "sample",
    "stream",
]
