"""One run in a folder at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ar_jax.training.parallel import first_process


@contextmanager
def living(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a run's folder; may be entered again by the same one.

    The system ends this with the process, however that ends.

    Args:
      folder: of the run; made if missing.

    Raises:
      ValueError: when another process runs there; nothing is touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not first_process():  # the others are of the same run
        yield
        return
    lock = FileLock(folder / "lock", timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"folder: expected one where nothing runs, got {folder}, where a run is going on; "
            "wait for its end or name another"
        ) from None
    try:
        yield
    finally:
        lock.release()
