"""Names of version 0.1, which work for one more version, with a warning (see CHANGELOG)."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MODULES = {
    "model": "models.autoregressive",
    **{name: f"models.{name}" for name in ("any_order", "order_agnostic", "ensemble")},
    **{
        name: f"inference.{name}"
        for name in ("sampling", "beam_search", "infilling", "compression", "regular_expressions")
    },
    "splines": "math.splines",
    "mu_law": "math.mu_law",
    **{
        f"conditionals.{name}": f"nn.{name}"
        for name in (
            "attention", "causal_conv", "masked_conv", "shifted_conv", "masked_dense",
            "feed_forward", "positions",
        )
    },
    "conditionals.patterns": "nn.attention_patterns",
}  # fmt: skip
"""Modules of ar_jax, by what they were called; `lengthen` and `alternatives` are functions."""

NAMES = {"lengthen": "with_length", "alternatives": "top_k_alternatives"}
"""Functions of ar_jax, by what they were called."""

LAYERS = ("Axial", "ContextBias", "FromTo", "Learned", "Rotary", "Sinusoidal", "shift")
"""What `ar_jax.conditionals` had and `ar_jax.nn` has."""


def warn(before: str, now: str) -> None:
    """Tells what a name is called now."""
    warnings.warn(f"ar_jax.{before} is ar_jax.{now} now", DeprecationWarning, stacklevel=3)


class FormerModules(MetaPathFinder, Loader):
    """Imports a module by the name that it had."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix("ar_jax.")
        return ModuleSpec(fullname, self) if name != fullname and name in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        name = spec.name.removeprefix("ar_jax.")
        warn(name, MODULES[name])
        module = import_module(f"ar_jax.{MODULES[name]}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__  # that of the name of before: the module keeps its own
        module.__spec__ = spec.loader_state


def install() -> None:
    """Lets modules be imported by the names that they had."""
    if not any(isinstance(finder, FormerModules) for finder in sys.meta_path):
        sys.meta_path.append(FormerModules())
