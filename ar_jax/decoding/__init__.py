"""Decoding: the scan over steps, and how values are drawn."""

from ar_jax.decoding.guidance import Guidance, GuidedSampler
from ar_jax.decoding.processors import (
    Automaton,
    Constraint,
    ProcessedSampler,
    Processor,
    RepetitionPenalty,
    Stop,
    advance_states,
    done,
    init_states,
    lengths,
    process,
    processors_of,
)
from ar_jax.decoding.samplers import Sampler
from ar_jax.decoding.scan import (
    AnySampler,
    Carry,
    Prefix,
    advance,
    begin,
    decode,
    ended,
    example_keys,
)

__all__ = [
    "AnySampler",
    "Automaton",
    "Carry",
    "Constraint",
    "Guidance",
    "GuidedSampler",
    "Prefix",
    "ProcessedSampler",
    "Processor",
    "RepetitionPenalty",
    "Sampler",
    "Stop",
    "advance",
    "advance_states",
    "begin",
    "decode",
    "done",
    "ended",
    "example_keys",
    "init_states",
    "lengths",
    "process",
    "processors_of",
]
