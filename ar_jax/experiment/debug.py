"""What --debug makes of a conditional."""

import dataclasses
from typing import Any

from ar_jax.conditionals import Conditional

MOST = {
    "blocks": 1, "stages": 1, "stacks": 1, "scales": 2, "order": 4, "window": 16,
    "width": 16, "heads": 2, "hidden": 16, "query_width": 8, "key": 4, "value": 8, "state": 8,
    "channels": 8, "head_channels": 8, "skip_channels": 8,
}  # fmt: skip
"""Of what there is in a conditional, by the names of its fields."""


def shrunk(conditional: Conditional) -> Conditional:
    """The same architecture at a size that trains in seconds."""
    most = MOST | {"layers": getattr(conditional, "period", 1)}

    def smaller(name: str, value: Any) -> Any:
        if isinstance(value, Conditional):
            return shrunk(value)
        if isinstance(value, tuple):
            return tuple(smaller(name, each) for each in value)
        return min(value, most[name])

    fields = {f.name: getattr(conditional, f.name) for f in dataclasses.fields(conditional)}
    return conditional.clone(
        **{
            name: smaller(name, value)
            for name, value in fields.items()
            if name in most or (isinstance(value, Conditional) and name != "parent")
        }
    )
