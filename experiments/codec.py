"""Files compressed by a trained experiment: its model, and how it reads files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ar_jax.experiment import codec
from ar_jax.experiment.codec import Progress
from ar_jax.inference.compression import LIMIT


def compress_files(
    experiment: Any,
    variables: Any,
    paths: Sequence[Path],
    progress: Progress,
    limit: int = LIMIT,
) -> bytes:
    """Files as one; see `ar_jax.experiment.codec.compress_files`."""
    return codec.compress_files(experiment.model, variables, experiment, paths, progress, limit)


def decompress_files(
    experiment: Any, variables: Any, data: bytes, progress: Progress, limit: int = LIMIT
) -> dict[str, bytes]:
    """The content of each file by its name; see `ar_jax.experiment.codec.decompress_files`."""
    return codec.decompress_files(experiment.model, variables, experiment, data, progress, limit)
