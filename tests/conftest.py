"""Eight simulated devices for every test, small data, and the full product on demand."""

import ctypes
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from ar_jax.testing.conditionals import _compiled
from tests.prepared_data import write_prepared

jax.config.update("jax_num_cpu_devices", 8)

# Thousands of small programs that run a few times: compiling them is most of what the tests do.
# Without optimisations it takes a third of the time, here and in the processes that tests start.
jax.config.update("jax_disable_most_optimizations", True)
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}"

# Compiled programs are millions of objects that live on: looking through them all is costly.
gc.set_threshold(50_000, 20, 100)

STATM, LARGE = Path("/proc/self/statm"), 2.3
"""Memory of this process on Linux, and how many GiB are many: three workers share a laptop."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests come first, so that no worker is left alone with them."""
    items.sort(key=lambda item: item.path.stem != "test_processes")


@pytest.fixture(scope="session", autouse=True)
def _control_c() -> None:
    """Tests press it, and start processes that get it: a suite in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _forget_programs() -> Iterator[None]:
    """Compiled programs live on: of so many that a worker grows large, all are forgotten."""
    yield
    if STATM.exists() and resident() > LARGE:
        jax.clear_caches()
        _compiled.cache_clear()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what is freed


def resident() -> float:
    """Memory of this process, in GiB."""
    return int(STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the laws on every combination")


@pytest.fixture(scope="session")
def tfds_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small data sets as TFDS prepares them: not to be changed."""
    folder = tmp_path_factory.mktemp("tfds")
    write_prepared(folder)
    return folder
