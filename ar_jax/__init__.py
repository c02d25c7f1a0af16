"""ar_jax: deep autoregressive generative models in JAX."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ar_jax import conditionals, contexts, flows, former_names, heads, nn, orderings
from ar_jax.decoding import Automaton, Constraint, Guidance, RepetitionPenalty, Sampler, Stop
from ar_jax.inference.alternatives import top_k_alternatives
from ar_jax.inference.beam_search import beam_search
from ar_jax.inference.infilling import at_random, infill, infill_in_rounds, most_confident
from ar_jax.inference.sampling import sample, stream
from ar_jax.inference.scoring import log_pmf, log_prob, step_log_probs
from ar_jax.models.any_order import AnyOrderModel
from ar_jax.models.autoregressive import AutoregressiveModel
from ar_jax.models.ensemble import Ensemble
from ar_jax.models.length import with_length
from ar_jax.models.order_agnostic import OrderAgnosticModel

if TYPE_CHECKING:
    from ar_jax import (
        data,
        datasets,
        evaluation,
        experiment,
        inference,
        interop,
        models,
        objectives,
        testing,
        training,
    )
    from ar_jax.experiment import load

former_names.install()

__version__ = version("ar_jax")

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
    "__version__",
    "at_random",
    "beam_search",
    "conditionals",
    "contexts",
    "data",
    "datasets",
    "evaluation",
    "experiment",
    "flows",
    "heads",
    "inference",
    "infill",
    "infill_in_rounds",
    "interop",
    "load",
    "log_pmf",
    "log_prob",
    "models",
    "most_confident",
    "nn",
    "objectives",
    "orderings",
    "sample",
    "step_log_probs",
    "stream",
    "testing",
    "top_k_alternatives",
    "training",
    "with_length",
]

_ON_FIRST_USE = (
    "data", "datasets", "evaluation", "experiment", "inference", "interop", "models", "objectives",
    "testing", "training",
)  # fmt: skip
"""Packages that are imported when they are first named: Orbax and TFDS take seconds."""


def __getattr__(name: str) -> Any:
    if name == "load":
        return import_module("ar_jax.experiment").load
    if name in _ON_FIRST_USE:
        return import_module(f"ar_jax.{name}")
    if name in former_names.NAMES:
        former_names.warn(name, former_names.NAMES[name])
        return globals()[former_names.NAMES[name]]
    if name in former_names.MODULES:
        return import_module(f"ar_jax.{name}")
    raise AttributeError(f"module 'ar_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
