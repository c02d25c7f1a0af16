"""Models: an ordering, a conditional, a head and a context, composed."""

from ar_jax.models.any_order import AnyOrderModel
from ar_jax.models.autoregressive import AutoregressiveModel, Model
from ar_jax.models.ensemble import Ensemble
from ar_jax.models.length import with_length
from ar_jax.models.order_agnostic import OrderAgnosticModel

__all__ = [
    "AnyOrderModel",
    "AutoregressiveModel",
    "Ensemble",
    "Model",
    "OrderAgnosticModel",
    "with_length",
]
