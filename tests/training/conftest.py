import multiprocessing
import runpy
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest

from ar_jax.training import Training


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    return str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="session", autouse=True)
def _compile_once(compiled):
    """A run that resumes compiles what the first one did: share that."""
    jax.config.update("jax_compilation_cache_dir", compiled)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@dataclass(frozen=True)
class Options:
    """Of `small_run.py`."""

    folder: Path
    training: Training
    cache: str
    dropout: float = 0.2
    devices: int = 1
    processes: int = 1
    process: int = 0
    coordinator: str = ""
    interrupted_at: int = -1


@pytest.fixture(scope="session")
def start(compiled):
    """Starts `small_run.py` in a process that has imported all it needs, but has no devices yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ar_jax.data", "ar_jax.evaluation", "ar_jax.training"])

    def start(folder, training, **more):
        options = Options(folder, training, compiled, **more)
        program = str(Path(__file__).with_name("small_run.py"))
        process = context.Process(target=runpy.run_path, args=(program, {"options": options}))
        process.start()
        return process

    return start
