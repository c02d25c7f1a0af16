"""Experiments: one runnable file each."""
