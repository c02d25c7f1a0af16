"""Wrong data is told in one line."""

from collections.abc import Callable
from typing import Any

import pytest


def refused(message: str, read: Callable[[], Any]) -> None:
    """Expects a ValueError that says so."""
    with pytest.raises(ValueError, match=message) as error:
        read()
    assert "\n" not in str(error.value)
