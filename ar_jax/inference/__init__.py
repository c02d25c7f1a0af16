"""Inference: what a trained model is asked for."""
