"""Converts the checkpoints of earlier versions, which Orbax wrote without digests.

python -m ar_jax.training.convert RUN/checkpoints

Orbax bounds neither what it reads nor where: convert only what comes from a source that you trust.
What stood there is moved aside, to `STEP.replaced`.
"""

import json
import math
import sys
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from ar_jax.training import snapshot


def convert(folder: Path) -> list[int]:
    """Converts all checkpoints in a folder that Orbax wrote.

    Args:
      folder: of the checkpoints.

    Returns:
      Their steps.

    Raises:
      ValueError: when one cannot be read; those before it are converted.
    """
    steps = [step for step in snapshot.steps(folder) if snapshot.is_orbax(folder / str(step))]
    for step in steps:
        try:
            contents, arrays = _read(folder.absolute() / str(step), step)
        except Exception as error:  # Orbax raises whatever the content leads to
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            raise ValueError(
                f"{folder / str(step)}: expected a whole checkpoint of Orbax, got {reason}; "
                "move it away to convert the others"
            ) from None
        snapshot.write(folder / str(step), contents, arrays)
    return steps


def _read(folder: Path, step: int) -> tuple[snapshot.Contents, dict[str, np.ndarray]]:
    (folder / "default" / "manifest.ocdbt").stat()  # without it Orbax prints tracebacks later
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(folder / "default")
    validation = json.loads((folder / "metrics" / "metrics").read_bytes())["validation"]
    beside = json.loads((folder / snapshot.ORBAX).read_bytes()).get("custom_metadata") or {}
    contents = snapshot.Contents(
        step,
        validation if math.isfinite(validation) else None,
        beside.get("unread", []),
        beside.get("seconds", {}),
    )
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return contents, {snapshot.name(path): np.asarray(leaf) for path, leaf in leaves}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for step in convert(Path(sys.argv[1])):
        print(f"converted step {step}")
