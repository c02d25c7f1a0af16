"""Flows: invertible maps between events and noise, of which autoregressive layers are stacked."""

from ar_jax.flows.flow import IAF, MAF, Flow, Layer
from ar_jax.flows.transforms import Affine, Spline, Transform

__all__ = ["IAF", "MAF", "Affine", "Flow", "Layer", "Spline", "Transform"]
