"""The laws of whole models."""

from typing import Any

import jax
import numpy as np

from ar_jax.decoding import Sampler
from ar_jax.heads import Reals
from ar_jax.inference.sampling import sample
from ar_jax.models.autoregressive import Array, AutoregressiveModel
from ar_jax.orderings import Raster
from ar_jax.testing.base import apply, close, random_variables, resized, scaled, to_float32
from ar_jax.testing.draws import check_frequencies, grid, is_finite


def check_model(model: AutoregressiveModel, condition: Any = None) -> None:
    """The model sums to one, samples follow it, samplers and prefixes do what they say.

    Args:
      model: over an event of few variables, so that all its events can be listed; the sums of
        others than finite ones are left to `check_head`.
      condition: `[1, ...]`, one condition; None for none.
    """
    count = 4096  # one size, so that scoring compiles once
    raster = Raster(model.ordering.event, model.ordering.block)
    support = model.head.support(raster.block_size) * raster.count
    finite = all(map(is_finite, support))
    with jax.enable_x64(True):
        steps = grid(support)[0] if finite else np.zeros((1, len(support)))
        steps = steps.astype(model.head.dtype)
        everything = raster.to_event(steps.reshape(len(steps), raster.count, -1))
        variables = random_variables(model, everything[:1], condition)
        # With random parameters of size 1 a density can be too steep for the rounding of x itself.
        calm = scaled(variables, 0.3)
        variables = variables if finite else calm

        def tiled(batch: int) -> Any:
            return resized(condition, batch)

        @jax.jit
        def log_probs(variables: Any, x: jax.Array) -> jax.Array:
            return apply(model, variables, x, tiled(count), method="step_log_probs")

        def score(x: Any) -> Array:
            return log_probs(variables, resized(x, count))[: len(x)]

        def draw(key: int, batch: int = count, **options: Any) -> Any:
            given = {"batch_size": batch} if condition is None else {"condition": tiled(batch)}
            return sample(
                model, variables, jax.random.key(key), return_log_prob=True, **given, **options
            )

        drawn, drawn_log_prob = draw(1)
        close(drawn_log_prob, score(drawn).sum(axis=1), "what sampling accumulates is log_prob")
        if finite:
            probability = np.exp(score(everything).sum(axis=1))
            close(probability.sum(), 1, "sums to one")
            drawn_steps = raster.to_steps(np.asarray(drawn)).reshape(count, -1)
            check_frequencies(drawn_steps, steps, probability)
            greedy, _ = draw(1, sampler=Sampler(temperature=0.0))
            close(greedy, draw(2, sampler=Sampler(top_k=1))[0], "greedy is top-1")
            values = 1 + max(kind.largest for kind in support if is_finite(kind))
            kept, _ = draw(1, sampler=Sampler(top_k=values))
            close(kept, drawn, "cutting nothing changes nothing")
        else:
            greedy, again = (draw(key, sampler=Sampler(temperature=0.0))[0] for key in (1, 2))
            close(greedy, again, "greedy does not depend on the key")
        steps = model.ordering.to_steps(drawn[:8])
        most = model.ordering.length // 2 + 1
        lengths = np.maximum(most - np.arange(8) % 2, 1)
        prefix = {"prefix": steps[:, :most], "prefix_lengths": lengths}
        same, _ = draw(1, batch=8, **prefix)
        close(same, drawn[:8], "a prefix of what would be drawn anyway changes nothing")
        after, after_log_prob = draw(3, batch=8, **prefix)
        known = np.arange(model.ordering.length) < lengths[:, None]
        kept = np.where(known[..., None], model.ordering.to_steps(after) - steps, 0)
        close(kept, 0, "a prefix is kept")
        rest = np.where(known, 0, score(after)).sum(axis=1)
        close(after_log_prob, rest, "with a prefix, it is log p(drawn | prefix)")
        noise = np.random.default_rng(1).normal(size=(count, len(support)))
        drawn = raster.to_steps(np.asarray(drawn)).reshape(count, -1)
        bounds = zip(support, noise.T, drawn.T, strict=True)
        x = [
            np.clip(normal, kind.low, kind.high) if isinstance(kind, Reals) else values
            for kind, normal, values in bounds
        ]
        x = np.stack(x, axis=-1).astype(model.head.dtype)
        x = raster.to_event(x.reshape(count, raster.count, -1))
        wide = log_probs(calm, x)
    narrow = log_probs(*to_float32((calm, x)))
    law = "float32 agrees with float64"
    np.testing.assert_allclose(narrow, wide, 1e-4, 1e-4, equal_nan=False, err_msg=law)
