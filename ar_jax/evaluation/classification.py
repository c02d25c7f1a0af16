"""Classification both ways: p(y | x) by Bayes' rule from p(x | y), or as a model gives it."""

from collections.abc import Callable, Hashable, Iterable
from functools import lru_cache
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from rich.progress import track

from ar_jax.checks import check_shape, check_variables, is_concrete
from ar_jax.models.autoregressive import Array, AutoregressiveModel, Model
from ar_jax.objectives import Batch
from ar_jax.training.parallel import data_parallel, first_process, replicate


def posterior(
    model: Model, variables: Any, x: Array, conditions: Array, log_prior: Array | float = 0.0
) -> jax.Array:
    """log p(y | x) = log p(x | y) + log p(y) - log p(x), by scoring x under every condition.

    Args:
      model: a model of p(x | y).
      variables: its parameters.
      x: `[batch, *event]`.
      conditions: `[classes, ...]`, what y may be, as the model's context takes it: class labels
        `arange(classes)`, or tokens of the classes' names.
      log_prior: as of `bayes`.

    Returns:
      `[batch, classes]`, in nats.

    Raises:
      ValueError: when the model has no such conditions, or the prior is not of as many.
    """
    model.context.check(conditions, len(conditions))
    check_variables(variables)
    return bayes(_log_likelihoods(model, variables, x, jnp.asarray(conditions)), log_prior)


def bayes(log_likelihoods: Array, log_prior: Array | float = 0.0) -> jax.Array:
    """log p(y | x) = log p(x | y) + log p(y) - log p(x).

    Args:
      log_likelihoods: `[batch, classes]`, log p(x | y) in nats; minus infinity where x cannot be.
      log_prior: `[classes]`, or `[batch, classes]` with one for each example: log p(y) in nats up
        to a constant; minus infinity rules a class out. Left out it is the uniform one.

    Returns:
      `[batch, classes]`, in nats.

    Raises:
      ValueError: when the shapes do not fit, or an example has no posterior: a number is NaN or
        plus infinity, or no class is possible.
    """
    check_shape("log_likelihoods", log_likelihoods, ("batch", "classes"))
    if np.ndim(log_prior) == 1:
        check_shape("log_prior", log_prior, np.shape(log_likelihoods)[1:])
    elif np.ndim(log_prior):
        check_shape("log_prior", log_prior, np.shape(log_likelihoods))
    log_joint = jnp.asarray(log_likelihoods) + jnp.asarray(log_prior)
    if is_concrete(log_joint):
        possible = np.isfinite(np.max(log_joint, axis=-1))  # of NaN and infinity the maximum is one
        if not possible.all():
            raise ValueError(
                "log_likelihoods: expected for each example a class that is possible, and no NaN "
                f"or plus infinity, got others in row {possible.argmin()} "
                f"({(~possible).sum()} of {len(possible)})"
            )
    return jax.nn.log_softmax(log_joint, axis=-1)


def log_likelihoods(
    model: Model, variables: Any, batches: Iterable[Batch], conditions: Array
) -> np.ndarray:
    """log p(x | y) of a whole split under every condition, on all devices.

    Args:
      model: a model of p(x | y).
      variables: its parameters.
      batches: each example once, e.g. `ar_jax.data.EvaluationBatches`: dictionaries of "x" and the
        "mask" `[batch]` of the rows that count.
      conditions: `[classes, ...]`, what y may be, as the model's context takes it.

    Returns:
      `[examples, classes]`, in nats: `bayes` makes a posterior of them, and their logsumexp with
      the log prior is log p(x).

    Raises:
      ValueError: when a batch does not fit the model or the devices.
    """
    conditions = np.asarray(conditions)
    model.context.check(conditions, len(conditions))
    check_variables(variables)
    step, found = _parallel_log_likelihoods(cast(Hashable, model)), []
    carry = replicate((variables, jnp.asarray(conditions)))
    for batch in _tracked(batches):
        model.check(batch["x"], np.repeat(conditions[:1], len(batch["x"]), axis=0))
        with jax.default_matmul_precision("float32"):  # accelerators would round the products
            scores = step(carry, {"x": batch["x"]})
        found.append(np.asarray(scores)[np.asarray(batch["mask"])])
    return np.concatenate(found)


def log_pmf(model: AutoregressiveModel, variables: Any, batches: Iterable[Batch]) -> np.ndarray:
    """log p(x | y) of every value x of one variable, on all devices: a discriminative classifier.

    Args:
      model: whose event is one variable of finitely many values, such as the class of an image y.
      variables: its parameters.
      batches: each example once: dictionaries of "x", "y" and the "mask" `[batch]` of the rows
        that count.

    Returns:
      `[examples, values]`, in nats.

    Raises:
      ValueError: when the event has more variables, or a batch does not fit the model or the
        devices.
    """
    if model.ordering.event != (1,):
        raise ValueError(f"event: expected shape [1], got {list(model.ordering.event)}")
    check_variables(variables)
    step, found = _parallel_log_pmf(cast(Hashable, model)), []
    variables = replicate(variables)
    for batch in _tracked(batches):
        model.check(batch["x"], batch["y"])
        with jax.default_matmul_precision("float32"):
            scores = step(variables, {"y": batch["y"]})
        found.append(np.asarray(scores)[np.asarray(batch["mask"])])
    return np.concatenate(found)


def _log_likelihoods(model: Model, variables: Any, x: Array, conditions: jax.Array) -> jax.Array:
    """`[batch, classes]`, nats."""

    def under(condition: jax.Array) -> jax.Array:
        y = jnp.broadcast_to(condition, (len(x), *condition.shape))
        return model.apply(variables, x, y)

    return lax.map(under, conditions).T  # one after the other: the memory of one pass


@lru_cache(maxsize=8)
def _parallel_log_likelihoods(
    model: Model,
) -> Callable[[tuple[Any, jax.Array], Batch], jax.Array]:
    def step(carry: tuple[Any, jax.Array], batch: Batch) -> jax.Array:
        variables, conditions = carry
        return _gather(_log_likelihoods(model, variables, batch["x"], conditions))

    return data_parallel(step)


@lru_cache(maxsize=8)
def _parallel_log_pmf(model: AutoregressiveModel) -> Callable[[Any, Batch], jax.Array]:
    def of_first_step(model: AutoregressiveModel, condition: jax.Array) -> jax.Array:
        cache, previous = model.begin(len(condition), condition)
        _, features = model.step(cache, previous, 0)
        return model.head.log_pmf(features, previous)[:, 0]

    def step(variables: Any, batch: Batch) -> jax.Array:
        return _gather(nn.apply(of_first_step, model)(variables, batch["y"]))

    return data_parallel(step)


def _gather(scores: jax.Array) -> jax.Array:
    """Each device's rows -> those of all."""
    return lax.all_gather(scores, "data", tiled=True)


def _tracked(batches: Iterable[Batch]) -> Iterable[Batch]:
    """The same batches, with a progress bar that goes away at the end."""
    return track(batches, "scoring", transient=True, disable=not first_process())
