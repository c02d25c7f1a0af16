"""Weights from elsewhere, and ours for others; needs the `interop` extra.

from ar_jax import interop
model, variables = interop.load(Path("gpt2"))
interop.save(Path("mine"), model, variables)
"""

from ar_jax.interop.huggingface import load, save

__all__ = ["load", "save"]
