"""The progress bar of training."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module

from rich import progress
from rich.text import Text

from ar_jax.training.parallel import first_process


class Rate(progress.ProgressColumn):
    """Steps per second, or seconds per step."""

    def render(self, task: progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f} steps/s" if speed >= 1 else f"{1 / speed:.1f} s/step")


@contextmanager
def progress_bar(start: int, steps: int) -> Iterator[Callable[[int, str], None]]:
    """Shows the steps done, the loss, the rate over the last hour and the time left.

    In a notebook, where rich's bar needs ipywidgets, it is a line that changes.

    Args:
      start: steps that are done already.
      steps: that there are.

    Returns:
      Takes the steps done by now and the loss as it is shown.
    """
    if first_process() and in_notebook():
        yield _line(start, steps)
        return
    bar = progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[loss]}"),
        Rate(),
        progress.TimeRemainingColumn(),
        speed_estimate_period=3600,  # of slow models records come minutes apart
        disable=not first_process(),
    )
    task = bar.add_task("", total=steps, completed=start, loss="")
    with bar:
        yield lambda step, loss: bar.update(task, completed=step, loss=loss)


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _line(start: int, steps: int) -> Callable[[int, str], None]:
    """A line in a notebook that tells of each step it is called with."""
    display = import_module("IPython.display").display  # which a notebook has
    began = time.monotonic()
    shown = display({"text/plain": f"{start}/{steps}"}, raw=True, display_id=True)

    def update(step: int, loss: str) -> None:
        seconds = (time.monotonic() - began) / max(step - start, 1)
        left = timedelta(seconds=round(seconds * (steps - step)))
        shown.update({"text/plain": f"{step}/{steps}  {loss}  {left} left"}, raw=True)

    return update
