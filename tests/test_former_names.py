"""Names of before work, and tell what they are called now."""

import importlib
import sys

import pytest

import ar_jax as ar
from ar_jax import former_names


@pytest.mark.parametrize("name", former_names.MODULES)
def test_a_module_is_found_by_its_former_name(name):
    now = importlib.import_module(f"ar_jax.{former_names.MODULES[name]}")
    spec = now.__spec__
    sys.modules.pop(f"ar_jax.{name}", None)
    with pytest.warns(DeprecationWarning, match=f"ar_jax.{name} is ar_jax"):
        found = importlib.import_module(f"ar_jax.{name}")
    assert found is now
    assert now.__spec__ is spec


def test_functions_and_layers_are_found_by_their_former_names():
    with pytest.warns(DeprecationWarning, match=r"ar_jax\.lengthen is ar_jax\.with_length now"):
        assert ar.lengthen is ar.with_length
    with pytest.warns(DeprecationWarning, match=r"conditionals\.shift is ar_jax\.nn\.shift now"):
        assert ar.conditionals.shift is ar.nn.shift
    for name in former_names.LAYERS:
        assert hasattr(ar.nn, name)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ar.nothing
