"""How large the recipes are at full size: counted and traced, and nothing computed."""

import dataclasses
import json
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import ar_jax as ar
from ar_jax.training import init_state, make_train_step
from experiments.recipes.base import Recipe
from experiments.run import Experiment


@dataclasses.dataclass(frozen=True)
class Size:
    """What a training step holds, before a compiler makes it less.

    Attributes:
      parameters: how many.
      state: bytes of the parameters, their average, the optimizer's state and the gradient.
      kept: bytes that the forward pass of a batch keeps for the backward pass.
    """

    parameters: int
    state: int
    kept: int


def example(model: Any, batch_size: int = 1) -> dict[str, Any]:
    """A batch of zeros of the shapes that a model takes."""
    dtype = getattr(getattr(model, "head", None), "dtype", np.float32)  # a flow has no head
    batch: dict[str, Any] = {"x": np.zeros((batch_size, *model.ordering.event), dtype)}
    match getattr(model, "context", None):
        case ar.contexts.ClassLabel():
            batch["y"] = np.zeros(batch_size, np.int32)
        case ar.contexts.Tokens(length=length):
            batch["y"] = np.zeros((batch_size, length), np.int32)
    return batch


def parameters(model: Any) -> int:
    """How many a model has."""
    batch = example(model)
    init = partial(model.init, jax.random.key(0))
    return _count(jax.eval_shape(init, batch["x"], batch.get("y")))


def size(experiment: Experiment) -> Size:
    """That of an experiment on one device, by tracing a training step."""
    model, training = experiment.model, experiment.training
    optimizer = training.optimizer.transformation(training.steps)
    state = jax.eval_shape(lambda: init_state(model, optimizer, 0, example(model)))
    batch = example(model, experiment.batch_size)
    step = make_train_step(
        model, optimizer, training.ema_decay, 1, training.precision, objective=experiment.objective
    )
    jax.eval_shape(jax.vmap(step, (None, 0), axis_name="data"), state, _stacked(batch))

    def kept(params: Any, key: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            narrow = jax.tree.map(lambda p: p.astype(training.precision), params)
            return experiment.objective(model, {"params": narrow}, batch, key)[0].mean()

        return jax.vjp(loss, params)[1]

    backward = jax.eval_shape(kept, state.params, jax.random.key(0))
    return Size(_count(state.params), _bytes(state) + _bytes(state.params), _bytes(backward))


def measure(recipes: Mapping[str, Recipe]) -> dict[str, Size]:
    """Those of recipes, by their names."""
    return {name: size(recipe.experiment) for name, recipe in recipes.items()}


def table(recipes: Mapping[str, Recipe], sizes: Mapping[str, Size]) -> str:
    """A row for each recipe."""
    rows = [
        "| recipe | parameters | batch | training state, GB | kept for the backward pass, GB |",
        "|---|---|---|---|---|",
    ]
    for name, recipe in recipes.items():
        found = sizes[name]
        rows.append(
            f"| {name} | {found.parameters:,} | {recipe.experiment.batch_size} "
            f"| {found.state / 1e9:,.3f} | {found.kept / 1e9:,.2f} |"
        )
    return "\n".join(rows)


def read(path: Path) -> dict[str, Size]:
    """The sizes of a file, by the names of recipes."""
    return {name: Size(**fields) for name, fields in json.loads(path.read_text("utf-8")).items()}


def to_json(sizes: Mapping[str, Size]) -> str:
    """Sizes as they are stored."""
    fields = {name: dataclasses.asdict(found) for name, found in sizes.items()}
    return json.dumps(fields, indent=1) + "\n"


def _stacked(batch: Mapping[str, Any]) -> dict[str, Any]:
    """One device's share of a batch, with an axis for the devices."""
    return {name: value[None] for name, value in batch.items()}


def _count(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


def _bytes(shapes: Any) -> int:
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
