"""Eight simulated devices for every test, and the full product of the laws on demand."""

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the laws on every combination")
