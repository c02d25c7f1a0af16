"""Classification by Bayes' rule, with the classes as conditions."""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ar_jax.model import Model
from ar_jax.training.parallel import data_parallel, replicate
from ar_jax.training.step import Batch, log_prob


def posterior(model: Model, variables: Any, x: jax.Array, log_prior: jax.Array) -> jax.Array:
    """log p(y | x) = log p(x | y) + log p(y) - log p(x), by scoring x under every class.

    Args:
      model: a model of p(x | y) with class labels y.
      variables: its parameters.
      x: `[batch, *event]`.
      log_prior: `[classes]`, log p(y) in nats up to a constant: zeros are the uniform one.

    Returns:
      `[batch, classes]`, in nats.

    Raises:
      ValueError: when the prior has more classes than the model.
    """
    model.context.check(np.full(len(x), len(log_prior) - 1), len(x))

    def log_likelihood(label: jax.Array) -> jax.Array:
        return log_prob(model, variables, {"x": x, "y": jnp.full(len(x), label)})

    # One class after the other: the memory of one pass.
    log_likelihoods = lax.map(log_likelihood, jnp.arange(len(log_prior)))  # [classes, batch]
    return jax.nn.log_softmax(log_likelihoods.T + log_prior, axis=-1)


def accuracy(model: Model, variables: Any, batches: Iterable[Batch], log_prior: jax.Array) -> float:
    """Fraction of a split whose label has the highest posterior, on all devices.

    Args:
      model: a model of p(x | y) with class labels y.
      variables: its parameters.
      batches: each example once, e.g. `ar_jax.data.EvaluationBatches`: dictionaries of "x", its
        label "y" and the "mask" `[batch]` of the rows that count.
      log_prior: `[classes]`, log p(y) in nats up to a constant: zeros are the uniform one.

    Raises:
      ValueError: when a batch does not fit the model or the devices.
    """
    count_step = _parallel_count_step(cast(Hashable, model))
    variables = replicate(variables)
    correct = total = 0
    for batch in batches:
        model.check(batch["x"], batch["y"])
        with jax.default_matmul_precision("float32"):  # accelerators would round the products
            counts = count_step((variables, log_prior), batch)
        correct += int(counts[0])
        total += int(counts[1])
    return correct / total


@lru_cache(maxsize=8)
def _parallel_count_step(
    model: Model,
) -> Callable[[tuple[Any, jax.Array], Batch], tuple[jax.Array, jax.Array]]:
    def count_step(carry: tuple[Any, jax.Array], batch: Batch) -> tuple[jax.Array, jax.Array]:
        variables, log_prior = carry
        predicted = posterior(model, variables, batch["x"], log_prior).argmax(axis=-1)
        correct = (predicted == batch["y"]) & batch["mask"]
        return lax.psum((correct.sum(), batch["mask"].sum()), "data")

    return data_parallel(count_step)
