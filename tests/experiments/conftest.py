"""Experiments that run in the process of the tests leave its memory alone."""

from collections.abc import Iterator

import pytest

from ar_jax.experiment import command_line


@pytest.fixture(scope="session", autouse=True)
def _usual_memory() -> Iterator[None]:
    """`keep_memory` is for good, and for a process that does one thing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command_line, "keep_memory", lambda: None)
        yield
