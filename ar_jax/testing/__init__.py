"""The laws: what every ordering, conditional, head, model and flow must satisfy: yours, too.

    ar.testing.check_conditional(MyConditional(), ar.orderings.Raster((4, 3, 1)))
    ar.testing.check_rounding(MyConditional(), ar.orderings.Raster((4, 3, 1)))
    ar.testing.check_head(MyHead(), block_size=2)
    ar.testing.check_extremes(MyHead(), block_size=2)
    ar.testing.check_model(model)
    ar.testing.check_flow(flow)

They use random parameters, not initial ones, and all but `check_rounding` and `check_extremes`
float64: the rounding of float32, about 4e-6, hides bugs. Each raises AssertionError with the name
of the law that is broken.
"""

from ar_jax.testing.base import apply, close, compiled_apply, random_variables, scaled, to_float32
from ar_jax.testing.conditionals import check_conditional, check_rounding
from ar_jax.testing.contexts import check_context
from ar_jax.testing.flows import check_flow, check_transform
from ar_jax.testing.heads import check_extremes, check_head
from ar_jax.testing.models import check_model
from ar_jax.testing.orderings import check_ordering
from ar_jax.testing.work import cache_bytes, check_work, decoding_work

__all__ = [
    "apply",
    "cache_bytes",
    "check_conditional",
    "check_context",
    "check_extremes",
    "check_flow",
    "check_head",
    "check_model",
    "check_ordering",
    "check_rounding",
    "check_transform",
    "check_work",
    "close",
    "compiled_apply",
    "decoding_work",
    "random_variables",
    "scaled",
    "to_float32",
]
