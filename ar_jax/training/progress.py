"""The progress bar of training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress
from rich.text import Text

from ar_jax.training.parallel import first_process


class Rate(progress.ProgressColumn):
    """Steps per second."""

    def render(self, task: progress.Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f} steps/s")


@contextmanager
def progress_bar(start: int, steps: int) -> Iterator[Callable[[int, float], None]]:
    """Shows the steps done, the loss, steps per second and the time left.

    Args:
      start: steps that are done already.
      steps: that there are.

    Returns:
      Takes the steps done by now and the loss in bits/dim.
    """
    bar = progress.Progress(
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[loss]}"),
        Rate(),
        progress.TimeRemainingColumn(),
        disable=not first_process(),
    )
    task = bar.add_task("", total=steps, completed=start, loss="")
    with bar:
        yield lambda step, loss: bar.update(task, completed=step, loss=f"{loss:.3f} bits/dim")
