"""Stopping between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ar_jax.training.fitted import Fitted


class Interrupted(KeyboardInterrupt):
    """Training was interrupted, after all was saved.

    Attributes:
      fitted: how far it went.
    """

    def __init__(self, message: str, fitted: Fitted) -> None:
        super().__init__(message)
        self.fitted = fitted


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one acts as it would without.

    A signal that is ignored stays ignored, as the shell wants it of what runs in the background;
    so does one left to a handler that is not Python's, which could not be given back.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    previous = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}

    def give_back() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def request(number: int, frame: Any) -> None:
        stop.set()
        give_back()

    for number in previous:
        signal.signal(number, request)
    try:
        yield stop
    finally:
        give_back()
