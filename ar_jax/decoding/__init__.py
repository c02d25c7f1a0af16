"""Decoding: the scan over steps, and how values are drawn."""

from ar_jax.decoding.samplers import Sampler
from ar_jax.decoding.scan import Known, advance, decode, example_keys

__all__ = ["Known", "Sampler", "advance", "decode", "example_keys"]
