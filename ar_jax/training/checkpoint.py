"""Checkpoints of the train state, on Orbax."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from ar_jax.training.state import TrainState


class Checkpoints:
    """The train states saved in a folder: the latest ones, and the best on the validation split.

    Saving goes on in the background; leaving the `with` block waits for it.

    Args:
      folder: where they are; made if missing.
      keep: how many of the latest to keep, besides the best.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self._folder = folder

        def rank(metrics: dict[str, float]) -> Any:
            """Of equal ones the first is the best, of those never validated the last."""
            validation, step = metrics["validation"], metrics["step"]
            return validation, step if validation < math.inf else -step

        self._manager = ocp.CheckpointManager(
            folder.absolute(),
            item_handlers=ocp.StandardCheckpointHandler(),
            options=ocp.CheckpointManagerOptions(
                best_fn=rank,
                best_mode="min",
                preservation_policy=preservation_policy.AnyPreservationPolicy(
                    [
                        preservation_policy.LatestN(keep),
                        preservation_policy.BestN(get_metric_fn=rank, reverse=True, n=1),
                    ]
                ),
            ),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """The last step that was saved, if any."""
        return self._manager.latest_step()

    @property
    def best(self) -> int | None:
        """The saved step with the lowest validation loss, the last if none was validated."""
        return self._manager.best_step()

    def save(
        self,
        state: TrainState,
        validation: float = math.inf,
        unread: Sequence[Mapping[str, Any]] = (),
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Saves a state under its step.

        Args:
          state: the state.
          validation: its loss, lower is better; left out, any that was validated is better.
          unread: scalars of the last steps that no record of the metrics tells yet.
          seconds: the times of the run so far.
        """
        self._manager.save(
            int(state.step),
            args=ocp.args.StandardSave(_storable(state)),
            metrics={"validation": validation, "step": int(state.step)},
            custom_metadata={
                "unread": [{k: float(v) for k, v in row.items()} for row in unread],
                "seconds": dict(seconds or {}),
            },
        )

    def unread(self, step: int) -> list[dict[str, float]]:
        """The scalars that were saved beside the state of a step."""
        return self._beside(step).get("unread", [])

    def seconds(self, step: int) -> dict[str, float]:
        """The times that were saved beside the state of a step."""
        return self._beside(step).get("seconds", {})

    def _beside(self, step: int) -> dict[str, Any]:
        return self._manager.metadata(step).custom_metadata or {}

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """Reads a state, into memory of the host.

        Args:
          like: a state of the same model and optimizer, e.g. from `init_state`.
          step: which one; the latest if None.

        Raises:
          FileNotFoundError: when there is no such checkpoint.
          ValueError: when its arrays are not those of `like`.
        """
        saved = sorted(self._manager.all_steps())
        if not saved or step not in (None, *saved):
            wanted = "a checkpoint" if step is None else f"a checkpoint of step {step}"
            raise FileNotFoundError(
                f"{self._folder}: expected {wanted}, got those of steps {saved}"
            )
        step = saved[-1] if step is None else step
        like = _storable(like)
        expected, got = _arrays(like), _arrays(self._manager.item_metadata(step).tree)
        for name in sorted(expected.keys() | got.keys()):
            if expected.get(name) != got.get(name):
                raise ValueError(
                    f"checkpoint of step {step}, {name}: expected "
                    f"{expected.get(name, 'no such array')}, as in this configuration, "
                    f"got {got.get(name, 'no such array')}"
                )
        restored = self._manager.restore(step, args=ocp.args.StandardRestore(like))
        state = cast(TrainState, restored)
        return state.replace(key=jax.random.wrap_key_data(state.key))


def _storable(state: TrainState) -> TrainState:
    """In memory of the host, the bits of the random key in its place."""
    return jax.device_get(state.replace(key=jax.random.key_data(state.key)))


def _arrays(tree: Any) -> dict[str, str]:
    """What each array of a tree is."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): (
            f"shape {list(leaf.shape)} of {np.dtype(leaf.dtype)}"
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
