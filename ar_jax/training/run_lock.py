"""One run in a folder at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ar_jax.training.parallel import first_process


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Locks a run's folder against other processes; the same process may enter it again.

    The operating system releases the lock when the process ends, however it ends.

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
