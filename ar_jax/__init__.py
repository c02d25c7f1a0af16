"""ar_jax: deep autoregressive generative models in JAX."""

from ar_jax import conditionals, contexts, flows, heads, nn, orderings
from ar_jax.decoding import Automaton, Constraint, Guidance, RepetitionPenalty, Sampler, Stop
from ar_jax.inference.alternatives import alternatives
from ar_jax.inference.beam_search import beam_search
from ar_jax.inference.infilling import at_random, infill, infill_in_rounds, most_confident
from ar_jax.inference.sampling import sample, stream
from ar_jax.models.any_order import AnyOrderModel
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.models.ensemble import Ensemble
from ar_jax.models.lengthen import lengthen
from ar_jax.models.order_agnostic import OrderAgnosticModel

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
    "nn",
    "orderings",
    "sample",
    "stream",
]
