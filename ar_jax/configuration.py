"""A nested configuration as JSON, and back: what `run.json` and records hold.

A configuration is a value: a Linen module or a frozen dataclass whose fields are numbers, strings,
tuples and other such values. As JSON each part is an object with the name of its class:

    {"class": "Raster", "event": [28, 28, 1], "block": [1, 1, 1]}
"""

import dataclasses
import hashlib
import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

PARTS = (
    "orderings", "nn", "conditionals", "heads", "contexts", "models", "flows", "decoding",
    "objectives", "training", "datasets", "experiment",
)  # fmt: skip
"""The packages whose public classes a configuration may name."""

FORMER_NAMES = {"LogisticDigits": "CoarseFineLogistic"}
"""Classes that earlier versions wrote under another name."""

DEPTH = 100
"""Levels of the parts in each other that are read."""

ABSENT = "nothing"


def describe(part: Any, places: bool = False) -> Any:
    """A nested configuration as JSON, each part with the name of its class.

    Args:
      part: the configuration.
      places: whether to tell the fields, too, that only say where things lie: those declared with
        `dataclasses.field(metadata={"place": True})`. They are no part of what is learned.
    """
    if isinstance(part, tuple | list):
        return [describe(each, places) for each in part]
    if isinstance(part, Mapping):
        return {str(name): describe(value, places) for name, value in part.items()}
    if isinstance(part, np.ndarray | jax.Array):
        return f"{part.dtype} {list(part.shape)} {digest([part])}"
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        named = f"{getattr(part, '__module__', '')}.{getattr(part, '__qualname__', '')}".strip(".")
        text = named if callable(part) and hasattr(part, "__qualname__") else str(part)
        return re.sub(r" at 0x[0-9a-f]+", "", text)  # an address differs from start to start
    fields = [field for field in _fields(type(part)) if places or not is_place(type(part), field)]
    values = {field.name: describe(getattr(part, field.name), places) for field in fields}
    return {"class": type(part).__name__} | values


def build(described: Any, classes: Iterable[type] = ()) -> Any:
    """The configuration that `describe` wrote as JSON; lists become tuples.

    Fields that are not told, which the class got later, have their defaults. Nothing is made but
    parts of ar_jax and of the classes that are given: the JSON may come from anywhere.

    Args:
      described: as it comes back from JSON.
      classes: that the caller knows, besides those of ar_jax; they come first.

    Raises:
      ValueError: when a class is not known, or does not take what is told.
    """
    return _build(described, known_classes() | {each.__name__: each for each in classes}, DEPTH)


def _build(described: Any, classes: Mapping[str, type], depth: int) -> Any:
    if depth == 0:
        raise ValueError(f"configuration: expected at most {DEPTH} parts in each other, got more")
    if isinstance(described, list):
        return tuple(_build(each, classes, depth - 1) for each in described)
    if not isinstance(described, Mapping):
        return described
    parts = {
        name: _build(value, classes, depth - 1)
        for name, value in described.items()
        if name != "class"
    }
    if "class" not in described:
        return parts
    name = described["class"]
    if isinstance(name, str) and name not in classes:
        name = FORMER_NAMES.get(name, name)
    if not isinstance(name, str) or name not in classes:
        raise ValueError(
            f"class: expected one of ar_jax, or one that is given as `classes`, got {name!a:.200}"
        )
    fields = {field.name for field in _fields(classes[name])}
    if unknown := parts.keys() - fields:
        raise ValueError(
            f"{name}: expected fields among {', '.join(sorted(fields))}, "
            f"got {ascii(min(unknown))[1:-1]:.200}"
        )
    try:
        return classes[name](**parts)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"{name}: expected the fields of one, got others: {error}") from error


def differences(recorded: Any, given: Any, name: str = "") -> Iterator[tuple[str, str, str]]:
    """The fields of a configuration that differ from what was recorded of it.

    Returns:
      The name of each, e.g. "training.seed", what was recorded and what is given, as JSON; ABSENT
      for a field of only one of the two.
    """
    if isinstance(recorded, dict) and isinstance(given, dict):
        for field in dict.fromkeys([*recorded, *given]):
            pair = recorded.get(field, ABSENT), given.get(field, ABSENT)
            if field == "class":
                pair = FORMER_NAMES.get(pair[0], pair[0]), pair[1]
            yield from differences(*pair, f"{name}.{field}".strip("."))
    elif isinstance(recorded, list) and isinstance(given, list) and len(recorded) == len(given):
        for index, pair in enumerate(zip(recorded, given, strict=True)):
            yield from differences(*pair, f"{name}.{index}")
    else:
        was, now = (each if each is ABSENT else json.dumps(each) for each in (recorded, given))
        if was != now:
            yield name, was, now


@cache
def known_classes() -> dict[str, type]:
    """The public dataclasses and modules of ar_jax, by their names."""
    found: dict[str, type] = {}
    for part in PARTS:
        if not (Path(__file__).parent / part).exists():
            continue
        package = importlib.import_module(f"ar_jax.{part}")
        for name in package.__all__:
            value = getattr(package, name)
            if not (isinstance(value, type) and dataclasses.is_dataclass(value)):
                continue
            if found.setdefault(name, value) is not value:
                raise TypeError(f"{name}: expected one class of this name, got two")
    return found


def digest(trees: Any) -> str:
    """SHA-256 of the names, dtypes, shapes and values of the arrays of some trees."""
    hashed = hashlib.sha256()
    for tree in trees:
        for name, leaf in leaves(tree):
            array = np.ascontiguousarray(leaf)
            hashed.update(f"{name} {array.dtype} {np.shape(leaf)}".encode())
            hashed.update(array.data.cast("B") if array.size else b"")
    return f"sha256:{hashed.hexdigest()}"


def leaves(tree: Any) -> list[tuple[str, Any]]:
    """The arrays of a tree by their names."""
    return [
        (jax.tree_util.keystr(path, simple=True, separator="."), np.asarray(leaf))
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    ]


def is_place(cls: type, field: dataclasses.Field[Any]) -> bool:
    """Whether a field only says where things lie."""
    places = () if issubclass(cls, nn.Module) else getattr(cls, "places", ())
    return field.metadata.get("place", False) or field.name in places


def _fields(cls: type) -> list[dataclasses.Field[Any]]:
    """The fields that a configuration may tell; those of Linen's bookkeeping are none."""
    left_out = ("parent", "name") if issubclass(cls, nn.Module) else ()
    return [f for f in dataclasses.fields(cls) if f.init and f.name not in left_out]
